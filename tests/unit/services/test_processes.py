"""A process is known by number, start time and boot; nothing else is ever ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from forewatt.services.processes import (
    RECORD,
    Identity,
    as_record,
    clean_stale,
    end,
    identity,
    is_alive,
    owner_alive,
    read_record,
    write_record,
)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Some program that runs on this machine and is none of ours."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait(10)


def _who(process: subprocess.Popen[bytes]) -> Identity:
    who = identity(process.pid)
    assert who is not None
    return who


def _dead_owner() -> Identity:
    who = identity(os.getpid())
    assert who is not None
    return replace(who, start=who.start + 1)


def test_an_ended_process_is_not_alive_even_before_it_is_collected(
    stranger: subprocess.Popen[bytes],
) -> None:
    who = _who(stranger)
    before = is_alive(who)

    stranger.kill()
    os.waitid(os.P_PID, stranger.pid, os.WEXITED | os.WNOWAIT)

    assert [True, False] == [before, is_alive(who)]


def test_an_orphan_of_a_killed_run_is_ended(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    record = {"owner": as_record(_dead_owner()), "mosquitto": as_record(_who(stranger))}
    write_record(tmp_path, record)

    ended = clean_stale(tmp_path)

    assert [f"mosquitto (process {stranger.pid}) left by a killed run"] == ended
    assert -signal.SIGTERM == stranger.wait(10)
    assert not (tmp_path / RECORD).exists()


def test_a_process_number_that_another_program_got_is_left_alone(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    who = _who(stranger)
    reused = replace(who, start=who.start - 1)
    write_record(tmp_path, {"owner": as_record(_dead_owner()), "postgres": as_record(reused)})

    ended = clean_stale(tmp_path)

    assert [] == ended
    assert is_alive(who)


def test_services_of_a_running_owner_are_left_alone(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    me = identity(os.getpid())
    write_record(tmp_path, {"owner": as_record(me), "postgres": as_record(_who(stranger))})

    ended = clean_stale(tmp_path)

    assert [] == ended
    assert me == owner_alive(tmp_path)
    assert is_alive(_who(stranger))


def test_a_record_cut_short_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"owner": {"pid": 1', encoding="utf-8")

    assert {} == read_record(tmp_path)
    assert [] == clean_stale(tmp_path)


def test_a_program_that_ignores_the_polite_signals_is_ended_all_the_same() -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()

        end(stubborn, [(signal.SIGTERM, 0.1)])

        assert -signal.SIGKILL == stubborn.returncode
