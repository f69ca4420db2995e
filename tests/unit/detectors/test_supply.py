"""Slow conditions of a transformer: level, winding, balance, leakage; and what only looks alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors.catalogue import FAMILIES
from detectors.engine import Engine
from detectors.leakage import leak_at_no_current, told_of_leakage
from detectors.settings import DetectorSettings
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import (
    START_US,
    STEP_US,
    Floats,
    Street,
    network,
    only,
    step_at,
)

ALONE = only(
    "supply",
    country="EU",
)
DAYS = 9.0
Shape = Callable[[Any, Any], Any]


def judge(
    volts: Shape = lambda t, c: np.zeros(t.size),
    amps: Shape = lambda t, c: np.zeros(t.size),
    leak: Shape = lambda t, neutral: np.zeros(t.size),
) -> list[Finding]:
    """One monitored transformer; what is added to volts and amperes of a phase, and to leakage."""
    net = network(areas=1, branches=0, rated_kva=50.0)
    rng = np.random.default_rng(6)
    n = round(DAYS * 96)
    t = np.arange(n) / 96
    level = 231.0 + 2.0 * np.sin(2 * np.pi * t)
    base = 18.0 + 8.0 * np.cos(2 * np.pi * (t - 0.8))
    values: dict[str, Floats] = {}
    phasor = np.zeros(n, complex)
    for c, name in enumerate("abc"):
        i = base + rng.gamma(2.0, 1.5, n) + amps(t, c)
        values[f"i_{name}"] = i
        values[f"v_{name}"] = level - 0.02 * i + rng.normal(0, 0.1, n) + volts(t, c)
        phasor += i * np.exp(-2j * np.pi * c / 3)
    neutral = np.abs(phasor)
    values["i_residual"] = 0.03 + 0.002 * neutral + rng.normal(0, 0.003, n) + leak(t, neutral)
    engine = Engine(net, ALONE)
    rows = ReadingBatch.of(["T1-TM"], np.zeros(n, int), START_US + np.arange(n) * STEP_US, values)
    return engine.feed("s", rows) + engine.flush()


def raised(found: list[Finding]) -> set[str]:
    return {f.fault for f in found if f.score >= 1}


def test_a_healthy_transformer_is_quiet() -> None:
    assert judge() == []


def test_one_phase_that_steps_up_and_stays_is_its_winding() -> None:
    found = judge(volts=lambda t, c: 3.5 * (t > 6) * (c == 1))

    assert raised(found) == {"transformer_winding"}
    assert found[0].evidence.numbers["phase"] == "b"
    assert found[-1].evidence.numbers["step_percent"] == pytest.approx(1.5, abs=0.4)
    assert found[0].severity == "P2"
    assert (found[0].tick_us - START_US) / 86.4e9 < 7.0


def step_of_phase_b(who: str) -> list[Finding]:
    """Phase b 3 % lower from day 5 on for whoever's name begins so, all meters mute on day 7."""
    net = network(areas=1, branches=3, meters=6)
    batch = Street(net, DAYS).readings()
    point = {u.id: u.phase for u in net.usage_points}
    on_b = np.array([point.get(d.usage_point or "") == "b" for d in net.devices])
    named = {d.id: i for i, d in enumerate(net.devices)}
    at = np.array([named[n] for n in batch.names])[batch.device]
    late = batch.time > START_US + 5 * 86_400_000_000
    late &= np.array([n.startswith(who) for n in batch.names])[batch.device]
    meter = np.array([n != "T1-TM" for n in batch.names])[batch.device]
    v_a, v_b = (np.array(batch.value(n), float) for n in ("v_a", "v_b"))
    v_a[late & meter & on_b[at]] *= 0.97
    v_b[late & ~meter] *= 0.97
    values = {**batch.values, "v_a": v_a, "v_b": v_b}
    batch = ReadingBatch.of(batch.names, batch.device, batch.time, values)
    mute = meter & (batch.time > START_US + 7 * 86_400_000_000)
    mute &= batch.time < START_US + 8 * 86_400_000_000

    engine = Engine(net, DetectorSettings(country="EU", disabled=("records", "sensor", "outage")))
    return engine.feed("s", batch.select(~mute)) + engine.flush()


@pytest.mark.parametrize(
    ("who", "told"),
    [("T1-", {("transformer_winding", "T1")}), ("T1-TM", {("sensor_fault", "T1-TM")})],
)
def test_a_step_that_no_meter_shows_is_the_monitors_own(
    who: str, told: set[tuple[str, str]]
) -> None:
    """Neither a winding, nor joints of all branches; and mute meters take nothing back."""
    found = step_of_phase_b(who)

    assert {(f.fault, f.asset) for f in found if f.score >= 1} == told


@pytest.mark.parametrize("volt", [5.5, -5.5])
def test_a_tap_change_moves_all_phases_and_is_nothing(volt: float) -> None:
    assert judge(volts=lambda t, c: np.where(t > 6, volt, 0.0)) == []


def test_half_a_day_above_the_limit_is_over_voltage() -> None:
    found = judge(volts=lambda t, c: np.where(t > 6, 26.0, 0.0))

    assert raised(found) == {"over_voltage"}
    assert found[0].severity == "P3"


def test_a_level_fallen_to_the_limit_is_under_voltage() -> None:
    assert raised(judge(volts=lambda t, c: np.where(t > 6, -20.0, 0.0))) == {"under_voltage"}


def test_an_hour_outside_the_limit_is_nothing() -> None:
    assert judge(volts=lambda t, c: np.where((t > 6) & (t < 6.05), 30.0, 0.0)) == []


def test_evenings_on_one_phase_are_unbalance() -> None:
    evening = lambda t, c: 60.0 * ((t > 6) & (t % 1 > 0.7)) * (c == 0)  # noqa: E731

    assert raised(judge(amps=evening)) == {"unbalance"}


def test_a_workshop_on_one_phase_that_was_always_there_is_no_unbalance() -> None:
    """By day alone and not at weekends, so it is in the mean by a third only."""
    workday = lambda t, c: 60.0 * ((t % 1 > 0.3) & (t % 1 < 0.65) & (t % 7 < 5)) * (c == 0)  # noqa: E731

    assert raised(judge(amps=workday)) == set()


def test_leakage_that_grows_is_found_early() -> None:
    found = judge(leak=lambda t, n: 0.3 * np.clip(t - 5, 0, None))

    assert raised(found) == {"insulation_leakage"}
    assert float(found[0].evidence.numbers["residual_a"] or 0) < 0.5


def test_more_neutral_current_is_no_leakage() -> None:
    """Part of it returns through the earth, as it always did."""
    evening = lambda t, c: 25.0 * ((t > 6) & (t % 1 > 0.7)) * (c == 0)  # noqa: E731

    found = judge(amps=evening, leak=lambda t, n: 0.002 * np.maximum(n - 20.0, 0.0) * (t > 6))

    assert "insulation_leakage" not in raised(found)


def test_a_step_of_less_than_a_percent_of_one_phase_is_seen_as_well() -> None:
    found = judge(volts=lambda t, c: 1.7 * (t > 6) * (c == 1))

    assert raised(found) == {"transformer_winding"}
    assert found[-1].evidence.numbers["phase"] == "b"


@pytest.mark.parametrize("leak_a", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_bad_neutral_returns_is_told_apart_from_leakage(leak_a: float, seed: int) -> None:
    """A day of a contact that worsens: a share of the neutral's current, whatever its angle."""
    rng = np.random.default_rng(seed)
    amps = rng.gamma(1.2, 10.0, 96) * np.exp(1j * rng.uniform(0.0, 2 * np.pi, 96))
    share = np.geomspace(0.01, 0.04, 96) * np.exp(rng.normal(0, 0.1, 96))
    residual = np.abs(share * amps + leak_a) + np.abs(rng.normal(0, 0.01, 96))
    pairs = zip(np.abs(amps) ** 2, residual**2, strict=True)

    found_a, error_a2 = leak_at_no_current(np.sum([told_of_leakage(*xy) for xy in pairs], axis=0))

    assert found_a == pytest.approx(leak_a, abs=0.08)
    assert (found_a**2 > 4.0 * error_a2 and found_a > 0.12) == (leak_a > 0.0)


def leaking(street: Street, leak: Callable[[str, Floats, Floats], Floats]) -> list[Finding]:
    """What is found where `leak(area, days, neutral ampere)` flows at the transformers."""
    rows = street.readings()
    residual = np.full(len(rows), np.nan)
    for t in street.net.transformers:
        own = rows.device_names() == f"{t.id}-TM"
        days = (rows.time[own] - START_US) / 86.4e9
        phases = np.stack([np.array(rows.value(f"i_{c}"), float)[own] for c in "abc"])
        neutral = np.abs(np.exp(-2j * np.pi / 3 * np.arange(3)) @ phases)
        residual[own] = 0.02 + leak(t.id, days, neutral)
    values = {**rows.values, "i_residual": residual}
    rows = ReadingBatch.of(rows.names, rows.device, rows.time, values)
    keep = {"supply", "neutral", "transformer"}
    engine = Engine(street.net, DetectorSettings(disabled=tuple({f.name for f in FAMILIES} - keep)))
    return engine.feed("s", rows) + engine.flush()


def leaks(found: list[Finding]) -> set[str]:
    return {f.asset for f in found if f.fault == "insulation_leakage" and f.score >= 1}


def test_leakage_beside_a_loose_neutral_is_found_and_the_neutral_alone_is_none() -> None:
    worn = {"T1-B1": step_at(5.0, 1.0), "T2-B1": step_at(5.0, 1.0)}

    found = leaking(
        Street(network(areas=2), 9.0, neutral=worn),
        lambda area, t, n: np.hypot(
            np.where(t >= 5.0, 0.03, 0.002) * n, 0.4 * (t >= 5.0) * (area == "T1")
        ),
    )

    assert leaks(found) == {"T1"}
    assert "neutral_loose" in raised(found)


def test_new_load_on_one_phase_is_no_leakage() -> None:
    """The residual current follows the neutral's as it always did, to where it had never been."""
    workshop = lambda t: 14000.0 * (t >= 5.0) * (t % 1 > 0.5)  # noqa: E731
    street = Street(
        network(areas=2, rated_kva=50.0),
        9.0,
        load={"T1-B1-1": workshop, "T2-B1-1": workshop},
    )

    found = leaking(
        street,
        lambda area, t, n: np.hypot(
            0.002 * n + 0.02 * np.maximum(n - 15.0, 0.0), 0.4 * (t >= 5.0) * (area == "T1")
        ),
    )

    assert leaks(found) == {"T1"}


def test_a_neutral_that_breaks_and_is_mended_leaves_neither_leakage_nor_winding() -> None:
    """One heavy phase gives the displacement a direction as steady as a winding's."""

    def broken(t: Floats) -> Any:
        return (t >= 6.0) & (t < 6.3)

    street = Street(
        network(areas=1),
        7.5,
        load={"T1-B1-1": lambda t: 5000.0 * (t % 1 > 0.4)},
        neutral={"T1": lambda t: np.where(broken(t), 3.0, 0.05) * ((t >= 5.5) & (t < 6.3))},
    )

    found = leaking(street, lambda area, t, n: n * np.where(broken(t), 0.1, 0.0025))

    assert raised(found) == {"neutral_broken", "neutral_loose"}
