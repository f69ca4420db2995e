"""Turn readings in any order into frames: one aligned table for a group and tick.

A reading belongs to the tick nearest to it; of several, the one nearest to the tick wins, the
earlier on a tie, and rows of one time are merged. So neither order of arrival nor batching shows
in a frame. All groups' open frames live in one flat memory, so that one kernel serves a batch.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F4, F8, I4, I8, U1, U2, kernel
from detectors.layout import CHANNELS, FleetLayout, GroupLayout
from detectors.settings import DetectorSettings
from grid.quantities import INDEX, QUANTITIES

N_CHANNELS: Final = len(CHANNELS)
NEVER: Final = -(2**62)

# Columns of `Frames.counters`.
LATE, UNKNOWN, AHEAD, TAKEN = range(4)

UNIT_CLASS: Final = {"V": 0, "A": 1, "W": 2, "var": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a group's devices reported for one tick; views that live until the step is over.

    Attributes
    ----------
    tick_us, close_us : the tick; the event time at which the frame could be judged
    values : float32[n, n_channels]   in the order of `layout.CHANNELS`, NaN = not reported
    time : int64[n]                   event time of the reading, `NEVER` = no reading
    known : int64[n]                  when it had arrived
    """

    layout: GroupLayout
    tick_us: int
    close_us: int
    values: NDArray[np.float32]
    time: NDArray[np.int64]
    known: NDArray[np.int64]


@kernel(
    "Tuple((int64, int64))(int64, int64, int64, int64[::1], int64[::1], int32[::1], int32[::1],"
    "int64[::1], int64[::1], uint16[::1], uint8[::1], float32[:, ::1], int32[::1], float32[:, ::1],"
    "int32[::1], int32[::1], float64[:, ::1], int32[::1], int64[:, ::1], float32[::1], int64[::1],"
    "int64[::1], int64[::1], uint8[::1], int64[::1])"
)
def scatter(
    start: int,
    me: int,
    slack: int,
    rules: I8,
    newest: I8,
    device_of: I4,
    device: I4,
    time: I8,
    received: I8,
    quality: U2,
    event: U1,
    columns: F4,
    channel: I4,
    bounds: F4,
    group: I4,
    position: I4,
    scale: F8,
    unit: I4,
    shape: I8,
    values: F4,
    stamp: I8,
    known: I8,
    filled: I8,
    accepted: U1,
    counters: I8,
) -> tuple[int, int]:
    """Put the rows from `start` on into the open frames; returns (next row, watermark).

    Stops before a row whose frame has no room yet: the caller closes what the watermark has
    passed and calls again. `shape[g]` = step, delay, slots, devices, first device slot, first
    frame slot, next frame number. `rules` = lateness, patience, bits of quality that do not move
    the watermark. `accepted[r]` is set for events in time.
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
    r = start
    while r < n:
        t = time[r]
        sure = (quality[r] & skewed) == 0 and t <= received[r] + slack
        if sure and t > newest[me]:
            newest[me] = t
            leader = max(leader, t)
            mark = leader
            for j in range(newest.size):
                if newest[j] >= leader - patience:
                    mark = min(mark, newest[j])
            mark -= lateness
        if event[r] != 0:
            if t > mark:
                accepted[r] = 1
            else:
                counters[0] += 1
            r += 1
            continue
        d = device_of[device[r]]
        g = -1
        if d >= 0:
            g = group[d]
        if g < 0:
            counters[1] += 1
            r += 1
            continue
        step = shape[g, 0]
        frame = (t + step // 2) // step
        if frame * step - t == step // 2:
            frame -= 1  # exactly between two ticks: the earlier
        off = frame * step - t
        if mark == NEVER:
            counters[2] += 1  # no source has a trustworthy time yet
            r += 1
            continue
        if shape[g, 6] == NEVER:
            # Nothing of this group has been seen: open frames from the oldest still in time.
            shape[g, 6] = (mark - shape[g, 1] - step // 2) // step + 1
        if frame < shape[g, 6] or frame * step + step // 2 + shape[g, 1] <= mark:
            counters[0] += 1
            r += 1
            continue
        if frame >= shape[g, 6] + shape[g, 2]:
            if sure:
                return r, mark
            counters[2] += 1
            r += 1
            continue
        slot = frame % shape[g, 2]
        p = position[d]
        at = shape[g, 4] + slot * shape[g, 3] + p
        old = stamp[at]
        take = old == NEVER
        merge = old == t
        if not take and not merge:
            old_off = abs(frame * step - old)
            take = abs(off) < old_off or (abs(off) == old_off and t < old)
        if take:
            stamp[at] = t
            known[at] = received[r]
            if old == NEVER:
                filled[shape[g, 5] + slot] += 1
            else:
                for c in range(N_CHANNELS):
                    values[at * N_CHANNELS + c] = np.nan
        if take or merge:
            if merge:
                known[at] = min(known[at], received[r])
            for c in range(channel.size):
                v = columns[c, r]
                if not np.isnan(v):
                    k = unit[c]
                    if k >= 0:
                        v = np.float32(v * scale[d, k])
                    if v >= bounds[c, 0] and v <= bounds[c, 1]:
                        where = at * N_CHANNELS + channel[c]
                        if not merge or np.isnan(values[where]) or v > values[where]:
                            values[where] = v
            counters[3] += 1
        r += 1
    return r, mark


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
        self.values = np.full(cells * N_CHANNELS, np.nan, np.float32)
        self.stamp = np.full(cells, NEVER, np.int64)
        self.known = np.full(cells, NEVER, np.int64)
        self.filled = np.zeros(frame_slots, np.int64)
        self.counters = np.zeros(4, np.int64)
        self.scale = np.ascontiguousarray(fleet.scale)
        self.newest_frame = np.full(n, NEVER, np.int64)

    @property
    def nbytes(self) -> int:
        """Memory of the open frames."""
        return self.values.nbytes + self.stamp.nbytes + self.known.nbytes

    def close_us(self, g: int) -> int:
        """Event time at which the next frame of a group closes; a far future if none is open."""
        step, delay, *_, following = self.shape[g].tolist()
        if following == NEVER:
            return 2**62
        return int(following * step + step // 2 + delay)

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

    def _span(self, g: int) -> tuple[slice, slice, int]:
        slots, size, cell, first, following = (int(self.shape[g, k]) for k in (2, 3, 4, 5, 6))
        slot = following % slots
        at = cell + slot * size
        flat = slice(at * N_CHANNELS, (at + size) * N_CHANNELS)
        return slice(at, at + size), flat, first + slot

    def peek(self, g: int) -> tuple[Frame, int]:
        """The next frame of a group as views, and how many readings it holds."""
        layout = self.fleet.groups[g]
        rows, flat, slot = self._span(g)
        tick = int(self.shape[g, 6]) * layout.step_us
        frame = Frame(
            layout,
            tick,
            self.close_us(g),
            self.values[flat].reshape(layout.size, N_CHANNELS),
            self.stamp[rows],
            self.known[rows],
        )
        return frame, int(self.filled[slot])

    def drop(self, g: int) -> None:
        """Forget the next frame of a group and go on to the one after it."""
        rows, flat, slot = self._span(g)
        if self.filled[slot]:
            self.values[flat] = np.nan
            self.stamp[rows] = NEVER
            self.known[rows] = NEVER
            self.filled[slot] = 0
        self.shape[g, 6] += 1


def column_table(names: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(channel, unit class) of quantity columns that frames hold."""
    channel = np.array([CHANNELS.index(n) for n in names], np.int32)
    unit = np.array([UNIT_CLASS.get(QUANTITIES[INDEX[n]].unit, -1) for n in names], np.int32)
    return channel, unit


def column_bounds(names: list[str]) -> NDArray[np.float32]:
    """float32[c, 2]: what is physically believable."""
    rows = [(QUANTITIES[INDEX[n]].low, QUANTITIES[INDEX[n]].high) for n in names]
    return np.array(rows, np.float32).reshape(len(rows), 2)
