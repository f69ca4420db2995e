"""Starts private services again that ended by themselves: killed, or out of memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from forewatt.services.errors import ServicesError

TRIES = 5
PAUSE_S = 2.0
STEADY_S = 60.0


class Revivable(Protocol):
    """What a caretaker looks after (`PrivateServices`)."""

    def missing(self) -> tuple[str, ...]:
        """Names of the services that have ended by themselves."""

    def revive(self) -> None:
        """Start them again, each on the port that it had; raises ServicesError."""


class Caretaker:
    """Looks when it is called; `TRIES` failures in a row, or ends within a minute, are too many.

    A database that was killed needs a moment: its last children hold the shared memory.
    """

    def __init__(
        self,
        services: Revivable,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services, self._say, self._clock = services, say, clock
        self._tries = 0
        self._next = 0.0
        self._well_since: float | None = None

    def look(self) -> None:
        """Start again what is missing, if it is time; ServicesError when it does not help."""
        now = self._clock()
        missing = self._services.missing()
        if not missing:
            self._well_since = now if self._well_since is None else self._well_since
            if now - self._well_since > STEADY_S:
                self._tries = 0
            return
        self._well_since = None
        if now < self._next:
            return
        self._tries += 1
        self._next = now + PAUSE_S
        names = " and ".join(missing)
        try:
            self._services.revive()
        except ServicesError:
            if self._tries >= TRIES:
                raise
            return
        if self._tries >= TRIES:
            raise ServicesError(f"{names} ended {TRIES} times within minutes; is memory short?")
        self._say(f"{names} had ended; started again")
