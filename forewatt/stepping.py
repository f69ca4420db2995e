"""A dataset through a running Forewatt as fast as it is taken, on the clock that all share."""

import threading
from pathlib import Path

import ingest
from forewatt.shared_clock import SharedClock
from grid.clock import SimulatedClock
from grid.dataset import read_dataset
from grid.errors import BadInput
from simulators.replay import ReplaySummary, replay

PROFILES = Path(str(ingest.__file__)).parent / "profiles"
STEP_US = 900_000_000
AFTER_US = 600_000_000  # closes the last frames, and is too short to look like silence


class SteppingClock:
    """Moves the shared clock from one quarter of an hour with arrivals to the next, as fast as
    they are sent.

    What waits for a time gets the end of its quarter at once, so days pass in seconds, and the
    clock never stands behind what has been sent. (Stepping to each arrival by itself took ten
    times as long: one message and one write of the clock a reading.)
    """

    def __init__(self, shared: SimulatedClock) -> None:
        self._shared = shared

    def now_us(self) -> int:
        """Where the shared clock was put."""
        return self._shared.now_us()

    def real_seconds_until(self, site_us: int) -> float:
        """Always 0: the clock has been moved there."""
        if site_us > self._shared.now_us():
            self._shared.run(0.0, -(-site_us // STEP_US) * STEP_US)
        return 0.0


def prepare_clock(folder: Path, path: Path) -> SharedClock:
    """A clock file held at the first arrival of a dataset, for `[site] clock = { file = ... }`."""
    for batch in read_dataset(folder).batches():
        SimulatedClock.create(path, int(batch.received[0]))
        return SharedClock(path)
    raise BadInput("no readings", file=str(folder), fix="give a dataset with readings")


def play_all(
    folder: Path,
    mqtt_url: str,
    clock: SimulatedClock,
    *,
    end_us: int | None = None,
    stop: threading.Event | None = None,
) -> ReplaySummary:
    """Everything before `end_us` over MQTT, in columns; the clock ends at the last arrival."""
    return replay(
        folder, mqtt_url, clock=SteppingClock(clock), form="batch", end_us=end_us, stop=stop
    )
