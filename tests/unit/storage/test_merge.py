"""Rows of the same device and time become one; nothing a device said goes under."""

from __future__ import annotations

from typing import Any

import numpy as np

from grid.readings import ReadingBatch
from storage.merge import TIME_HIGH_US, TIME_LOW_US, merge, sound_time

T = TIME_LOW_US
NAN = float("nan")


def batch(device: list[int], time: list[int], **columns: Any) -> tuple[ReadingBatch, Any]:
    received = columns.pop("received", None)
    names = [f"M{i}" for i in range(9)]
    made = ReadingBatch.of(names, device, time, columns, received=received)
    return made, made.device


def test_rows_come_out_by_device_then_time() -> None:
    merged = merge(*batch([2, 1, 2, 1], [T, T + 1, T - 5, T], v_a=[1, 2, 3, 4]))

    assert merged.rows.device.tolist() == [1, 1, 2, 2]
    assert merged.rows.time.tolist() == [T, T + 1, T - 5, T]
    assert merged.rows.values["v_a"].tolist() == [4, 2, 3, 1]
    assert (merged.duplicates, merged.conflicts) == (0, ())


def test_a_row_sent_three_times_is_stored_once_and_counted_twice() -> None:
    merged = merge(*batch([1, 1, 1], [T, T, T], v_a=[230, 230, 230]))

    assert len(merged.rows) == 1
    assert (merged.duplicates, merged.conflicts) == (2, ())


def test_parts_of_one_reading_complete_each_other() -> None:
    merged = merge(
        *batch([1, 1, 1], [T, T, T], v_a=[230, NAN, NAN], i_a=[NAN, 5, NAN], p=[NAN, NAN, 900])
    )

    assert merged.rows.row_values(0) == {"v_a": 230.0, "i_a": 5.0, "p": 900.0}
    assert merged.conflicts == ()


def test_of_two_different_values_the_first_stays_and_the_other_is_a_conflict() -> None:
    merged = merge(*batch([1, 1], [T, T], v_a=[230, 231], i_a=[5, NAN], received=[T + 1, T + 9]))

    assert merged.rows.row_values(0) == {"v_a": 230.0, "i_a": 5.0}
    (conflict,) = merged.conflicts
    assert (conflict.device, conflict.time_us, conflict.received_us) == (1, T, T + 9)
    assert (conflict.arrived, conflict.stored) == ({"v_a": 231.0}, {"v_a": 230.0, "i_a": 5.0})


def test_a_conflicting_row_fills_no_holes() -> None:
    """What contradicts the stored row is not trusted for the rest of its values."""
    merged = merge(*batch([1, 1], [T, T], v_a=[230, 231], i_a=[NAN, 5]))

    assert merged.rows.row_values(0) == {"v_a": 230.0}


def test_quantities_that_nobody_reported_are_left_out() -> None:
    merged = merge(*batch([1], [T], v_a=[230], i_a=[NAN]))

    assert list(merged.rows.values) == ["v_a"]


def test_input_arrays_stay_as_they_were() -> None:
    given, key = batch([1, 1], [T, T], v_a=[230, NAN], i_a=[NAN, 5])
    merge(given, key)

    np.testing.assert_array_equal(given.values["i_a"], np.array([NAN, 5], np.float32))


def test_times_before_1990_and_from_2100_on_are_not_sound() -> None:
    time = np.array([TIME_LOW_US - 1, TIME_LOW_US, TIME_HIGH_US - 1, TIME_HIGH_US, -(2**63)])

    assert sound_time(time).tolist() == [False, True, True, False, False]
