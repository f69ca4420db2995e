"""How a bad contact grows: three families, so that detectors cannot learn one curve.

No measured joint-growth curve was found (docs/simulation.md); these are assumptions, stated.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.area import HEALTHY_CONTACT_OHM, OPEN_OHM

Floats = NDArray[np.float64]
ARCING_LAST_SHARE = 0.2
"""A contact arcs in the last fifth of its life."""


def contact_resistance(
    times_us: NDArray[np.int64],
    onset_us: int,
    failure_us: int | None,
    cleared_us: int | None,
    family: str,
    ohm_start: float,
    ohm_end: float,
    arcing: float,
    rng: np.random.Generator,
) -> Floats:
    """Resistance of one contact over time, ohm, shape [T].

    Healthy before `onset_us` and from `cleared_us` on, open from `failure_us` on. Without a
    failure it reaches `ohm_end` at the end of the data (or repair). `arcing` is the share of
    steps in the last fifth of its life in which the contact nearly opens.
    """
    end_us = failure_us if failure_us is not None else (cleared_us or int(times_us[-1]) + 1)
    life = max(end_us - onset_us, 1)
    x = np.clip((times_us - onset_us) / life, 0.0, 1.0)
    start = max(ohm_start, HEALTHY_CONTACT_OHM)
    span = np.log(max(ohm_end, start) / start)
    if family == "step":
        # Each disturbance (a gust, a load surge) leaves the contact worse by a random factor.
        at = np.sort(rng.random(7))
        size = rng.dirichlet(np.ones(8) * 2.0)
        level = np.concatenate([[size[0]], size[0] + np.cumsum(size[1:])])
        log_r = span * level[np.searchsorted(at, x, side="right")]
    elif family == "thermal_cycling":
        # Ratchets with each day's warming: most of a day's growth falls into the warm hours.
        days = (times_us - onset_us) / 86.4e9
        log_r = span * np.clip(x + 0.03 * np.sin(2 * np.pi * days) * np.minimum(1, 10 * x), 0, 1)
    else:
        log_r = span * x
    noise = np.exp(_wander(rng, times_us.size, 0.06))
    ohm = start * np.exp(log_r) * noise
    late = x > 1.0 - ARCING_LAST_SHARE
    sparks = late & (rng.random(times_us.size) < arcing)
    ohm = np.where(sparks, ohm * rng.uniform(2.0, 6.0, times_us.size), ohm)
    ohm[times_us < onset_us] = HEALTHY_CONTACT_OHM
    if failure_us is not None:
        ohm[times_us >= failure_us] = OPEN_OHM
    if cleared_us is not None:
        ohm[times_us >= cleared_us] = HEALTHY_CONTACT_OHM
    return np.asarray(ohm)


def _wander(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """A stationary first-order random walk with standard deviation `sigma`."""
    keep = 0.85
    noise = rng.normal(0.0, sigma * np.sqrt(1 - keep**2), n)
    out = np.empty(n)
    level = 0.0
    for i in range(n):
        level = keep * level + noise[i]
        out[i] = level
    return out
