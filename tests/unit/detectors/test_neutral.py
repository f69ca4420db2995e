"""Neutral faults are found while they grow, at the right place, and nothing else is."""

import pytest

from detectors.displacement import line_voltage
from detectors.engine import Engine
from grid.records import Finding
from tests.unit.detectors.street import START_US, Street, growing, network, only, step_at


def judge(street: Street) -> list[Finding]:
    engine = Engine(street.net, only("neutral"))
    return engine.feed("s", street.readings()) + engine.flush()


def raised(found: list[Finding]) -> set[tuple[str, str, str]]:
    return {(f.fault, f.asset_kind, f.asset) for f in found if f.score >= 1}


def day(f: Finding) -> float:
    return (f.tick_us - START_US) / 86.4e9


def test_a_loosening_neutral_of_a_branch_is_found_before_it_is_dangerous() -> None:
    """0.01 to 1 ohm within a day: known before it has reached a third of an ohm."""
    street = Street(network(), 4.5, neutral={"T1-B1": growing(3.0, 4.0, 1.0)})

    found = judge(street)

    first = next(f for f in found if f.score >= 1)
    assert (first.fault, first.asset_kind, first.asset, first.severity) == (
        "neutral_loose",
        "branch",
        "T1-B1",
        "P2",
    )
    assert day(first) < 3.77  # 0.35 ohm
    assert first.evidence.numbers["added_resistance_ohm"] == pytest.approx(0.3, abs=0.25)
    assert first.devices == tuple(f"T1-B1-{k}" for k in range(1, 7))


def test_what_follows_the_neutral_current_closely_is_known_while_it_is_small() -> None:
    """0.006 to 0.6 ohm in five days: known a tenth of an ohm, and days, before the end."""
    street = Street(network(), 8.0, neutral={"T1-B1": growing(3.0, 8.0, 0.6)}, seed=1)

    first = next(f for f in judge(street) if f.score >= 1)

    assert (first.fault, first.asset) == ("neutral_loose", "T1-B1")
    assert day(first) < 6.5  # 0.15 ohm
    assert 0.7 < first.evidence.numbers["explained"] <= 1.0  # type: ignore[operator]


def test_a_broken_neutral_is_known_within_two_intervals() -> None:
    street = Street(
        network(), 4.0, neutral={"T2-B2": step_at(3.0, 4.0)}, load={"T2-B2-1": step_at(0.0, 4000.0)}
    )

    broken = [f for f in judge(street) if f.fault == "neutral_broken" and f.score >= 1]

    assert (broken[0].asset, broken[0].severity) == ("T2-B2", "P1")
    assert day(broken[0]) <= 3.0 + 2 / 96


def test_the_neutral_of_the_transformer_is_one_finding_at_the_transformer() -> None:
    street = Street(network(), 4.0, neutral={"T1": growing(3.0, 3.6, 0.5)})

    assert raised(judge(street)) <= {
        ("neutral_loose", "transformer", "T1"),
        ("neutral_broken", "transformer", "T1"),
    }
    assert ("neutral_loose", "transformer", "T1") in raised(judge(street))


def test_without_a_monitor_all_branches_together_mean_the_transformer() -> None:
    street = Street(network(monitor=False), 4.0, neutral={"T1": growing(3.0, 3.6, 0.8)})

    assert ("transformer", "T1") in {(k, a) for _, k, a in raised(judge(street))}


def test_without_a_monitor_one_branch_means_the_branch() -> None:
    street = Street(network(monitor=False), 4.0, neutral={"T1-B2": growing(3.0, 3.6, 1.0)})

    assert {(k, a) for _, k, a in raised(judge(street))} == {("branch", "T1-B2")}


def test_a_joint_in_one_phase_is_not_a_neutral() -> None:
    """One phase falls with its own current, none rises."""
    street = Street(network(), 4.5, joint={"T1-B1": growing(3.0, 3.6, 0.5)})

    assert raised(judge(street)) == set()


def test_a_new_vehicle_on_one_phase_is_not_a_neutral() -> None:
    evening = {
        "T1-B1-4": lambda days: 7000.0 * ((days > 3) & (days % 1 > 0.75) & (days % 1 < 0.95))
    }
    street = Street(network(), 6.0, load=evening)

    assert raised(judge(street)) == set()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_healthy_weeks_are_quiet(seed: int) -> None:
    assert raised(judge(Street(network(), 21.0, seed=seed, missing=0.05))) == set()


def test_the_broken_neutral_ends_when_it_is_mended() -> None:
    street = Street(network(), 5.0, neutral={"T1-B1": lambda d: 3.0 * ((d > 3) & (d < 3.5))})

    found = judge(street)

    last = {f.fault: f for f in found}
    assert all(f.score < f.clear_below for f in last.values())
    assert 3.3 < day(last["neutral_broken"]) < 3.6


@pytest.mark.parametrize("shift", [0.0, 20 + 10j, -60 - 35j, 90j])
def test_line_voltage_is_seen_through_any_displacement_of_the_neutral(shift: complex) -> None:
    corners = [230 * complex(1), 230 * complex(-0.5, 0.75**0.5), 230 * complex(-0.5, -(0.75**0.5))]

    u = line_voltage(*(abs(c - shift) for c in corners))

    assert u == pytest.approx(230 * 3**0.5)


def test_a_lost_medium_voltage_phase_is_no_line_triangle() -> None:
    u = line_voltage(231.0, 115.0, 116.0)

    assert not u > 0.9 * 230 * 3**0.5
