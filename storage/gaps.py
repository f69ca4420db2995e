"""Where a device owes readings: jumps of its sequence number, and steps longer than its interval.

Pure arrays, judged on the steps between successive readings of a device in event time. The state
is the newest reading of each device and the five steps before it, so a start reads it back from
the table, and how a stream is cut into batches changes nothing.

A hole is to show from the very first step on, for after a crash of the site nothing else says what
was lost. But a device may speak steadily at another rhythm than the configured one (history resent
by quarters of an hour, a wrong figure in the list of devices), and a gap for each of its readings
would bury the true ones. The two look alike until the longer step repeats. So a gap opens at once,
and when the third step in succession agrees, the fourth is none and those three are taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.merge import Rows

# A step is a gap above one and a half intervals, so that jitter of a poll is none.
GAP_FACTOR = 1.5
STEADY_TOLERANCE = 0.1
WINDOW = 5  # earlier steps looked at: three that agree and up to two holes among them
STEADY_STEPS = 3
UNKNOWN = np.int64(-(2**62))
_SEQUENCE_WRAP = 1 << 31  # a larger jump is a counter that started anew


def _no_steps() -> NDArray[np.int64]:
    return np.zeros((WINDOW, 0), np.int64)


@dataclass(slots=True, eq=False)
class DeviceState:
    """What is known of each device, indexed by its database key; grows as keys appear.

    Attributes
    ----------
    time : int64[n]       newest event time, microseconds; `UNKNOWN` without a reading
    seq : int64[n]        sequence number of that reading, -1 for none
    steps : int64[WINDOW, n]   the newest steps, newest first, 0 where there is none yet
    interval : int64[n]   configured reporting interval in microseconds, 0 where not configured
    """

    time: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    seq: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    steps: NDArray[np.int64] = field(default_factory=_no_steps)
    interval: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def reserve(self, key_max: int) -> None:
        """Make room for keys up to `key_max`."""
        have = self.time.size
        if key_max < have:
            return
        more = max(64, key_max + 1 - have, have // 2)

        def grown(a: NDArray[Any], empty: int) -> NDArray[Any]:
            return np.concatenate([a, np.full((*a.shape[:-1], more), empty, np.int64)], axis=-1)

        self.time = grown(self.time, int(UNKNOWN))
        self.seq = grown(self.seq, -1)
        self.steps = grown(self.steps, 0)
        self.interval = grown(self.interval, 0)

    def remember(self, key: int, times: Sequence[int], seq: int) -> None:
        """Take over a device's newest readings, `times` in ascending order, from the table."""
        self.time[key], self.seq[key] = times[-1], seq
        steps = [b - a for a, b in pairwise(times)][: -WINDOW - 1 : -1]
        self.steps[:, key] = [*steps, *[0] * (WINDOW - len(steps))]


@dataclass(frozen=True, slots=True, eq=False)
class GapsFound:
    """Gaps strictly between two stored readings, and the readings that came after their time.

    device : int32[k], after, before : int64[k], missing : int64[k], by_sequence : bool[k];
    late : bool[n] marks the rows older than what the device had already reported;
    undone_device : int32[u], undone_after : int64[u] name steps that earlier batches may have
    taken for gaps by interval, and that have proved to be the device's own rhythm.
    """

    device: NDArray[np.int32]
    after: NDArray[np.int64]
    before: NDArray[np.int64]
    missing: NDArray[np.int64]
    by_sequence: NDArray[np.bool_]
    late: NDArray[np.bool_]
    undone_device: NDArray[np.int32]
    undone_after: NDArray[np.int64]


def find_gaps(rows: Rows, state: DeviceState) -> GapsFound:
    """Judge the steps of sorted, distinct rows and move `state` on to their newest readings.

    A sequence jump says how many readings are missing. Without one, a step longer than 1.5 times
    the expected interval is a gap; expected is the configured interval, or the longer rhythm that
    the device has kept since its last step within that interval. A device without a configured
    interval owes by its rhythm only.
    """
    if len(rows):
        state.reserve(int(rows.device[-1]))
    late = rows.time <= state.time[rows.device]
    fresh = rows.select(~late) if late.any() else rows
    n = len(fresh)
    device, time, seq = fresh.device, fresh.time, fresh.seq
    first = np.ones(n, np.bool_)
    first[1:] = device[1:] != device[:-1]
    inner = np.flatnonzero(~first)

    def previous(a: NDArray[np.int64], of_state: NDArray[np.int64]) -> NDArray[np.int64]:
        out = np.empty(n, np.int64)
        out[first] = of_state[device[first]]
        out[inner] = a[inner - 1]
        return out

    before, before_seq = previous(time, state.time), previous(seq, state.seq)
    known = before != UNKNOWN
    step = np.where(known, time - before, 0)
    steps = np.empty((WINDOW + 1, n), np.int64)  # of each row: its own step and those before it
    steps[0] = step
    for j in range(WINDOW):
        steps[j + 1] = previous(steps[j], state.steps[j])

    interval = state.interval[device]
    expected = interval.copy()
    # Few rows need the window: of most devices each step lies within the configured interval.
    long = np.flatnonzero(step > GAP_FACTOR * interval)
    window = steps[1:, long]
    rhythm, members = _rhythm(window, interval[long])
    expected[long] = np.maximum(interval[long], rhythm)
    too_long = (expected > 0) & (step > GAP_FACTOR * expected)
    jump = seq - before_seq - 1
    by_sequence = known & (seq >= 0) & (before_seq >= 0) & (jump > 0) & (jump < _SEQUENCE_WRAP)
    lengths = np.rint(step / np.maximum(expected, 1)).astype(np.int64) - 1
    missing = np.where(by_sequence, jump, np.maximum(lengths, 1))

    # The rhythm has just become known if this step keeps it and the window is not yet full of it.
    new = (rhythm > 0) & ~too_long[long] & ~members.all(axis=0)
    # Without an interval nothing was held against it unless the device spoke faster before.
    shortest = np.where(window > 0, window, np.iinfo(np.int64).max).min(axis=0)
    new &= (interval[long] > 0) | (step[long] > GAP_FACTOR * shortest)
    begins = before[long] - np.cumsum(window, axis=0)  # of each step of the window
    which = members & new
    undone_device = np.broadcast_to(device[long], which.shape)[which]
    undone_after = begins[which]
    opened = np.flatnonzero(too_long & ~by_sequence)
    kept = ~_among(device[opened], before[opened], undone_device, undone_after)
    found = np.union1d(np.flatnonzero(by_sequence), opened[kept])

    last = np.ones(n, np.bool_)
    last[:-1] = first[1:]
    ends = device[last]
    state.time[ends], state.seq[ends] = time[last], seq[last]
    state.steps[:, ends] = steps[:WINDOW, last]
    return GapsFound(
        device[found],
        before[found],
        time[found],
        missing[found],
        by_sequence[found],
        late,
        undone_device,
        undone_after,
    )


def _rhythm(
    window: NDArray[np.int64], interval: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """int64[n]: the step that at least three of the window agree on, else 0; and which do.

    Only steps since the last one within the configured interval count: before it the device kept
    that interval, so longer steps there were holes, however alike.
    """
    counts = np.logical_and.accumulate((window > 0) & (window > GAP_FACTOR * interval), axis=0)
    rhythm = np.zeros(window.shape[1], np.int64)
    members = np.zeros(window.shape, np.bool_)
    for candidate in window:
        agree = counts & (np.abs(window - candidate) <= STEADY_TOLERANCE * candidate)
        take = (rhythm == 0) & (agree.sum(axis=0) >= STEADY_STEPS)
        rhythm = np.where(take, candidate, rhythm)
        members = np.where(take, agree, members)
    return rhythm, members


def _among(
    device: NDArray[np.int32],
    after: NDArray[np.int64],
    of_device: NDArray[np.int32],
    of_after: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """bool[n]: is the step of this device that began at `after` one of those named?"""
    if not of_device.size:
        return np.zeros(device.size, np.bool_)
    named = set(zip(of_device.tolist(), of_after.tolist(), strict=True))
    pairs = zip(device.tolist(), after.tolist(), strict=True)
    return np.fromiter((p in named for p in pairs), np.bool_, device.size)
