"""Overload, temperature, and sensors that lie about it."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from detectors.engine import Engine
from grid.network import Device, Network, Transformer
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, Course, Floats, Street, network, only


def judge(net: Network, rows: ReadingBatch) -> list[Finding]:
    engine = Engine(net, only("transformer"))
    return engine.feed("s", rows) + engine.flush()


def raised(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.fault, f.asset) for f in found if f.score >= 1}


def evening(watts: float) -> dict[str, Course]:
    return {
        f"T1-B{b}-{k}": lambda d: watts * ((d > 2) & (d % 1 > 0.75) & (d % 1 < 0.92))
        for b in (1, 2)
        for k in range(1, 7)
    }


@pytest.mark.parametrize("monitor", [True, False])
def test_an_evening_above_rating_is_found_within_two_hours(monitor: bool) -> None:
    net = network(areas=1, rated_kva=40.0, monitor=monitor)
    found = judge(net, Street(net, 4.0, load=evening(3000.0)).readings())

    assert raised(found) == {("transformer_overload", "T1")}
    hours = (found[0].tick_us - START_US) / 3.6e9 - 48 - 18
    assert 0 < hours <= 2.25
    assert found[0].severity == "P2"
    assert float(found[0].evidence.numbers["load_factor"] or 0) > 1.0


def test_the_next_evening_belongs_to_the_same_condition() -> None:
    net = network(areas=1, rated_kva=40.0)
    found = judge(net, Street(net, 5.0, load=evening(3000.0)).readings())

    assert all(f.score >= f.clear_below for f in found)


def test_a_full_but_not_overfull_transformer_is_quiet() -> None:
    net = network(areas=1, rated_kva=60.0)

    assert judge(net, Street(net, 4.0, load=evening(3000.0)).readings()) == []


def test_too_few_meters_are_not_enough_to_judge() -> None:
    net = network(areas=1, rated_kva=5.0, monitor=False)
    rows = Street(net, 3.0, load=evening(3000.0)).readings()
    few = np.array([n.endswith(("-1", "-2")) for n in rows.device_names()])

    assert judge(net, rows.select(few)) == []


def oil(extra: Course) -> ReadingBatch:
    """A lightly loaded transformer whose oil follows its load, plus `extra(days)` kelvin."""
    net = network(areas=1)
    rng = np.random.default_rng(5)

    def curve(days: Floats) -> Floats:
        return np.asarray(
            40.0 + np.sin(2 * np.pi * days) + rng.normal(0, 0.5, days.size) + extra(days)
        )

    return Street(net, 10.0, oil={"T1": curve}).readings()


def test_oil_hotter_than_load_explains_is_found_in_hours() -> None:
    found = judge(network(areas=1), oil(lambda d: np.where(d > 7, 12.0, 0.0)))

    assert raised(found) == {("transformer_thermal", "T1")}
    assert (found[0].tick_us - START_US) / 86.4e9 < 7.5


def test_one_spike_of_a_sensor_is_no_heat_and_no_ticket() -> None:
    spike = lambda d: np.where((d > 7) & (d < 7.012), 200.0, 0.0)  # noqa: E731

    assert raised(judge(network(areas=1), oil(spike))) == set()


def test_a_sensor_that_keeps_jumping_is_a_sensor_fault() -> None:
    rng = np.random.default_rng(1)
    jumps = lambda d: np.where((d > 7) & (rng.random(d.size) < 0.2), 120.0, 0.0)  # noqa: E731

    assert raised(judge(network(areas=1), oil(jumps))) == {("sensor_fault", "T1-TM")}


def test_two_real_transformers_never_overheat(shared_data: Path) -> None:
    """ETT data: two years of hourly load and oil, no ambient temperature, no known fault."""
    for name in ("ETTh1", "ETTh2"):
        with (shared_data / "etth" / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        start = datetime.fromisoformat(rows[0]["date"]).replace(tzinfo=UTC)
        time = int(start.timestamp()) * 1_000_000 + np.arange(len(rows)) * 3_600_000_000
        power = np.array([[float(r[k]) for k in ("HUFL", "MUFL", "LUFL")] for r in rows]).sum(1)
        net = Network(
            transformers=(Transformer("T1", rated_kva=250.0, nominal_v=230.0),),
            devices=(Device("TM", "transformer_monitor", None, "T1", None, 3600.0),),
        )
        batch = ReadingBatch.of(
            ["TM"],
            np.zeros(len(rows), int),
            time,
            {"p": 1000.0 * power, "t_oil": [float(r["OT"]) for r in rows]},
        )

        assert raised(judge(net, batch)) == set(), name
