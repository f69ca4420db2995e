"""The Modbus collector over real sockets: fixed instants, partial results, neighbours unharmed."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from grid.clock import Clock, RealClock, SimulatedClock
from grid.errors import BadInput
from grid.network import Device, Network
from grid.readings import Quality
from ingest.metrics import CollectorMetrics
from ingest.modbus import ModbusCollector
from ingest.settings import CollectorSettings, ModbusBus, ModbusUnit
from tests.integration.ingest.fake_modbus import FakeDevice, fake_device
from tests.integration.ingest.rig import FussyJournal, entries, running
from tests.unit.ingest.test_profiles import SDM630_GOLDEN, image_of
from tests.waiting import wait_for

START_US = 1_700_000_100_000_000  # 22:15 UTC, a multiple of 900 s
IMAGE = image_of(SDM630_GOLDEN)
NETWORK = Network(devices=tuple(Device(f"T{i}", interval_s=900) for i in range(1, 9)))


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as running_device:
        running_device.registers = lambda _unit, _function, address: IMAGE.get(address, 0)
        yield running_device


@pytest.fixture
def journal(tmp_path: Path) -> FussyJournal:
    return FussyJournal(tmp_path / "journal")


@pytest.fixture
def clock(tmp_path: Path) -> SimulatedClock:
    """Stands just before a quarter of an hour; tests move it."""
    return SimulatedClock.create(tmp_path / "clock.json", START_US - 1_000_000)


def collector_of(
    device: FakeDevice,
    journal: FussyJournal,
    clock: Clock,
    *units: int,
    interval_s: float | None = None,
    profile: str = "sdm630",
    timeout_s: float = 30.0,  # none is wanted where every unit answers
    **settings: Any,
) -> tuple[ModbusCollector, CollectorMetrics]:
    metrics = CollectorMetrics()
    bus = ModbusBus(
        device.url,
        tuple(ModbusUnit(n, f"T{n}", profile, interval_s) for n in units),
        timeout_s=timeout_s,
    )
    chosen = CollectorSettings(modbus=(bus,), linger_ms=5, tick_s=0.02, **settings)
    return ModbusCollector([bus], chosen, journal, NETWORK, clock, metrics), metrics


@contextmanager
def polling(collector: ModbusCollector) -> Iterator[None]:
    """Running, and the first polls scheduled: the clock may be moved from now on."""
    with running(collector):
        wait_for(lambda: all(lane.metrics.connected for lane in collector.lanes))
        yield


def has_rows(journal: FussyJournal, count: int) -> None:
    wait_for(lambda: len(readings(journal)) == count)


def readings(journal: FussyJournal) -> list[tuple[str, int, dict[str, float], int]]:
    """(device, time µs, values, quality) of every row."""
    out = []
    for entry in entries(journal):
        batch = entry.record.batch
        for i, name in enumerate(batch.device_names()):
            values = {q: float(c[i]) for q, c in batch.values.items() if c[i] == c[i]}
            out.append((str(name), int(batch.time[i]), values, int(batch.quality[i])))
    return out


def test_a_poll_gives_all_values_of_the_profile_in_si_units(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    collector, _metrics = collector_of(device, journal, clock, 1)
    with polling(collector):
        assert [] == device.requests  # nothing is due yet
        clock.run(0.0, START_US + 60_000_000)
        wait_for(lambda: readings(journal))

    ((name, time_us, values, quality),) = readings(journal)
    assert ("T1", START_US + 60_000_000, Quality.GOOD) == (name, time_us, quality)
    for _, _, _, quantity, expected in SDM630_GOLDEN:
        assert expected == pytest.approx(values[quantity], rel=1e-6), quantity
    assert [(1, 4, 0x0000, 76), (1, 4, 0x00E0, 26)] == device.requests


def test_a_reading_carries_the_time_of_the_reply(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    """Seven seconds pass while the device makes up its answer."""
    collector, _ = collector_of(device, journal, clock, 1)
    answer = device.registers

    def slowly(unit: int, function: int, address: int) -> int:
        clock.run(0.0, START_US + 37_000_000)
        return answer(unit, function, address)

    device.registers = slowly
    with polling(collector):
        clock.run(0.0, START_US + 30_000_000)
        has_rows(journal, 1)

    assert START_US + 37_000_000 == readings(journal)[0][1]


def test_polls_keep_to_fixed_instants_and_missed_ones_are_not_invented(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    """Four quarters of an hour pass unseen: one poll, three missed, no made-up rows."""
    collector, metrics = collector_of(device, journal, clock, 1)
    unit = metrics.units[collector.lanes[0].name, 1]
    with polling(collector):
        for quarter, polls in ((0, 1), (1, 2), (5, 3)):
            at_us = START_US + quarter * 900_000_000 + 30_000_000
            clock.run(0.0, at_us)
            has_rows(journal, polls)
            assert at_us == readings(journal)[-1][1]

    assert (3, 3) == (unit.polls_ok, unit.polls_missed)


def test_units_share_a_bus_each_at_its_own_phase(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    collector, _ = collector_of(device, journal, clock, 1, 2, 3, 4)
    lane = collector.lanes[0]

    phases = [unit.phase_us / unit.interval_us for unit in lane.units]

    assert phases == sorted(set(phases))
    assert all(0 < p < 0.25 for p in phases)  # always nearer to its own tick than to the next


def test_an_address_the_device_lacks_costs_only_itself(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    """Blocks are halved poll by poll until the one bad register stands alone."""
    device.absent = {0x003C}  # q
    collector, _metrics = collector_of(device, journal, clock, 1)
    unit = collector.lanes[0].units[0]
    with polling(collector):
        for quarter in range(7):
            clock.run(0.0, START_US + quarter * 900_000_000 + 30_000_000)
            has_rows(journal, quarter + 1)

    expected = {q: v for _, _, _, q, v in SDM630_GOLDEN if q != "q"}
    _, _, last, quality = readings(journal)[-1]
    assert expected == {q: pytest.approx(v, rel=1e-6) for q, v in last.items()}
    assert Quality.GOOD == quality
    assert Quality.PARTIAL == readings(journal)[0][3]
    assert {"q"} == unit.absent


def test_what_was_read_before_a_time_out_is_kept_as_partial(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    device.modes.extend(["good", "silence"])
    collector, metrics = collector_of(device, journal, clock, 1, timeout_s=1.0)
    with polling(collector):
        clock.run(0.0, START_US + 30_000_000)
        has_rows(journal, 1)
        clock.run(0.0, START_US + 930_000_000)
        has_rows(journal, 2)

    partial, whole = readings(journal)
    assert (Quality.PARTIAL, Quality.GOOD) == (partial[3], whole[3])
    assert "v_a" in partial[2]
    assert "thd_v" not in partial[2]
    unit = metrics.units[collector.lanes[0].name, 1]
    assert (1, 1, 0) == (unit.polls_ok, unit.polls_partial, unit.polls_failed)


def test_a_dead_unit_costs_its_neighbours_one_time_out_a_back_off_period(
    device: FakeDevice, journal: FussyJournal
) -> None:
    device.unit_modes[2] = "silence"
    collector, metrics = collector_of(
        device, journal, RealClock(), 1, 2, 3, interval_s=0.5, timeout_s=1.0
    )
    name = collector.lanes[0].name
    with polling(collector):
        wait_for(lambda: metrics.units[name, 1].polls_ok >= 5, 20)
        wait_for(lambda: metrics.units[name, 3].polls_ok >= 5, 20)

    dead = metrics.units[name, 2]
    assert 0 == dead.polls_ok
    assert 1 <= dead.polls_failed <= device.per_unit[2] <= 2  # 5 s of rest after the first
    assert dead.polls_missed >= 3
    assert "no answer within" in dead.last_error
    assert {"T1", "T3"} == {row[0] for row in readings(journal)}


def test_an_exception_of_the_gateway_is_a_failed_poll_without_back_off(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    device.unit_modes[1] = "exception 11"
    collector, metrics = collector_of(device, journal, clock, 1)
    unit = metrics.units[collector.lanes[0].name, 1]
    with polling(collector):
        clock.run(0.0, START_US + 30_000_000)
        wait_for(lambda: unit.polls_failed == 1)
        assert "the gateway got no answer from the device" in unit.last_error
        del device.unit_modes[1]
        clock.run(0.0, START_US + 930_000_000)
        has_rows(journal, 1)

    assert START_US + 930_000_000 == readings(journal)[0][1]


def test_a_bus_that_goes_away_is_found_again(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    collector, metrics = collector_of(device, journal, clock, 1)
    source = metrics.source(collector.lanes[0].name)
    with polling(collector):
        clock.run(0.0, START_US + 30_000_000)
        has_rows(journal, 1)
        device.go_away()
        clock.run(0.0, START_US + 930_000_000)
        wait_for(lambda: not source.connected)
        assert "cannot connect" in source.trouble
        device.come_back()
        wait_for(lambda: _moved_until(clock, lambda: len(readings(journal)) == 2), 20)

    assert 2 == len(readings(journal))
    assert source.connected


def _moved_until(clock: SimulatedClock, done: Callable[[], bool]) -> bool:
    """Move on by a quarter of an hour unless it is done: the bus is tried when a poll is due."""
    if not done():
        clock.run(0.0, clock.now_us() + 900_000_000)
    return done()


def test_ticks_follow_the_polls_and_the_clock(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    collector, metrics = collector_of(device, journal, clock, 1)
    source = metrics.source(collector.lanes[0].name)
    with polling(collector):
        wait_for(lambda: source.tick_us == START_US - 1_000_000)
        clock.run(0.0, START_US + 30_000_000)
        wait_for(lambda: source.tick_us == START_US + 30_000_000)

    seen: list[Any] = []
    for entry in entries(journal):
        seen += [int(t) for t in entry.record.batch.time]
        seen += [("tick", t.up_to_us) for t in entry.record.ticks]
    reading = seen.index(START_US + 30_000_000)
    assert ("tick", START_US + 30_000_000) in seen[reading:]  # never a tick before its readings
    before = [entry for entry in seen[:reading] if isinstance(entry, tuple)]
    assert all(up_to_us < START_US + 30_000_000 for _, up_to_us in before)


def test_a_full_disk_holds_the_readings_until_there_is_room(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    collector, metrics = collector_of(device, journal, clock, 1, retry_s=0.05)
    source = metrics.source(collector.lanes[0].name)
    unit = metrics.units[collector.lanes[0].name, 1]
    journal.full.set()
    with polling(collector):
        clock.run(0.0, START_US + 30_000_000)
        wait_for(lambda: source.holding and unit.polls_ok == 1)
        clock.run(0.0, START_US + 930_000_000)
        wait_for(lambda: unit.polls_ok == 2)
        journal.full.clear()
        has_rows(journal, 2)

    assert [START_US + 30_000_000, START_US + 930_000_000] == [r[1] for r in readings(journal)]


def test_nothing_but_reads_is_ever_sent(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock
) -> None:
    device.modes.extend(["exception 2", "exception 4", "good"] * 4)
    collector, _ = collector_of(device, journal, clock, 1, 2)
    with polling(collector):
        wait_for(lambda: _moved_until(clock, lambda: len(device.requests) >= 12), 30)

    assert [] == device.forbidden
    assert {4} == {function for _, function, _, _ in device.requests}


@pytest.mark.parametrize(
    ("bus", "problem"),
    [
        (ModbusBus("udp://h:1"), "is no Modbus address. Write tcp://host:port"),
        (ModbusBus("serial:///dev/ttyUSB0?baud=9601"), "baud is '9601'. Known: 1200"),
        (ModbusBus("serial:///dev/ttyUSB0?bits=7"), "'bits' is unknown"),
        (ModbusBus("tcp://h:1"), "has no units"),
        (ModbusBus("tcp://h:99999", (ModbusUnit(1, "T1", "sdm630"),)), "is no Modbus address"),
        (ModbusBus("tcp://h:1", (ModbusUnit(300, "T1", "sdm630"),)), "unit must be 0..255"),
        (ModbusBus("tcp://h:1", (ModbusUnit(1, "T1", "sdm63"),)), "Did you mean 'sdm630'"),
        (ModbusBus("tcp://h:1", (ModbusUnit(1, "T1", "sdm630"),) * 2), "is there twice"),
    ],
)
def test_a_wrong_bus_entry_is_refused_at_the_start(
    journal: FussyJournal, bus: ModbusBus, problem: str
) -> None:
    with pytest.raises(BadInput) as caught:
        ModbusCollector(
            [bus], CollectorSettings(), journal, NETWORK, RealClock(), CollectorMetrics()
        )

    assert problem in str(caught.value)


def test_the_golden_frames_are_ieee_754() -> None:
    """The bytes of the table are what a meter sends, not what our own encoder made."""
    assert b"\x43\x66\x33\x33" == struct.pack(">f", 230.2)


def test_slow_registers_are_read_at_every_nth_poll_and_at_the_first(
    device: FakeDevice, journal: FussyJournal, clock: SimulatedClock, tmp_path: Path
) -> None:
    """A missed turn is made up at the next poll, not an hour later."""
    profile = tmp_path / "slow.toml"
    profile.write_text(
        'name = "slow"\ntitle = "x"\nsource = "x"\ntype = "float32"\n'
        '[[registers]]\nquantity = "v_a"\naddress = 0\n'
        '[[registers]]\nquantity = "e_import"\naddress = 0x48\nscale = 1000\nevery = 4\n'
    )
    collector, metrics = collector_of(device, journal, clock, 1, profile=str(profile))
    with polling(collector):
        for poll, quarter in enumerate((0, 1, 2, 3, 4, 5, 9, 12)):
            clock.run(0.0, START_US + quarter * 900_000_000 + 30_000_000)
            has_rows(journal, poll + 1)

    slow = ["e_import" in values for _, _, values, _ in readings(journal)]
    turns = [(START_US // 900_000_000 + q) // 4 for q in (0, 1, 2, 3, 4, 5, 9, 12)]
    expected = [i == 0 or turns[i] != turns[i - 1] for i in range(8)]
    assert expected == slow
    assert all("v_a" in values for _, _, values, _ in readings(journal))
    assert {0: 8, 0x48: sum(slow)} == dict(Counter(a for _, _, a, _ in device.requests))
    assert 8 == metrics.units[collector.lanes[0].name, 1].polls_ok
