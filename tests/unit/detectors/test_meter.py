"""Meters that fail as meters, and sensors: against healthy siblings, in hand-made readings."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.catalogue import FAMILIES
from detectors.engine import Engine
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from grid.records import NOT_ENOUGH, WATCH_LIST, Finding
from tests.unit.detectors.street import START_US, STEP_US, Street, network, only

DAYS = 4.0
WHO = "T1-B1-2"


def street() -> tuple[Network, ReadingBatch]:
    net = network(areas=1)
    return net, Street(net, DAYS).readings()


def rows_of(batch: ReadingBatch, name: str, from_day: float) -> NDArray[np.bool_]:
    since = batch.time >= START_US + round(from_day * 86400e6)
    return np.asarray((batch.device == batch.names.index(name)) & since)


def judge(name: str, net: Network, batch: ReadingBatch) -> list[Finding]:
    engine = Engine(net, only(name))
    return engine.feed("s", batch.sort()) + engine.flush()


def changed(batch: ReadingBatch, **columns: NDArray[np.float64]) -> ReadingBatch:
    return ReadingBatch.of(
        batch.names, batch.device, batch.time, {**batch.values, **columns}, received=batch.received
    )


def said(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.fault, f.asset) for f in found if f.score >= 1.0}


def registers(batch: ReadingBatch, back: str | None = None) -> NDArray[np.float64]:
    """An import register for every row, which runs back by 20 kWh at one device on day 3."""
    hours = (batch.time - START_US) / 3.6e9
    e = 5e6 + 400.0 * hours
    if back is not None:
        e[rows_of(batch, back, 3.0)] -= 20_000.0
    return np.asarray(e)


def test_values_that_stand_still_while_the_street_moves_are_a_stuck_meter() -> None:
    net, batch = street()
    rows = rows_of(batch, WHO, 3.0)
    values = {q: np.array(batch.value(q), float) for q in ("v_a", "i_a", "p")}
    for column in values.values():
        column[rows] = column[rows][0]

    found = judge("meter", net, changed(batch, **values))

    assert said(found) == {("meter_health", WHO)}
    assert found[0].tick_us <= START_US + round(3.5 * 86400e6)


def test_a_register_that_runs_back_between_two_readings_is_a_fault() -> None:
    net, batch = street()

    found = judge("meter", net, changed(batch, e_import=registers(batch, WHO)))

    assert said(found) == {("meter_health", WHO)}


def test_a_register_that_starts_anew_after_a_pause_is_an_exchange() -> None:
    net, batch = street()
    batch = changed(batch, e_import=registers(batch, WHO))
    away = rows_of(batch, WHO, 3.0) & (batch.time < START_US + 3 * 86_400_000_000 + 2 * STEP_US)

    assert judge("meter", net, batch.select(~away)) == []


def hourly(said_by: str | None) -> list[Finding]:
    """Hourly readings, a register that begins anew on day 3, perhaps a power-up of one meter."""
    net = network(areas=1, interval_s=3600.0)
    batch = Street(net, DAYS).readings()
    batch = changed(batch, e_import=registers(batch))
    e = np.array(batch.value("e_import"), float)
    e[rows_of(batch, WHO, 3.0)] -= 5e6 + 400.0 * 24 * 3
    batch = changed(batch, e_import=e)
    batch = batch.select((batch.time - START_US) % 3_600_000_000 == 0)
    if said_by is not None:
        at = START_US + 3 * 86_400_000_000 - 20 * 60_000_000
        event = [EVENT_CODE["power_up"]]
        batch = ReadingBatch.concat([batch, ReadingBatch.of([said_by], [0], [at], {}, event=event)])
    others = tuple(f.name for f in FAMILIES if f.name != "meter")
    engine = Engine(net, DetectorSettings(disabled=others))
    return [f for f in engine.feed("s", batch.sort()) + engine.flush() if f.detector == "meter"]


def test_hourly_readings_hide_the_pause_of_an_exchange_but_its_events_tell() -> None:
    assert hourly(said_by=WHO) == []


def test_a_register_that_begins_anew_without_a_word_where_meters_do_speak_is_a_fault() -> None:
    assert {f.evidence.numbers.get(WATCH_LIST) for f in hourly(said_by="T1-B2-1")} == {None}


def test_where_meters_never_say_that_they_were_opened_it_cannot_be_judged() -> None:
    assert {f.evidence.numbers.get(WATCH_LIST) for f in hourly(said_by=None)} == {NOT_ENOUGH}


def test_a_meter_that_repeats_one_voltage_is_no_joint() -> None:
    """Voltage alone, and its neighbours rise by four volts meanwhile."""
    net = network(areas=1, branches=1, meters=9, monitor=False)
    batch = Street(net, 5.0, current=False).readings()
    hours = (batch.time - START_US) / 3.6e9
    v = np.array(batch.value("v_a"), float) + 4.0 * np.sin(2 * np.pi * hours / 24.0)
    mine = rows_of(batch, WHO, 4.0)
    v[mine] = v[mine].min()
    batch = changed(batch, v_a=np.round(v, 1))

    engine = Engine(net)
    found = engine.feed("s", batch.sort()) + engine.flush()

    assert {f.fault for f in found if f.asset.endswith(WHO)} == {"meter_health"}


def test_a_clock_that_runs_away_from_its_siblings_is_found_within_a_day() -> None:
    net, batch = street()
    rows = rows_of(batch, WHO, 2.0)
    time = batch.time.copy()
    time[rows] += ((time[rows] - START_US - 2 * 86_400_000_000) * 600 // 86400).astype(np.int64)
    drifting = ReadingBatch.of(
        batch.names, batch.device, time, batch.values, received=time + 1_000_000
    )

    found = judge("meter", net, drifting)

    assert said(found) == {("meter_health", WHO)}
    assert found[0].tick_us <= START_US + 3 * 86_400_000_000


def test_what_the_collector_polls_and_times_has_no_clock_that_drifts() -> None:
    net, batch = street()
    polled = tuple(replace(d, profile="sdm630") if d.id == WHO else d for d in net.devices)
    rows = rows_of(batch, WHO, 2.0)
    time = batch.time + np.where(rows, 400_000_000, 0)
    late = ReadingBatch.of(batch.names, batch.device, time, batch.values, received=time + 1_000)

    assert said(judge("meter", net, late)) == {("meter_health", WHO)}
    assert not judge("meter", replace(net, devices=polled), late)


def test_a_drifting_clock_is_no_more_once_its_device_is_on_record_as_polled() -> None:
    net, batch = street()
    polled = tuple(replace(d, profile="sdm630") if d.id == WHO else d for d in net.devices)
    time = batch.time + np.where(rows_of(batch, WHO, 2.0), 400_000_000, 0)
    late = ReadingBatch.of(batch.names, batch.device, time, batch.values, received=time + 1_000)
    late = late.sort()
    before, after = Engine(net, only("meter")), Engine(replace(net, devices=polled), only("meter"))
    early = late.time < START_US + 3 * 86_400_000_000

    told = before.feed("s", late.select(early))
    after.restore(before.snapshot())
    found = after.feed("s", late.select(~early))

    assert said(told) == {("meter_health", WHO)}
    assert [f.asset for f in found if f.score < f.clear_below] == [WHO]


@pytest.mark.parametrize(("away_s", "told"), [(3600, "meter_health"), (0, "comms_failure")])
def test_a_clock_known_to_run_ahead_is_what_silences_its_meter(away_s: int, told: str) -> None:
    net, batch = street()
    rows = rows_of(batch, WHO, 1.5)
    time = batch.time.copy()
    time[rows] += ((time[rows] - START_US - 129_600_000_000) * away_s // 86400).astype(np.int64)
    drifting = ReadingBatch.of(
        batch.names, batch.device, time, batch.values, received=batch.time + 1_000_000
    )
    refused = (time > batch.time + 300_000_000) | rows_of(batch, WHO, 2.0)

    found = judge("meter", net, drifting.select(~refused))  # what is left by the way in

    assert said(found) == {(told, WHO)}


@pytest.mark.parametrize(("interval_s", "strays_s"), [(600, 0.0), (300, 0.0), (60, 8.0)])
def test_a_meter_of_another_interval_than_the_street_has_a_sound_clock(
    interval_s: int, strays_s: float
) -> None:
    """Those of ten minutes wander by the ticks of fifteen, and where one is lost, of ten minutes or
    of five, the next stands on the other side; those of a minute stray too far to be followed past
    half a minute."""
    net, batch = street()
    devices = tuple(
        replace(d, interval_s=float(interval_s)) if d.id == WHO else d for d in net.devices
    )
    rng = np.random.default_rng(1)
    time = START_US + np.arange(round(DAYS * 86400 / interval_s)) * interval_s * 1_000_000
    time = time[rng.random(time.size) > 0.2]
    time += (rng.normal(0.0, strays_s, time.size) * 1e6).astype(np.int64)
    own = ReadingBatch.of([WHO], np.zeros(time.size, int), time, {"v_a": np.full(time.size, 230.0)})
    batch = ReadingBatch.concat([batch.select(~rows_of(batch, WHO, 0.0)), own])

    found = judge("meter", replace(net, devices=devices), batch)

    assert [f for f in found if "clock" in f.evidence.rule] == []


def test_a_clock_shared_by_the_street_is_nobodys_fault() -> None:
    net, batch = street()
    late = batch.time + (batch.time > START_US + 2 * 86_400_000_000) * 200_000_000
    shifted = ReadingBatch.of(batch.names, batch.device, late, batch.values, received=late)

    assert judge("meter", net, shifted) == []


@pytest.mark.parametrize(("apart_days", "told"), [(0.0, {("comms_failure", "T1")}), (0.6, set())])
def test_several_silent_since_one_moment_have_lost_the_path_that_no_record_unites(
    apart_days: float, told: set[tuple[str, str]]
) -> None:
    """Some of each branch, so that none is silent. Retired one by one, they share nothing."""
    net = network(areas=1, branches=2, meters=6)
    batch = Street(net, 8.0).readings()
    quiet = np.zeros(len(batch), bool)
    for k, name in enumerate(("T1-B1-2", "T1-B1-5", "T1-B2-1", "T1-B2-3", "T1-B2-4")):
        quiet |= rows_of(batch, name, 2.5 + k * apart_days) & ~rows_of(batch, name, 6.0)

    engine = Engine(net)
    found = engine.feed("s", batch.select(~quiet)) + engine.flush()

    assert {x for x in said(found) if x[1] == "T1"} == told
    # It ends when they are heard again.
    assert {f.asset for f in found if f.score < f.clear_below} >= {x[1] for x in told}


@pytest.mark.parametrize(("other", "away"), [("T1-B1-3", (4.0, 8.0)), ("T1-B1-4", (2.5, 4.5))])
def test_a_lost_path_lasts_while_others_fall_silent_and_come_back(
    other: str, away: tuple[float, float]
) -> None:
    """And what was retired before it is none of its devices."""
    net = network(areas=1, branches=2, meters=6)
    batch = Street(net, 8.0).readings()
    lost = ("T1-B1-2", "T1-B1-5", "T1-B2-1", "T1-B2-3")
    quiet = rows_of(batch, "T1-B2-5", 1.0)
    for name, begin, end in ((other, *away), *((x, 2.5, 6.0) for x in lost)):
        quiet |= rows_of(batch, name, begin) & ~rows_of(batch, name, end)

    engine = Engine(net)
    found = engine.feed("s", batch.select(~quiet)) + engine.flush()

    path = [f for f in found if (f.fault, f.asset) == ("comms_failure", "T1")]
    assert "T1-B2-5" not in path[0].devices
    assert {*lost} <= {*path[0].devices}
    ends = [f.tick_us for f in path if f.score < f.clear_below]
    assert len(ends) == 1
    assert abs(ends[0] - START_US - round(6.0 * 86400e6)) <= STEP_US


def test_one_silent_device_among_speaking_ones_has_lost_its_communication() -> None:
    net, batch = street()

    found = judge("meter", net, batch.select(~rows_of(batch, WHO, 3.0)))

    assert said(found) == {("comms_failure", WHO)}
    assert found[0].tick_us - START_US >= round(3.4 * 86400e6)


def test_a_day_lost_in_one_export_of_hourly_readings_is_no_silence() -> None:
    net = network(areas=1, interval_s=3600.0)
    batch = Street(net, 5.0).readings()
    batch = batch.select((batch.time - START_US) % 3_600_000_000 == 0)
    lost = rows_of(batch, WHO, 2.0) & ~rows_of(batch, WHO, 3.0)

    assert not said(judge("meter", net, batch.select(~lost)))
    assert said(judge("meter", net, batch.select(~rows_of(batch, WHO, 2.0))))


def test_whole_volts_that_stand_still_for_a_night_are_no_stuck_meter() -> None:
    """It moves by 0.9 V within its volt while its street moves by 2.4 V, but for every evening."""
    net = network(areas=1, interval_s=3600.0)
    batch = Street(net, 6.0, current=False).readings()
    batch = batch.select((batch.time - START_US) % 3_600_000_000 == 0)
    hours = (batch.time - START_US) / 3.6e9
    mine = batch.device == batch.names.index(WHO)
    v = 228.0 + np.where(mine, 0.45, 1.2) * np.sin(2 * np.pi * hours / 12.0)
    v -= np.where(hours % 24 < 3, 4.0, 0.0)

    assert not said(judge("meter", net, changed(batch, v_a=np.round(v))))
    assert said(judge("meter", net, changed(batch, v_a=np.where(mine, np.round(v), v * 2 - 228))))


@pytest.mark.parametrize(("from_day", "told"), [(3.0, set()), (0.0, {("comms_failure", WHO)})])
def test_a_silent_meter_whose_usage_point_has_a_new_one_was_exchanged(
    from_day: float, told: set[tuple[str, str]]
) -> None:
    """A second one that always was there, as of panels, is no successor."""
    net, batch = street()
    old = next(d for d in net.devices if d.id == WHO)
    net = replace(net, devices=(*net.devices, replace(old, id="NEW")))
    device = np.where(rows_of(batch, WHO, from_day), len(batch.names), batch.device)
    other = ReadingBatch.of((*batch.names, "NEW"), device, batch.time, batch.values)
    old_rows = batch.select(rows_of(batch, WHO, 0.0) & ~rows_of(batch, WHO, 3.0))
    batch = ReadingBatch.concat([other, old_rows]) if from_day < 3.0 else other

    assert said(judge("meter", net, batch)) == told


def test_half_a_street_silent_at_once_is_the_path_they_share() -> None:
    net, batch = street()
    mute = np.zeros(len(batch), bool)
    for k in range(1, 7):
        mute |= rows_of(batch, f"T1-B1-{k}", 3.0)

    assert judge("meter", net, batch.select(~mute)) == []


@pytest.mark.parametrize("volts", [30.0, -30.0])
def test_a_voltage_that_leaps_alone_is_the_sensors(volts: float) -> None:
    net, batch = street()
    v = np.array(batch.value("v_a"), float)
    v[rows_of(batch, WHO, 3.0)] += volts

    found = judge("sensor", net, changed(batch, v_a=v))

    assert said(found) == {("sensor_fault", WHO)}


def test_what_a_customers_own_current_takes_on_a_weak_line_is_no_sensors_leap() -> None:
    """Half a day of 30 A, every day."""
    net, batch = street()
    days = (batch.time - START_US) / 86400e6
    drawing = rows_of(batch, WHO, 2.0) & (days % 1.0 < 0.5)
    v, i = (np.array(batch.value(n), float) for n in ("v_a", "i_a"))
    v[drawing] -= 17.0
    i[drawing] += 30.0

    assert judge("sensor", net, changed(batch, v_a=v, i_a=i)) == []


def test_how_far_a_voltage_leapt_is_told_at_its_end_after_a_restart_too() -> None:
    net, batch = street()
    v = np.array(batch.value("v_a"), float)
    v[rows_of(batch, WHO, 3.0) & ~rows_of(batch, WHO, 3.5)] += 30.0
    rows = changed(batch, v_a=v).sort()
    cut = int(np.searchsorted(rows.time, START_US + round(3.4 * 86400e6)))
    first, again = (Engine(net, DetectorSettings()) for _ in range(2))

    found = first.feed("s", rows.select(slice(0, cut)))
    again.restore(first.snapshot())
    found += again.feed("s", rows.select(slice(cut, None))) + again.flush()

    leaps = [f.evidence.numbers["leap_v"] for f in found if f.fault == "sensor_fault"]
    assert len(leaps) > 1
    assert leaps == pytest.approx([30.0] * len(leaps), abs=1.0)


def test_a_sensor_found_out_raises_nothing_else() -> None:
    """The gate takes its readings from the frame before the other families see them."""
    net, batch = street()
    v = np.array(batch.value("v_a"), float)
    v[rows_of(batch, WHO, 3.0)] += 40.0
    engine = Engine(net)

    found = engine.feed("s", changed(batch, v_a=v).sort()) + engine.flush()

    assert {f.fault for f in found} == {"sensor_fault"}


def test_a_displaced_neutral_is_no_sensor_fault() -> None:
    net = network(areas=1)
    rows = Street(net, DAYS, neutral={"T1-B1": lambda d: np.where(d > 3.0, 6.0, 0.0)}).readings()

    assert judge("sensor", net, rows) == []
