"""How late readings usually come is seen from the first of them, where the records do not say."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.arrivals import Arrivals
from detectors.engine import Engine
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch
from tests.unit.detectors.street import Street, network, only

MINUTE_US = 60_000_000


def late(net: Network, minutes: dict[str, float], share: float = 1.0) -> ReadingBatch:
    """Two days of readings in order of arrival; devices named so come so much later."""
    rows = Street(net, 2.0).readings()
    rng = np.random.default_rng(1)
    delay: NDArray[np.float64] = rng.uniform(0.1, 1.0, len(rows))
    for prefix, more in minutes.items():
        mine = np.array([name.startswith(prefix) for name in rows.names])[rows.device]
        delay += more * (mine & (rng.random(len(rows)) < share))
    received = rows.time + (delay * MINUTE_US).astype(np.int64)
    return replace(rows, received=received).sort(by="received")


def learned(net: Network, rows: ReadingBatch) -> dict[str, float | None]:
    arrivals = Arrivals(net, DetectorSettings())
    for part in (slice(0, 1000), slice(1000, None)):
        arrivals.add(rows.select(part))
    return {d.id: d.delivery_s for d in arrivals.network().devices}


def test_an_area_stamped_at_the_begin_of_intervals_is_waited_for() -> None:
    """Its readings come an interval and some seconds after their time."""
    net = network()

    delivery = learned(net, late(net, {"T1-B": 15.0}))

    assert {delivery["T1-B1-1"], delivery["T1-TM"]} == {900.0}
    assert {delivery["T2-B1-1"], delivery["T2-TM"], delivery["SW2"]} == {None}


def test_one_meter_of_the_area_is_enough_where_the_wait_is_short() -> None:
    net = network(meters=15)

    assert learned(net, late(net, {"T1-B1-1": 15.0}))["T1-TM"] == 900.0
    assert learned(net, late(net, {"T1-B1-12": 600.0}))["T1-TM"] is None


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_stragglers_of_hours_are_not_waited_for(share: float) -> None:
    net = network()

    delivery = learned(net, late(net, {"T": 700.0}, share))

    assert set(delivery.values()) == {None}


def test_what_comes_in_time_changes_nothing() -> None:
    net = network()

    assert set(learned(net, late(net, {"T": 5.0})).values()) == {None}


def test_a_sensor_of_no_area_whose_readings_come_late_is_nobodys_delay() -> None:
    net = network()
    devices = tuple(replace(d, kind="sensor") if d.id == "SW2" else d for d in net.devices)
    rows = late(net, {"T1-TM": 30.0})
    names = tuple("SW2" if name == "T1-TM" else name for name in rows.names)

    delivery = learned(replace(net, devices=devices), replace(rows, names=names))

    assert set(delivery.values()) == {None}


def test_an_area_that_is_waited_for_is_not_silent() -> None:
    net = network(areas=3)
    rows = late(net, {"T1-B": 15.0})
    arrivals = Arrivals(net, DetectorSettings())
    arrivals.add(rows)

    def found(known: Network) -> int:
        engine = Engine(known, only("outage"))
        return sum(f.score >= 1.0 for f in engine.feed("s", rows) + engine.flush())

    assert found(arrivals.network()) == 0
    assert found(net) > 0
