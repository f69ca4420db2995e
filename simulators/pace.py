"""The clock of a replay and the hand on it: hold, go on, step, seek, another speed.

A replay is paced by a clock: a file that processes share (`grid.clock.SimulatedClock`), one of
its own at a speed, or one that lets everything pass at once. All three can be held and moved, so
`Controls` need not know which it is.
"""

import threading
import time
from typing import Protocol, runtime_checkable

from grid.clock import Clock

EVER_US = 2**62


@runtime_checkable
class MovableClock(Clock, Protocol):
    """A clock that a person may hold and move."""

    def run(self, speed: float, site_us: int | None = None) -> None:
        """Go on at `speed` (0 holds), from `site_us` or from where the clock stands."""


class PacedClock:
    """Site time that starts at `origin_us` now and runs at `speed`."""

    def __init__(self, origin_us: int, speed: float) -> None:
        self._origin_us, self._speed = origin_us, speed
        self._began = time.monotonic()

    def now_us(self) -> int:
        """Site time now."""
        return self._origin_us + int((time.monotonic() - self._began) * self._speed * 1e6)

    def real_seconds_until(self, site_us: int) -> float:
        """Real seconds until site time reaches `site_us`; inf while held."""
        left = (site_us - self.now_us()) / 1e6
        if left <= 0.0:
            return 0.0
        return left / self._speed if self._speed > 0 else float("inf")

    def run(self, speed: float, site_us: int | None = None) -> None:
        """Go on at `speed`, from `site_us` or from where the clock stands."""
        at = self.now_us() if site_us is None else site_us
        self._origin_us, self._began, self._speed = at, time.monotonic(), speed


class OpenClock:
    """Lets everything pass while it runs: the receiver sets the pace. Held, it stands."""

    def __init__(self) -> None:
        self._now_us = EVER_US

    def now_us(self) -> int:
        """Later than any reading, or where it is held."""
        return self._now_us

    def real_seconds_until(self, site_us: int) -> float:
        """Nothing is waited for unless the clock is held before it."""
        return 0.0 if site_us <= self._now_us else float("inf")

    def run(self, speed: float, site_us: int | None = None) -> None:
        """Any speed opens it; 0 holds it at `site_us`."""
        self._now_us = EVER_US if speed > 0 or site_us is None else site_us


class Controls:
    """What a person asks of a running replay; every method may be called from another thread.

    The replay tells by `reached` where it stands and takes a wish to go elsewhere by `target`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clock: MovableClock | None = None
        self._speed = 1.0
        self._step_us = 60_000_000
        self._next_us = 0
        self._target_us: int | None = None
        self._held = False
        self._begun, self._steps = False, 0

    @property
    def held(self) -> bool:
        """Whether the replay is paused."""
        return self._held

    def bind(self, clock: MovableClock, speed: float, step_us: int) -> None:
        """Called by the replay before its first row; a pause that was asked before holds."""
        with self._lock:
            self._clock, self._speed, self._step_us = clock, speed, step_us

    def begin(self, first_us: int, *, jump: bool) -> None:
        """Called by the replay at its first row; `jump`: time goes there at once.

        What was asked before is carried out now.
        """
        with self._lock:
            self._next_us, self._begun = first_us, True
            if self._held:
                ticks = first_us // self._step_us + self._steps
                self._stand(ticks * self._step_us if self._steps else first_us - 1)
            elif jump and self._clock is not None:
                self._clock.run(self._speed, first_us)

    def reached(self, next_us: int) -> None:
        """Called by the replay: the arrival of the next row that is not sent."""
        self._next_us = next_us

    def pause(self) -> None:
        """Send nothing more; time stands."""
        with self._lock:
            self._held = True
            if self._clock is not None:
                self._stand(min(self._clock.now_us(), max(self._next_us - 1, 0)))

    def resume(self) -> None:
        """Go on from where time stands."""
        with self._lock:
            self._held = False
            if self._clock is not None:
                self._clock.run(self._speed)

    def step(self) -> None:
        """Send the next tick of the shortest interval in the dataset, then stand."""
        with self._lock:
            self._held = True
            if not self._begun:
                self._steps += 1
                return
            at = self._next_us if self._target_us is None else self._target_us
            self._stand((at // self._step_us + 1) * self._step_us)

    def seek(self, site_us: int) -> None:
        """Go on, or stand, at the first row that arrived at `site_us` or later."""
        with self._lock:
            self._target_us = site_us
            if self._clock is not None:
                self._clock.run(0.0 if self._held else self._speed, site_us - self._held)

    def move(self, by_us: int) -> None:
        """Seek by a span from where the replay stands."""
        self.seek((self._next_us if self._target_us is None else self._target_us) + by_us)

    def change_speed(self, speed: float) -> None:
        """Another speed from now on, or after the pause; at full speed there is none."""
        with self._lock:
            self._speed = speed
            if self._clock is not None and not self._held:
                self._clock.run(speed)

    @property
    def speed(self) -> float:
        """Site seconds a second, as set last."""
        return self._speed

    def wishes(self) -> bool:
        """Whether the replay shall go elsewhere."""
        return self._target_us is not None

    def target(self) -> int | None:
        """Where the replay shall go, once."""
        with self._lock:
            target, self._target_us = self._target_us, None
            if target is not None:
                self._next_us = target
            return target

    def _stand(self, site_us: int) -> None:
        if self._clock is not None:
            self._clock.run(0.0, site_us)
