"""Start the processes, keep them running, end them together.

The parent does nothing else: no thread, no socket, so that it stays when a child does not. A
child that ends is started again with growing pauses; one that keeps ending is a crash loop, said
aloud and shown in health. Children end with the parent, even when it is killed
(`forewatt.child` asks the kernel for that).
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from forewatt.health import HealthFile, read_reports
from grid.errors import ForewattError

PAUSE_FIRST_S = 0.2
PAUSE_MAX_S = 10.0
STEADY_S = 60.0  # after so long a run the next pause is short again
LOOP_EXITS = 5  # so many ends within STEADY_S are a crash loop
DRAIN_S = 15.0  # until a child that was asked to end is killed
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep: `role` names its health file; `rank` orders the end, lowest first."""

    role: str
    argv: tuple[str, ...]
    rank: int = 1


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    start_at: float = 0.0
    pause_s: float = PAUSE_FIRST_S
    ever_ready: bool = False
    restarts: int = 0
    exits: "deque[float]" = field(default_factory=lambda: deque(maxlen=LOOP_EXITS))

    @property
    def looping(self) -> bool:
        now = time.monotonic()
        return len(self.exits) == LOOP_EXITS and now - self.exits[0] < STEADY_S + PAUSE_MAX_S


class ChildGaveUp(ForewattError):
    """A process could not start; it has already said why on standard error."""

    def __init__(self, role: str, status: int) -> None:
        self.role, self.exit_status = role, status
        super().__init__(f"{role} could not start; mend what it says above and start again")


class Supervisor:
    """Runs the children until told to stop.

    Parameters
    ----------
    specs : what to run
    health : folder in which the children report
    log : file that takes their standard error; None lets them share ours
    on_ready : called once, when every child serves for the first time
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        health: Path,
        *,
        log: IO[bytes] | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._children: list[_Child] = []
        self._health = health
        self._own = HealthFile(health, "supervisor")
        self._log = log
        self._on_ready = on_ready
        self._all_ready = False
        for spec in specs:
            self.add(spec)

    def add(self, spec: ChildSpec) -> None:
        """One more child, started at the next step."""
        (self._health / f"{spec.role}.json").unlink(missing_ok=True)
        self._children.append(_Child(spec))

    @property
    def pids(self) -> dict[str, int]:
        """The running children."""
        return {c.spec.role: c.process.pid for c in self._children if c.process is not None}

    def step(self) -> None:
        """Start what is due, notice what has ended; call it every `POLL_S`.

        Raises
        ------
        ChildGaveUp
            A child ended with an error of ours before it ever served.
        """
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.start_at:
                    self._start(child)
            elif child.process.poll() is not None:
                self._ended(child, child.process.returncode)
        self._look()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Step until `stopping()`; then end all children, come what may."""
        try:
            while not stopping():
                self.step()
                time.sleep(POLL_S)
        finally:
            self.stop()

    def stop(self) -> None:
        """Ask the children to end in order of rank, then kill what is left."""
        for rank in sorted({c.spec.rank for c in self._children}):
            running = [
                c.process for c in self._children if c.spec.rank == rank and c.process is not None
            ]
            for process in running:
                if process.poll() is None:
                    process.terminate()
            deadline = time.monotonic() + DRAIN_S
            for process in running:
                _end(process, deadline)
        for child in self._children:
            child.process = None
        self._own.remove()

    def _start(self, child: _Child) -> None:
        # A session of its own: Ctrl-C reaches the parent alone, which then ends them in order.
        child.process = subprocess.Popen(
            [*child.spec.argv, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=self._log if self._log is not None else None,
            stderr=self._log if self._log is not None else None,
            start_new_session=True,
        )
        child.started = time.monotonic()

    def _ended(self, child: _Child, status: int) -> None:
        child.process = None
        now = time.monotonic()
        child.exits.append(now)
        # 1 and 2 are our own exit status: the child could not begin and said why.
        if not child.ever_ready and status in (1, 2):
            raise ChildGaveUp(child.spec.role, status)
        if now - child.started > STEADY_S:
            child.pause_s = PAUSE_FIRST_S
        child.start_at = now + child.pause_s
        child.restarts += 1
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        said = f"forewatt: {child.spec.role} ended ({how}); starting it again"
        if child.looping:
            said += f" in {child.pause_s:.0f} s: it keeps ending, look at its last message"
        print(said, file=sys.stderr, flush=True)
        child.pause_s = min(child.pause_s * 2, PAUSE_MAX_S)

    def _look(self) -> None:
        reports = read_reports(self._health)
        for child in self._children:
            report = reports.get(child.spec.role)
            if child.process and report and report.pid == child.process.pid and report.ready:
                child.ever_ready = True
        if not self._all_ready and all(c.ever_ready for c in self._children):
            self._all_ready = True
            self._on_ready()
        looping = [c.spec.role for c in self._children if c.looping]
        self._own.say(
            ready=self._all_ready,
            waiting_for=f"{', '.join(looping)} to stop crashing" if looping else "",
            detail={"restarts": {c.spec.role: c.restarts for c in self._children}},
        )


def _end(process: "subprocess.Popen[bytes]", deadline: float) -> None:
    try:
        process.wait(max(0.05, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(DRAIN_S)
