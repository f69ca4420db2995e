"""Hot terminals: long before the absolute limit, and not because of weather or load."""

import math
from collections.abc import Callable

import numpy as np

from detectors.catalogue import FAMILIES
from detectors.engine import Engine
from detectors.settings import DetectorSettings
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, STEP_US, Floats, network, only

ALONE = only("terminal")


def judge(
    extra: Callable[[Floats, Floats], Floats],
    days: float = 8.0,
    stuck_day: float = math.inf,
    settings: DetectorSettings = ALONE,
) -> list[Finding]:
    """Nine meters under one sun; `extra(days, ampere)` kelvin on the first, and from `stuck_day` on
    it repeats its reading."""
    net = network(areas=1, branches=1, meters=9, monitor=False)
    rng = np.random.default_rng(2)
    n = round(days * 96)
    t = np.arange(n) / 96
    sun = 20.0 + 8.0 * np.sin(2 * np.pi * t)
    batches = []
    for i, d in enumerate(x for x in net.devices if x.kind == "meter"):
        current = rng.gamma(2.0, 3.0, n)
        warm = sun + 0.005 * current**2 + rng.normal(0, 0.2, n)
        if i == 0:
            warm = warm + extra(t, current)
        level = 230.0 + 3.0 * np.sin(2 * np.pi * t) + rng.normal(0, 0.2, n)
        values = {"v_a": level, "i_a": current, "t_terminal": warm}
        if i == 0 and stuck_day < days:
            first = round(stuck_day * 96)
            for v in values.values():
                v[first:] = v[first]
        time = START_US + np.arange(n) * STEP_US
        batches.append(ReadingBatch.of([d.id], np.zeros(n, int), time, values))
    engine = Engine(net, settings)
    return engine.feed("s", ReadingBatch.concat(batches).sort()) + engine.flush()


def test_a_contact_going_bad_is_found_while_it_is_merely_warm() -> None:
    found = judge(lambda t, i: np.where(t > 5, 0.02 * i**2, 0.0))

    assert {f.asset for f in found} == {"U-T1-B1-1"}
    assert (found[0].fault, found[0].severity) == ("hot_terminal", "P2")
    assert float(found[0].evidence.numbers["terminal_c"] or 0) < 70.0


def test_ninety_degrees_is_an_emergency_from_the_first_reading() -> None:
    found = judge(lambda t, i: np.where(t > 0.5, 75.0, 0.0), days=1.0)

    assert found[0].severity == "P1"
    assert found[0].tick_us - START_US <= 0.52 * 86.4e9


def test_sun_and_load_leave_it_quiet() -> None:
    assert judge(lambda t, i: np.zeros(t.size), days=15.0) == []


def test_a_meter_stuck_by_day_is_no_hot_terminal_in_the_evening() -> None:
    keep = {"terminal", "meter"}
    both = DetectorSettings(disabled=tuple({f.name for f in FAMILIES} - keep))

    found = judge(lambda t, i: np.zeros(t.size), stuck_day=6.5, settings=both)

    assert {f.fault for f in found if f.score >= 1} == {"meter_health"}
