"""Random fleets with all that real ones have at once: steps of several lengths in one engine, areas
of one meter, sizes of no round number, holes, silent days, repeats that say something else, columns
that come and go, impossible values. However the rows come in, findings and state are the same."""

from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from detectors.base import Array
from detectors.engine import Engine
from detectors.settings import DetectorSettings
from grid.network import Device, Feeder, Network, Section, Transformer, UsagePoint
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from grid.records import Finding

SECOND = 1_000_000
START_US = 1_767_225_600 * SECOND
LATENESS_S = 3600
DAYS = 1.5
AREAS = ((900, 23), (900, 1), (600, 13), (300, 5))  # step in seconds, meters
SHARE = {  # of the meters that tell it
    "v_a": 1.0, "v_b": 0.2, "v_c": 0.2, "i_a": 0.7, "p": 0.7, "p_a": 0.2, "t_terminal": 0.3,
    "v_a_min": 0.2, "power_downs": 0.2, "e_import": 0.5,
}  # fmt: skip
Judged = tuple[list[Finding], dict[str, Array], tuple[int, ...]]


@cache
def fleet() -> Network:
    transformers, points, devices = [], [], []
    for a, (step, meters) in enumerate(AREAS):
        name = f"T{a}"
        transformers.append(Transformer(name, "F1", "S1", rated_kva=50.0, nominal_v=230.0))
        if a % 2 == 0:
            devices.append(Device(f"{name}-TM", "transformer_monitor", None, name, None, step))
        for m in range(meters):
            phase = ("a", "b", "c", "abc", "unknown")[m % 5]
            branch = f"{name}-B{m % 3}" if m % 7 else None
            points.append(UsagePoint(f"U{a}-{m}", name, branch, None, phase, None))  # type: ignore[arg-type]
            delivery = 7200.0 if a == 3 else None
            devices.append(Device(f"{name}-{m}", "meter", f"U{a}-{m}", None, None, step, delivery))
    devices.reverse()  # no order that the layout would have as well
    sections = (Section("S1", "F1"),)
    return Network((Feeder("F1"),), sections, tuple(transformers), tuple(points), tuple(devices))


@cache
def rows(seed: int) -> ReadingBatch:
    """Readings and events in order of arrival, up to `LATENESS_S` late."""
    rng = np.random.default_rng(seed)
    pieces = []
    for k, d in enumerate(fleet().devices):
        tick = np.arange(0, round(DAYS * 86400), int(d.interval_s or 900))
        lost = rng.random(tick.size) < rng.choice((0.0, 0.05, 0.3))
        begins = rng.uniform(0, DAYS * 86400)
        if rng.random() < 0.4:
            lost |= (tick > begins) & (tick < begins + rng.choice((3600, 40_000)))
        tick = tick[~lost]
        n = tick.size
        amps = np.abs(rng.normal(5.0, 4.0, n)) * (20.0 if d.kind != "meter" else 1.0)
        volts = 231.0 + np.sin(tick / 20_000.0) + rng.normal(0.0, 0.5, n)
        volts += (tick > begins) * rng.choice((0.0, 0.0, 0.0, 22.0, -140.0))
        told = {
            "v_a": np.where(rng.random(n) < 0.01, rng.choice((0.0, 1e6, -3.0), n), volts),
            "v_b": volts + 1.0, "v_c": volts - 1.0, "i_a": amps, "p": 231.0 * amps,
            "p_a": 80.0 * amps, "t_terminal": 20.0 + 0.01 * amps**2,
            "v_a_min": np.where(rng.random(n) < 0.03, 120.0, 228.0),
            "power_downs": np.cumsum(rng.random(n) < 0.01),
            "e_import": 1e3 + np.cumsum(60.0 * amps),
        }  # fmt: skip
        unsaid = {q for q in told if rng.random() > SHARE[q] and d.kind == "meter"}
        for q in told:
            told[q] = np.where((rng.random(n) < 0.03) | (q in unsaid), np.nan, told[q])
        time = START_US + (tick + rng.integers(-20, 20, n)) * SECOND
        pieces.append((np.full(n, k), time, np.zeros(n, int), told))
        some = rng.random(n) < 0.1  # again: at the same time or beside it, with other values
        beside = rng.choice((0, 0, 7, -200), int(some.sum())) * SECOND
        other = {q: x[some] + rng.choice((0.0, 0.4, np.nan)) for q, x in told.items()}
        zeros = np.zeros(beside.size, int)
        pieces.append((zeros + k, time[some] + beside, zeros, other))
        at = START_US + rng.integers(0, round(DAYS * 86400), 2) * SECOND
        codes = rng.choice((EVENT_CODE["last_gasp"], EVENT_CODE["power_up"]), 2)
        pieces.append((np.full(2, k), at, codes, {q: np.full(2, np.nan) for q in told}))
    device, time, event = (np.concatenate([p[i] for p in pieces]) for i in range(3))
    values = {q: np.concatenate([p[3][q] for p in pieces]) for q in SHARE}
    received = time + rng.integers(0, round(0.9 * LATENESS_S), time.size) * SECOND
    names = [d.id for d in fleet().devices]
    whole = ReadingBatch.of(names, device, time, values, received=received, event=event)
    return whole.sort(by="received")


def in_pieces(batch: ReadingBatch, size: int) -> Iterable[ReadingBatch]:
    """Batches of so many rows, each with those columns only in which something stands."""
    for k in range(0, len(batch), size):
        some = batch.select(slice(k, k + size))
        told = {q: x for q, x in some.values.items() if not np.isnan(x).all()}
        yield ReadingBatch.of(
            some.names, some.device, some.time, told, received=some.received, event=some.event
        )


def judge(
    batches: Iterable[ReadingBatch], helper: Executor | None = None, restart_every: int = 2**62
) -> Judged:
    """Findings, state and counters after all batches."""

    def started() -> Engine:
        return Engine(fleet(), DetectorSettings(lateness_s=LATENESS_S), helper)

    engine = started()
    found = []
    for k, batch in enumerate(batches, 1):
        found += engine.feed("s", batch)
        if k % restart_every == 0:
            kept, engine = engine.snapshot(), started()
            engine.restore(kept)
    found += engine.flush()
    state = {
        f"{part}/{name}": x
        for part, stateful in engine.families.parts()
        for name, x in stateful.state.items()
    }
    s = engine.stats
    return found, state, (s.readings, s.late, s.unknown, s.ahead, s.events)


@cache
def at_once(seed: int) -> Judged:
    return judge([rows(seed)])


def assert_same(expected: Judged, actual: Judged) -> None:
    assert expected[0] == actual[0]
    assert expected[2] == actual[2]
    for name, x in expected[1].items():
        np.testing.assert_array_equal(actual[1][name], x, err_msg=name)


def test_the_fleet_is_wild_enough() -> None:
    faults = {f.fault for seed in (1, 2) for f in at_once(seed)[0]}

    assert {"sensor_fault", "momentary", "outage"} <= faults
    assert len(Engine(fleet()).fleet.groups) == 3


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("size", [31, 1009])
def test_pieces_with_other_columns_change_nothing(seed: int, size: int) -> None:
    assert_same(at_once(seed), judge(in_pieces(rows(seed), size)))


@pytest.mark.parametrize("seed", [1, 2])
def test_restarts_beside_a_helper_change_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detectors.families.HELPED_FROM", 1)
    with ThreadPoolExecutor(1) as helper:
        assert_same(at_once(seed), judge(in_pieces(rows(seed), 800), helper, restart_every=2))


@pytest.mark.parametrize("seed", [1, 2])
def test_another_order_of_arrival_changes_nothing(seed: int) -> None:
    batch = rows(seed)
    late = np.random.default_rng(seed).integers(0, round(0.9 * LATENESS_S), len(batch)) * SECOND
    order = np.argsort(batch.time + late, kind="stable")

    found, state, _ = judge([batch.select(order)])

    # What is counted may differ: a reading that came before a nearer one was taken as well.
    assert_same(at_once(seed), (found, state, at_once(seed)[2]))
