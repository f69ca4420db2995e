"""`forewatt replay` with a hand on it: a real process, a real broker, a real terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from simulators.scenario import simulate
from tests.waiting import wait_for

TOWN = Path(__file__).parents[2] / "acceptance" / "town.toml"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small town of a few days."""
    out = tmp_path_factory.mktemp("replay-command") / "town"
    simulate(TOWN, out)
    return out


def _command(dataset: Path, broker: Any, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "forewatt", "replay", str(dataset), "--mqtt", broker.mqtt_url, *more
    ]  # fmt: skip


def test_commands_on_standard_input_seek_and_let_go(broker: Any, dataset: Path) -> None:
    """What lies before the time sought is left out; a word not known is answered."""
    command = _command(dataset, broker, "--speed", "max", "--paused", "--commands", "--json")
    whole = json.loads(
        subprocess.check_output(_command(dataset, broker, "--speed", "max", "--json"), text=True)
    )

    done = subprocess.run(
        command, input="seek 1d\nhello\nresume\n", capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip

    told = json.loads(done.stdout)
    assert "'hello' is no command" in done.stderr
    assert 0 < told["rows"] < whole["rows"]
    assert whole["reached_us"] == told["reached_us"]


def test_a_stopped_replay_goes_on_with_resume(broker: Any, dataset: Path, tmp_path: Path) -> None:
    """Interrupted and started again: together they send each row once, or the last second's
    again."""
    place = tmp_path / "place"
    resume = ("--resume", str(place), "--json")
    first = subprocess.Popen(
        _command(dataset, broker, "--speed", "100000", *resume), stdout=subprocess.PIPE, text=True
    )
    wait_for(place.exists, PATIENCE_S, "the place to be kept")
    first.send_signal(signal.SIGINT)
    before = json.loads(first.communicate(timeout=PATIENCE_S)[0])

    again = json.loads(
        subprocess.check_output(_command(dataset, broker, "--speed", "max", *resume), text=True)
    )

    assert before["stopped"] and not again["stopped"]
    assert 0 < again["resumed_rows"] <= before["rows"] + before["events"]
    assert not place.exists()


def test_keys_and_a_bar_at_a_terminal(broker: Any, dataset: Path) -> None:
    """Space lets a paused replay go; the bar tells event time, rate and how far behind."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = _command(dataset, broker, "--speed", "1000000", "--paused", "--from", "1d")
        os.environ.update(TERM="xterm", COLUMNS="120")
        os.execv(command[0], command)
    screen = _until(terminal, b"q quit")
    os.write(terminal, b" ")
    screen += _until(terminal, b"acknowledged")
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert b"readings/s" in screen and b"behind" in screen
    assert b"space pause" in screen


def _until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows until the wanted text has come."""
    screen, deadline = b"", time.monotonic() + PATIENCE_S
    while wanted not in screen:
        assert time.monotonic() < deadline, screen.decode(errors="replace")
        if select.select([terminal], [], [], 0.1)[0]:
            screen += os.read(terminal, 65_536)
    return screen
