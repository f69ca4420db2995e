"""A replay gives what a backtest gives, in a realm of its own; a bad file leaves nothing half
done."""

import json
import threading
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forewatt.backtest import backtest
from forewatt.cli import main
from forewatt.trial import Pace, Side, Trial
from forewatt.trial_files import TrialFolder, write_series
from forewatt.trial_settings import TrialSettings, known_settings
from forewatt.trial_source import Given
from forewatt.trials import SCENARIOS, TooManyTrials, TrialRoom
from grid.dataset import read_dataset
from grid.errors import BadInput
from grid.readings import ReadingBatch
from tests.trial_room import a_config, a_room
from tests.waiting import wait_for
from web.trial_doors import TrialAsk

SCENARIO = SCENARIOS / "neutral_loose.toml"
START_US = 1_772_380_800_000_000
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of two areas; one neutral grows loose."""
    from simulators.scenario import simulate

    folder = tmp_path_factory.mktemp("replayed") / "datasets" / "clamp"
    simulate(SCENARIO, folder)
    return folder


@pytest.fixture(scope="module")
def trial(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrialFolder:
    """The dataset replayed with two settings."""
    out = tmp_path_factory.mktemp("trial") / "replay-1"
    words = ["trial", str(dataset), "--out", str(out), "--against", 'disabled=["neutral"]']
    assert main([*words, "--json"]) == 0
    return TrialFolder(out)


# -- what a trial finds --------------------------------------------------------------------------


def test_a_trial_raises_the_alerts_that_a_backtest_raises(
    trial: TrialFolder, dataset: Path, tmp_path: Path
) -> None:
    backtest(dataset, tmp_path / "alerts.jsonl")

    lines = (tmp_path / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(x) for x in lines] == trial.alerts("a")


def test_what_was_stored_is_not_brought_to_the_primary_side_once_more(
    trial: TrialFolder, dataset: Path, tmp_path: Path
) -> None:
    """The live past went through the collectors' checks, which applied the ratios on record."""
    stored = read_dataset(dataset)
    devices = tuple(replace(d, ct_ratio=8.0, pt_ratio=4.0) for d in stored.network.devices)
    network = replace(stored.network, devices=devices)
    batches = list(stored.batches(order="received"))
    side = Side("a", network, TrialSettings(), "CN")

    again = Trial(tmp_path, {}, Pace(tmp_path, None, lambda: False))
    again.run(Given(network, batches, primary=True), [side])

    assert trial.alerts("a") == side.lines()


def test_the_other_side_is_judged_with_its_own_settings(trial: TrialFolder) -> None:
    faults = [{x["fault"] for x in trial.alerts(side)} for side in ("a", "b")]

    assert ["neutral_loose" in f for f in faults] == [True, False]


def test_scores_say_when_and_how_far_over_the_limit(trial: TrialFolder) -> None:
    alert = next(x for x in trial.alerts("a") if x["fault"] == "neutral_loose")

    scores = trial.scores("a", {alert["asset"]}).to_pandas()

    assert scores["tick_us"].is_monotonic_increasing
    assert scores["score"].max() >= 1.0
    assert set(scores["asset"]) == {alert["asset"]}


def test_a_held_and_stepped_trial_finds_the_same(dataset: Path, tmp_path: Path) -> None:
    """Neither speed nor steps may change what is found: 345,600 s at 10^6 are no time at all."""
    words = ["trial", str(dataset), "--out", str(tmp_path / "a"), "--speed", "1e6"]
    main(words)
    main([*words[:3], str(tmp_path / "b")])

    assert TrialFolder(tmp_path / "a").alerts("a") == TrialFolder(tmp_path / "b").alerts("a")


def test_one_meter_is_read_raw_and_between_its_bounds(trial: TrialFolder, dataset: Path) -> None:
    whole = ReadingBatch.concat(list(read_dataset(dataset).batches())).readings()
    device = trial.devices()[3]
    mine = whole.select(whole.device_names() == device).sort()
    low, high = START_US + 10 * HOUR_US, START_US + 30 * HOUR_US
    part = mine.select((mine.time >= low) & (mine.time < high))

    time, values = trial.rows(device, ["v_a"], low, high)

    assert time.tolist() == part.time.tolist()
    np.testing.assert_array_equal(values["v_a"], part.value("v_a"))


def test_a_device_without_readings_gives_an_empty_series(trial: TrialFolder) -> None:
    assert trial.series("nobody", ["v_a"], START_US, START_US + 1, 100).time.size == 0


def test_a_long_series_is_folded_to_the_points_asked_for(tmp_path: Path) -> None:
    time = START_US + np.arange(5_000) * 60_000_000
    batch = ReadingBatch.of(["M"], np.zeros(5_000), time, {"v_a": np.full(5_000, 230.0)})
    write_series(tmp_path / "series", batch)

    found = TrialFolder(tmp_path).series("M", ["v_a"], int(time[0]), int(time[-1]) + 1, 500)

    assert 100 < found.time.size <= 500
    assert set(found.values["v_a"][1].tolist()) == {230.0}


def test_the_evidence_of_a_replayed_alert_becomes_a_picture(
    trial: TrialFolder, tmp_path: Path
) -> None:
    alert = trial.alerts("a")[0]["id"]
    out = tmp_path / "evidence.pdf"

    status = main(["report", alert, "--trial", str(trial.folder), "--out", str(out)])

    assert (status, out.read_bytes()[:5]) == (0, b"%PDF-")


# -- bad input -----------------------------------------------------------------------------------


def spoilt(dataset: Path, folder: Path) -> Path:
    """The dataset as CSV with one cell that is no number."""
    path = folder / "week.csv"
    rows = ["time,device,v_a"]
    rows += [f"2026-03-02T00:{n:02d}:00Z,T1-M001,{'2x1' if n == 7 else 230}" for n in range(30)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_bad_cell_is_named_with_row_column_and_fix(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoilt(dataset, tmp_path)
    words = ["trial", str(path), "--network", str(dataset), "--out", str(tmp_path / "out")]

    status = main(words)

    said = capsys.readouterr().err
    assert status == 2
    assert "week.csv:9, column v_a: '2x1'" in said and "--lenient" in said
    assert not (tmp_path / "out" / "series").exists()
    assert TrialFolder(tmp_path / "out").status["state"] == "failed"


def test_bad_cells_can_be_left_out_on_request(dataset: Path, tmp_path: Path) -> None:
    path = spoilt(dataset, tmp_path)
    words = ["trial", str(path), "--network", str(dataset), "--out", str(tmp_path / "out")]

    assert main([*words, "--lenient", "--json"]) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lateness=3", "Did you mean 'lateness_s'"),
        ("lateness_s", "is no setting"),
        ("lateness_s=soon", "is no value"),
        ("lateness_s=-1", "detectors.lateness_s"),
        ("web.listen='x'", "names no table"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_fix(given: str, said: str) -> None:
    with pytest.raises(BadInput, match=said.replace(".", r"\.")):
        TrialSettings.of([given])


def test_every_setting_that_is_offered_can_be_set() -> None:
    for key, _, default in known_settings():
        TrialSettings.of([f"{key} = {default.replace(chr(39), chr(34))}"])


@pytest.mark.parametrize(
    ("source", "option", "said"),
    [
        ("nowhere", [], "no such dataset"),
        ("live", [], "needs its bounds"),
        (None, ["--from", "2031-01-01T00:00:00Z"], "no readings in this span"),
        (None, ["--from", "yesterday"], "is no time with zone"),
    ],
)
def test_a_source_that_cannot_be_replayed_says_why(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    source: str | None,
    option: list[str],
    said: str,
) -> None:
    status = main(["trial", source or str(dataset), "--out", str(tmp_path), *option])

    assert (status, True) == (2, said in capsys.readouterr().err)


# -- pace ----------------------------------------------------------------------------------------


def test_a_paused_trial_makes_as_many_steps_as_it_is_given(tmp_path: Path) -> None:
    stop = threading.Event()
    pace = Pace(tmp_path, None, stop.is_set)
    (tmp_path / "control.json").write_text('{"paused": true, "steps": 2}', encoding="utf-8")

    made = [pace.wait(START_US), pace.wait(START_US + HOUR_US)]
    waiting = threading.Thread(target=lambda: made.append(pace.wait(START_US + 2 * HOUR_US)))
    waiting.start()
    stop.set()
    waiting.join(5)

    assert made == [True, True, False]


def test_what_holds_a_trial_is_told_while_it_waits(tmp_path: Path) -> None:
    stop = threading.Event()
    told: list[bool] = []
    pace = Pace(tmp_path, None, stop.is_set)
    (tmp_path / "control.json").write_text('{"paused": true}', encoding="utf-8")

    def idle() -> None:
        told.append(pace.paused)
        stop.set()

    assert (pace.wait(START_US, idle), told) == (False, [True])


# -- the room ------------------------------------------------------------------------------------


@pytest.fixture
def room(tmp_path: Path, dataset: Path) -> Any:
    made = a_room(tmp_path)
    (tmp_path / "datasets" / "clamp").symlink_to(dataset)
    yield made
    made.close()


def state(room: TrialRoom, id_: str) -> str:
    view = room.open(id_)
    return "" if view is None else str(view.status.get("state"))


def test_the_room_runs_a_trial_in_a_process_and_keeps_what_it_found(room: TrialRoom) -> None:
    id_ = room.start(TrialAsk("dataset:clamp"))

    wait_for(lambda: state(room, id_) == "done", 60, "the trial is done")
    view = room.open(id_)
    assert view is not None
    assert len(view.alerts("a")) == view.status["alerts"]["a"] > 0
    assert room.scored(id_)["a"]["summary"]["recall"] == 1.0
    wait_for(lambda: not room._running, 20, "no process is left")


def test_the_command_that_is_shown_is_the_one_that_runs(room: TrialRoom) -> None:
    ask = TrialAsk("dataset:clamp", b=('disabled = ["joint"]',), speed="60")

    said = room.command(ask)

    assert said.startswith("forewatt trial ")
    assert "--against 'disabled = [\"joint\"]'" in said and "--speed 60" in said


def test_a_stopped_trial_ends_and_the_room_leaves_no_process(room: TrialRoom) -> None:
    id_ = room.start(TrialAsk("dataset:clamp", speed="1"))
    wait_for(lambda: state(room, id_) == "running", 60, "the trial runs")
    process = room._running[id_][0]

    room.stop(id_)

    wait_for(lambda: state(room, id_) == "stopped", 20, "the trial has stopped")
    assert process.wait(10) == 1
    room.remove(id_)
    assert room.open(id_) is None


def test_more_than_so_many_waiting_trials_are_refused(
    room: TrialRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forewatt.trials.TrialRoom._look", lambda self: None)
    for _ in range(8):
        room.start(TrialAsk("dataset:clamp"))

    with pytest.raises(TooManyTrials):
        room.start(TrialAsk("dataset:clamp"))


@pytest.mark.parametrize("source", ["dataset:../../etc", "dataset:", "file:/etc/passwd", "x"])
def test_only_sources_of_the_list_are_opened(room: TrialRoom, source: str) -> None:
    with pytest.raises(BadInput, match="not among the sources"):
        room.start(TrialAsk(source))


def test_a_trial_of_another_life_is_not_said_to_run(tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "replay-20260101-000000-aaaa"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text('{"state": "running"}', encoding="utf-8")

    room = TrialRoom(tmp_path / "trials", a_config(tmp_path))

    assert state(room, folder.name) == "stopped"


def test_labels_belong_to_the_source_and_change_the_score(room: TrialRoom) -> None:
    id_ = room.start(TrialAsk("dataset:clamp"))
    wait_for(lambda: state(room, id_) == "done", 60, "the trial is done")
    before = room.scored(id_)["a"]["summary"]
    label = {
        "id": "label-1",
        "fault": "transformer_overload",
        "asset_kind": "transformer",
        "asset": "T1",
        "onset": "2026-03-04T12:00:00Z",
        "benign": False,
    }

    room.keep_labels(id_, [label])

    after = room.scored(id_)["a"]["summary"]
    assert (before["recall"], after["recall"]) == (1.0, 0.5)
    with pytest.raises(BadInput, match="catalogue"):
        room.keep_labels(id_, [label | {"fault": "ghosts"}])
    assert room.labels(id_) == [label]


def test_the_oldest_trials_go_first(room: TrialRoom) -> None:
    for n in range(25):
        folder = room.folder / f"replay-202601{n + 1:02d}-000000-aaaa"
        folder.mkdir()
        (folder / "status.json").write_text('{"state": "done"}', encoding="utf-8")

    room._tidy()

    kept = [id_ for id_, _ in room.known()]
    assert (20, "replay-20260125-000000-aaaa") == (len(kept), kept[0])


def test_wrong_speed_is_refused_before_anything_runs(room: TrialRoom) -> None:
    with pytest.raises(BadInput, match="no speed"):
        room.start(TrialAsk("dataset:clamp", speed="fast"))

    assert room.known() == []


def test_a_namespace_of_the_parser_has_all_that_a_trial_reads() -> None:
    from forewatt.cli import _parser

    args = _parser().parse_args(["trial", "x", "--out", "y", "--against"])

    assert isinstance(args, Namespace)
    assert (args.against, args.set, args.lenient) == ([""], [], False)
