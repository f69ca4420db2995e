"""Readings in any order go in, findings in event time come out.

The watermark is the lowest over sources of the newest event or tick, minus lateness; a frame is
judged when the watermark passes its end, so silence is noticed and the same data gives the same
findings, live, replayed or backtested, whatever the batching.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import astuple, dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from detectors import snapshots
from detectors.families import Families
from detectors.frames import (
    AHEAD,
    LATE,
    NEVER,
    TAKEN,
    UNKNOWN,
    Frames,
    column_bounds,
    column_table,
)
from detectors.layout import CHANNEL, REGISTER, fleet_layout
from detectors.near import NearScores
from detectors.records import Learned, with_learned
from detectors.scatter import scatter
from detectors.settings import DetectorSettings
from detectors.waiting import WaitingEvents
from detectors.watermark import Watermark
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding

NAME_TABLES = 8
Places = tuple[NDArray[np.int32], NDArray[np.int64]]  # in the network, and packed


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since the start, for metrics.

    readings : taken into frames; late : came after their frame was judged; unknown : of devices
    the network does not name; ahead : from a clock that runs ahead; frames : judged; findings :
    handed on; events_dropped : device events beyond the bound of waiting ones
    """

    readings: int
    late: int
    unknown: int
    ahead: int
    frames: int
    findings: int
    events: int
    events_dropped: int
    state_bytes: int
    frame_bytes: int


class Engine:
    """All detectors over a network. Not thread-safe: one thread feeds it.

    A `helper` of one thread fills frames while this one judges, and see `Families`, also for who
    listens to what is `near` a limit.
    """

    def __init__(
        self,
        network: Network,
        settings: DetectorSettings | None = None,
        helper: Executor | None = None,
        near: NearScores | None = None,
    ) -> None:
        self.network = network
        self._near = near
        self._helper = helper
        self._putting: Future[tuple[int, int]] | None = None
        self.settings = settings or DetectorSettings()
        self.learned: dict[str, Learned] = {}
        self._build()
        lateness, patience, _ = self.frames.rules.tolist()
        self._watermark = Watermark(lateness, patience)
        self._waiting = WaitingEvents()
        self._index = network.device_index
        self._columns = np.empty(0, np.float32)
        self._frames_judged = self._findings = self._n_events = 0

    def _build(self) -> None:
        """Frames and detectors for the network with what has been learned about it."""
        network = with_learned(self.network, self.learned.values())
        self.fleet = fleet_layout(network, self.settings, self.network)
        self.frames = Frames(self.fleet, self.settings)
        self._keys = snapshots.Keys()
        self.families = Families(self.fleet, self.settings, self._helper, self._near)
        self._tables: deque[tuple[tuple[str, ...], NDArray[np.int32], NDArray[np.int64]]]
        self._tables = deque(maxlen=NAME_TABLES)
        self._started = [False] * len(self.fleet.groups)
        self._empty_run = [0] * len(self.fleet.groups)
        self._gap_frames = [
            max(1, round(self.settings.gap_days * 86400e6 / g.step_us)) for g in self.fleet.groups
        ]

    def learn(self, found: Iterable[Learned]) -> None:
        """Judge from now on with meters where they were measured to be.

        State goes over as after an edit of the network: moved meters start afresh.
        """
        if self._putting is not None:
            wait([self._putting])
        state = snapshots.Snapshot(self.snapshot())
        for x in found:
            self.learned[x.device] = x
        self._build()
        self._take_over(state)

    # -- input -----------------------------------------------------------------------------

    def feed(self, source: str, batch: ReadingBatch) -> list[Finding]:
        """Take readings and events of one source; returns what became known by them."""
        me = self._watermark.source(source)
        n = len(batch)
        if n == 0:
            return []
        names = [q for q in batch.values if q in CHANNEL]
        # Kept from batch to batch: fresh memory would cost more than what is written into it.
        if self._columns.size < len(names) * n:
            self._columns = np.empty(len(names) * n, np.float32)
        columns = self._columns[: len(names) * n].reshape(len(names), n)
        for k, name in enumerate(names):
            columns[k] = batch.values[name]
        channel = column_table(names)
        bounds = column_bounds(names)
        accepted = np.zeros(n, np.uint8)
        # Columns out of the journal are read-only and not aligned; kernels take plain arrays.
        no_register = np.empty(0, np.float64)
        device, time, received, quality, event, register = (
            np.require(a, requirements=("C", "A", "W"))
            for a in (
                batch.device,
                batch.time,
                batch.received,
                batch.quality,
                batch.event,
                batch.values.get(REGISTER, no_register),
            )
        )

        def put(frames: Frames, places: Places, row: int, due: int) -> tuple[int, int]:
            row, mark = scatter(
                row,
                me,
                frames.slack,
                due,
                frames.rules,
                self._watermark.newest,
                places[1],
                device,
                time,
                received,
                quality,
                event,
                columns,
                register,
                channel,
                bounds,
                frames.shape,
                frames.values,
                frames.more,
                frames.filled,
                frames.reported,
                accepted,
                frames.block,
                frames.counters,
            )
            return int(row), int(mark)

        out: list[Finding] = []
        places = self._places(batch.names)
        done, (row, mark) = 0, put(self.frames, places, 0, self.frames.due_after(NEVER))
        while True:
            rows = np.flatnonzero(accepted[done:row]) + done
            if rows.size:
                self._keep_events(batch, places[0], rows)
            done = row
            if row < n and self._helper is not None and self.families.helped:
                # What goes into the open frames does not touch the one that is judged meanwhile.
                due = self.frames.due_after(mark)
                self._putting = self._helper.submit(put, self.frames, places, row, due)
            out += self._advance(mark)
            if row == n:
                return out
            places = self._places(batch.names)  # others, where places have been learned
            begun, self._putting = self._putting, None
            if begun is not None and not begun.cancel():
                row, mark = begun.result()
            else:
                row, mark = put(self.frames, places, row, self.frames.due_after(mark))

    def tick(self, source: str, up_to_us: int) -> list[Finding]:
        """The source is connected and has handed over everything up to `up_to_us`."""
        self._watermark.tick(source, up_to_us)
        return self._advance(self.watermark_us)

    def flush(self) -> list[Finding]:
        """The data has ended: judge every frame that holds readings, and all events."""
        ends = []
        for g in range(len(self.fleet.groups)):
            ahead = -1
            slots, first, following = (int(self.frames.shape[g, k]) for k in (2, 5, 6))
            for k in range(slots):
                if following > NEVER and self.frames.filled[first + (following + k) % slots]:
                    ahead = k
            ends.append(
                self.frames.close_us(g) + ahead * self.fleet.groups[g].step_us
                if ahead >= 0
                else NEVER
            )
        last = max([*ends, *self._waiting.pulses, NEVER])
        return self._advance(last, ends)

    @property
    def watermark_us(self) -> int:
        """Event time up to which everything is judged; very low before the first data."""
        return self._watermark.us

    @property
    def late(self) -> int:
        """Readings and events that came after their frame had been judged."""
        return int(self.frames.counters[LATE])

    @property
    def stats(self) -> EngineStats:
        """Counters and sizes."""
        c = self.frames.counters
        return EngineStats(
            readings=int(c[TAKEN]),
            late=int(c[LATE]),
            unknown=int(c[UNKNOWN]),
            ahead=int(c[AHEAD]),
            frames=self._frames_judged,
            findings=self._findings,
            events=self._n_events,
            events_dropped=self._waiting.dropped,
            state_bytes=self.families.nbytes,
            frame_bytes=self.frames.nbytes,
        )

    # -- event time ------------------------------------------------------------------------

    def _places(self, names: tuple[str, ...]) -> Places:
        """Network index and packed place of each name; remembered for the last few name tables."""
        for known, device_of, place in self._tables:
            if known is names:
                return device_of, place
        look = map(self._index.get, names, repeat(-1))
        device_of = np.fromiter(look, np.int32, len(names))
        place = self.frames.place[device_of]  # an unknown name, -1, takes the last entry
        self._tables.append((names, device_of, place))
        return device_of, place

    def _keep_events(
        self, batch: ReadingBatch, device_of: NDArray[np.int32], rows: NDArray[np.intp]
    ) -> None:
        """Events wait until the watermark passes them."""
        for r in rows.tolist():
            d = int(device_of[batch.device[r]])
            if d < 0:
                self.frames.counters[UNKNOWN] += 1
                continue
            self._waiting.add((int(batch.time[r]), d, int(batch.event[r]), int(batch.received[r])))

    def _advance(self, mark: int, ends: list[int] | None = None) -> list[Finding]:
        """Judge everything that closes up to `mark`, in the order of closing."""
        out: list[Finding] = []
        frames = self.frames
        closing = [frames.close_us(g) for g in range(len(self.fleet.groups))]
        while True:
            due = mark + 1
            which = -1
            for g, close in enumerate(closing):
                if close < due and (ends is None or close <= ends[g]):
                    due, which = close, g
            pulse = self._waiting.pulse_before(due)
            if pulse is not None:
                due = pulse
            elif which == -1:
                break
            events = self._waiting.ripe(due)
            self._n_events += len(events)
            self.families.apply(events)
            if pulse is not None:
                self._waiting.take_pulse()
                out += self.families.pulse(due)
                continue
            out += self._judge(which, mark)
            found = self.families.take_learned(which)
            if found and ends is None:
                self.learn(found)
                frames = self.frames
                closing = [frames.close_us(g) for g in range(len(self.fleet.groups))]
                continue
            closing[which] = frames.close_us(which)
        self._findings += len(out)
        return out

    def _judge(self, g: int, mark: int) -> list[Finding]:
        frame, rows = self.frames.peek(g)
        if rows:
            self._started[g] = True
            self._empty_run[g] = 0
        elif not self._started[g] or self._empty_run[g] >= self._gap_frames[g]:
            # Before the first data, or after weeks of nothing at all, there is nothing to judge.
            self._skip(g, mark)
            return []
        else:
            self._empty_run[g] += 1
        out = self.families.judge(g, frame)
        self._frames_judged += 1
        self.frames.drop(g)
        return out

    def _skip(self, g: int, mark: int) -> None:
        """Pass empty frames up to the first with readings, or up to the watermark."""
        filled = self.frames.next_filled(g)
        due = max(1, (mark - self.frames.close_us(g)) // self.fleet.groups[g].step_us + 1)
        self.frames.shape[g, 6] += due if filled < 0 else min(filled, due)

    # -- snapshot --------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Everything needed to go on after a restart, independent of device indexes."""
        names = [d.id for d in self.network.devices]
        frames = self.frames
        head = {
            "sources": self._watermark.sources,
            "newest": self._watermark.newest.tolist(),
            "events": [[t, names[d], code, at] for t, d, code, at in sorted(self._waiting.events)],
            "pulses": sorted(self._waiting.pulses),
            "groups": [
                {
                    "step_us": layout.step_us,
                    "delay_us": layout.delay_us,
                    "next": int(frames.shape[g, 6]),
                    "started": self._started[g],
                    "empty_run": self._empty_run[g],
                }
                for g, layout in enumerate(self.fleet.groups)
            ],
            "counters": frames.counters.tolist(),
            "learned": [list(astuple(x)) for x in self.learned.values()],
            "judged": [self._frames_judged, self._findings, self._n_events],
        }
        return snapshots.save(self.families.parts(), frames, self._keys, head)

    def restore(self, data: bytes | memoryview) -> None:
        """Go on from a snapshot. State of unchanged meters is kept, that of removed ones goes,
        moved ones start afresh; a snapshot of other sources is refused with `StaleSnapshot`."""
        if self._putting is not None:
            wait([self._putting])
        state = snapshots.Snapshot(data)
        fed, known = bool(self._watermark.sources), self.learned
        self.learned = {row[0]: Learned(*row) for row in state.engine["learned"]}
        if fed or self.learned != known:
            self._build()  # nothing of what it had been told stays
        self._take_over(state)

    def _take_over(self, state: snapshots.Snapshot) -> None:
        head, frames = state.engine, self.frames
        state.take_over(self.families.parts(), frames)
        self._watermark.sources = list(head["sources"])
        self._watermark.newest = np.array(head["newest"], np.int64)
        index = self.network.device_index
        self._waiting.events = [(t, index[d], c, k) for t, d, c, k in head["events"] if d in index]
        self._waiting.pulses = list(head["pulses"])
        frames.counters[:] = head["counters"]
        self._frames_judged, self._findings, self._n_events = head["judged"]
        old = {(g["step_us"], g["delay_us"]): (i, g) for i, g in enumerate(head["groups"])}
        for g, layout in enumerate(self.fleet.groups):
            found = old.get((layout.step_us, layout.delay_us))
            if found is not None:
                i, group = found
                frames.shape[g, 6] = group["next"]
                self._started[g] = group["started"]
                self._empty_run[g] = group["empty_run"]
                state.refill(frames, g, i)

    def observable(self) -> Mapping[str, int]:
        """Devices and areas under judgement, for `status` pages."""
        return {
            "devices": sum(g.size for g in self.fleet.groups),
            "areas": sum(g.n_areas for g in self.fleet.groups),
            "groups": len(self.fleet.groups),
        }
