"""Who is without supply, who is merely silent, and where."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.engine import Engine
from grid.network import PlannedWork
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, Street, network, only

DARK = (1.0 + 7 / 1440, 1.0 + 127 / 1440)  # 00:07 to 02:07 of the second day


def judge(street: Street, extra: ReadingBatch | None = None) -> list[Finding]:
    engine = Engine(street.net, only("outage"))
    rows = street.readings()
    if extra is not None:
        rows = ReadingBatch.concat([rows, extra]).sort()
    return engine.feed("s", rows) + engine.flush()


def raised(found: list[Finding]) -> set[tuple[str, str, str]]:
    return {(f.fault, f.asset_kind, f.asset) for f in found if f.score >= 1}


@pytest.mark.parametrize(
    ("dark", "kind"), [("T1-B2", "branch"), ("T1", "transformer"), ("F1", "feeder")]
)
def test_last_gasps_point_at_the_asset_within_minutes(dark: str, kind: str) -> None:
    found = judge(Street(network(areas=3), 2.0, dark={dark: DARK}, gasps=0.8))

    assert raised(found) == {("outage", kind, dark)}
    first = found[0]
    assert (first.tick_us - START_US) / 60e6 - 1447 <= 3.0
    assert first.severity == "P1"
    assert float(first.evidence.numbers["last_gasps"] or 0) > 3


def test_supply_that_returns_ends_the_outage_without_waiting_for_an_interval() -> None:
    found = judge(Street(network(), 2.0, dark={"T1": DARK}, gasps=0.9))

    assert found[-1].score < found[-1].clear_below
    assert (found[-1].tick_us - START_US) / 60e6 - 1440 - 127 <= 3.0


def test_most_gasps_lost_still_finds_the_transformer() -> None:
    street = Street(network(areas=2, meters=9), 2.0, dark={"T2": DARK}, gasps=0.4, missing=0.1)

    assert raised(judge(street)) == {("outage", "transformer", "T2")}


def test_silence_of_a_whole_area_without_gasps_is_its_communication() -> None:
    """The gateway failed; calling it a power outage would send a crew for nothing."""
    found = judge(Street(network(areas=3), 2.0, dark={"T1": DARK}, gasps=0.0))

    assert raised(found) == {("comms_failure", "transformer", "T1")}
    assert {f.severity for f in found} == {"P4"}


def test_one_reading_late_for_all_is_no_lost_path_though_one_meter_was_long_silent() -> None:
    late = (1.0 + 7 / 1440, 1.0 + 20 / 1440)
    street = Street(network(areas=3), 2.0, dark={"T1": late, "T1-B1-1": (0.9, 1.1)}, gasps=0.0)

    assert raised(judge(street)) == set()


def test_silence_of_everything_is_nobodys_outage() -> None:
    """Ingestion has stopped; that is not the grid's news."""
    found = judge(Street(network(areas=3), 2.0, dark={"F1": DARK}, gasps=0.0))

    assert raised(found) == set()


def test_one_spurious_gasp_is_not_an_outage() -> None:
    gasp = ReadingBatch.of(
        ["T1-B1-1"],
        [0],
        [START_US + 86_400_000_000 + 420_000_000],
        {},
        event=[EVENT_CODE["last_gasp"]],
    )

    assert raised(judge(Street(network(), 2.0), gasp)) == set()


def test_one_customer_with_a_gasp_and_two_missed_readings_is_out() -> None:
    found = judge(Street(network(), 2.0, dark={"T1-B1-3": DARK}, gasps=1.0))

    assert raised(found) == {("outage", "usage_point", "U-T1-B1-3")}


def test_announced_work_is_named_and_is_no_emergency() -> None:
    begin = START_US + 86_400_000_000
    work = PlannedWork("transformer", "T1", begin, begin + 4 * 3600_000_000, "pole change")
    found = judge(Street(network(planned=(work,)), 2.0, dark={"T1": DARK}, gasps=0.9))

    assert {f.severity for f in found} == {"P4"}
    assert found[0].evidence.numbers["planned"] == "pole change"


@pytest.mark.parametrize(("back_h", "severities"), [(4.4, {"P4"}), (6.0, {"P4", "P1"})])
def test_who_is_dark_for_long_after_announced_work_is_an_emergency(
    back_h: float, severities: set[str]
) -> None:
    day, hour = 86_400_000_000, 3_600_000_000
    work = PlannedWork("transformer", "T1", START_US + day, START_US + day + 4 * hour, "swap")
    dark = {"T1": (DARK[0], 1.0 + back_h / 24.0)}
    found = judge(Street(network(planned=(work,)), 2.0, dark=dark, gasps=0.9))

    assert {f.severity for f in found if f.score > 0.0} == severities


def test_a_daily_delivery_opens_no_outage() -> None:
    net = network(delivery_s=86400.0, monitor=False)
    street = Street(net, 3.0, dark={"T1-B1": (1.2, 1.6)})

    assert raised(judge(street)) == set()


def test_a_disconnected_customer_is_not_out() -> None:
    at = START_US + 86_400_000_000
    code = EVENT_CODE
    events = ReadingBatch.of(
        ["T1-B1-3"],
        [0, 0],
        [at + 60_000_000, at + 420_000_000],
        {},
        event=[code["relay_open"], code["last_gasp"]],
    )
    street = Street(network(), 2.0, dark={"T1-B1-3": DARK})

    assert raised(judge(street, events)) == set()


def test_a_switch_that_opened_makes_its_section_the_place() -> None:
    at = START_US + round(DARK[0] * 86400e6)
    opened = ReadingBatch.of(["SW2"], [0], [at], {}, event=[EVENT_CODE["switch_open"]])
    street = Street(network(areas=2), 2.0, dark={"T2": DARK}, gasps=0.9)

    assert raised(judge(street, opened)) == {("outage", "section", "S2")}


def test_a_switch_telemetered_closed_leaves_the_transformer() -> None:
    closed = ReadingBatch.of(["SW2"], [0], [START_US], {}, event=[EVENT_CODE["switch_closed"]])
    net = network(areas=3, meters=12)
    street = Street(net, 2.0, dark={"T2": DARK, "T3": DARK}, gasps=0.9)

    assert raised(judge(street)) == {("outage", "section", "S2")}
    assert raised(judge(street, closed)) == {
        ("outage", "transformer", "T2"),
        ("outage", "transformer", "T3"),
    }


def test_a_phase_without_voltage_is_a_lost_phase() -> None:
    street = Street(network(), 2.0)
    rows = street.readings()
    after = rows.time >= START_US + 86_400_000_000
    lost = {f"T1-B1-{k}" for k in (1, 4)}
    hit = after & [n in lost for n in rows.device_names()]
    volts = rows.values["v_a"].copy()
    volts[hit] = 0.0
    rows = replace(rows, values={**rows.values, "v_a": volts})
    engine = Engine(street.net)

    found = engine.feed("s", rows) + engine.flush()

    assert raised(found) == {("phase_loss", "branch", "T1-B1")}
    assert found[0].evidence.numbers["phase"] == "a"


def test_random_losses_for_two_weeks_are_quiet() -> None:
    assert raised(judge(Street(network(areas=3), 14.0, missing=0.1))) == set()


def test_devices_without_interval_are_timed_from_their_data() -> None:
    net = network(interval_s=None, areas=3)
    street = Street(net, 2.0, dark={"T1-B1": DARK}, gasps=0.8)

    assert raised(judge(street)) == {("outage", "branch", "T1-B1")}


def test_what_was_silent_before_the_burst_says_nothing_of_it() -> None:
    """Two gasps of a branch, five other meters that lost their last reading: not the feeder."""
    net = network(areas=3, meters=9)
    street = Street(net, 2.0)
    rows = street.readings()
    begin = START_US + round(DARK[0] * 86400e6)
    dark = np.array([n.startswith("T1-B2") for n in rows.device_names()])
    mute = [f"T1-B1-{k}" for k in (1, 2)] + [f"T2-B1-{k}" for k in (1, 2, 3)]
    lost = np.isin(np.array(rows.device_names()), mute) & (rows.time == START_US + 96 * 900_000_000)
    kept = rows.select(~(dark & (rows.time >= begin)) & ~lost)
    gasps = ReadingBatch.of(
        ["T1-B2-1", "T1-B2-5"],
        [0, 1],
        [begin + 40_000_000] * 2,
        {},
        event=[EVENT_CODE["last_gasp"]] * 2,
    )
    engine = Engine(net, only("outage"))

    found = engine.feed("s", ReadingBatch.concat([kept, gasps]).sort()) + engine.flush()

    assert raised(found) == {("outage", "branch", "T1-B2")}


def test_gasps_elsewhere_do_not_make_an_area_unreachable() -> None:
    """One meter of it is long silent, others missed a reading: the rest were heard in time."""
    net = network(areas=2, branches=3, meters=12)
    street = Street(net, 2.0, dark={"T1": DARK}, gasps=0.9)
    rows = street.readings()
    us = START_US + round(DARK[0] * 86400e6)
    far = np.array([n.startswith("T2-") for n in rows.names])[rows.device]
    silent = np.isin(rows.device, [rows.names.index(f"T2-B1-{k}") for k in range(1, 9)])
    lost = far & silent & (rows.time > us - 1_300_000_000) & (rows.time < us + 1_000_000_000)
    alone = (rows.device == rows.names.index("T2-B2-1")) & (rows.time > us - 14_000_000_000)
    rows = rows.select(~lost & ~alone)

    engine = Engine(net, only("outage"))
    found = engine.feed("s", rows) + engine.flush()

    assert raised(found) == {("outage", "transformer", "T1")}
