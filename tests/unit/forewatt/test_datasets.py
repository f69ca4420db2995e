"""`simulate` and `replay` as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forewatt.cli import main
from forewatt.services.ports import free_port
from grid.clock import SimulatedClock
from grid.dataset import read_dataset

SCENARIO = Path(__file__).parents[2] / "acceptance" / "town.toml"


def test_simulate_tells_what_it_wrote_and_how_real_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["simulate", str(SCENARIO), "--out", str(tmp_path / "town"), "--validate"])

    said = capsys.readouterr().out
    assert 0 == status
    assert "52 devices, 2 faults" in said
    assert "coincidence of 10 homes" in said


def test_simulate_refuses_a_folder_that_holds_something(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["simulate", str(SCENARIO), "--out", str(town)])

    assert 2 == status
    assert "already holds something" in capsys.readouterr().err


def test_replay_without_a_broker_is_one_sentence(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["replay", str(town), "--mqtt", f"mqtt://127.0.0.1:{free_port()}"])

    said = capsys.readouterr().err
    assert 1 == status
    assert 1 == said.count("\n") and "no broker answers" in said


def test_replay_prepares_the_clock_of_an_installation(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = tmp_path / "clock.json"

    status = main(["replay", str(town), "--prepare", "--clock", str(clock)])

    first = int(next(iter(read_dataset(town).batches())).received[0])
    assert (0, first) == (status, SimulatedClock(clock).now_us())
    assert "stands at the first reading" in capsys.readouterr().out


def test_preparing_without_a_clock_is_wrong_usage(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["replay", str(town), "--prepare"])
    assert "--clock FILE" in capsys.readouterr().err


def test_backtest_counts_are_for_machines_too(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["backtest", str(town), "--out", str(tmp_path / "a.jsonl"), "--json"])

    assert {"rows", "events", "alerts", "tickets", "seconds", "notes"} == set(
        json.loads(capsys.readouterr().out)
    )
