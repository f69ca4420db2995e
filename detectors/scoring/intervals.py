"""95 % intervals by bootstrap with a fixed seed; exact bounds where resampling shows nothing.

All of a share found (or none) resamples to itself, and no false ticket to none. There the exact
binomial and Poisson bounds are given instead, so that nine of nine does not look like certainty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 20260301
_LOW, _HIGH = 2.5, 97.5
_POISSON_NONE = 3.689  # -ln(0.025): upper bound of a count when none was seen

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; `n` is what it rests on. None: nothing to judge."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON, rounded to four digits."""
        return {k: _rounded(getattr(self, k)) for k in ("value", "low", "high")} | {"n": self.n}


def _rounded(x: float | None) -> float | None:
    return None if x is None else round(x, 4)


def share(hits: Sequence[bool]) -> Interval:
    """A share of incidents, resampled by incident."""
    values = np.asarray(hits, np.float64)
    n = values.size
    if not n:
        return Interval(None)
    mean = float(values.mean())
    if mean in (0.0, 1.0):
        bound = 1.0 - 0.025 ** (1.0 / n)
        return Interval(mean, 0.0, bound, n) if mean == 0.0 else Interval(1.0, 1.0 - bound, 1.0, n)
    draws = _draws(n)
    low, high = np.percentile(values[draws].mean(axis=1), (_LOW, _HIGH))
    return Interval(mean, float(low), float(high), n)


def middle(values: Sequence[float], q: float = 50.0) -> Interval:
    """A median (or another percentile) of incidents, resampled by incident."""
    data = np.asarray(values, np.float64)
    if not data.size:
        return Interval(None)
    at = float(np.percentile(data, q))
    if data.size == 1:
        return Interval(at, None, None, 1)
    spread = np.percentile(data[_draws(data.size)], q, axis=1)
    low, high = np.percentile(spread, (_LOW, _HIGH))
    return Interval(at, float(low), float(high), data.size)


def ratio(above: Sequence[float], below: Sequence[float], *, scale: float = 1.0) -> Interval:
    """sum(above) / sum(below) * scale, resampled by group (area); `n` is the sum above."""
    a, b = np.asarray(above, np.float64), np.asarray(below, np.float64)
    total = float(b.sum())
    if not total > 0:
        return Interval(None)
    value = float(a.sum()) / total * scale
    if not a.any():
        return Interval(0.0, 0.0, _POISSON_NONE / total * scale, 0)
    draws = _draws(a.size)
    sums = b[draws].sum(axis=1)
    kept = sums > 0
    rates = a[draws].sum(axis=1)[kept] / sums[kept] * scale
    low, high = np.percentile(rates, (_LOW, _HIGH))
    return Interval(value, float(low), float(high), int(a.sum()))


def _draws(n: int) -> NDArray[np.int64]:
    """Indexes [RESAMPLES, n]; the same for the same n, whatever was asked before."""
    rng = np.random.default_rng([SEED, n])
    return rng.integers(0, n, (RESAMPLES, n))
