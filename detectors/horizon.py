"""How fast an open condition grows, and when it will have gone too far.

A contact, a leak, a warm terminal is `y = (a + b t) x`: what is left over in a frame, along the
current that causes it (or along 1), with a size `a` now and a growth `b`. Least squares over the
frames since the condition was suspected, older ones forgotten over a day. Windows that fill up
would make every step look like growth; this does not.

From size and growth follows the time to a limit: straight ahead at the latest, compounding
(`b / a` a day stays) at the earliest. Faults of contacts compound, so the expected time lies
between.
Nothing is said unless the growth is sure, and unless the limit lies within two months.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Stateful, rounded

FORGET_H: Final = 24.0
LEAST_FRAMES: Final = 24
LEAST_H: Final = 6.0
SURE: Final = 3.0  # standard errors of the growth, before anything is said
TAIL: Final = 1.64  # of the interval: nine in ten
TOGETHER: Final = 2.0  # neighbouring residuals cohere: so much larger is the true variance
FARTHEST_H: Final = 60.0 * 24.0

Rows = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

AGE_H, N, S0, S1, S2, Y0, Y1, YY = range(8)
N_GROWTH: Final = 8
PAUSE_US: Final = 2 * 86_400_000_000  # unsuspected for so long, the next suspicion begins afresh


@dataclass(frozen=True, slots=True)
class Outlook:
    """Size now, growth a day, hours until the limit with a 90 % interval (None: not said)."""

    size: float
    per_day: float
    hours: float | None = None
    low_h: float | None = None
    high_h: float | None = None

    def numbers(self, digits: int = 3) -> dict[str, float | int | str | None]:
        """The growth as evidence."""
        out: dict[str, float | int | str | None] = {"growth_per_day": rounded(self.per_day, digits)}
        if self.hours is not None:
            out["horizon_low_h"] = rounded(self.low_h or 0.0, 1)
            out["horizon_high_h"] = rounded(self.high_h or 0.0, 1)
        return out


NOTHING: Final = Outlook(math.nan, math.nan)


class Growth:
    """Moments of the suspected rows of a detector: 40 bytes a row, touched while suspected."""

    def __init__(self, owner: Stateful, name: str, axis: Axis, rows: int) -> None:
        self.moments = owner._array(name, axis, (rows, N_GROWTH), np.float32)
        self.at = owner._array(f"{name}_at", axis, rows, np.int64)

    def follow(self, rows: Rows, tick_us: int, x: Floats, y: Floats) -> None:
        """Add one frame of suspected rows: cause x (1 where there is none) and residual y."""
        if not rows.size:
            return  # nearly always
        seen = np.isfinite(x) & np.isfinite(y)
        rows, x, y = rows[seen], x[seen], y[seen]
        if not rows.size:
            return
        m = self.moments[rows].astype(np.float64)
        at = self.at[rows]
        self.at[rows] = tick_us
        fresh = (at == 0) | (tick_us - at > PAUSE_US)
        m[fresh] = 0.0
        h = np.where(fresh, 0.0, (tick_us - at) / 3.6e9)
        keep = np.exp(-h / FORGET_H)
        # Time is counted from now: moving on shifts the moments.
        m[:, S2] = keep * (m[:, S2] - 2.0 * h * m[:, S1] + h * h * m[:, S0])
        m[:, S1] = keep * (m[:, S1] - h * m[:, S0])
        m[:, S0] = keep * m[:, S0] + x * x
        m[:, Y1] = keep * (m[:, Y1] - h * m[:, Y0])
        m[:, Y0] = keep * m[:, Y0] + x * y
        m[:, YY] = keep * m[:, YY] + y * y
        m[:, N] = keep * m[:, N] + 1.0
        m[:, AGE_H] += h
        self.moments[rows] = m

    def outlook(self, row: int, limit: float) -> Outlook:
        """What the row's growth lets expect of reaching `limit`, in the unit of y / x."""
        age_h, n, s0, s1, s2, y0, y1, yy = (float(v) for v in self.moments[row])
        det = s0 * s2 - s1 * s1
        if n < LEAST_FRAMES * 0.7 or age_h < LEAST_H or det <= 1e-9 * max(s0 * s2, 1e-12):
            return NOTHING
        a = (y0 * s2 - y1 * s1) / det
        b = (y1 * s0 - y0 * s1) / det
        left = TOGETHER * max(yy - a * y0 - b * y1, 0.0) / max(n - 2.0, 1.0)
        se_a, se_b = math.sqrt(left * s2 / det), math.sqrt(left * s0 / det)
        if a <= 0.0:
            return NOTHING
        grown = Outlook(a, 24.0 * b)
        if b <= 0.0 or b < SURE * se_b or not a < limit:
            return grown
        centre = max(-s1 / s0, 0.0)  # age of what the line was fitted to, hours
        now, rate = _compounding(a, b, centre)
        most, fastest = _compounding(a + TAIL * se_a, b + TAIL * se_b, centre)
        straight, compound = (limit - a) / b, math.log(max(limit / now, 1.0)) / rate
        low = math.log(max(limit / most, 1.0)) / max(fastest, rate)
        high = (limit - a + TAIL * se_a) / max(b - TAIL * se_b, 1e-12)
        if high > FARTHEST_H or compound <= 0.0:
            return grown
        return Outlook(a, 24.0 * b, math.sqrt(straight * compound), low, high)


def _compounding(a: float, b: float, centre_h: float) -> tuple[float, float]:
    """Size now and rate per hour of the exponential whose straight fit is `a + b t`.

    With weights that fade over c hours, a straight line through exp(g t) has
    b / a = g / (1 + 2 g c) and a = (1 + 2 g c) / (1 + g c)^2.
    """
    q = b / a
    g = q / max(1.0 - 2.0 * q * centre_h, 0.2)
    return a * (1.0 + g * centre_h) ** 2 / (1.0 + 2.0 * g * centre_h), g
