"""Readings in any order go in, findings in event time come out.

The watermark is the lowest over sources of the newest event or tick, minus lateness; a frame is
judged when the watermark passes its end, so silence is noticed and the same data gives the same
findings, live, replayed or backtested, whatever the batching.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import astuple, dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from detectors import snapshots
from detectors.base import Detector, Stateful
from detectors.catalogue import FAMILIES
from detectors.frames import (
    AHEAD,
    LATE,
    NEVER,
    TAKEN,
    UNKNOWN,
    Frame,
    Frames,
    column_bounds,
    column_table,
    scatter,
)
from detectors.layout import CHANNEL, REGISTER, fleet_layout
from detectors.near import NearScores
from detectors.outage import OutageDetector
from detectors.records import Learned, RecordsDetector, with_learned
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding

MINUTE_US = 60_000_000
MAX_PENDING_EVENTS = 2_000_000
NAME_TABLES = 8
HELPED_FROM = 2000  # devices: below, handing work over costs more than it saves


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

    With a `helper` of one thread, families that ask no other run there beside the rest, in groups
    large enough to be worth it; the findings are the same. `near` hears what stays below a limit.
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
        self.settings = settings or DetectorSettings()
        self.learned: dict[str, Learned] = {}
        self._build()
        self.sources: list[str] = []
        self._newest = np.empty(0, np.int64)
        self._index = network.device_index
        # (time, device, code, arrival), a heap: events wait for the watermark like readings.
        self._events: list[tuple[int, int, int, int]] = []
        self._pulses: list[int] = []
        self._frames_judged = self._findings = self._n_events = self._events_dropped = 0

    def _build(self) -> None:
        """Frames and detectors for the network with what has been learned about it."""
        network = with_learned(self.network, self.learned.values())
        self.fleet = fleet_layout(network, self.settings, self.network)
        self.frames = Frames(self.fleet, self.settings)
        self._keys = snapshots.Keys()
        off = set(self.settings.disabled)
        self.detectors: list[list[Detector]] = [
            [family(g, self.settings) for family in FAMILIES if family.name not in off]
            for g in self.fleet.groups
        ]
        self.outage = (
            None if OutageDetector.name in off else OutageDetector(self.fleet, self.settings)
        )
        if self._near is not None:
            self._near.begin_anew()
        for group in self.detectors:
            for detector in group:
                detector.near = self._near
                detector.link(group if self.outage is None else [*group, self.outage])
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
        state = snapshots.Snapshot(self.snapshot())
        for x in found:
            self.learned[x.device] = x
        self._build()
        self._take_over(state)

    # -- input -----------------------------------------------------------------------------

    def feed(self, source: str, batch: ReadingBatch) -> list[Finding]:
        """Take readings and events of one source; returns what became known by them."""
        me = self._source(source)
        n = len(batch)
        if n == 0:
            return []
        names = [q for q in batch.values if q in CHANNEL]
        columns = np.empty((len(names), n), np.float32)
        for k, name in enumerate(names):
            columns[k] = batch.values[name]
        channel, unit = column_table(names)
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
        out: list[Finding] = []
        row = 0
        while row < n:
            begin = row
            f = self.frames
            device_of, place = self._places(batch.names)
            row, mark = scatter(
                row,
                me,
                f.slack,
                f.rules,
                self._newest,
                place,
                device_of,
                device,
                time,
                received,
                quality,
                event,
                columns,
                register,
                channel,
                bounds,
                f.scale,
                unit,
                f.shape,
                f.values,
                f.words,
                f.doubles,
                f.filled,
                f.reported,
                accepted,
                f.counters,
            )
            rows = np.flatnonzero(accepted[begin:row]) + begin
            if rows.size:
                self._wait(batch, device_of, rows)
            out += self._advance(mark)
        return out

    def tick(self, source: str, up_to_us: int) -> list[Finding]:
        """The source is connected and has handed over everything up to `up_to_us`."""
        me = self._source(source)
        self._newest[me] = max(int(self._newest[me]), up_to_us)
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
        last = max([*ends, *self._pulses, NEVER])
        return self._advance(last, ends)

    @property
    def watermark_us(self) -> int:
        """Event time up to which everything is judged; very low before the first data."""
        if not self._newest.size or int(self._newest.max()) == NEVER:
            return NEVER
        leader = int(self._newest.max())
        patience, lateness = int(self.frames.rules[1]), int(self.frames.rules[0])
        return int(self._newest[self._newest >= leader - patience].min()) - lateness

    @property
    def late(self) -> int:
        """Readings and events that came after their frame had been judged."""
        return int(self.frames.counters[LATE])

    @property
    def stats(self) -> EngineStats:
        """Counters and sizes."""
        c = self.frames.counters
        state = sum(d.nbytes for group in self.detectors for d in group)
        return EngineStats(
            readings=int(c[TAKEN]),
            late=int(c[LATE]),
            unknown=int(c[UNKNOWN]),
            ahead=int(c[AHEAD]),
            frames=self._frames_judged,
            findings=self._findings,
            events=self._n_events,
            events_dropped=self._events_dropped,
            state_bytes=state + (self.outage.nbytes if self.outage else 0),
            frame_bytes=self.frames.nbytes,
        )

    # -- event time ------------------------------------------------------------------------

    def _source(self, source: str) -> int:
        if source not in self.sources:
            self.sources.append(source)
            self._newest = np.append(self._newest, NEVER)
        return self.sources.index(source)

    def _places(self, names: tuple[str, ...]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Network index and packed place of each name; remembered for the last few name tables."""
        for known, device_of, place in self._tables:
            if known is names:
                return device_of, place
        look = map(self._index.get, names, repeat(-1))
        device_of = np.fromiter(look, np.int32, len(names))
        place = self.frames.place[device_of]  # an unknown name, -1, takes the last entry
        self._tables.append((names, device_of, place))
        return device_of, place

    def _wait(
        self, batch: ReadingBatch, device_of: NDArray[np.int32], rows: NDArray[np.intp]
    ) -> None:
        """Keep events until the watermark passes them, and order the pulses that judge them."""
        for r in rows.tolist():
            d = int(device_of[batch.device[r]])
            if d < 0:
                self.frames.counters[UNKNOWN] += 1
                continue
            if len(self._events) >= MAX_PENDING_EVENTS:
                self._events_dropped += 1
                continue
            t = int(batch.time[r])
            heapq.heappush(self._events, (t, d, int(batch.event[r]), int(batch.received[r])))
            pulse = (t // MINUTE_US + 2) * MINUTE_US
            if pulse not in self._pulses:
                heapq.heappush(self._pulses, pulse)

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
            if self._pulses and self._pulses[0] < due:
                due, which = self._pulses[0], -2
            if which == -1:
                break
            self._apply_events(due)
            if which == -2:
                heapq.heappop(self._pulses)
                if self.outage is not None:
                    out += self.outage.pulse(due)
                continue
            out += self._judge(which, mark)
            found = [
                x
                for d in self.detectors[which]
                if isinstance(d, RecordsDetector)
                for x in d.take_learned()
            ]
            if found and ends is None:
                self.learn(found)
                frames = self.frames
                closing = [frames.close_us(g) for g in range(len(self.fleet.groups))]
                continue
            closing[which] = frames.close_us(which)
        self._findings += len(out)
        return out

    def _apply_events(self, up_to: int) -> None:
        ripe = []
        while self._events and self._events[0][0] <= up_to:
            ripe.append(heapq.heappop(self._events))
        if ripe:
            self._n_events += len(ripe)
            if self.outage is not None:
                self.outage.apply(ripe)

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
        out: list[Finding] = []
        # First the gates: what physics forbids leaves the frame before anybody builds on it.
        for detector in self.detectors[g]:
            if detector.gate:
                out += detector.step(frame)
        for number, stage in enumerate(_stages(self.detectors[g])):
            out += self._stage(g, frame, stage, first=number == 0)
        self._frames_judged += 1
        self.frames.drop(g)
        return out

    def _stage(self, g: int, frame: Frame, stage: list[Detector], first: bool) -> list[Finding]:
        """Families that all see the same frame; the last one may spoil it for the next stage."""
        found: dict[str, list[Finding]] = {}
        task = None
        if self._helper is not None and frame.layout.size >= HELPED_FROM:
            task = self._helper.submit(self._aside, g, frame, stage, first)
        else:
            found |= self._aside(g, frame, stage, first)
        for detector in stage:
            if not (detector.beside or detector.spoils):
                found[detector.name] = detector.step(frame)
        if task is not None:
            found |= task.result()
        if stage and stage[-1].spoils:
            found[stage[-1].name] = stage[-1].step(frame)
        return [x for name in (OutageDetector.name, *(d.name for d in stage)) for x in found[name]]

    def _aside(
        self, g: int, frame: Frame, stage: list[Detector], first: bool
    ) -> dict[str, list[Finding]]:
        """What asks no other family, by name: it changes nothing that they read."""
        found: dict[str, list[Finding]] = {OutageDetector.name: []}
        if first and self.outage is not None:
            found[OutageDetector.name] = self.outage.step(g, frame)
        for detector in stage:
            if detector.beside:
                found[detector.name] = detector.step(frame)
            elif detector.spoils:
                detector.look(frame)
        return found

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
            "sources": self.sources,
            "newest": self._newest.tolist(),
            "events": [[t, names[d], code, known] for t, d, code, known in sorted(self._events)],
            "pulses": sorted(self._pulses),
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
        return snapshots.save(self._parts(), frames, self._keys, head)

    def restore(self, data: bytes | memoryview) -> None:
        """Go on from a snapshot. State of unchanged meters is kept, that of removed ones goes,
        moved ones start afresh; a snapshot of other sources is refused with `StaleSnapshot`."""
        state = snapshots.Snapshot(data)
        if state.engine["learned"]:
            self.learned = {row[0]: Learned(*row) for row in state.engine["learned"]}
            self._build()
        self._take_over(state)

    def _take_over(self, state: snapshots.Snapshot) -> None:
        head, frames = state.engine, self.frames
        state.take_over(self._parts(), frames)
        self.sources = list(head["sources"])
        self._newest = np.array(head["newest"], np.int64)
        index = self.network.device_index
        self._events = [(t, index[d], c, k) for t, d, c, k in head["events"] if d in index]
        self._pulses = list(head["pulses"])
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

    def _parts(self) -> list[tuple[str, Stateful]]:
        """Everything that holds state, by a label that survives a restart."""
        parts: list[tuple[str, Stateful]] = []
        for layout, detectors in zip(self.fleet.groups, self.detectors, strict=True):
            for d in detectors:
                parts.append((f"{d.name}.{d.version}.{layout.step_us}.{layout.delay_us}", d))
        if self.outage is not None:
            parts.append((f"{self.outage.name}.{self.outage.version}", self.outage))
        return parts

    def observable(self) -> Mapping[str, int]:
        """Devices and areas under judgement, for `status` pages."""
        return {
            "devices": sum(g.size for g in self.fleet.groups),
            "areas": sum(g.n_areas for g in self.fleet.groups),
            "groups": len(self.fleet.groups),
        }


def _stages(detectors: list[Detector]) -> list[list[Detector]]:
    """All but the gates, in their order, parted after each that may take readings away."""
    stages: list[list[Detector]] = [[]]
    for detector in detectors:
        if not detector.gate:
            stages[-1].append(detector)
            if detector.spoils:
                stages.append([])
    return stages
