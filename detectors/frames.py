"""Turn readings in any order into frames: one aligned table for a group and tick.

A reading belongs to the tick nearest to it; of several, the one nearest to the tick wins, the
earlier on a tie, and rows of one time are merged. So neither order of arrival nor batching shows
in a frame. All groups' open frames live in one flat memory, so that one kernel serves a batch.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F4, F8, I4, I8, U1, U2, kernel
from detectors.layout import (
    CHANNEL,
    CHANNELS,
    FIRST_CHANNEL,
    REGISTER_WORD,
    ROW_FLOATS,
    FleetLayout,
    GroupLayout,
)
from detectors.settings import DetectorSettings
from grid.quantities import INDEX, QUANTITIES

LAST_CHANNEL: Final = FIRST_CHANNEL + len(CHANNELS)
REGISTERS: Final = ROW_FLOATS - 1  # no channel: in `Frame.reported` the register's place
FIRST_LINE: Final = ROW_FLOATS // 2  # floats, a cache line
ROW_WORDS: Final = ROW_FLOATS // 2
STAMP, KNOWN = 0, 1  # words of a row
NEVER: Final = -(2**62)
FAR: Final = 2**62

# Columns of `Frames.counters`.
LATE, UNKNOWN, AHEAD, TAKEN = range(4)
BLOCK: Final = 64  # rows touched together

UNIT_CLASS: Final = {"V": 0, "A": 1, "W": 2, "var": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a group's devices reported for one tick; views that live until the step is over.

    Attributes
    ----------
    tick_us, close_us : the tick; the event time at which the frame could be judged
    values : float32[n, 32]           columns by `layout.CHANNEL`, NaN = not reported
    time : int64[n]                   event time of the reading, `NEVER` = no reading
    known : int64[n]                  when it had arrived
    register : float64[n]             import register, Wh, NaN = not reported
    reported : uint8[32]              1 where any device reported the channel; last the register
    """

    layout: GroupLayout
    tick_us: int
    close_us: int
    values: NDArray[np.float32]
    time: NDArray[np.int64]
    known: NDArray[np.int64]
    register: NDArray[np.float64]
    reported: NDArray[np.uint8]


@kernel(
    "Tuple((int64, int64))(int64, int64, int64, int64, int64[::1], int64[::1], int64[::1],"
    "int32[::1], int32[::1],"
    "int64[::1], int64[::1], uint16[::1], uint8[::1], float32[:, ::1], float64[::1], int32[::1],"
    "float32[:, ::1], float64[:, ::1], int32[::1], int64[:, ::1], float32[:, ::1], int64[:, ::1],"
    "float64[:, ::1], int64[::1], uint8[:, ::1], uint8[::1], int64[::1])"
)
def scatter(
    start: int,
    me: int,
    slack: int,
    due: int,
    rules: I8,
    newest: I8,
    place: I8,
    device_of: I4,
    device: I4,
    time: I8,
    received: I8,
    quality: U2,
    event: U1,
    columns: F4,
    register: F8,
    channel: I4,
    bounds: F4,
    scale: F8,
    unit: I4,
    shape: I8,
    values: F4,
    words: I8,
    doubles: F8,
    filled: I8,
    reported: U1,
    accepted: U1,
    counters: I8,
) -> tuple[int, int]:
    """Put the rows from `start` on into the open frames; returns (next row, watermark).

    Stops where the watermark reaches `due`, and before a row whose frame has no room yet: the
    caller closes what the watermark has passed and calls again.

    rules : lateness, patience, bits of quality that do not move the watermark
    newest : int64[n_sources]  newest event time of each source; `me` is this one's place
    place : int64[n_names]     `pack_places`, for the names of the batch; -1 not judged
    device_of : int32[n_names] place in `Network.devices`, for the rows of `scale`
    shape : int64[n_groups, 7] step, delay, slots, devices, first row, first slot, next frame
    register : float64[n or 0] import register of each row, Wh
    values, words, doubles     the same memory as float32[rows, 32], int64 and float64[rows, 16]
    filled : int64[slots], reported : uint8[slots, 32]   readings, and channels that have any
    accepted : uint8[n]        out: 1 for events in time
    """
    n = time.size
    lateness, patience, skewed = rules[0], rules[1], rules[2]
    leader = NEVER
    for j in range(newest.size):
        leader = max(leader, newest[j])
    mark = NEVER
    if leader > NEVER:
        mark = leader
        for j in range(newest.size):
            if newest[j] >= leader - patience:
                mark = min(mark, newest[j])
        mark -= lateness
    last_t = NEVER
    last_g = -1
    frame = 0
    slot = 0
    held = 0
    near = 0
    half = 0
    closes = 0
    touched = 0
    r = start
    while r < n:
        if r >= touched:
            # Rows come in any order, so each waits for memory. Touching a block of them first
            # lets the processor wait for many at once (2.5 times the speed at 100,000 meters).
            touched = min(r + BLOCK, n)
            sink = 0
            for q in range(r, touched):
                packed = place[device[q]]
                if packed >= 0 and (packed >> 32) & 0xFFFF == last_g:
                    sink ^= words[slot + (packed & 0xFFFFFFFF), STAMP]
            counters[4] = sink
        t = time[r]
        sure = (quality[r] & skewed) == 0 and t <= received[r] + slack
        # A clock that runs ahead must not make everybody else late: arrival bounds it.
        reached = min(t, received[r])
        if sure and reached > newest[me]:
            newest[me] = reached
            leader = max(leader, reached)
            mark = leader
            for j in range(newest.size):
                if newest[j] >= leader - patience:
                    mark = min(mark, newest[j])
            mark -= lateness
            if mark >= due:
                return r, mark
        if event[r] != 0:
            if t > mark:
                accepted[r] = 1
            else:
                counters[LATE] += 1
            r += 1
            continue
        packed = place[device[r]]
        if packed < 0:
            counters[UNKNOWN] += 1
            r += 1
            continue
        g = (packed >> 32) & 0xFFFF
        if mark == NEVER:
            counters[AHEAD] += 1  # no source has a trustworthy time yet
            r += 1
            continue
        if t != last_t or g != last_g:
            # Divisions are the dearest part of a row, and rows of one time come together.
            step = shape[g, 0]
            half = step // 2
            if shape[g, 6] == NEVER:
                # Nothing of this group has been seen: open frames from the oldest still in time.
                shape[g, 6] = (mark - shape[g, 1] - half) // step + 1
            frame = (t + half) // step
            if frame * step - t == half:
                frame -= 1  # exactly between two ticks: the earlier
            near = abs(frame * step - t)
            closes = frame * step + half + shape[g, 1]
            held = shape[g, 5] + frame % shape[g, 2]
            slot = shape[g, 4] + frame % shape[g, 2] * shape[g, 3]
            last_t = t
            last_g = g
        if frame < shape[g, 6] or closes <= mark:
            counters[LATE] += 1
            r += 1
            continue
        if frame >= shape[g, 6] + shape[g, 2]:
            waits = shape[g, 6] * shape[g, 0] + half + shape[g, 1] <= mark
            if waits or (sure and newest[me] >= t):
                return r, mark
            counters[AHEAD] += 1
            r += 1
            continue
        at = slot + (packed & 0xFFFFFFFF)
        old = words[at, STAMP]
        merge = old == t
        take = old == NEVER
        if take:
            filled[held] += 1
        elif not merge:
            old_near = abs(frame * shape[g, 0] - old)
            take = near < old_near or (near == old_near and t < old)
            if take:
                for c in range(FIRST_CHANNEL, LAST_CHANNEL):
                    values[at, c] = np.nan
                doubles[at, REGISTER_WORD] = np.nan
        if take:
            words[at, STAMP] = t
            words[at, KNOWN] = received[r]
        elif merge:
            words[at, KNOWN] = min(words[at, KNOWN], received[r])
        if take and (packed >> 48) & 1 == 0:
            # Nearly every row: nothing is there yet, and the values are primary.
            for c in range(channel.size):
                v = columns[c, r]
                if v >= bounds[c, 0] and v <= bounds[c, 1]:
                    values[at, channel[c]] = v
                    reported[held, channel[c]] = 1
        elif take or merge:
            scaled = (packed >> 48) & 1
            for c in range(channel.size):
                v = columns[c, r]
                if scaled != 0 and unit[c] >= 0:
                    v = np.float32(v * scale[device_of[device[r]], unit[c]])
                # Not a number fails both comparisons.
                if v >= bounds[c, 0] and v <= bounds[c, 1]:
                    x = channel[c]
                    reported[held, x] = 1
                    if not values[at, x] >= v:  # nothing yet, or less
                        values[at, x] = v
        if take or merge:
            if register.size > 0:
                e = register[r]
                if e >= 0.0 and (take or not e <= doubles[at, REGISTER_WORD]):
                    doubles[at, REGISTER_WORD] = e
                    reported[held, REGISTERS] = 1
            counters[TAKEN] += 1
        r += 1
    return r, mark


@kernel("void(int64[:, ::1], int64, int64, int64[::1])")
def clear(words: I8, begin: int, end: int, blank: I8) -> None:
    """Make rows hold nothing again, as far as `blank` reaches."""
    for k in range(begin, end):
        for c in range(blank.size):
            words[k, c] = blank[c]


def pack_places(fleet: FleetLayout) -> NDArray[np.int64]:
    """int64[n_devices + 1]: position (32 bits), group (16), "has secondary values" (1).

    -1 for devices that report nothing to judge, and at the end for unknown ones.
    """
    scaled = (fleet.scale != 1.0).any(1).astype(np.int64)
    packed = fleet.position.astype(np.int64) | fleet.group.astype(np.int64) << 32 | scaled << 48
    return np.append(np.where(fleet.group >= 0, packed, -1), -1)


class Frames:
    """The open frames of all groups, and how they are filled and taken."""

    def __init__(self, fleet: FleetLayout, settings: DetectorSettings) -> None:
        self.fleet = fleet
        second = 1_000_000
        self.rules = np.array(
            [round(settings.lateness_s * second), round(settings.patience_s * second), 2 | 64],
            np.int64,
        )
        self.slack = 3600 * second  # a device clock may run an hour ahead before it is doubted
        n = len(fleet.groups)
        self.shape = np.zeros((n, 7), np.int64)
        cells = frame_slots = 0
        for g, layout in enumerate(fleet.groups):
            span = self.rules[0] + self.rules[1] + layout.delay_us
            slots = int(-(-span // layout.step_us)) + 3
            self.shape[g] = (
                layout.step_us,
                layout.delay_us,
                slots,
                layout.size,
                cells,
                frame_slots,
                NEVER,
            )
            cells += slots * layout.size
            frame_slots += slots
        self.values = np.full((cells, ROW_FLOATS), np.nan, np.float32)
        self.words = self.values.view(np.int64)
        self.words[:, : FIRST_CHANNEL // 2] = NEVER
        self.doubles = self.values.view(np.float64)
        self.doubles[:, REGISTER_WORD] = np.nan
        self.blank = np.full(ROW_FLOATS, np.nan, np.float32).view(np.int64)
        self.blank[: FIRST_CHANNEL // 2] = NEVER
        self.blank[REGISTER_WORD] = np.array([np.nan]).view(np.int64)[0]
        self.filled = np.zeros(frame_slots, np.int64)
        self.reported = np.zeros((frame_slots, ROW_FLOATS), np.uint8)
        self.counters = np.zeros(5, np.int64)
        self.place = pack_places(fleet)
        self.scale = np.ascontiguousarray(fleet.scale)

    @property
    def nbytes(self) -> int:
        """Memory of the open frames."""
        return self.values.nbytes

    def close_us(self, g: int) -> int:
        """Event time at which the next frame of a group closes; a far future if none is open."""
        step, delay, *_, following = self.shape[g].tolist()
        if following == NEVER:
            return FAR
        return int(following * step + step // 2 + delay)

    def due_after(self, mark: int) -> int:
        """Event time at which the first frame closes that the watermark `mark` leaves open."""
        due = FAR
        for g, layout in enumerate(self.fleet.groups):
            close = self.close_us(g)
            passed = max(0, (mark - close) // layout.step_us + 1)
            due = min(due, close + passed * layout.step_us)
        return due

    def open_rows(self, g: int) -> int:
        """Readings in the open frames of a group."""
        slots, first = int(self.shape[g, 2]), int(self.shape[g, 5])
        return int(self.filled[first : first + slots].sum())

    def next_filled(self, g: int) -> int:
        """Number of frames to pass until one that holds readings; -1 when none does."""
        slots, first, following = (int(self.shape[g, k]) for k in (2, 5, 6))
        for ahead in range(slots):
            if self.filled[first + (following + ahead) % slots]:
                return ahead
        return -1

    def _span(self, g: int) -> tuple[slice, int]:
        slots, size, cell, first, following = (int(self.shape[g, k]) for k in (2, 3, 4, 5, 6))
        slot = following % slots
        at = cell + slot * size
        return slice(at, at + size), first + slot

    def peek(self, g: int) -> tuple[Frame, int]:
        """The next frame of a group as views, and how many readings it holds."""
        layout = self.fleet.groups[g]
        rows, slot = self._span(g)
        tick = int(self.shape[g, 6]) * layout.step_us
        words = self.words[rows]
        frame = Frame(
            layout,
            tick,
            self.close_us(g),
            self.values[rows],
            words[:, STAMP],
            words[:, KNOWN],
            self.doubles[rows, REGISTER_WORD],
            self.reported[slot],
        )
        return frame, int(self.filled[slot])

    def drop(self, g: int) -> None:
        """Forget the next frame of a group and go on to the one after it."""
        rows, slot = self._span(g)
        if self.filled[slot]:
            # Most frames hold nothing in the second half of the rows.
            whole = self.reported[slot, FIRST_LINE:].any()
            words = ROW_WORDS if whole else FIRST_LINE // 2
            clear(self.words, rows.start, rows.stop, self.blank[:words])
            self.filled[slot] = 0
            self.reported[slot] = 0
        self.shape[g, 6] += 1

    def open_readings(self, g: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        """Frame number, position and row (as words) of every reading in a group's open frames."""
        slots, size, cell, following = (int(self.shape[g, k]) for k in (2, 3, 4, 6))
        at = np.flatnonzero(self.words[cell : cell + slots * size, STAMP] > NEVER)
        ahead = (at // size - following % slots) % slots
        return following + ahead, at % size, self.words[cell + at]

    def reopen(
        self, g: int, frame: NDArray[np.int64], position: NDArray[np.int64], words: Any
    ) -> None:
        """Take the readings that `open_readings` gave."""
        slots, size, cell, first = (int(self.shape[g, k]) for k in (2, 3, 4, 5))
        slot = frame % slots
        self.words[cell + slot * size + position] = words
        self.filled[first : first + slots] += np.bincount(slot, minlength=slots)
        self.reported[first + slot] = 1  # perhaps; it only saves looking


def column_table(names: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(channel, unit class) of quantity columns that frames hold."""
    channel = np.array([CHANNEL[n] for n in names], np.int32)
    unit = np.array([UNIT_CLASS.get(QUANTITIES[INDEX[n]].unit, -1) for n in names], np.int32)
    return channel, unit


def column_bounds(names: list[str]) -> NDArray[np.float32]:
    """float32[c, 2]: what is physically believable."""
    rows = [(QUANTITIES[INDEX[n]].low, QUANTITIES[INDEX[n]].high) for n in names]
    return np.array(rows, np.float32).reshape(len(rows), 2)
