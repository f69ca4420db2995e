"""Where the fault is: meters, calls and pings on one tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from alerts.locating import Locator, Says, Sign
from alerts.places import Asset
from tests.unit.alerts.town import town

NETWORK = town()
POINTS = [f"T1-B{b}-{i}" for b in (1, 2) for i in (1, 2, 3)]


def says(what: Says, points: Sequence[str]) -> list[Sign]:
    out = []
    for point in points:
        node = NETWORK.node("usage_point", point)
        assert node is not None
        out.append(Sign(node, what, f"M-{point}"))
    return out


def node(kind: str, asset: str) -> int:
    found = NETWORK.node(kind, asset)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def locator() -> Locator:
    return Locator(NETWORK)


def test_a_third_of_the_last_gasps_is_enough(locator: Locator) -> None:
    elsewhere = says("alive", ["T2-B1-1", "T2-B2-1"])
    found = locator.locate([*says("gasp", POINTS[::3]), *says("silent", POINTS), *elsewhere])

    assert found.faults == (("transformer", "T1"),)
    assert found.candidates[0].asset == ("transformer", "T1")
    assert found.candidates[0].odds > 0.9
    assert found.candidates[0].signs == {"gasp": 2, "silent": 6}


def test_living_neighbours_bring_it_down_to_the_branch(locator: Locator) -> None:
    found = locator.locate([*says("gasp", POINTS[:3]), *says("alive", POINTS[3:])])

    assert found.faults == (("branch", "T1-B1"),)


def test_an_answered_ping_moves_a_prediction_downstream(locator: Locator) -> None:
    signs = [*says("gasp", POINTS[:2]), *says("silent", POINTS[:3])]
    before = locator.locate([*signs, *says("silent", POINTS[3:])])
    after = locator.locate([*signs, *says("answers", POINTS[3:])])

    assert before.candidates[0].asset == ("transformer", "T1")
    assert after.candidates[0].asset == ("branch", "T1-B1")


def test_calls_alone_give_odds_before_they_give_certainty(locator: Locator) -> None:
    found = locator.locate(says("call", [POINTS[0], POINTS[4]]), node("usage_point", POINTS[0]))

    assert found.faults == ()
    odds = {c.asset: c.odds for c in found.candidates}
    assert odds["transformer", "T1"] > odds["usage_point", POINTS[0]] > 0
    assert sum(odds.values()) == pytest.approx(1.0)


def test_calls_join_the_meters(locator: Locator) -> None:
    few = [*says("gasp", POINTS[:1]), *says("silent", POINTS[:1])]
    calls = says("call", [POINTS[3], POINTS[4]])

    assert locator.locate(few).faults == (("usage_point", POINTS[0]),)
    assert locator.locate([*few, *calls]).faults == (("transformer", "T1"),)


def test_a_device_that_telemetry_shows_closed_is_never_predicted(locator: Locator) -> None:
    signs = [*says("gasp", POINTS), *says("silent", POINTS)]

    found = locator.locate(signs, closed=[node("transformer", "T1")])

    assert ("transformer", "T1") not in [c.asset for c in found.candidates]
    assert ("transformer", "T1") not in found.faults


def test_several_faults_at_once_are_several(locator: Locator) -> None:
    other = [p.replace("T1", "T2") for p in POINTS[:3]]
    signs = [*says("gasp", POINTS), *says("gasp", other)]
    signs += says("alive", [p.replace("T1", "T2") for p in POINTS[3:]])

    found = locator.locate(signs, node("usage_point", other[0]))

    assert set(found.faults) == {("transformer", "T1"), ("branch", "T2-B1")}
    assert found.candidates[0].asset == ("branch", "T2-B1")


def test_a_living_meter_in_a_dark_place_is_suspected_of_a_wrong_record(locator: Locator) -> None:
    signs = [*says("gasp", POINTS[:5]), *says("alive", POINTS[5:])]

    found = locator.locate(signs)

    assert found.faults == (("transformer", "T1"),)
    assert [(s.device, s.perhaps) for s in found.suspects] == [(f"M-{POINTS[5]}", None)]


def test_a_last_gasp_elsewhere_may_belong_to_the_dark_place(locator: Locator) -> None:
    stray = "T2-B2-2"
    found = locator.locate(
        [*says("gasp", [*POINTS, stray]), *says("alive", ["T2-B2-1", "T2-B2-3"])]
    )

    expected: Asset = ("transformer", "T1")
    assert [(s.device, s.perhaps) for s in found.suspects] == [(f"M-{stray}", expected)]


def test_a_part_that_has_supply_again_is_no_suspect(locator: Locator) -> None:
    signs = [*says("gasp", POINTS[:5]), *says("alive", ["T1-B2-2", "T1-B2-3"])]

    assert locator.locate(signs).suspects == ()


def test_without_any_sign_nothing_is_located(locator: Locator) -> None:
    found = locator.locate([])

    assert (found.faults, found.candidates, found.suspects) == ((), (), ())


def at(signs: list[Sign], at_us: int) -> list[Sign]:
    return [replace(s, at_us=at_us + i * 1_000_000) for i, s in enumerate(signs)]


def lone(others: Says) -> list[Sign]:
    """One meter that has gasped and is silent; of its area and the next this is heard."""
    near = [p for p in (*POINTS, *(p.replace("T1", "T2") for p in POINTS)) if p != POINTS[0]]
    return [*says("gasp", POINTS[:1]), *says("silent", POINTS[:1]), *says(others, near)]


def test_one_meter_that_gasped_is_a_fault_where_its_neighbours_speak(locator: Locator) -> None:
    assert locator.locate(lone("alive")).faults == (("usage_point", POINTS[0]),)


def test_one_meter_is_only_listed_where_many_living_ones_are_silent_too(locator: Locator) -> None:
    half = [p for i, p in enumerate(POINTS[1:]) if i % 2]
    elsewhere = [p.replace("T1", "T2") for p in POINTS]
    signs = [
        *says("gasp", POINTS[:1]),
        *says("silent", [POINTS[0], *half, *elsewhere[::2]]),
        *says("alive", [p for p in POINTS[1:] if p not in half] + elsewhere[1::2]),
    ]

    assert locator.locate(signs).faults == ()


def test_a_lone_gasp_in_the_seconds_of_a_larger_outage_is_a_meter_recorded_elsewhere(
    locator: Locator,
) -> None:
    other = "T2-B2-2"
    dark = [*at(says("gasp", POINTS), 1_000_000_000), *says("silent", [*POINTS, other])]
    rest = says("alive", [f"T2-B{b}-{i}" for b in (1, 2) for i in (1, 2, 3) if (b, i) != (2, 2)])
    fault: Asset = ("transformer", "T1")

    together = locator.locate([*dark, *at(says("gasp", [other]), 1_004_000_000), *rest])
    later = locator.locate([*dark, *at(says("gasp", [other]), 1_300_000_000), *rest])

    assert together.faults == (fault,)
    assert [(s.device, s.perhaps) for s in together.suspects] == [(f"M-{other}", fault)]
    assert set(later.faults) == {fault, ("usage_point", other)}
