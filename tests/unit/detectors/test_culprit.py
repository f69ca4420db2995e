"""Who counts too little: changes, level and the customer's usual draw weighed together."""

import numpy as np
from numpy.typing import NDArray

from detectors.balance import (
    C_RP,
    EXCESS,
    FROZEN,
    LONG,
    M_P,
    N_AREA,
    N_DEVICE,
    STRAYED,
    V_P,
    V_R,
)
from detectors.compiled import F8
from detectors.culprit import log_odds, stands_out

MONITOR = 0
HONEST = {"usual": 500.0, "now": 500.0, "stray": 100.0, "slope": 0.0, "explains": 0.0}


def odds(*meters: dict[str, float], excess_w: float = 600.0, hours: float = 24.0) -> F8:
    """Log odds of meters behind a monitor, beside forty honest ones."""
    area, devices = np.zeros(N_AREA), np.zeros((1 + len(meters) + 40, N_DEVICE))
    area[[EXCESS, FROZEN, V_R]] = excess_w, hours, 1e6
    told = [*meters, *[HONEST] * 40]
    for row, x in zip(devices[1:], told, strict=True):
        moved = 1e6 * x["explains"] / max(x["slope"], 1e-9) ** 2
        row[[LONG, M_P, STRAYED]] = x["usual"], x["now"], x["stray"] ** 2
        row[[V_P, C_RP]] = moved, x["slope"] * moved
    mine: NDArray[np.float64] = log_odds(area, devices, MONITOR, 1.0)
    return mine


def test_who_misses_the_excess_and_moves_with_it_is_named() -> None:
    thief = {"usual": 800.0, "now": 200.0, "stray": 100.0, "slope": 3.0, "explains": 0.8}

    row, sure = stands_out(odds(HONEST, thief))

    assert row == 2
    assert sure > 3.0


def test_a_customer_of_rare_loads_that_pauses_is_no_culprit() -> None:
    """Hardly counting is usual for it; the thief happens to draw more than ever."""
    pausing = {"usual": 800.0, "now": 50.0, "stray": 900.0, "slope": 12.0, "explains": 0.85}
    thief = {"usual": 600.0, "now": 560.0, "stray": 400.0, "slope": 4.2, "explains": 0.99}

    alone = odds(pausing, hours=16.0)
    beside = odds(pausing, thief, hours=16.0)

    assert stands_out(alone)[1] < 3.0
    assert stands_out(beside)[0] == 2


def test_what_moves_with_the_excess_but_much_less_than_it_is_no_culprit() -> None:
    """A heavy load warms copper as it comes and goes: a hundredth of itself, no multiple of it."""
    heavy = {"usual": 6000.0, "now": 5500.0, "stray": 900.0, "slope": 0.02, "explains": 0.9}

    assert odds(heavy)[1] < 0.0


def test_nobody_stands_out_where_nothing_has_been_seen_yet() -> None:
    assert stands_out(odds(HONEST, hours=0.0))[1] < 0.0
