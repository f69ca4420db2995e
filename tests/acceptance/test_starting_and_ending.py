"""Starting with something wrong is one sentence; ending leaves nothing behind."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.house import (
    REPOSITORY,
    House,
    descendants,
    ended,
    forewatt,
    lines_of,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

DEMO_LINES = "url operator clerk engineer admin customer database broker texts".split()


def sentences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_a_taken_port_is_one_sentence(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", house.port))
        taken.listen()

        done = forewatt("run", "--config", house.config)

    assert 1 == done.returncode
    assert [f"forewatt: cannot listen on 127.0.0.1:{house.port}"] == [
        line.partition(" (")[0] for line in sentences(done.stderr)
    ]
    assert "[web] listen" in done.stderr


def test_a_database_that_was_never_there_is_one_sentence(house: House) -> None:
    text = house.config.read_text()
    house.config.write_text(re.sub(r"postgresql://\S+", 'postgresql://x@127.0.0.1:1/none"', text))

    done = forewatt("run", "--config", house.config)

    assert 1 == done.returncode
    assert 1 == len(sentences(done.stderr))
    assert "127.0.0.1:1" in done.stderr and "[database] url" in done.stderr


def test_a_broken_network_file_loads_nothing_and_says_where(house: House, tmp_path: Path) -> None:
    network = tmp_path / "network"
    network.mkdir()
    (network / "devices.csv").write_text("device,kind,transformer\nM1,metre,T9\n")
    text = house.config.read_text()
    house.config.write_text(text.replace(str(house.town), str(network)))

    started = forewatt("run", "--config", house.config)
    imported = forewatt("import", "network", network, "--config", house.config)

    for done in (started, imported):
        assert 2 == done.returncode
        assert "devices.csv:2, column kind" in done.stderr and "'meter'" in done.stderr
    assert not house.query("SELECT 1 FROM pg_tables WHERE tablename = 'device'")


def test_stopping_ends_every_process_and_frees_the_port(house: House) -> None:
    house.start()
    assert house.process is not None
    children = descendants(house.process.pid)

    status = house.stop()

    assert 0 == status
    assert 4 == len(children)
    assert all(ended(pid) for pid in children)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", house.port))


def test_status_tells_of_every_process(house: House) -> None:
    with house:
        done = forewatt("status", "--config", house.config)

    assert 0 == done.returncode, done.stdout
    assert ["collect", "historian", "supervisor", "watch", "web"] == [
        line.split()[0] for line in sentences(done.stdout)
    ]


@pytest.mark.timeout(400)
def test_the_demo_prints_its_lines_and_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    """After `kill -9` the next start finds nothing in its way; Ctrl-C ends all in good order."""
    folder = tmp_path / "demo"
    words = [sys.executable, "-m", "forewatt", "demo", "--speed", "600", "--data", str(folder)]

    with running(words) as first:
        told = lines_of(first, DEMO_LINES, 150)
        children = descendants(first.pid)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    with running(words) as second:
        told_again = lines_of(second, DEMO_LINES, 120)
        grandchildren = descendants(second.pid)
        second.send_signal(signal.SIGINT)
        status = second.wait(60)

    assert set(DEMO_LINES) <= set(told)
    assert set(DEMO_LINES) <= set(told_again)
    assert 0 == status
    assert grandchildren
    wait_for(lambda: all(ended(pid) for pid in children | grandchildren), 60, "all have ended")


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that is gone when the test is over, however that ends; its children see to it."""
    process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
