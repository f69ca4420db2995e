"""A dataset through a running Forewatt as fast as it is taken, on the clock that all share.

The clock is moved a quarter of an hour, then everything that arrived in it is published. While it
is moved by hand no collector says "everything up to now has come" (`forewatt.collect.SiteJournal`):
event time follows the readings alone, however late the machine is.
"""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from forewatt.shared_clock import SharedClock
from grid.clock import SimulatedClock
from grid.dataset import read_dataset
from grid.errors import BadInput
from grid.readings import ReadingBatch
from simulators.devices import Publisher, topic_root
from simulators.playing import Sender
from simulators.reel import numbered
from simulators.replay import ReplaySummary

STEP_US = 900_000_000
# So far time runs on at the end: closes the last frames, and is too short to look like silence.
AFTER_US = 900_000_000
AFTER_SPEED = 300.0


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
    realm: str = "live",
    stop: threading.Event | None = None,
) -> ReplaySummary:
    """Everything with `time < end_us` over MQTT, in columns, in the order of arrival.

    Returns when the broker has acknowledged it all; the clock then stands within `STEP_US` after
    the last arrival. Raises BrokerGone without a broker.
    """
    began = time.perf_counter()
    stop = stop or threading.Event()
    with Publisher(mqtt_url, stop=stop) as publisher:
        sender = Sender(publisher, "batch", paced=False, root=topic_root(realm))
        clock.hold()
        for batch, seq in numbered(read_dataset(folder), None, end_us):
            for step_us, part in _steps(batch):
                if stop.is_set():
                    break
                if step_us > clock.now_us():
                    clock.run(0.0, step_us)
                sender.send(batch.select(part), seq[part])
        publisher.drain()
    seconds = time.perf_counter() - began
    return ReplaySummary(
        sender.rows,
        sender.events,
        publisher.published,
        publisher.acked,
        seconds,
        stopped=stop.is_set(),
    )


def run_out(clock: SimulatedClock, stop: threading.Event | None = None) -> None:
    """Let time run on by `AFTER_US` after the last reading, then hold it."""
    end_us = clock.now_us() + AFTER_US
    clock.run(AFTER_SPEED)
    (stop or threading.Event()).wait(clock.real_seconds_until(end_us))
    clock.hold()


def _steps(batch: ReadingBatch) -> Iterator[tuple[int, slice]]:
    """The rows of each step with the time at its end."""
    ends = -(-batch.received // STEP_US) * STEP_US
    cuts = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(batch)]
    for first, last in pairwise(cuts):
        yield int(ends[first]), slice(first, last)
