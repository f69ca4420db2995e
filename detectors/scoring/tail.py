"""The tail of a detector's own scores on healthy data: how often would it cry wolf, from where on?

Scores of healthy episodes that reached 1 are exceedances of a threshold; beyond it a generalised
Pareto tail is fitted (peaks over threshold, as in SPOT: Siffer et al., KDD 2017), exponential
where there are few. Conformal p-values count instead of fitting; Benjamini-Hochberg keeps the
share of false discoveries over the fleet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

FIT_MIN: Final = 20  # fewer exceedances than this say nothing about the shape
SCALE_MIN: Final = 0.1
SHAPE_MAX: Final = 0.5
LIMIT_MAX: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Tail:
    """Healthy episodes of one detector and kind.

    scores : highest score of each, >= 1, rising; days : of the healthy data
    shape, scale : of the generalised Pareto tail above 1
    """

    scores: tuple[float, ...]
    days: float
    shape: float
    scale: float

    @classmethod
    def fit(cls, scores: Sequence[float], days: float) -> "Tail":
        """From the highest score of each healthy episode.

        >>> Tail.fit([1.0, 1.5, 2.0], days=30.0).rate(1.0)
        0.1
        """
        x = np.sort(np.asarray(scores, float)) - 1.0
        mean = float(x.mean()) if x.size else 0.0
        shape, scale = 0.0, max(mean, SCALE_MIN)
        if x.size >= FIT_MIN:
            # Probability-weighted moments (Hosking and Wallis 1987): sound for small samples.
            rank = np.arange(1, x.size + 1)
            b = float(((x.size - rank) / (x.size - 1) * x).mean())
            if mean > 2.0 * b > 0.0:
                shape = float(np.clip(2.0 - mean / (mean - 2.0 * b), -SHAPE_MAX, SHAPE_MAX))
                scale = max(mean * (1.0 - shape), SCALE_MIN)
        return cls(tuple((x + 1.0).tolist()), days, shape, scale)

    def survival(self, score: float) -> float:
        """Share of healthy episodes that reach a score, by the fitted tail."""
        excess = max(score - 1.0, 0.0) / self.scale
        if abs(self.shape) < 1e-6:
            return float(np.exp(-excess))
        inside = 1.0 + self.shape * excess
        return float(inside ** (-1.0 / self.shape)) if inside > 0 else 0.0

    def rate(self, score: float) -> float:
        """Healthy episodes a day that reach a score."""
        return len(self.scores) / self.days * self.survival(score)

    def limit(self, rate: float) -> float:
        """The least score that healthy data reaches at most so often a day; at least 1."""
        here = len(self.scores) / self.days
        if rate >= here:
            return 1.0
        share = max(rate, 1e-12) / here
        if abs(self.shape) < 1e-6:
            z = 1.0 - self.scale * np.log(share)
        else:
            z = 1.0 + self.scale / self.shape * (share ** (-self.shape) - 1.0)
        return float(min(z, LIMIT_MAX))

    def p_value(self, score: float) -> float:
        """Conformal: how likely a healthy episode is at least so high; never 0.

        >>> Tail.fit([1.0, 1.5, 2.0], days=30.0).p_value(1.7)
        0.5
        """
        above = len(self.scores) - int(np.searchsorted(self.scores, score))
        return (above + 1) / (len(self.scores) + 1)


def common_rate(here: Sequence[float], allowed: float) -> float:
    """The rate to which the noisiest must come down so that all together keep to `allowed`.

    >>> common_rate([0.1, 2.0, 5.0], 1.1)
    0.5
    """
    left = allowed
    for k, rate in enumerate(sorted(here)):
        share = left / (len(here) - k)
        if rate > share:
            return share
        left -= rate
    return max(here, default=allowed)


def benjamini_hochberg(p: Sequence[float], share: float) -> list[bool]:
    """Which of many tests stand, so that at most `share` of them is expected to be false.

    >>> benjamini_hochberg([0.001, 0.2, 0.02, 0.9], 0.1)
    [True, False, True, False]
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    ok = values[order] <= share * np.arange(1, values.size + 1) / max(values.size, 1)
    last = int(np.flatnonzero(ok).max()) + 1 if ok.any() else 0
    out = np.zeros(values.size, bool)
    out[order[:last]] = True
    return [bool(x) for x in out]
