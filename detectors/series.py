"""Any series without a physical model: how unlike is what just came to anything seen before?

For extra remote-monitoring points. The last `DEPTH` values are one point; its distance to the
nearest of the points of a learning span, against the distances that earlier points had, is a
conformal p-value (Laxhammar and Falkman 2011; k-nearest-neighbour form: Burnaev and Ishimtsev
2016). One setting for every series: no scale, season or threshold is given. Memory is bounded by
`LEARN_MAX` points; it belongs to no fleet-wide state.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DEPTH: Final = 19
NEIGHBOURS: Final = 27
LEARN_SHARE: Final = 0.15
LEARN_MAX: Final = 750
ALARM: Final = 0.9965
QUIET_SHARE: Final = 0.2  # of the learning span: one alarm speaks for what follows it
REFIT_SHARE: Final = 0.5
RIDGE: Final = 1e-9
ROUNDING: Final = 1e-12  # distances of a constant series differ by less

Floats = NDArray[np.float64]


def learning_span(length: int) -> int:
    """Values to learn from where so many are expected: 15 %, at most 750."""
    return int(LEARN_SHARE * min(length, LEARN_MAX / LEARN_SHARE))


class SeriesDetector:
    """Scores one value after the other; 0 while it learns, else 0..1, higher is worse.

    NaN is passed over: it has score 0 and is no part of any point.
    """

    def __init__(self, span: int) -> None:
        if not DEPTH + NEIGHBOURS < span <= LEARN_MAX:
            raise ValueError(f"span is {span}; give {DEPTH + NEIGHBOURS + 1} to {LEARN_MAX}")
        self.span = span
        points = span - DEPTH
        self._last = np.zeros(DEPTH)
        self._points = np.zeros((points, DEPTH))  # learned from
        self._next = np.zeros((span, DEPTH))  # becomes them a span later
        self._white = np.zeros((points, DEPTH))
        self._turn = np.eye(DEPTH)
        self._scores = np.zeros(points)
        self._count = self._quiet = 0

    def update(self, value: float) -> float:
        """The score of the next value."""
        if not np.isfinite(value):
            return 0.0
        self._last[:-1] = self._last[1:]
        self._last[-1] = value
        self._count += 1
        n, points = self._count, len(self._points)
        if n <= self.span:
            if n > DEPTH:
                self._points[n - DEPTH - 1] = self._last
            return 0.0
        since = n - self.span - 1
        if since % max(1, int(REFIT_SHARE * self.span)) == 0:
            self._refit(first=since == 0)
        distance = self._distance(self._last @ self._turn, NEIGHBOURS)
        score = float((self._scores < distance - ROUNDING).mean())
        at = since % points
        self._scores[at] = distance
        slot = since % self.span
        if since >= self.span:
            self._points[at] = self._next[slot]
            self._white[at] = self._next[slot] @ self._turn
        self._next[slot] = self._last
        if self._quiet > 0:
            self._quiet -= 1
            return min(score, 0.5)
        if score >= ALARM:
            self._quiet = int(QUIET_SHARE * self.span)
        return score

    def _refit(self, first: bool) -> None:
        """The axes along which learned points differ, each of equal weight."""
        moment = self._points.T @ self._points
        values, axes = np.linalg.eigh(moment)
        floor = RIDGE * max(float(values[-1]), 1e-12)
        self._turn = axes / np.sqrt(np.maximum(values, floor))
        self._white = self._points @ self._turn
        if first:
            self._scores[:] = [self._distance(w, NEIGHBOURS + 1) for w in self._white]

    def _distance(self, point: Floats, neighbours: int) -> float:
        d = self._white - point
        squares: Any = np.einsum("ij,ij->i", d, d)
        return float(np.partition(squares, neighbours)[:neighbours].sum())
