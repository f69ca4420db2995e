"""What goes wrong in the field: results stay right, or the detectors say nothing."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.catalogue import FAMILIES
from detectors.engine import Engine
from detectors.outage import OutageDetector
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import (
    DAY,
    START_US,
    STEP_US,
    Street,
    growing,
    network,
)


@pytest.fixture(scope="module")
def net() -> Network:
    return network(areas=2)


@pytest.fixture(scope="module")
def story(net: Network) -> ReadingBatch:
    """Four days with a neutral that loosens on the last."""
    return Street(net, 4.0, neutral={"T1-B1": growing(3.0, 3.5, 1.5)}).readings()


def judged(net: Network, *batches: ReadingBatch) -> tuple[Engine, list[Finding]]:
    engine = Engine(net)
    found: list[Finding] = []
    for b in batches:
        found += engine.feed("s", b)
    return engine, found + engine.flush()


def named(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.fault, f.asset) for f in found if f.score >= 1.0}


def test_a_clock_that_goes_backwards_changes_nothing_but_a_count(
    net: Network, story: ReadingBatch
) -> None:
    """Half a day from the first day comes again on the third, from one meter, with other values."""
    _, expected = judged(net, story)
    mine = np.array([n == "T1-B1-2" for n in story.names])[story.device]
    old = story.select(mine & (story.time < START_US + DAY // 2 * STEP_US))
    strange = replace(old, values={**old.values, "v_a": old.values["v_a"] + 40.0})
    at = int(np.searchsorted(story.time, START_US + 3 * DAY * STEP_US))

    engine, found = judged(
        net, story.select(slice(0, at)), strange, story.select(slice(at, len(story)))
    )

    assert expected == found
    assert len(strange) == engine.late


def test_a_clock_a_day_ahead_makes_nobody_else_late(net: Network, story: ReadingBatch) -> None:
    _, expected = judged(net, story)
    ahead = ReadingBatch.of(
        ["T2-B2-6"], [0], [START_US + 2 * DAY * STEP_US], {"v_a": [231.0]},
        received=[START_US + DAY * STEP_US],
    )  # fmt: skip
    at = int(np.searchsorted(story.time, START_US + DAY * STEP_US))

    engine, found = judged(
        net, story.select(slice(0, at)), ahead, story.select(slice(at, len(story)))
    )

    assert 0 == engine.late
    assert named(expected) == named(found)


def test_duplicates_change_nothing(net: Network, story: ReadingBatch) -> None:
    _, expected = judged(net, story)
    rng = np.random.default_rng(2)
    twice = np.sort(np.append(np.arange(len(story)), rng.integers(0, len(story), 2000)))

    _, found = judged(net, story.select(twice))

    assert expected == found


def test_a_hole_of_33_days_raises_nothing_by_itself(net: Network) -> None:
    """After the gap the old normal is still the normal."""
    rows = Street(net, 4.0).readings()
    later = rows.time >= START_US + 2 * DAY * STEP_US
    gap = 33 * DAY * STEP_US
    moved = replace(
        rows,
        time=np.where(later, rows.time + gap, rows.time),
        received=np.where(later, rows.received + gap, rows.received),
    )

    _, found = judged(net, moved)

    assert set() == {f.asset for f in found if f.fault not in ("outage", "comms_failure")}


def test_a_single_meter_behind_a_transformer_is_judged_without_peers(net: Network) -> None:
    lonely = network(areas=2, branches=1, meters=1, monitor=False)

    _, found = judged(lonely, Street(lonely, 4.0).readings())

    assert [] == found


def test_frames_without_a_reading_are_passed_over(net: Network) -> None:
    engine = Engine(net)
    engine.feed("s", Street(net, 1.0).readings())

    found = engine.tick("s", START_US + DAY * STEP_US + 60_000_000)

    assert [] == found
    assert engine.stats.frames >= DAY - 3


def test_readings_of_nothing_but_missing_values_never_alarm(net: Network) -> None:
    rows = Street(net, 2.0).readings()
    empty = replace(rows, values={n: np.full_like(v, np.nan) for n, v in rows.values.items()})

    _, found = judged(net, empty)

    assert [] == found


def test_every_state_array_says_whose_rows_it_has(net: Network) -> None:
    """Or a snapshot would lose it: as many keys as rows, and none empty."""
    engine = Engine(net)
    parts = [d for group in engine.families.groups for d in group]

    assert {f.name for f in FAMILIES} == {d.name for d in parts}
    for part in [*parts, *([engine.families.outage] if engine.families.outage else [])]:
        for name, axis in part.axes.items():
            keys = part.keys(axis)
            assert len(keys) == len(part.state[name]), f"{part.name}/{name}"
            assert all(keys) or isinstance(part, OutageDetector)
