"""The Numenta Anomaly Benchmark's published rules (Lavin and Ahmad 2015, NAB 1.1).

Detections inside a labelled window count once, the earlier the better; outside they cost, more the
farther past a window; a missed window costs one. The threshold is the one that is best over the
whole corpus; 0 is a detector that says nothing, 100 a perfect one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PROBATION_SHARE: Final = 0.15
PROBATION_ROWS: Final = 5000


@dataclass(frozen=True, slots=True)
class Profile:
    """Weights of a found window, a false detection and a missed window."""

    found: float = 1.0
    false: float = 0.11
    missed: float = 1.0


PROFILES: Final = {
    "standard": Profile(),
    "reward_low_FP_rate": Profile(false=0.22),
    "reward_low_FN_rate": Profile(missed=2.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Scores of one file and its labelled windows as (first, last) rows."""

    scores: NDArray[np.float64]
    windows: tuple[tuple[int, int], ...]


def probation(rows: int) -> int:
    """Rows at the start that nobody judges."""
    return int(PROBATION_SHARE * min(rows, PROBATION_ROWS))


def sigmoid(y: float) -> float:
    """What a detection is worth at a position: -1 the window's start, 0 its end, 3 far past."""
    return -1.0 if y > 3.0 else float(2.0 / (1.0 + np.exp(5.0 * y)) - 1.0)


def corpus_score(series: Sequence[Series], profile: Profile) -> tuple[float, float]:
    """(score of 100, threshold) of all files at the one best threshold."""
    values, worth, window = _rows(series, profile)
    windows = sum(len(s.windows) for s in series)
    order = np.argsort(-values, kind="stable")
    values, worth, window = values[order], worth[order], window[order]
    total = -profile.missed * windows
    best, threshold = total, np.inf
    got = np.full(windows, np.nan)
    for k in range(values.size):
        w = int(window[k])
        if w < 0:
            total += worth[k]
        else:
            if np.isnan(got[w]):
                total += worth[k] + profile.missed
                got[w] = worth[k]
            elif worth[k] > got[w]:
                total += worth[k] - got[w]
                got[w] = worth[k]
        last = k + 1 == values.size or values[k + 1] < values[k]
        if last and total > best:
            best, threshold = total, float(values[k])
    nothing = -profile.missed * windows
    perfect = profile.found * windows
    return 100.0 * (best - nothing) / (perfect - nothing), threshold


def _rows(
    series: Sequence[Series], profile: Profile
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Score, worth and window (-1 outside) of every judged row of the corpus."""
    values: list[Any] = []
    worth: list[Any] = []
    window: list[Any] = []
    number = 0
    for s in series:
        n = len(s.scores)
        w = np.full(n, -1, np.int64)
        x = np.full(n, -profile.false)
        previous: tuple[int, int] | None = None
        for first, last in (*s.windows, (n, n)):
            if previous is not None:
                width = max(previous[1] - previous[0], 1)
                for i in range(previous[1] + 1, first):
                    x[i] = sigmoid((i - previous[1]) / width) * profile.false
            if first >= n:
                break
            size = last - first + 1
            for i in range(first, last + 1):
                x[i] = sigmoid(-(last - i + 1) / size) / sigmoid(-1.0) * profile.found
            w[first : last + 1] = number
            number += 1
            previous = (first, last)
        start = probation(n)
        values.append(s.scores[start:])
        worth.append(x[start:])
        window.append(w[start:])
    return np.concatenate(values), np.concatenate(worth), np.concatenate(window)
