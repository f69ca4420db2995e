"""Turn readings in any order into frames: one aligned table for a group and tick.

A reading belongs to the tick nearest to it; of several, the one nearest to the tick wins, the
earlier on a tie, and rows of one time are merged. So neither order of arrival nor batching shows
in a frame. All groups' open frames live in one flat memory, so that one kernel serves a batch.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.columns import gather
from detectors.compiled import I8, kernel
from detectors.layout import (
    CHANNEL,
    FIRST_CHANNEL,
    LINE_FLOATS,
    REGISTER_WORD,
    ROW_FLOATS,
    FleetLayout,
    GroupLayout,
)
from detectors.settings import DetectorSettings
from grid.quantities import INDEX, QUANTITIES

REGISTERS: Final = ROW_FLOATS - 1  # no channel: in `Frame.reported` the register's place
LINE_WORDS: Final = LINE_FLOATS // 2
STAMP, KNOWN = 0, 1  # words of a row
NEVER: Final = -(2**62)
FAR: Final = 2**62
NO_NUMBER: Final = -1  # all bits set: not a number, read as two float32 or as one float64

# Columns of `Frames.counters`.
LATE, UNKNOWN, AHEAD, TAKEN = range(4)
BLOCK: Final = 64  # rows put together


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a group's devices reported for one tick; views that live until the step is over.

    Attributes
    ----------
    tick_us, close_us : the tick; the event time at which the frame could be judged
    values : float32[n, 16]           columns by `layout.CHANNEL`, NaN = not reported
    more : float32[n, 16]             the channels of the second line, columns by `layout.MORE`
    time : int64[n]                   event time of the reading, `NEVER` = no reading
    known : int64[n]                  when it had arrived
    register : float64[n]             import register, Wh, NaN = not reported
    reported : uint8[32]              1 where any device reported the channel; last the register
    v, i, p : float32[n]              V and A of each device's first phase, W, as in `values`: side
                                      by side, so that who needs no more reads a tenth of the memory
    slot_v : float32[m]               V of every phase, see `GroupLayout.slots`
    slot_i : float64[m]               A drawn in it, with its direction (`currents`)
    beyond : whether a device tells of phases that it is not held to have, which `slot_v` lacks
    """

    layout: GroupLayout
    tick_us: int
    close_us: int
    values: NDArray[np.float32]
    more: NDArray[np.float32]
    time: NDArray[np.int64]
    known: NDArray[np.int64]
    register: NDArray[np.float64]
    reported: NDArray[np.uint8]
    v: NDArray[np.float32]
    i: NDArray[np.float32]
    p: NDArray[np.float32]
    slot_v: NDArray[np.float32]
    slot_i: NDArray[np.float64]
    beyond: bool

    def take_away(self, devices: NDArray[np.intp]) -> None:
        """Make some devices' readings unknown to whoever judges the frame from now on."""
        if devices.size:
            self.values[devices, FIRST_CHANNEL:] = np.nan
            self.more.view(np.int64)[devices] = NO_NUMBER
            self.v[devices] = np.nan
            self.i[devices] = np.nan
            self.p[devices] = np.nan
            slots = np.isin(self.layout.slots.device, devices)
            self.slot_v[slots] = np.nan
            self.slot_i[slots] = np.nan


@kernel("void(int64[:, ::1], int64, int64, int64, int64, int64[::1])")
def forget(words: I8, begin: int, end: int, tick: int, step: int, blank: I8) -> None:
    """Make first lines hold nothing where their reading is not of this tick."""
    for k in range(begin, end):
        if abs(tick - words[k, STAMP]) > step:
            for c in range(LINE_WORDS):
                words[k, c] = blank[c]


def pack_places(fleet: FleetLayout) -> NDArray[np.int64]:
    """int64[n_devices + 1]: position (32 bits), group (16).

    -1 for devices that report nothing to judge, and at the end for unknown ones.
    """
    packed = fleet.position.astype(np.int64) | fleet.group.astype(np.int64) << 32
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
        self.values = _lines(cells)
        self.words = self.values.view(np.int64)
        self.blank = np.full(LINE_FLOATS, np.nan, np.float32).view(np.int64)
        self.blank[: FIRST_CHANNEL // 2] = NEVER
        self.words[:] = self.blank
        self.more = _lines(cells)
        self._further = self.more.view(np.int64)
        self._further[:] = NO_NUMBER
        self.filled = np.zeros(frame_slots, np.int64)
        self.reported = np.zeros((frame_slots, ROW_FLOATS), np.uint8)
        self.counters = np.zeros(5, np.int64)
        self.block = np.empty((2, BLOCK), np.uint64)
        self._columns = [
            (
                np.empty(g.size, np.int64),
                np.empty(g.size, np.float32),
                np.empty(g.size, np.float32),
                np.empty(g.size, np.float32),
                np.empty(g.slots.device.size, np.float32),
                np.empty(g.slots.device.size, np.float64),
            )
            for g in fleet.groups
        ]
        self.place = pack_places(fleet)

    @property
    def nbytes(self) -> int:
        """Memory of the open frames, and of what is gathered of the one that is judged."""
        columns = sum(x.nbytes for columns in self._columns for x in columns)
        return self.values.nbytes + self.more.nbytes + columns

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
        if NEVER < self.shape[g, 6] and self.filled[slot] < layout.size:
            forget(self.words, rows.start, rows.stop, tick, layout.step_us, self.blank)
        values, words, more = self.values[rows], self.words[rows], self.more[rows]
        columns = self._columns[g]
        places = (layout.slots.first, layout.offsets, layout.nominal_v)
        beyond = gather(values, words, *places, *columns)
        time, v, i, p, slot_v, slot_i = columns
        frame = Frame(
            layout,
            tick,
            self.close_us(g),
            values,
            more,
            time,
            words[:, KNOWN],
            more.view(np.float64)[:, REGISTER_WORD],
            self.reported[slot],
            v,
            i,
            p,
            slot_v,
            slot_i,
            beyond > 0,
        )
        return frame, int(self.filled[slot])

    def drop(self, g: int) -> None:
        """Forget the next frame of a group and go on to the one after it."""
        rows, slot = self._span(g)
        if self.filled[slot]:
            # The first line of a row is written as a whole, so what it holds may stay until then;
            # most frames hold nothing in the second.
            if self.reported[slot, LINE_FLOATS:].any():
                self._further[rows] = NO_NUMBER
            self.filled[slot] = 0
            self.reported[slot] = 0
        self.shape[g, 6] += 1

    def open_readings(self, g: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        """Frame number, position and row (as words) of every reading in a group's open frames."""
        slots, size, cell, following = (int(self.shape[g, k]) for k in (2, 3, 4, 6))
        step = int(self.shape[g, 0])
        ahead = (np.arange(slots) - following % slots) % slots
        stamps = self.words[cell : cell + slots * size, STAMP].reshape(slots, size)
        slot, position = np.nonzero(abs((following + ahead)[:, None] * step - stamps) <= step)
        at = cell + slot * size + position
        words = np.concatenate((self.words[at], self._further[at]), axis=1)
        return following + ahead[slot], position, words

    def reopen(
        self, g: int, frame: NDArray[np.int64], position: NDArray[np.int64], words: Any
    ) -> None:
        """Take the readings that `open_readings` gave."""
        slots, size, cell, first = (int(self.shape[g, k]) for k in (2, 3, 4, 5))
        slot = frame % slots
        at = cell + slot * size + position
        self.words[at], self._further[at] = words[:, :LINE_WORDS], words[:, LINE_WORDS:]
        self.filled[first : first + slots] += np.bincount(slot, minlength=slots)
        self.reported[first + slot] = 1  # perhaps; it only saves looking


def _lines(n: int) -> NDArray[np.float32]:
    """float32[n, 16], not yet filled, each row a cache line of the processor."""
    room = np.empty(LINE_FLOATS * (n + 1), np.float32)
    skip = -room.ctypes.data % (4 * LINE_FLOATS) // 4
    return room[skip : skip + LINE_FLOATS * n].reshape(n, LINE_FLOATS)


def column_table(names: list[str]) -> NDArray[np.int32]:
    """The channels of quantity columns that frames hold."""
    return np.array([CHANNEL[n] for n in names], np.int32)


def column_bounds(names: list[str]) -> NDArray[np.float32]:
    """float32[c, 2]: what is physically believable."""
    rows = [(QUANTITIES[INDEX[n]].low, QUANTITIES[INDEX[n]].high) for n in names]
    return np.array(rows, np.float32).reshape(len(rows), 2)
