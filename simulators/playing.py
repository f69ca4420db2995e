"""Put due rows on the wire, in their order, and go elsewhere when the controls wish it.

Receives numbered rows and a clock; hands messages to a `Publisher`. Knows nothing of files.
"""

import threading
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from grid.clock import Clock
from grid.readings import ReadingBatch
from simulators.devices import (
    TOPIC_ROOT,
    Publisher,
    batch_messages,
    event_message,
    reading_message,
)
from simulators.pace import Controls
from simulators.place import Place

GATEWAY = "replay"
_LOOK_S = 0.05  # how often a held or slow clock is looked at again
_BURST_ROWS = 400  # more rows than this due at once go as columns
_CHUNK_ROWS = 20_000  # sent between two looks at the clock

Numbered = tuple[ReadingBatch, NDArray[np.int64]]
"""Rows in the order of arrival, with each device's running number of its readings."""


class Sender:
    """Puts due rows on the wire in the chosen form, in their order."""

    def __init__(
        self, publisher: Publisher, form: str, *, paced: bool, root: str = TOPIC_ROOT
    ) -> None:
        self._publisher, self._root = publisher, root
        self._form = form if form != "auto" else ("device" if paced else "batch")
        self._auto = form == "auto"
        self.rows = self.events = 0

    def drain(self) -> bool:
        """Wait for the acknowledgement of everything sent; False if a stop cut it short."""
        self._publisher.drain()
        return self._publisher.acked == self._publisher.published

    def send(self, batch: ReadingBatch, seq: NDArray[np.int64]) -> None:
        """Publish rows, events where they stand among the readings."""
        marks = np.flatnonzero(batch.event)
        at = 0
        for mark in [*marks.tolist(), len(batch)]:
            if mark > at:
                self._readings(batch.select(slice(at, mark)), seq[at:mark])
            if mark < len(batch):
                self._publisher.publish(*event_message(batch, mark, self._root))
                self.events += 1
            at = mark + 1

    def _readings(self, batch: ReadingBatch, seq: NDArray[np.int64]) -> None:
        if self._form == "batch" or (self._auto and len(batch) > _BURST_ROWS):
            for topic, payload, rows in batch_messages(GATEWAY, batch, seq, self._root):
                self._publisher.publish(topic, payload)
                self.rows += rows
            return
        for row in range(len(batch)):
            self._publisher.publish(*reading_message(batch, row, int(seq[row]), self._root))
            self.rows += 1


class Player:
    """Sends the rows whose time has come; goes elsewhere when the controls wish it.

    A clock of the replay's own (`own_clock`) jumps to where a stopped replay goes on.
    `reached_us` is the arrival of the last row sent.
    """

    def __init__(
        self,
        sender: Sender,
        clock: Clock,
        controls: Controls,
        polled: set[str],
        place: Place,
        stop: threading.Event,
        tell: Callable[[int], None],
        own_clock: bool,
    ) -> None:
        self._sender, self._clock, self._controls = sender, clock, controls
        self._polled, self._place, self._stop, self._tell = polled, place, stop, tell
        self._begun, self._jump = False, own_clock and place.rows > 0
        self.reached_us = 0

    def play(self, rows: Callable[[], Iterator[Numbered]]) -> None:
        """Pass over the rows, from the place remembered, again after each seek."""
        from_us: int | None = None
        while not self._stop.is_set():
            self._pass(rows(), from_us)
            from_us = self._controls.target()
            if from_us is None:
                return

    def _pass(self, rows: Iterator[Numbered], from_us: int | None) -> None:
        passed = 0
        for batch, seq in rows:
            if from_us is None:
                known = min(max(self._place.rows - passed, 0), len(batch))
            else:
                known = int(np.searchsorted(batch.received, from_us))
            passed += known
            if known == len(batch):
                continue
            if not self._begun:
                self._controls.begin(int(batch.received[known]), jump=self._jump)
                self._begun = True
            self._send(batch.select(slice(known, None)), seq[known:], passed)
            if self._stop.is_set() or self._controls.wishes():
                return
            passed += len(batch) - known

    def _send(self, batch: ReadingBatch, seq: NDArray[np.int64], passed: int) -> None:
        """One batch, piece by piece as it falls due; `passed` rows of the span lie before it."""
        whole = len(batch)
        if self._polled:
            names = np.array([n in self._polled for n in batch.names])
            keep = ~(names[batch.device] & (batch.event == 0))
            batch, seq = batch.select(keep), seq[keep]
        at = 0
        while at < len(batch):
            self._controls.reached(int(batch.received[at]))
            due = int(np.searchsorted(batch.received, self._clock.now_us(), side="right"))
            if due <= at:
                self._wait(int(batch.received[at]))
            if self._stop.is_set() or self._controls.wishes():
                return
            if due <= at:
                continue
            due = min(due, at + _CHUNK_ROWS)
            self._sender.send(batch.select(slice(at, due)), seq[at:due])
            at = due
            if at == len(batch) or not self._polled:
                done = passed + (whole if at == len(batch) else at)
                self._place.reached(done, self._sender.drain)
            self.reached_us = int(batch.received[at - 1])
            self._tell(self.reached_us)

    def _wait(self, site_us: int) -> None:
        wait_until(self._clock, site_us, self._stop, self._controls)


def wait_until(
    clock: Clock, site_us: int, stop: threading.Event, controls: Controls | None = None
) -> None:
    """Sleep in small pieces: the clock may be held, moved or changed in speed meanwhile."""
    while not stop.is_set() and not (controls and controls.wishes()):
        left = clock.real_seconds_until(site_us)
        if left <= 0.0:
            return
        stop.wait(min(left, _LOOK_S))
