"""The nightly ranking: the odd one is named, with what is odd, and never more than a few."""

from itertools import pairwise

import numpy as np
import pytest

from detectors.engine import Engine
from detectors.odd import CLIP, N_SUM, N, distances, farthest, features, scale
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, STEP_US, network, only

DAYS = 7


@pytest.fixture(scope="module")
def fleet() -> Network:
    return network(areas=4, branches=3, meters=20)


def readings(net: Network, odd: str | None, begins: int = 5) -> ReadingBatch:
    """A quiet fleet; from a day on one meter's voltage jumps about."""
    rng = np.random.default_rng(8)
    n = DAYS * 96
    time = START_US + np.arange(n) * STEP_US
    blocks = []
    for d in net.devices:
        if d.kind != "meter":
            continue
        power = rng.gamma(2.0, 300.0, n)
        volts = 230.0 - power / 2000.0 + rng.normal(0, 0.2, n)
        if d.id == odd:
            volts[begins * 96 :] += rng.normal(0, 2.0, n - begins * 96)
        blocks.append(ReadingBatch.of([d.id], np.zeros(n, int), time, {"v_a": volts, "p": power}))
    return ReadingBatch.concat(blocks).sort()


def found(net: Network, rows: ReadingBatch) -> list[Finding]:
    engine = Engine(net, only("odd"))
    return engine.feed("s", rows) + engine.flush()


def test_the_odd_meter_is_first_the_next_morning_with_what_is_odd(fleet: Network) -> None:
    given = found(fleet, readings(fleet, "T2-B2-7"))

    morning = START_US + 6 * 96 * STEP_US
    (named,) = [f for f in given if f.tick_us == morning and f.score >= 1.0]
    assert ("unknown", "T2-B2-7", "P4") == (named.fault, named.asset, named.severity)
    assert named.score > 1.5
    assert "voltage" in named.evidence.rule
    assert any("deviation" in k or "step" in k for k in named.evidence.numbers)


def test_who_is_named_no_more_is_cleared(fleet: Network) -> None:
    given = found(fleet, readings(fleet, None))

    days: dict[int, set[str]] = {}
    for f in given:
        if f.score >= 1.0:
            days.setdefault(f.tick_us, set()).add(f.asset)
    assert all(len(names) == 1 for names in days.values())
    cleared = [(f.tick_us, f.asset) for f in given if f.score == 0.0]
    ticks = sorted(days)
    expected = [(b, x) for a, b in pairwise(ticks) for x in days[a] - days[b]]
    assert sorted(expected) == sorted(cleared)


def test_a_few_meters_are_no_crowd() -> None:
    net = network(areas=1, branches=2, meters=6)

    assert [] == found(net, readings(net, "T1-B1-1"))


def test_features_are_those_of_the_slow_way() -> None:
    """Deviations 1, 3, 2 and powers 10, 20, 60."""
    d, p = np.array([1.0, 3.0, 2.0]), np.array([10.0, 20.0, 60.0])
    sums = np.zeros((N_SUM, 1), np.float32)
    sums[N:, 0] = (3, d.sum(), (d**2).sum(), 1.0, 2.0, 3.0, p.sum(), (p**2).sum(), 60.0)

    expected = [2.0, d.std(), -1.0, 1.5, 30.0, p.std(), 60.0]
    assert expected == pytest.approx(features(sums)[:, 0].tolist(), rel=1e-5)


def test_one_wild_row_does_not_set_the_scale() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(0, 1, (4, 500))
    wild = x.copy()
    wild[:, 0] = 1e9

    assert np.allclose(scale(x)[:, 1:], scale(wild)[:, 1:], atol=0.05)
    assert CLIP == scale(wild)[0, 0]
    assert 0 == int(distances(scale(wild)).argmax())


def test_a_fleet_of_equal_meters_ranks_without_numbers_that_are_none() -> None:
    far = distances(scale(np.ones((6, 300)) + np.arange(300) % 2))

    assert np.isfinite(far).all()


def test_meters_without_any_difference_have_no_distance() -> None:
    assert not distances(np.zeros((6, 300))).any()


def test_the_farthest_are_those_of_a_whole_sort() -> None:
    far = np.random.default_rng(9).integers(0, 20, 200).astype(float)

    expected = np.lexsort((np.arange(200), -far))[:30]
    assert expected.tolist() == farthest(far, 30).tolist()
