"""The supervisor with real child processes that are small Python programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forewatt.health import HealthFile, read_reports
from forewatt.supervisor import ChildGaveUp, ChildSpec, Supervisor
from tests.waiting import wait_for

REPOSITORY = Path(__file__).parents[3]
SERVES = """
import sys
from pathlib import Path
from forewatt.child import begin
from forewatt.health import HealthFile
role, folder = sys.argv[1], Path(sys.argv[2])
stop = begin(role, int(sys.argv[-1]))
HealthFile(folder, role).say(ready=True)
stop.wait()
(folder / (role + ".ended")).write_text("")
"""


def serving(role: str, folder: Path, rank: int = 1) -> ChildSpec:
    return ChildSpec(role, (sys.executable, "-c", SERVES, role, str(folder)), rank)


def exiting(role: str, status: int) -> ChildSpec:
    return ChildSpec(role, (sys.executable, "-c", f"raise SystemExit({status})"))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Stepping:
    """A supervisor that a test steps while it waits."""

    def __init__(self, folder: Path, *specs: ChildSpec) -> None:
        self.ready = 0
        self.folder = folder
        self.supervisor = Supervisor(specs, folder, on_ready=self._count)

    def _count(self) -> None:
        self.ready += 1

    def pid(self, role: str, other_than: int = 0) -> int:
        """The process of `role` once it serves, else 0."""
        self.supervisor.step()
        report = read_reports(self.folder).get(role)
        pid = self.supervisor.pids.get(role, 0)
        return pid if report and report.ready and report.pid == pid != other_than else 0


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Stepping]:
    stepping = Stepping(tmp_path, serving("one", tmp_path), serving("two", tmp_path, 2))
    yield stepping
    stepping.supervisor.stop()


def test_ready_is_said_once_when_every_child_serves(started: Stepping) -> None:
    wait_for(lambda: started.pid("one") and started.pid("two") and started.ready)

    started.supervisor.step()

    assert 1 == started.ready


def test_a_killed_child_is_started_again(started: Stepping) -> None:
    first = wait_for(lambda: started.pid("one"))

    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: started.pid("one", other_than=first))

    assert gone(first)
    assert not gone(second)


def test_the_title_of_a_child_names_its_role(started: Stepping) -> None:
    pid = wait_for(lambda: started.pid("one"))

    assert b"forewatt: one" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_stopping_lets_children_finish_and_leaves_no_process(
    started: Stepping, tmp_path: Path
) -> None:
    pids = [wait_for(lambda: started.pid("one")), wait_for(lambda: started.pid("two"))]

    started.supervisor.stop()

    assert all(gone(pid) for pid in pids)
    assert {"one.ended", "two.ended"} <= {p.name for p in tmp_path.iterdir()}


def test_a_child_that_cannot_begin_ends_the_start_with_its_status(tmp_path: Path) -> None:
    stepping = Stepping(tmp_path, exiting("bad", 2))

    with pytest.raises(ChildGaveUp) as caught:
        wait_for(lambda: stepping.pid("bad"))

    stepping.supervisor.stop()
    assert ("bad", 2) == (caught.value.role, caught.value.exit_status)


def test_a_crash_loop_is_visible_in_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("forewatt.supervisor.PAUSE_FIRST_S", 0.01)
    monkeypatch.setattr("forewatt.supervisor.PAUSE_MAX_S", 0.02)
    stepping = Stepping(tmp_path, exiting("crashing", 70))

    def said() -> str:
        stepping.supervisor.step()
        return read_reports(tmp_path)["supervisor"].waiting_for

    waiting_for = wait_for(said)
    stepping.supervisor.stop()

    assert "crashing to stop crashing" == waiting_for
    assert "it keeps ending" in capsys.readouterr().err


def test_children_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.unit.forewatt.test_supervisor import serving
from forewatt.supervisor import Supervisor
folder = Path({str(tmp_path)!r})
Supervisor([serving("one", folder)], folder).run(lambda: False)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    wait_for(lambda: "one" in read_reports(tmp_path))
    child = read_reports(tmp_path)["one"].pid

    parent.kill()
    parent.wait(5)

    wait_for(lambda: gone(child), 30.0, "the orphan ended")


def test_a_report_of_a_dead_process_is_not_healthy(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(10)
    HealthFile(tmp_path, "watch").say(ready=True)
    text = (tmp_path / "watch.json").read_text()
    assert read_reports(tmp_path)["watch"].healthy

    (tmp_path / "watch.json").write_text(text.replace(str(os.getpid()), str(ended.pid)))

    assert not read_reports(tmp_path)["watch"].healthy


def test_a_silent_process_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HealthFile(tmp_path, "watch").say(ready=True)
    later = time.time() + 60
    report = read_reports(tmp_path)["watch"]

    monkeypatch.setattr(time, "time", lambda: later)

    assert not report.healthy
