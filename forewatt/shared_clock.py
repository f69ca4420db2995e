"""A simulated clock whose changes are seen at once by every process."""

from pathlib import Path

from grid.clock import ClockState, SimulatedClock


class SharedClock(SimulatedClock):
    """Asks the file system whether the clock file has changed, each time (2 microseconds).

    The plain clock looks every 50 ms. When days are replayed in seconds that is hours of site
    time, and readings would seem to come from the future.
    """

    def __init__(self, path: Path) -> None:
        self._seen = (0, 0)
        super().__init__(path)

    @property
    def state(self) -> ClockState:
        """The state in force."""
        stat = self.path.stat()
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._seen:
            self._state = self._read()
            self._seen = seen
        return self._state
