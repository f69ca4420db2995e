"""Where a device owes readings: jumps of its sequence number, and steps longer than its interval.

Pure arrays, judged on the steps between successive readings of a device in event time. The state
is the newest reading of each device and the two steps before it.
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
UNKNOWN = np.int64(-(2**62))
_SEQUENCE_WRAP = 1 << 31  # a larger jump is a counter that started anew


@dataclass(slots=True, eq=False)
class DeviceState:
    """What is known of each device, indexed by its database key; grows as keys appear.

    Attributes
    ----------
    time : int64[n]       newest event time, microseconds; `UNKNOWN` without a reading
    seq : int64[n]        sequence number of that reading, -1 for none
    step, step_before : int64[n]   the two newest steps, 0 where there is none yet
    rhythm : int64[n]     the step at which the device reports of late, 0 before it is known
    interval : int64[n]   configured reporting interval in microseconds, 0 where not configured
    """

    time: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    seq: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    step: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    step_before: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    rhythm: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    interval: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def reserve(self, key_max: int) -> None:
        """Make room for keys up to `key_max`."""
        have = self.time.size
        if key_max < have:
            return
        more = max(64, key_max + 1 - have, have // 2)

        def grown(a: NDArray[Any], empty: int) -> NDArray[Any]:
            return np.concatenate([a, np.full(more, empty, np.int64)])

        self.time = grown(self.time, int(UNKNOWN))
        self.seq = grown(self.seq, -1)
        self.step = grown(self.step, 0)
        self.step_before = grown(self.step_before, 0)
        self.rhythm = grown(self.rhythm, 0)
        self.interval = grown(self.interval, 0)

    def remember(self, key: int, times: Sequence[int], seq: int) -> None:
        """Take over a device's newest readings, `times` in ascending order, from the table."""
        self.time[key], self.seq[key] = times[-1], seq
        self.step[key] = self.step_before[key] = self.rhythm[key] = 0
        for a, b in pairwise(times):
            self.step_before[key], self.step[key] = self.step[key], b - a
            one = slice(key, key + 1)
            latest = _rhythm(self.step[one], self.step_before[one], self.interval[one])[0]
            self.rhythm[key] = latest or self.rhythm[key]


@dataclass(frozen=True, slots=True, eq=False)
class GapsFound:
    """Gaps strictly between two stored readings, and the readings that came after their time.

    device : int32[k], after, before : int64[k], missing : int64[k], by_sequence : bool[k];
    late : bool[n] marks the rows older than what the device had already reported.
    """

    device: NDArray[np.int32]
    after: NDArray[np.int64]
    before: NDArray[np.int64]
    missing: NDArray[np.int64]
    by_sequence: NDArray[np.bool_]
    late: NDArray[np.bool_]


def find_gaps(rows: Rows, state: DeviceState) -> GapsFound:
    """Judge the steps of sorted, distinct rows and move `state` on to their newest readings.

    A sequence jump says how many readings are missing. Without one, a step longer than 1.5 times
    the expected interval is a gap; expected is the longer of the configured interval and the
    device's own steady rhythm. The first steps of a device, and three equal steps in a row, are
    its rhythm (history resent at another rate), not gaps.
    """
    if len(rows):
        state.reserve(int(rows.device[-1]))
    late = rows.time <= state.time[rows.device]
    fresh = rows.select(~late) if late.any() else rows
    n = len(fresh)
    device, time, seq = fresh.device, fresh.time, fresh.seq
    first = np.ones(n, np.bool_)
    first[1:] = device[1:] != device[:-1]
    before = np.empty(n, np.int64)
    before_seq = np.empty(n, np.int64)
    before[first], before_seq[first] = state.time[device[first]], state.seq[device[first]]
    inner = np.flatnonzero(~first)
    before[inner], before_seq[inner] = time[inner - 1], seq[inner - 1]
    known = before != UNKNOWN
    step = np.where(known, time - before, 0)

    def previous(steps: NDArray[np.int64], of_state: NDArray[np.int64]) -> NDArray[np.int64]:
        out = np.empty(n, np.int64)
        out[first] = of_state[device[first]]
        out[inner] = steps[inner - 1]
        return out

    step_1 = previous(step, state.step)
    step_2 = previous(step_1, state.step_before)
    rhythm = _carried(_rhythm(step_1, step_2, state.interval[device]), first, state.rhythm[device])
    expected = np.maximum(state.interval[device], rhythm)
    same_again = _near(step, step_1) & _near(step_1, step_2)
    settled = (step_1 > 0) & (step_2 > 0) & ~same_again
    too_long = (expected > 0) & (step > GAP_FACTOR * expected) & settled
    jump = seq - before_seq - 1
    by_sequence = known & (seq >= 0) & (before_seq >= 0) & (jump > 0) & (jump < _SEQUENCE_WRAP)
    lengths = np.rint(step / np.maximum(expected, 1)).astype(np.int64) - 1
    missing = np.where(by_sequence, jump, np.maximum(lengths, 1))
    found = np.flatnonzero(by_sequence | too_long)

    last = np.ones(n, np.bool_)
    last[:-1] = first[1:]
    ends = device[last]
    state.time[ends], state.seq[ends] = time[last], seq[last]
    state.step[ends], state.step_before[ends] = step[last], step_1[last]
    ended = _rhythm(step[last], step_1[last], state.interval[ends])
    state.rhythm[ends] = np.where(ended > 0, ended, rhythm[last])
    return GapsFound(
        device[found], before[found], time[found], missing[found], by_sequence[found], late
    )


def _rhythm(
    step: NDArray[np.int64], before: NDArray[np.int64], interval: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The step where it repeats the one before; else 0: not known anew.

    Of a device with a configured interval, that speaks regularly, a shorter step will do.
    """
    faster = (step < before * 2 // 3) & (interval > 0)
    return np.where((step > 0) & (_near(step, before) | faster), step, 0)


def _carried(
    value: NDArray[np.int64], first: NDArray[np.bool_], start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Each 0 replaced by the last other value of the same device, at its begin by `start`."""
    index = np.arange(value.size)
    begin = np.maximum.accumulate(np.where(first, index, 0))
    known = np.maximum.accumulate(np.where(value > 0, index, -1))
    return np.where(known >= begin, value[known], start)


def _near(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(a - b) <= STEADY_TOLERANCE * a
    return near
