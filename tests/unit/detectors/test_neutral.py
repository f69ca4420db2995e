"""Neutral faults are found while they grow, at the right place, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.displacement import (
    DOWN,
    I_0,
    LAST_SIZE,
    LEVEL,
    LINE,
    N_PLACE,
    N_STATE,
    READINGS,
    UP,
    Z_IM,
    Z_RE,
    line_voltage,
)
from detectors.displacement import (
    test_places as follow_places,
)
from detectors.engine import Engine
from detectors.neutral import CROWD, NO_BOUND, NeutralDetector
from grid.readings import ReadingBatch
from grid.records import NOT_ENOUGH, WATCH_LIST, Finding
from tests.unit.detectors.street import (
    START_US,
    Course,
    Street,
    growing,
    network,
    only,
    step_at,
)


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


def test_of_no_branch_on_record_it_is_the_line_of_the_transformer() -> None:
    """Half of the customers have no meter: the monitor's currents tell what the neutral carries."""
    net = network(areas=1, branches=1, meters=12)
    points = tuple(replace(u, branch=None) for u in net.usage_points)
    rows = Street(net, 4.5, neutral={"T1-B1": growing(3.0, 4.0, 1.0)}).readings()
    dumb = np.array([n.endswith(tuple("123456")) and "12" not in n for n in rows.names])
    engine = Engine(replace(net, usage_points=points), only("neutral"))

    found = engine.feed("s", rows.select(~dumb[rows.device])) + engine.flush()

    assert {(k, a) for _, k, a in raised(found)} == {("transformer", "T1")}
    first = next(f for f in found if f.score >= 1)
    assert first.fault == "neutral_loose"
    assert first.devices == tuple(f"T1-B1-{k}" for k in range(1, 13))


def test_one_meter_that_reads_nonsense_twice_is_no_broken_neutral() -> None:
    """Half as much again, at one of three meters on its phase; no monitor holds the others."""
    street = Street(network(areas=1, branches=1, meters=9, monitor=False), 5.0)
    rows = street.readings()
    twice = np.abs(rows.time - START_US - round(4.5 * 86400e6)) < 1_000_000_000
    mine = twice & (rows.device == rows.names.index("T1-B1-1"))
    v = np.array(rows.value("v_a"), float) * np.where(mine, 1.5, 1.0)
    engine = Engine(street.net, only("neutral"))

    found = engine.feed("s", ReadingBatch.of(rows.names, rows.device, rows.time, {"v_a": v}))

    assert mine.sum() >= 2
    assert raised(found + engine.flush()) == set()


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


def evening(*meters: str, watts: float = 7000.0) -> dict[str, Course]:
    """A new load on some meters, from the fourth evening on."""
    return {
        m: lambda days: watts * ((days > 3) & (days % 1 > 0.75) & (days % 1 < 0.95)) for m in meters
    }


def test_without_currents_an_evenings_displacement_may_be_load_and_waits() -> None:
    """A neutral displaces by day and by night; until then nobody can tell, so no crew is sent."""
    net = network(monitor=False)
    loaded = Street(net, 5.5, load=evening("T1-B1-1", "T1-B1-4", watts=14000.0), current=False)
    loose = Street(net, 5.5, neutral={"T1-B1": growing(3.0, 4.0, 4.0)}, current=False)

    load, neutral = (
        [f for f in judge(s) if f.fault == "neutral_loose" and f.score >= 1]
        for s in (loaded, loose)
    )

    assert {f.evidence.numbers.get(WATCH_LIST) for f in load} == {NOT_ENOUGH}
    assert [f.evidence.numbers.get(WATCH_LIST) for f in (neutral[0], neutral[-1])] == [
        NOT_ENOUGH,
        None,
    ]
    assert {f.asset for f in neutral} == {"T1-B1"}


def test_without_a_monitor_what_two_branches_share_comes_from_above_them() -> None:
    """A third branch is calm, so it is not the area's neutral either: nobody can tell from here."""
    net = network(areas=1, branches=3, monitor=False)
    both = {b: growing(3.0, 4.0, 1.0) for b in ("T1-B1", "T1-B2")}
    one = {"T1-B1": growing(3.0, 4.0, 1.0)}

    shared, alone = (
        [
            f.evidence.numbers.get(WATCH_LIST)
            for f in judge(Street(net, 4.5, neutral=neutral))
            if f.fault == "neutral_loose" and f.score >= 1.0
        ]
        for neutral in (both, one)
    )

    assert set(shared) == {NOT_ENOUGH}
    assert alone[-1] is None


def test_a_neutral_current_far_beyond_the_usual_is_new_load() -> None:
    """The slope was learned with 4 A; at 20 A it may be another, unless a monitor shows it."""
    rng = np.random.default_rng(3)
    scores = []
    for bound in (NO_BOUND, CROWD):
        limits = np.array([[w, 0.08, 1.0, 1.7, 6.5, 0.5, 0, bound] for w in (0, 1)])
        state, score = np.zeros((1, N_STATE)), np.zeros((1, 2))
        for k in range(300):
            place = np.zeros((1, N_PLACE))
            amps = rng.normal(0, 4.0 if k < 288 else 20.0, 3)
            i = amps @ np.exp(-2j * np.pi / 3 * np.arange(3))
            z = -i * (0.05 if k < 288 else 0.4) + rng.normal(0, 0.05)
            place[0, Z_RE], place[0, Z_IM] = z.real, z.imag
            place[0, I_0 : I_0 + 3] = amps
            place[0, [LEVEL, LINE, READINGS]] = np.nan, 1.0, 6.0
            follow_places(place, state, score, 1344.0, 192.0, (0.78, 0.98), limits)
        scores.append(float(score[0, 0]))

    assert scores[0] >= 1.0
    assert scores[1] == 0.9


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


def test_a_monitor_that_misses_readings_moves_no_neutral() -> None:
    """Against the meters' own mean a stepped winding looks like a displaced star point."""
    street = Street(network(), 9.0)
    rows = street.readings()
    late = rows.time >= START_US + round(5 * 86400e6)
    monitor = np.array([n.endswith("-TM") for n in rows.names])[rows.device]
    phase_a = np.array([n.endswith(("-TM", "-1", "-4")) for n in rows.names])[rows.device]
    v_a = np.array(rows.value("v_a"), float)
    v_a[late & phase_a] *= 1.05
    lost = monitor & (np.random.default_rng(4).random(len(rows)) < 0.2)
    rows = ReadingBatch.of(rows.names, rows.device, rows.time, {**rows.values, "v_a": v_a})
    engine = Engine(street.net, only("neutral"))

    found = engine.feed("s", rows.select(~lost)) + engine.flush()

    assert raised(found) == set()


def test_branches_have_moved_from_the_first_reading_beyond_a_broken_neutrals_limit() -> None:
    """It is told by the second; but drops of the first are no joints'."""
    engine = Engine(network(), only("neutral"))
    (neutral,) = (d for d in engine.families.groups[0] if isinstance(d, NeutralDetector))
    neutral.area_state[0, LAST_SIZE] = 1.2
    neutral._area_score[:] = 0.0

    neutral._note_moved()

    assert neutral.moved_runs().tolist() == [True, True, False, False]


@pytest.mark.parametrize(("amps", "least"), [(3.0, 1.0), (150.0, 0.0)])
def test_what_carries_a_hundred_amperes_is_not_broken(amps: float, least: float) -> None:
    """Twenty volts of displacement: through little current the neutral is open, through much the
    line is long or a joint of one phase bad."""
    rng = np.random.default_rng(3)
    limits = np.array([[w, 0.08, 1.0, 1.7, 6.5, 0.5, 0, NO_BOUND] for w in (0, 1)])
    state, score = np.zeros((1, N_STATE)), np.zeros((1, 2))
    for k in range(303):
        place = np.zeros((1, N_PLACE))
        late = k >= 300
        flow = rng.normal(0, 2.0, 3) + np.array([amps, 0.0, 0.0]) * late
        z = rng.normal(0, 0.2) - 20.0 * late + 0j
        place[0, Z_RE], place[0, Z_IM] = z.real, z.imag
        place[0, I_0 : I_0 + 3] = flow
        place[0, [UP, DOWN]] = 10.0 * late, 20.0 * late
        place[0, [LEVEL, LINE, READINGS]] = np.nan, 1.0, 6.0
        follow_places(place, state, score, 1344.0, 192.0, (0.78, 0.98), limits)

    broken = float(score[0, 1])
    assert broken >= least
    assert (broken >= 1.0) == (least > 0.0)


@pytest.mark.parametrize("moved", [1, 2])
def test_a_customers_neutral_is_its_own_only_if_no_neighbour_moves_with_it(moved: int) -> None:
    """Of nine three-phase customers of a branch so many are displaced from the third day on."""
    net = network(areas=1, branches=1, meters=9)
    points = tuple(replace(u, phase="abc") for u in net.usage_points)
    net = replace(net, usage_points=points)
    rng = np.random.default_rng(4)
    n = 3 * 96 + 8
    t = START_US + np.arange(n) * 900_000_000
    parts = []
    for i, d in enumerate(d for d in net.devices if d.kind != "switch"):
        shift = np.array([-32.0, 16.0, 16.0]) * (d.kind == "meter" and i <= moved)
        values = {
            f"v_{x}": 230.0 + rng.normal(0, 0.2, n) + shift[c] * (np.arange(n) >= 288)
            for c, x in enumerate("abc")
        }
        values |= {f"i_{x}": rng.gamma(2.0, 1.0, n) for x in "abc"}
        parts.append(ReadingBatch.of([d.id], np.zeros(n, int), t, values))
    engine = Engine(net, only("neutral"))

    found = engine.feed("s", ReadingBatch.concat(parts).sort()) + engine.flush()

    at_customers = {
        (f.fault, f.asset) for f in found if f.score >= 1 and f.fault != "neutral_loose"
    }
    assert at_customers == ({("neutral_broken", net.usage_points[0].id)} if moved == 1 else set())
