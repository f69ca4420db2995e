"""The checks: flags for what is doubtful, refusals for what is impossible, neighbours untouched."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.clock import SimulatedClock
from grid.network import Device, Network
from grid.readings import Quality, ReadingBatch
from ingest.checks import Checked, Checks
from ingest.payloads import PayloadDecoder
from ingest.rows import Origin, Rows

NOW = 1_700_000_000_000_000  # µs
MS = NOW // 1000
NETWORK = Network(
    devices=(
        Device("M1", interval_s=900),
        Device("M2", interval_s=60, delivery_s=86_400),
        Device("CT", ct_ratio=40.0, pt_ratio=10.0),
    )
)


class StandingClock:
    def now_us(self) -> int:
        return NOW

    def real_seconds_until(self, site_us: int) -> float:
        return 0.0


@pytest.fixture
def checks() -> Checks:
    return Checks(NETWORK, StandingClock())


def send(checks: Checks, *readings: dict[str, Any], device: str = "M1", event: str = "") -> Checked:
    decoder = PayloadDecoder()
    for reading in readings:
        form = "events" if "event" in reading else "readings"
        decoder.add(f"forewatt/v1/{device}/{form}", json.dumps(reading).encode(), NOW)
    return checks.apply(decoder.take().rows)


def flags(checked: Checked) -> list[Quality]:
    return [Quality(int(q)) for q in checked.batch.quality]


def test_a_good_reading_passes_without_a_flag(checks: Checks) -> None:
    checked = send(checks, {"t": MS, "v_a": 230.5, "i_a": -3, "e_import": 1e9})

    assert [Quality.GOOD] == flags(checked)
    assert ("M1",) == checked.batch.names
    assert {"v_a": 230.5, "i_a": -3.0, "e_import": 1e9} == {
        name: float(column[0]) for name, column in checked.batch.values.items()
    }


def test_an_impossible_value_is_dropped_with_a_flag_and_the_others_stay(checks: Checks) -> None:
    checked = send(checks, {"t": MS, "v_a": 9999, "v_b": 230}, {"t": MS - 1, "v_a": 231})

    assert [Quality.OUT_OF_RANGE, Quality.GOOD] == flags(checked)
    np.testing.assert_array_equal([np.nan, 231], checked.batch.value("v_a"))
    np.testing.assert_array_equal([230, np.nan], checked.batch.value("v_b"))
    assert [] == checked.quarantined


@pytest.mark.parametrize("value", [1e300, -1e300, -1, 500.001])
def test_a_reading_with_nothing_possible_is_refused_with_the_limits(
    checks: Checks, value: float
) -> None:
    checked = send(checks, {"t": MS, "v_a": value, "f": 99}, {"t": MS, "v_a": 230})

    assert [230.0] == checked.batch.value("v_a").tolist()
    (bad,) = checked.quarantined
    assert "impossible and nothing else reported: v_a = " in bad.reason
    assert "V (0..500), f = 99 Hz (40..70)" in bad.reason
    assert {"t": MS, "v_a": value, "f": 99} == json.loads(bad.payload)


def test_values_at_the_limits_are_possible(checks: Checks) -> None:
    checked = send(checks, {"t": MS, "v_a": 0, "v_b": 500, "p": -2e6, "pf": -1})

    assert [Quality.GOOD] == flags(checked)


def test_an_empty_reading_is_refused(checks: Checks) -> None:
    checked = send(checks, {"t": MS, "seq": 3})

    assert ["the reading holds no value"] == [q.reason for q in checked.quarantined]
    assert 0 == len(checked.batch)


def test_an_unknown_device_waits_in_quarantine_with_what_it_sent(checks: Checks) -> None:
    checked = send(checks, {"t": MS, "v_a": 230}, device="M9")

    (bad,) = checked.quarantined
    assert (
        "device 'M9' is not in the network; add it to devices.csv, then replay this" == bad.reason
    )
    assert ("M9", {"t": MS, "v_a": 230}) == (bad.device, json.loads(bad.payload))


def test_time_more_than_five_minutes_ahead_is_refused(checks: Checks) -> None:
    checked = send(checks, {"t": MS + 300_000, "v_a": 1}, {"t": MS + 300_001, "v_a": 2})

    assert [1.0] == checked.batch.value("v_a").tolist()
    assert [Quality.CLOCK_SKEW] == flags(checked)
    assert ["its time is 5 minutes ahead of the site clock; set the device clock"] == [
        q.reason for q in checked.quarantined
    ]


def test_a_clock_that_was_never_set_is_refused(checks: Checks) -> None:
    checked = send(checks, {"t": 0, "v_a": 230})

    assert ["its time is before the year 2000; the device clock was never set"] == [
        q.reason for q in checked.quarantined
    ]


def test_old_readings_are_kept_and_flagged_by_the_delivery_of_their_device(checks: Checks) -> None:
    """M1 reports every 15 minutes; M2 delivers once a day, so a day is nothing for it."""
    hour = 3_600_000
    own = send(checks, {"t": MS - hour, "v_a": 1}, {"t": MS - 1000, "v_a": 1}, device="M1")
    daily = send(
        checks, {"t": MS - 24 * hour, "v_a": 1}, {"t": MS - 50 * hour, "v_a": 1}, device="M2"
    )

    assert [Quality.LATE, Quality.GOOD] == flags(own)
    assert [Quality.GOOD, Quality.LATE] == flags(daily)


def test_a_step_of_the_simulated_clock_is_not_mistaken_for_the_future(tmp_path: Path) -> None:
    """The replay moved the clock a moment ago; this process still remembers the time before."""
    clock = SimulatedClock.create(tmp_path / "clock.json", NOW)
    checks = Checks(NETWORK, clock)
    assert NOW == clock.now_us()
    SimulatedClock(clock.path).run(0.0, NOW + 900_000_000)

    checked = send(checks, {"t": MS + 900_000, "v_a": 230})

    assert 1 == len(checked.batch)


def test_a_redelivered_reading_enters_once(checks: Checks) -> None:
    reading = {"t": MS, "seq": 1, "v_a": 230}
    send(checks, reading)

    again = send(checks, reading, {"t": MS + 1, "v_a": 230})

    assert [MS * 1000 + 1000] == again.batch.time.tolist()
    assert 1 == again.duplicates
    assert [] == again.quarantined


def test_a_reading_doubled_in_one_message_enters_once(checks: Checks) -> None:
    checked = send(checks, *[{"t": MS, "v_a": 230}] * 3, {"t": MS, "v_a": 231})

    assert [230.0, 231.0] == checked.batch.value("v_a").tolist()
    assert [Quality.GOOD, Quality.DUPLICATE] == flags(checked)
    assert 2 == checked.duplicates


def test_another_value_for_a_time_seen_is_kept_and_flagged(checks: Checks) -> None:
    """A conflict is for storage to record; nothing is ignored in silence."""
    send(checks, {"t": MS, "v_a": 230})

    checked = send(checks, {"t": MS, "v_a": 230, "v_b": 229})

    assert [Quality.DUPLICATE] == flags(checked)
    assert 0 == checked.duplicates


def test_events_of_one_instant_are_all_kept_and_repeats_are_not(checks: Checks) -> None:
    down, gasp = {"t": MS, "event": "power_down"}, {"t": MS, "event": "last_gasp"}

    first = send(checks, {"t": MS, "v_a": 1}, down, gasp, down)
    second = send(checks, gasp, {"t": MS + 1, "event": "last_gasp"})

    assert ([0, 3, 1], 1) == (first.batch.event.tolist(), first.duplicates)
    assert ([1], 1) == (second.batch.event.tolist(), second.duplicates)
    assert [Quality.GOOD] * 3 == flags(first)


def test_the_memory_of_repeats_is_bounded_and_keeps_the_newest(checks: Checks) -> None:
    readings = [{"t": MS + i, "v_a": 230} for i in range(20)]
    send(checks, *readings)

    again = send(checks, *readings)

    assert 8 == again.duplicates
    assert 12 == len(again.batch)


def test_absent_and_zero_are_different_readings(checks: Checks) -> None:
    send(checks, {"t": MS, "v_a": 230})

    assert [Quality.DUPLICATE] == flags(send(checks, {"t": MS, "v_a": 230, "i_a": 0}))


def test_a_register_that_runs_backwards_is_flagged(checks: Checks) -> None:
    first = send(checks, {"t": MS, "e_import": 100}, {"t": MS + 2, "e_import": 90})
    second = send(
        checks,
        {"t": MS + 1, "e_import": 50},
        {"t": MS + 3, "e_import": 89},
        {"t": MS + 4, "v_a": 1},
        {"t": MS + 5, "e_import": 89},
    )

    assert [Quality.GOOD, Quality.ROLLBACK] == flags(first)
    assert [Quality.GOOD, Quality.ROLLBACK, Quality.GOOD, Quality.GOOD] == flags(second)


def test_registers_of_different_devices_are_not_compared(checks: Checks) -> None:
    send(checks, {"t": MS, "e_import": 100}, device="M1")

    assert [Quality.GOOD] == flags(send(checks, {"t": MS + 1, "e_import": 5}, device="M2"))


def test_total_power_is_the_sum_where_the_device_leaves_it_out(checks: Checks) -> None:
    phases = {"p_a": 100, "p_b": 200, "p_c": -50}

    checked = send(
        checks, {"t": MS, **phases}, {"t": MS + 1, **phases, "p": 7}, {"t": MS + 2, "p_a": 5}
    )

    np.testing.assert_array_equal([250, 7, np.nan], checked.batch.value("p"))


def test_transformer_ratios_bring_values_to_the_primary_side(checks: Checks) -> None:
    given = {"t": MS, "v_a": 23, "i_a": 5, "p": 100, "e_import": 2, "pf": 0.9, "i_residual": 1}

    checked = send(checks, given, device="CT")

    expected = {"v_a": 230, "i_a": 200, "p": 40_000, "e_import": 800, "pf": 0.9, "i_residual": 1}
    assert expected == {
        name: pytest.approx(float(column[0])) for name, column in checked.batch.values.items()
    }


def hear(checks: Checks, minutes: range, *, behind_s: int = 0, at: int | None = None) -> Checked:
    """Readings of M1, one a quarter of an hour, each arriving as it is due (or all `at` once)."""
    parts = []
    for k in minutes:
        arrival = NOW + 900_000_000 * (k if at is None else at)
        rows = Rows.of(
            ("M1",),
            [0],
            [NOW + 900_000_000 * k - 1_000_000 * behind_s],
            {"v_a": [230.0 + k % 7]},
            received=arrival,
            origins=(Origin("test", None),),
        )
        parts.append(checks.apply(rows).batch)
    return Checked(ReadingBatch.concat(parts), [], 0)


def test_a_clock_that_is_always_behind_is_learned_and_flagged(checks: Checks) -> None:
    """An hour behind: at first it looks like a late delivery, then it is known."""
    checked = hear(checks, range(60), behind_s=3600)

    first, last = flags(checked)[0], flags(checked)[-1]
    assert (Quality.LATE, Quality.LATE | Quality.CLOCK_SKEW) == (first, last)
    assert [("M1", -3600.0)] == checks.skewed()


def test_a_backlog_that_is_resent_is_late_and_no_fault_of_the_clock(checks: Checks) -> None:
    hear(checks, range(40))

    backlog = hear(checks, range(40, 140), at=140)
    after = hear(checks, range(140, 142))

    assert not any(f & Quality.CLOCK_SKEW for f in flags(backlog) + flags(after))
    assert [] == checks.skewed()


def test_a_clock_that_was_set_ahead_is_named_with_its_lead(checks: Checks) -> None:
    hear(checks, range(30), behind_s=-20)

    assert [("M1", 20.0)] == checks.skewed()


def test_a_clock_that_was_mended_is_trusted_again_at_once(checks: Checks) -> None:
    hear(checks, range(60), behind_s=3600)

    checked = hear(checks, range(70, 73))

    assert [False, False] == [bool(f & Quality.CLOCK_SKEW) for f in flags(checked)[1:]]
    assert [] == checks.skewed()


def test_the_result_does_not_depend_on_how_messages_are_batched() -> None:
    """One by one or all at once: the same rows, flags and refusals."""
    rng = np.random.default_rng(7)
    readings = [
        {
            "t": MS + int(rng.integers(0, 4)),
            "v_a": 9999.0 if register else 230.0,
            "e_import": float(register),
        }
        for register in rng.integers(0, 2, 60)
    ]
    single, whole = Checks(NETWORK, StandingClock()), Checks(NETWORK, StandingClock())

    one_by_one = [send(single, r) for r in readings]
    at_once = send(whole, *readings)

    def keys(parts: list[Checked]) -> list[tuple[Any, ...]]:
        return [
            (int(t), float(v), int(q))
            for c in parts
            for t, v, q in zip(
                c.batch.time, c.batch.value("e_import"), c.batch.quality, strict=True
            )
        ]

    assert keys(one_by_one) == keys([at_once])
    assert sum(c.duplicates for c in one_by_one) == at_once.duplicates


def test_a_batch_of_unknown_devices_is_kept_once_and_its_neighbours_row_by_row(
    checks: Checks,
) -> None:
    decoder = PayloadDecoder()
    crowd = {"t": MS, "device": [f"X{i}" for i in range(200)] + ["M1"], "v_a": [230.0] * 201}
    few = {"t": MS + 1, "device": ["Y", "M1"], "v_a": [230.0, 231.0]}
    for batch in (crowd, few):
        decoder.add("forewatt/v1/G/batch", json.dumps(batch).encode(), NOW)

    checked = checks.apply(decoder.take().rows)

    assert [230.0, 231.0] == checked.batch.value("v_a").tolist()
    whole, alone = checked.quarantined
    assert whole.reason.startswith("200 rows of this message are refused, the first: device 'X0'")
    assert json.dumps(crowd).encode() == whole.payload
    assert {"t": [MS + 1], "device": ["Y"], "v_a": [230.0]} == json.loads(alone.payload)
