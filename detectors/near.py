"""How near a detector came: the highest score below the limit, of each place and quarter-hour.

Findings are for the few over the limit. An engineer who replays data also asks about the many
that were not: would a lower limit have found it sooner, and what else? Only a replay listens; live
and in a backtest nothing of this is kept. Bounded: beyond `room` points the time steps become twice
as long, and every step keeps its highest score; of more places than that the nearest are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid.records import Finding

STEP_US: Final = 900_000_000
LEAST: Final = 0.25  # of the limit; what is farther away is of no interest
ROOM: Final = 500_000


class Near(NamedTuple):
    """A score below the limit, as a finding would carry it."""

    tick_us: int
    detector: str
    fault: str
    asset_kind: str
    asset: str
    score: float


@dataclass(slots=True)
class _Peaks:
    """The highest score of each row in the time step that goes on."""

    step: int
    score: NDArray[np.float64]
    tick_us: NDArray[np.int64]


@dataclass
class NearScores:
    """Hears the scores of every family; `points` gives what came near, in order of time."""

    room: int = ROOM
    step_us: int = STEP_US
    _peaks: dict[tuple[int, str], _Peaks] = field(default_factory=dict)
    _kept: dict[tuple[int, str, str, str, str], tuple[float, int]] = field(default_factory=dict)

    def hear(
        self,
        family: object,
        part: str,
        tick_us: int,
        score: NDArray[np.float64],
        opened: NDArray[np.integer],
        finding: Callable[[int, float], Finding],
    ) -> None:
        """One frame's scores of one axis of a family.

        Parameters
        ----------
        score, opened : (rows,) where 1 is the limit, NaN nothing seen; over 0 once raised
        finding : names a row as the family's own finding would; must not change its state
        """
        step = tick_us // STEP_US
        peaks = self._peaks.get((id(family), part))
        if peaks is None or peaks.score.size != score.size:
            peaks = _Peaks(step, np.zeros(score.size), np.zeros(score.size, np.int64))
            self._peaks[id(family), part] = peaks
        elif step != peaks.step:
            self._keep(peaks, finding)
            peaks.step = step
        with np.errstate(invalid="ignore"):
            higher = (score >= LEAST) & (score < 1.0) & (opened == 0) & (score > peaks.score)
        peaks.score[higher] = score[higher]
        peaks.tick_us[higher] = tick_us

    def begin_anew(self) -> None:
        """The rows of the families have changed: what goes on cannot be named any more."""
        self._peaks.clear()

    def _keep(self, peaks: _Peaks, finding: Callable[[int, float], Finding]) -> None:
        """Give the peaks of a step that is over their names."""
        for k in np.flatnonzero(peaks.score).tolist():
            score, tick_us = float(peaks.score[k]), int(peaks.tick_us[k])
            f = finding(k, score)
            key = (tick_us // self.step_us, f.detector, f.fault, f.asset_kind, f.asset)
            self._kept[key] = max(self._kept.get(key, (0.0, 0)), (score, tick_us))
        peaks.score.fill(0.0)
        while len(self._kept) > self.room:
            self._coarsen()

    def _coarsen(self) -> None:
        times = {key[0] for key in self._kept}
        if len(times) == 1:  # more places than there is room: the nearest stay
            order = sorted(self._kept.items(), key=lambda item: (-item[1][0], item[0]))
            self._kept = dict(order[: self.room])
            return
        self.step_us *= 2
        kept: dict[tuple[int, str, str, str, str], tuple[float, int]] = {}
        for (_, *place), value in self._kept.items():
            key = (value[1] // self.step_us, *place)
            kept[key] = max(kept.get(key, (0.0, 0)), value)  # type: ignore[index, arg-type]
        self._kept = kept

    @property
    def points(self) -> list[Near]:
        """Everything that came near, but for the time step that goes on."""
        found = (Near(t, *key[1:], s) for key, (s, t) in self._kept.items())
        return sorted(found)
