"""Site time: real, or simulated with an origin and a speed that all processes share.

A simulated clock lives in a small JSON file, so that simulator, collectors and timers of
several processes read the same time and a replay can hold, start and change it.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RECHECK_S = 0.05


class Clock(Protocol):
    """Site time in microseconds UTC, and how real seconds pass while it runs."""

    def now_us(self) -> int:
        """Site time now."""

    def real_seconds_until(self, site_us: int) -> float:
        """Real seconds until site time reaches `site_us`; 0 if past, inf while held."""


class RealClock:
    """Site time is the time of the machine."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def real_seconds_until(self, site_us: int) -> float:
        return max(0.0, (site_us - self.now_us()) / 1e6)


@dataclass(frozen=True, slots=True)
class ClockState:
    """At real time `real_us` site time was `site_us`; since then it runs at `speed` (0 = held)."""

    site_us: int
    real_us: int
    speed: float


class SimulatedClock:
    """A clock in a file: `hold`, `run` and `read` are seen by every process within 50 ms."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._checked = -1.0
        self._state = self._read()

    @classmethod
    def create(cls, path: Path, site_us: int, speed: float = 0.0) -> "SimulatedClock":
        """Write a new clock file standing at `site_us`, held unless a speed is given."""
        _write(Path(path), ClockState(site_us, time.time_ns() // 1000, speed))
        return cls(path)

    def _read(self) -> ClockState:
        data = json.loads(self.path.read_text())
        return ClockState(int(data["site_us"]), int(data["real_us"]), float(data["speed"]))

    @property
    def state(self) -> ClockState:
        """The state in force, re-read from the file at most every `RECHECK_S` seconds."""
        now = time.monotonic()
        if now - self._checked >= RECHECK_S:
            self._state = self._read()
            self._checked = now
        return self._state

    def now_us(self) -> int:
        s = self.state
        return s.site_us + int((time.time_ns() // 1000 - s.real_us) * s.speed)

    def real_seconds_until(self, site_us: int) -> float:
        left = site_us - self.now_us()
        if left <= 0:
            return 0.0
        speed = self.state.speed
        return left / 1e6 / speed if speed > 0 else float("inf")

    def run(self, speed: float, site_us: int | None = None) -> None:
        """Go on at `speed` (0 holds), from `site_us` or from where the clock stands."""
        at = self.now_us() if site_us is None else site_us
        _write(self.path, ClockState(at, time.time_ns() // 1000, speed))
        self._checked = -1.0

    def hold(self) -> None:
        """Stop the clock where it stands."""
        self.run(0.0)


def _write(path: Path, state: ClockState) -> None:
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(
        json.dumps({"site_us": state.site_us, "real_us": state.real_us, "speed": state.speed})
    )
    beside.replace(path)
