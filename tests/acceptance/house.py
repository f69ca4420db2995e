"""A whole Forewatt for acceptance tests: `forewatt run` beside private services."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from forewatt.config import load_config
from forewatt.demo_town import TownData
from forewatt.health import Report, read_reports
from forewatt.services.ports import free_port
from forewatt.site import Place
from forewatt.stepping import play_all, prepare_clock, run_out
from simulators.replay import ReplaySummary
from storage.database import Database
from tests.waiting import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 100.0  # four processes import everything at once, on a machine that may be busy
MINUTE_US = 60_000_000


def forewatt(*words: object, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run one command as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "forewatt", *map(str, words)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def ended(pid: int) -> bool:
    """The process is gone, or a zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def descendants(pid: int) -> set[int]:
    """All processes below a process."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we were looking
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


@dataclass
class House:
    """One installation in a folder; use as a context manager."""

    folder: Path
    town: Path
    database_url: str
    mqtt_url: str
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)
    token: str = ""

    def __post_init__(self) -> None:
        self.port = free_port()
        self.clock = prepare_clock(self.town, self.folder / "clock.json")
        self.config = self.folder / "forewatt.toml"
        self.config.write_text(
            f"""
[site]
clock = {{ file = "clock.json" }}
[network]
path = "{self.town}"
[database]
url = "{self.database_url}"
[[mqtt]]
url = "{self.mqtt_url}"
[web]
listen = "127.0.0.1:{self.port}"
[watch]
snapshot_every_s = 1
"""
        )
        self.place = Place.of(load_config(self.config))

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        log = (self.folder / "log.txt").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forewatt", "run", "--config", str(self.config)],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()
        wait_for(lambda: "ready" in self.said or self.process_ended(), START_S, "ready")
        assert "ready" in self.said, self.log()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.said.append(line.strip())

    def process_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def stop(self) -> int:
        """Ask it to end and wait for that; its exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        self.said.clear()
        process.terminate()
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()  # its children end with it; nothing is left behind a failed test
            process.wait(10)
            raise

    def reports(self) -> dict[str, Report]:
        return read_reports(self.place.health)

    def kill(self, role: str) -> int:
        """`kill -9` one process, once it has come (again); returns the pid it had."""

        def pid() -> int:
            report = self.reports().get(role)
            return 0 if report is None or ended(report.pid) else report.pid

        found = wait_for(pid, START_S, f"{role} to run")
        os.kill(found, signal.SIGKILL)
        wait_for(lambda: ended(found), START_S, f"{role} to be gone")
        return found

    # -- the data's way ----------------------------------------------------------------------

    def play(self) -> ReplaySummary:
        """The whole dataset over MQTT as fast as it is taken, with the clock that all share."""
        return play_all(self.town, self.mqtt_url, self.clock)

    def wait_progress(self, share: float) -> None:
        """Wait until this share of the dataset's span has passed on the clock, or it ends."""
        first, last = TownData(self.town).span_us
        until = min(self.clock.now_us() + round(share * (last - first)), last - MINUTE_US)
        wait_for(lambda: self.clock.now_us() >= until, 120.0, "the replay to go on")

    def settle(self, readings: int) -> None:
        """Let time run on after the last reading, and wait until all is stored and judged."""
        wait_for(lambda: self.count("reading") >= readings, 120.0, f"{readings} readings stored")
        run_out(self.clock)
        end_us = self.clock.now_us()

        def judged() -> bool:
            reports = self.reports()
            behind = [reports[role].lag for role in ("historian", "watch") if role in reports]
            reached = reports["watch"].detail.get("watermark_us", 0) if "watch" in reports else 0
            return behind == [0, 0] and reached >= end_us - 6 * MINUTE_US

        wait_for(judged, 120.0, f"all judged; reports: {self.reports()}")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with (
            Database(self.database_url, application="acceptance") as database,
            database.connection() as connection,
        ):
            return connection.execute(statement.encode()).fetchall()

    def count(self, table: str) -> int:
        return int(self.query(f"SELECT count(*) FROM {table}")[0][0])

    # -- people's way ------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """The JSON of a page of the API, as a dispatcher."""
        if not self.token:
            added = forewatt(
                *("user", "add", "acceptance", "--role", "dispatcher"),
                *("--token", "--json", "--config", self.config),
            )
            assert added.returncode == 0, added.stderr
            self.token = json.loads(added.stdout)["token"]
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=20,
        )
        answer.raise_for_status()
        return answer.json()

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/alerts?limit=1000")["items"]
        return found

    def tickets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/tickets?limit=1000")["items"]
        return found


def lines_of(
    process: subprocess.Popen[str], wanted: Sequence[str], timeout_s: float
) -> dict[str, str]:
    """`name: value` lines that a program prints, until all wanted ones have come."""
    found: dict[str, str] = {}

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                match = re.match(r"(\w+): (.*)", line)
                if match:
                    found[match[1]] = match[2]

    threading.Thread(target=listen, daemon=True).start()
    wait_for(
        lambda: set(wanted) <= set(found) or process.poll() is not None,
        timeout_s,
        f"the lines {', '.join(wanted)}",
    )
    return found


def in_background(work: Callable[[], Any]) -> Background:
    """Do work beside the test; `result` waits for it and raises what it raised."""
    return Background(work)


class Background:
    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._outcome: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._work()
        except BaseException as error:
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        self._thread.join(max(0.0, deadline - time.monotonic()))
        assert not self._thread.is_alive(), f"not done within {timeout_s:g} s"
        if self._error is not None:
            raise self._error
        return self._outcome
