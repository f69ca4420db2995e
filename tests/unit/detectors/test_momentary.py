"""Momentary contacts: counted leakily, placed by the tree."""

import numpy as np
import pytest

from detectors.engine import Engine
from detectors.frames import NEVER
from detectors.layout import CHANNEL, LINE_FLOATS, MORE
from detectors.momentary import find_dips
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, STEP_US, Street, network, only

DAY_US = 86_400_000_000


def judged(dips: dict[str, int], days: float = 2.0) -> list[Finding]:
    """Dips to 60 V, so many evenly over the second day, at devices whose name begins so."""
    net = network(areas=2)
    batch = Street(net, days).readings()
    low = np.array(batch.value("v_a"), float) - 0.5
    for begin, count in dips.items():
        mine = np.array([n.startswith(begin) for n in batch.names])[batch.device]
        for k in range(count):
            at = START_US + DAY_US + k * (DAY_US // (count + 1)) // STEP_US * STEP_US
            low[mine & (batch.time == at)] = 60.0
    values = {**batch.values, "v_a_min": low}
    rows = ReadingBatch.of(batch.names, batch.device, batch.time, values)
    engine = Engine(net, only("momentary"))
    return engine.feed("s", rows) + engine.flush()


def places(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.asset_kind, f.asset) for f in found if f.score >= 1.0}


@pytest.mark.parametrize(
    ("begin", "place"),
    [
        ("T1-B1-2", ("usage_point", "U-T1-B1-2")),
        ("T1-B2-", ("branch", "T1-B2")),
        ("T2-B", ("transformer", "T2")),
    ],
)
def test_dips_that_come_again_are_found_where_all_below_dipped(
    begin: str, place: tuple[str, str]
) -> None:
    assert places(judged({begin: 6})) == {place}


@pytest.mark.parametrize("mute", ["counts", "seldom"])
def test_dips_of_a_street_of_several_makes_are_one_place(mute: str) -> None:
    """Some only count power-downs, which tells no depth; some read once an hour, which tells no
    frame: neither speaks against what the others saw."""
    net = network(areas=1)
    batch = Street(net, 2.0).readings()
    low = np.array(batch.value("v_a"), float) - 0.5
    downs = np.zeros(len(batch))
    for k in range(6):
        at = START_US + DAY_US + k * 3 * 3_600_000_000
        low[batch.time == at] = 2.0
        downs[batch.time >= at] += 1.0
    other = np.isin(batch.device, [i for i, n in enumerate(batch.names) if n[-1] in "135"])
    low[other] = np.nan
    downs[~other] = np.nan
    keep = ~other | (batch.time % 3_600_000_000 == 0) if mute == "seldom" else np.ones(len(other))
    values = {**batch.values, "v_a_min": low, "power_downs": downs}
    rows = ReadingBatch.of(batch.names, batch.device, batch.time, values).select(keep.astype(bool))
    engine = Engine(net, only("momentary"))

    found = engine.feed("s", rows) + engine.flush()

    assert {kind for kind, _ in places(found)} <= {"transformer", "section", "feeder"}
    assert len(places(found)) == 1


def test_two_dips_a_day_are_no_finding() -> None:
    assert judged({"T1-B2-": 2}) == []


def test_dips_after_a_pause_belong_to_the_outage_before() -> None:
    values, more = np.full((2, 1, LINE_FLOATS), np.nan, np.float32)
    values[0, CHANNEL["v_a"]], more[0, MORE["v_a_min"]] = 230.0, 0.0
    last, depth = np.array([START_US]), np.zeros(1)
    args = (np.zeros(1, np.int8), np.array([0, 1], np.int32), np.array([230.0]))

    count = find_dips(
        START_US + 3 * STEP_US,
        STEP_US,
        values,
        more,
        np.array([START_US + 3 * STEP_US]),
        True,
        *args,
        last,
        np.full((1, 2), np.nan),
        depth,
    )

    assert count == 0 and np.isnan(depth[0])


def test_a_device_not_heard_says_nothing() -> None:
    depth = np.zeros(1)
    args = (np.zeros(1, np.int8), np.array([0, 1], np.int32), np.array([230.0]))

    find_dips(
        START_US,
        STEP_US,
        *np.full((2, 1, LINE_FLOATS), np.nan, np.float32),
        np.array([NEVER]),
        True,
        *args,
        np.array([NEVER]),
        np.full((1, 2), np.nan),
        depth,
    )

    assert np.isnan(depth[0])
