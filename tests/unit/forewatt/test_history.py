"""History judged again: in which order and under which names rows reach the judge."""

from __future__ import annotations

import numpy as np

from forewatt.config import Config, DatabaseConfig, ModbusConfig, MqttConfig, UnitConfig
from forewatt.history import in_received_order, records, source_of_devices
from grid.network import Device, Network
from grid.readings import ReadingBatch

MINUTE_US = 60_000_000
START_US = 1_790_000_000_000_000


def batch(minutes: list[int], arrived: list[int], devices: list[int] | None = None) -> ReadingBatch:
    """Readings at these minutes, arrived at those."""
    return ReadingBatch.of(
        ["M1", "T1"],
        devices or [0] * len(minutes),
        [START_US + m * MINUTE_US for m in minutes],
        {"v_a": [220.0] * len(minutes)},
        received=[START_US + m * MINUTE_US for m in arrived],
    )


def arrivals(batches: list[ReadingBatch]) -> list[int]:
    return [(int(t) - START_US) // MINUTE_US for b in batches for t in b.received]


def test_late_rows_wait_for_the_time_at_which_they_arrived() -> None:
    history = [batch([0, 10, 20], [0, 75, 20]), batch([60, 70, 80], [60, 70, 80])]

    handed_on = list(in_received_order(history, 5 * MINUTE_US))

    assert [0, 20, 60, 70, 75, 80] == arrivals(handed_on)


def test_a_row_that_may_still_be_overtaken_is_not_handed_on() -> None:
    """A clock ahead by four minutes: minute 12 arrived before what the first batch ends with."""
    history = [batch([0, 10], [0, 10]), batch([12, 30], [8, 30])]

    assert [0, 8, 10, 30] == arrivals(list(in_received_order(history, 5 * MINUTE_US)))


def test_no_more_than_the_bound_is_held() -> None:
    history = [batch([0, 1, 2, 3], [500, 501, 502, 503]), batch([60], [60])]

    first = next(iter(in_received_order(history, 0, hold_rows=1)))

    assert [500, 501, 502] == arrivals([first])


def test_devices_come_under_the_names_of_their_broker_and_bus() -> None:
    network = Network(devices=(Device("M1", "meter"), Device("T1", "meter")))
    config = Config(
        database=DatabaseConfig("postgresql://h/d"),
        mqtt=(MqttConfig("mqtt://broker"),),
        modbus=(ModbusConfig("tcp://bus:1502", (UnitConfig(1, "T1", "sdm630"),)),),
    )

    assert {"M1": "mqtt broker:1883", "T1": "modbus bus:1502"} == source_of_devices(config, network)


def test_sources_take_turns_so_that_none_makes_the_other_late() -> None:
    both = batch([0, 0, 1, 1, 90, 90], [0, 0, 1, 1, 90, 90], [0, 1, 0, 1, 0, 1])

    turns = list(records(both, {"M1": "mqtt", "T1": "modbus"}))

    assert ["mqtt", "modbus"] * 3 == [r.source for r in turns]
    assert 6 == sum(len(r.batch) for r in turns)
    assert all(np.ptp(r.batch.received) < MINUTE_US for r in turns)


def test_one_source_takes_a_batch_whole() -> None:
    both = batch([0, 1], [0, 1], [0, 1])

    assert [2] == [len(r.batch) for r in records(both, {"M1": "mqtt", "T1": "mqtt"})]
