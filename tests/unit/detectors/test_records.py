"""Records against measurements: learned places, wrong places, wrong ratios."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from detectors import mapping
from detectors.engine import Engine
from detectors.records import RecordsDetector
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, STEP_US, Street, network, only

WELL_KNOWN = {"areas": 2, "branches": 3, "meters": 6}


def relabelled(net: Network, device: str, **changes: object) -> Network:
    """The network with another entry for one meter's usage point."""
    points = tuple(
        replace(u, **changes) if u.id == f"U-{device}" else u  # type: ignore[arg-type]
        for u in net.usage_points
    )
    return replace(net, usage_points=points)


def place_of(engine: Engine, device: str) -> tuple[str | None, str]:
    """(transformer, phase) that the engine judges a meter with."""
    judged = engine.fleet.network
    point = {u.id: u for u in judged.usage_points}
    u = point[judged.devices[judged.device_index[device]].usage_point or ""]
    return u.transformer, u.phase


def moving(net: Network, days: float = 6.0) -> ReadingBatch:
    """Readings of buses that wander by phase and of meters that follow their true place."""
    rng = np.random.default_rng(5)
    n = round(days * 96)
    feeder = 230.0 + np.cumsum(rng.normal(0, 0.3, n)) * 0.2
    bus = {(t.id, c): feeder + rng.normal(0, 0.4, n) for t in net.transformers for c in "abc"}
    point = {u.id: u for u in net.usage_points}
    time = START_US + np.arange(n) * STEP_US
    blocks = []
    for d in net.devices:
        if d.kind == "transformer_monitor":
            volts = {f"v_{c}": bus[d.transformer or "", c] for c in "abc"}
        elif d.kind == "meter":
            u = point[d.usage_point or ""]
            volts = {"v_a": bus[u.transformer or "", u.phase] + rng.normal(-2.0, 0.3, n)}
        else:
            continue
        blocks.append(ReadingBatch.of([d.id], np.zeros(n, int), time, volts))
    return ReadingBatch.concat(blocks).sort()


def judged(net: Network, rows: ReadingBatch) -> tuple[Engine, list[Finding]]:
    engine = Engine(net, only("records"))
    return engine, engine.feed("s", rows) + engine.flush()


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_search_among_thousands_finds_what_ten_plain_lines_find(missing: float) -> None:
    rng = np.random.default_rng(4)
    buses = rng.normal(0, 1, (300, 190)).astype(np.float32)
    meters = buses[[2, 0, 5, 9, 9]] + rng.normal(0, 0.3, (5, 190)).astype(np.float32)
    meters[4] = rng.normal(0, 1, 190)  # of none of these buses
    meters[rng.random(meters.shape) < missing] = np.nan
    by_time = np.ascontiguousarray(meters.T)

    d = meters[:, None, :].astype(float) - buses[None]
    variance, pairs = np.nanmean(d**2, axis=2) + mapping.NOISE_V2, (~np.isnan(d)).sum(2)
    reference = variance.argmin(1)
    two = np.sort(variance, axis=1)[:, :2]

    whole = mapping.nearest(by_time, buses, np.full(5, np.inf))
    few = mapping.places(variance, pairs)
    bound = np.array([variance[0, 7], variance[1, 0], 0.01, np.sort(variance[3])[3], 0.5])
    some = mapping.nearest(by_time, buses, bound * (1 + 1e-9))

    for found in (whole, few):
        assert reference.tolist() == found.reference.tolist()
        np.testing.assert_allclose(two[:, 0], found.variance)
        np.testing.assert_allclose(two[:, 0] / two[:, 1], found.ratio)
        assert pairs[np.arange(5), reference].tolist() == found.pairs.tolist()
    # What is above the bound need not be known.
    assert [2, 0, -1, 9, -1] == some.reference.tolist()
    np.testing.assert_allclose(two[[0, 1, 3], 0], some.variance[[0, 1, 3]])
    np.testing.assert_allclose((two[:, 0] / two[:, 1])[[0, 3]], some.ratio[[0, 3]])


def test_a_meter_seen_too_rarely_has_no_place() -> None:
    meters, buses = np.full((60, 1), np.nan, np.float32), np.zeros((3, 60), np.float32)

    found = mapping.nearest(meters, buses, np.array([np.inf]))

    assert [-1] == found.reference.tolist()


def test_phases_that_nobody_noted_are_learned() -> None:
    known = network(**WELL_KNOWN)  # type: ignore[arg-type]
    unknown = replace(
        known, usage_points=tuple(replace(u, phase="unknown") for u in known.usage_points)
    )

    engine, found = judged(unknown, moving(known))

    names = [d.id for d in known.devices if d.kind == "meter"]
    right = [place_of(engine, n)[1] == "abc"[k % 3] for k, n in enumerate(names)]
    assert [] == found
    assert 0.9 <= np.mean(right)


def test_a_wrong_phase_on_record_is_reported_and_judged_as_measured() -> None:
    known = network(**WELL_KNOWN)  # type: ignore[arg-type]

    engine, found = judged(relabelled(known, "T1-B1-1", phase="c"), moving(known))

    assert ("T1", "a") == place_of(engine, "T1-B1-1")
    assert {("unknown", "device", "T1-B1-1")} == {(f.fault, f.asset_kind, f.asset) for f in found}
    assert "c" == found[0].evidence.numbers["recorded"]
    assert "a" == found[0].evidence.numbers["measured"]


def test_a_meter_of_another_transformer_is_moved_there_and_reported() -> None:
    known = network(**WELL_KNOWN)  # type: ignore[arg-type]

    engine, found = judged(
        relabelled(known, "T1-B1-1", transformer="T2", branch="T2-B1"), moving(known)
    )

    assert ("T1", "a") == place_of(engine, "T1-B1-1")
    assert {"T1-B1-1"} == {f.asset for f in found}


def test_a_meter_that_moves_with_nobody_is_noted_as_no_meter_of_its_area() -> None:
    """It hangs on a transformer that is not among these: what it lacks, no joint here takes."""
    net = network(**WELL_KNOWN)  # type: ignore[arg-type]
    rows = moving(net)
    mine = rows.device == rows.names.index("T1-B2-3")
    v = np.array(rows.value("v_a"), float)
    v[mine] = 231.0 + np.random.default_rng(9).normal(0, 0.6, mine.sum())
    volts = {**rows.values, "v_a": v}

    engine, _ = judged(net, ReadingBatch.of(rows.names, rows.device, rows.time, volts))

    (records,) = (d for d in engine.families.groups[0] if isinstance(d, RecordsDetector))
    names = np.array(records.layout.names)
    every = np.arange(names.size, dtype=np.int32)
    since = int(records.foreign.max())
    assert names[records.foreign_now(every, since)].tolist() == ["T1-B2-3"]
    assert not records.foreign_now(every, since - STEP_US).any()


def test_a_meter_without_transformer_finds_its_own() -> None:
    known = network(**WELL_KNOWN)  # type: ignore[arg-type]
    stray = relabelled(known, "T2-B1-2", transformer=None, branch=None, phase="unknown")

    engine, _ = judged(stray, moving(known))

    assert ("T2", "b") == place_of(engine, "T2-B1-2")


def test_what_was_learned_survives_a_restart_and_ends_with_a_corrected_record() -> None:
    known = network(**WELL_KNOWN)  # type: ignore[arg-type]
    wrong = relabelled(known, "T1-B1-1", phase="c")
    engine, _ = judged(wrong, moving(known))
    state = engine.snapshot()
    again, corrected = Engine(wrong, only("records")), Engine(known, only("records"))

    again.restore(state)
    corrected.restore(state)

    assert ("T1", "a") == place_of(again, "T1-B1-1")
    rest = moving(known, 8.0)
    rest = rest.select(rest.time >= rest.time[0] + 6 * 96 * STEP_US)
    ended = [f for f in corrected.feed("s", rest) if f.asset == "T1-B1-1"]
    assert [0.0] == [f.score for f in ended]


def test_learning_does_not_depend_on_batches_or_on_a_helping_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("detectors.families.HELPED_FROM", 1)
    known = network(**WELL_KNOWN)  # type: ignore[arg-type]
    wrong = relabelled(known, "T1-B1-1", phase="c")
    rows = moving(known)
    engine, pieces = Engine(wrong), Engine(wrong)

    whole = engine.feed("s", rows) + engine.flush()
    parts: list[Finding] = []
    for at in range(0, len(rows), 777):
        parts += pieces.feed("s", rows.select(slice(at, at + 777)))
    parts += pieces.flush()
    with ThreadPoolExecutor(1) as helper:
        aided = Engine(wrong, helper=helper)
        helped = aided.feed("s", rows) + aided.flush()

    assert whole == parts
    assert whole == helped
    assert engine.learned == pieces.learned == aided.learned


@pytest.mark.parametrize(("factor", "key"), [(1 / 40, "ct_ratio"), (-1.0, "ct_ratio")])
def test_a_monitor_on_the_secondary_side_has_a_wrong_ratio(factor: float, key: str) -> None:
    net = network(areas=1, branches=2, meters=6)
    rows = Street(net, 4.0).readings()
    monitor = np.array([n.endswith("TM") for n in rows.names])[rows.device]
    values = dict(rows.values)
    power = sum(
        np.nan_to_num(rows.values[f"v_{x}"]) * np.nan_to_num(rows.values[f"i_{x}"]) for x in "abc"
    )
    values["p"] = np.where(monitor, power * factor, rows.values["p"]).astype(np.float32)
    engine = Engine(net, only("records"))

    found = engine.feed("s", replace(rows, values=values)) + engine.flush()

    assert {("sensor_fault", "T1-TM")} == {(f.fault, f.asset) for f in found}
    measured = found[-1].evidence.numbers[f"{key}_measured"]
    assert isinstance(measured, float)
    assert 0.9 * abs(1 / factor) <= abs(measured) <= 1.1 * abs(1 / factor)


def test_a_meter_at_a_steady_fraction_of_nominal_has_a_wrong_ratio() -> None:
    net = network(areas=1, branches=2, meters=6)
    rows = Street(net, 4.0).readings()
    mine = np.array([n == "T1-B1-1" for n in rows.names])[rows.device]
    values = dict(rows.values)
    values["v_a"] = np.where(mine, values["v_a"] / 4.0, values["v_a"]).astype(np.float32)
    engine = Engine(net, only("records"))

    found = engine.feed("s", replace(rows, values=values)) + engine.flush()

    assert {("sensor_fault", "T1-B1-1", "P4")} == {(f.fault, f.asset, f.severity) for f in found}


def test_a_single_meter_behind_its_transformer_is_left_alone() -> None:
    net = network(areas=2, branches=1, meters=1)

    engine, found = judged(net, moving(net))

    assert [] == found
    assert {} == engine.learned
