"""Put rows of a batch into the open frames, in whatever order they came.

Every row of every meter passes here, so this is about memory: the rows of a block are touched
together, and a frame's row is written as one whole cache line over what an earlier frame left.
"""

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F4, F8, I4, I8, U1, U2, kernel
from detectors.frames import (
    AHEAD,
    BLOCK,
    KNOWN,
    LATE,
    LINE_WORDS,
    NEVER,
    REGISTERS,
    TAKEN,
    UNKNOWN,
)
from detectors.layout import FIRST_CHANNEL, LINE_FLOATS, REGISTER_WORD

U8 = NDArray[np.uint64]
u8 = np.uint64  # an index of this kind cannot be negative, which numba would look for each time


@kernel("int64(int64[::1], int64, int64)")
def mark_of(newest: I8, lateness: int, patience: int) -> int:
    """Event time up to which everything has come, by the newest time of each source."""
    leader = NEVER
    for j in range(newest.size):
        leader = max(leader, newest[j])
    if leader == NEVER:
        return NEVER
    mark = leader
    for j in range(newest.size):
        if newest[j] >= leader - patience:
            mark = min(mark, newest[j])
    return mark - lateness


@kernel(
    "void(int64, int64, uint64[::1], uint64[::1], float32[:, ::1], float64[::1], int32[::1],"
    "float32[:, ::1], float32[::1], float32[::1], int64[::1], uint8[:, ::1])"
)
def write_rows(
    n: int,
    held: int,
    source: U8,
    target: U8,
    columns: F4,
    register: F8,
    channel: I4,
    bounds: F4,
    flat: F4,
    more: F4,
    filled: I8,
    reported: U1,
) -> None:
    """Write rows `source[:n]` of the batch over rows of one frame, in slot `held`, whose lines
    begin at `target[:n]` in `flat` and in `more`.

    Column by column: what is believable is then looked up once for all of them, and nothing
    branches; their rows are in the nearest cache meanwhile.
    """
    filled[held] += n
    for k in range(n):
        begin = target[k]
        for free in range(FIRST_CHANNEL, LINE_FLOATS):
            flat[begin + u8(free)] = np.nan
    for c in range(channel.size):
        column, x = columns[c], u8(channel[c])
        low, high = bounds[c, 0], bounds[c, 1]
        line = flat if channel[c] < LINE_FLOATS else more
        at = x % u8(LINE_FLOATS)
        found = False
        for k in range(n):
            v = column[source[k]]
            good = (v >= low) & (v <= high)  # not a number fails both
            line[target[k] + at] = v if good else np.float32(np.nan)
            found |= good
        if found:
            reported[held, x] = 1
    if register.size > 0:
        doubles = more.view(np.float64)
        for k in range(n):
            e = register[source[k]]
            if e >= 0.0:
                doubles[target[k] // u8(2) + u8(REGISTER_WORD)] = e
                reported[held, REGISTERS] = 1


@kernel(
    "Tuple((int64, int64))(int64, int64, int64, int64, int64[::1], int64[::1], int64[::1],"
    "int32[::1],"
    "int64[::1], int64[::1], uint16[::1], uint8[::1], float32[:, ::1], float64[::1], int32[::1],"
    "float32[:, ::1], int64[:, ::1], float32[:, ::1], float32[:, ::1],"
    "int64[::1], uint8[:, ::1], uint8[::1], uint64[:, ::1], int64[::1])"
)
def scatter(
    start: int,
    me: int,
    slack: int,
    due: int,
    rules: I8,
    newest: I8,
    place: I8,
    device: I4,
    time: I8,
    received: I8,
    quality: U2,
    event: U1,
    columns: F4,
    register: F8,
    channel: I4,
    bounds: F4,
    shape: I8,
    values: F4,
    more: F4,
    filled: I8,
    reported: U1,
    accepted: U1,
    block: U8,
    counters: I8,
) -> tuple[int, int]:
    """Put the rows from `start` on into the open frames; returns (next row, watermark).

    Stops where the watermark reaches `due`, and before a row whose frame has no room yet: the
    caller closes what the watermark has passed and calls again.

    rules : lateness, patience, bits of quality that do not move the watermark
    newest : int64[n_sources]  newest event time of each source; `me` is this one's place
    place : int64[n_names]     `pack_places`, for the names of the batch; -1 not judged
    shape : int64[n_groups, 7] step, delay, slots, devices, first row, first slot, next frame
    register : float64[n or 0] import register of each row, Wh
    values, more : float32[rows, 16]   the open frames, first and second lines
    filled : int64[slots], reported : uint8[slots, 32]   readings, and channels that have any
    accepted : uint8[n]        out: 1 for events in time
    block : uint64[2, BLOCK]   room to work in
    """
    n = time.size
    lateness, patience, skewed = rules[0], rules[1], rules[2]
    mark = mark_of(newest, lateness, patience)
    mine = newest[me]
    source, target = block[0], block[1]
    flat = values.reshape(values.size)
    words = flat.view(np.int64)
    second = more.reshape(more.size)
    rest = (source, target, columns, register, channel, bounds, flat, second, filled, reported)
    waiting = 0  # rows of the block whose values are still to be written
    last_t = NEVER
    last_g = -1
    frame = 0
    late = False
    slot = 0
    held = 0
    tick = 0
    step = 0
    touched = 0
    taken = 0
    r = start
    while r < n:
        if r >= touched:
            write_rows(waiting, held, *rest)
            waiting = 0
            # Rows come in any order, so each waits for memory. Touching a block of them first
            # lets the processor wait for many at once (2.5 times the speed at 100,000 meters).
            touched = min(r + BLOCK, n)
            sink = 0
            for q in range(r, touched):
                packed = place[u8(device[u8(q)])]
                if packed >= 0 and (packed >> 32) & 0xFFFF == last_g:
                    sink ^= words[u8((slot + (packed & 0xFFFFFFFF)) * LINE_WORDS)]
            counters[4] = sink
        i = u8(r)
        t = time[i]
        if t > mine:
            # A clock that runs ahead must not make everybody else late: arrival bounds it.
            reached = min(t, received[i])
            if reached > mine and (quality[i] & skewed) == 0 and t <= received[i] + slack:
                newest[me] = mine = reached
                mark = mark_of(newest, lateness, patience)
                last_g = -1  # what is late has changed
                if mark >= due:
                    break
        if event[i] != 0:
            if t > mark:
                accepted[i] = 1
            else:
                counters[LATE] += 1
            r += 1
            continue
        packed = place[u8(device[i])]
        if packed < 0:
            counters[UNKNOWN] += 1
            r += 1
            continue
        if mark == NEVER:
            counters[AHEAD] += 1  # no source has a trustworthy time yet
            r += 1
            continue
        g = (packed >> 32) & 0xFFFF
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
            tick = frame * step
            late = frame < shape[g, 6] or tick + half + shape[g, 1] <= mark
            other = shape[g, 5] + frame % shape[g, 2]
            if other != held:
                write_rows(waiting, held, *rest)
                waiting = 0
                held = other
            slot = shape[g, 4] + frame % shape[g, 2] * shape[g, 3]
            last_t = t
            last_g = g
        if late:
            counters[LATE] += 1
            r += 1
            continue
        if frame >= shape[g, 6] + shape[g, 2]:
            waits = shape[g, 6] * step + step // 2 + shape[g, 1] <= mark
            sure = (quality[i] & skewed) == 0 and t <= received[i] + slack
            if waits or (sure and mine >= t):
                break
            counters[AHEAD] += 1
            r += 1
            continue
        at = u8((slot + (packed & 0xFFFFFFFF)) * LINE_WORDS)
        old = words[at]
        # What an earlier frame left there has not been cleared; its time tells.
        first = abs(tick - old) > step
        if first:
            # Nearly every row: nothing is there yet.
            words[at] = t
            words[at + u8(KNOWN)] = received[i]
            source[u8(waiting)] = i
            target[u8(waiting)] = at * u8(2)
            waiting += 1
            taken += 1
            r += 1
            continue
        near, old_near = abs(tick - t), abs(tick - old)
        take = near < old_near or (near == old_near and t < old)
        if take or old == t:
            # The row may be among those that wait.
            write_rows(waiting, held, *rest)
            waiting = 0
            taken += 1
            row, further = values[slot + (packed & 0xFFFFFFFF)], more[slot + (packed & 0xFFFFFFFF)]
            doubles = further.view(np.float64)
            if take:
                words[at] = t
                words[at + u8(KNOWN)] = received[i]
                for x in range(FIRST_CHANNEL, LINE_FLOATS):
                    row[x] = np.nan
                for x in range(LINE_FLOATS):
                    further[x] = np.nan
                doubles[REGISTER_WORD] = np.nan
            else:
                words[at + u8(KNOWN)] = min(words[at + u8(KNOWN)], received[i])
            for c in range(channel.size):
                v = columns[c, i]
                if v >= bounds[c, 0] and v <= bounds[c, 1]:
                    reported[held, channel[c]] = 1
                    line = row if channel[c] < LINE_FLOATS else further
                    x = channel[c] % LINE_FLOATS
                    if not line[x] >= v:  # nothing yet, or less
                        line[x] = v
            if register.size > 0:
                e = register[i]
                if e >= 0.0 and (take or not e <= doubles[REGISTER_WORD]):
                    doubles[REGISTER_WORD] = e
                    reported[held, REGISTERS] = 1
        r += 1
    write_rows(waiting, held, *rest)
    counters[TAKEN] += taken
    return r, mark
