"""What counts as a gap, and that the way a stream is cut into batches does not change it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from storage.gaps import DeviceState, GapsFound, find_gaps
from storage.merge import TIME_LOW_US, Rows

MINUTE = 60_000_000
T = TIME_LOW_US


def rows(device: Sequence[int], time: Sequence[int], seq: Sequence[int] | None = None) -> Rows:
    order = np.lexsort((np.array(time), np.array(device)))
    at = np.array(time, np.int64)[order]
    number = np.array(seq if seq is not None else [-1] * len(at), np.int64)[order]
    return Rows(np.array(device, np.int32)[order], at, at, number, np.zeros(len(at), np.int32), {})


def state_of(interval: int = MINUTE, devices: int = 4) -> DeviceState:
    state = DeviceState()
    state.reserve(devices)
    state.interval[:] = interval
    return state


def minutes(*numbers: int) -> list[int]:
    return [T + n * MINUTE for n in numbers]


def found(r: Rows, state: DeviceState) -> list[tuple[int, int, int, int, bool]]:
    gaps = find_gaps(r, state)
    return [
        (int(d), (int(a) - T) // MINUTE, (int(b) - T) // MINUTE, int(m), bool(s))
        for d, a, b, m, s in zip(
            gaps.device, gaps.after, gaps.before, gaps.missing, gaps.by_sequence, strict=True
        )
    ]


def test_a_step_of_three_intervals_is_a_gap_of_two_readings() -> None:
    assert found(rows([1] * 5, minutes(0, 1, 2, 5, 6)), state_of()) == [(1, 2, 5, 2, False)]


def test_the_first_steps_of_a_device_may_be_a_gap() -> None:
    """A site that was down right after its first polls."""
    assert found(rows([1] * 4, minutes(0, 1, 4, 5)), state_of()) == [(1, 1, 4, 2, False)]
    assert found(rows([1] * 3, minutes(0, 3, 4)), state_of()) == [(1, 0, 3, 2, False)]
    assert found(rows([1] * 2, minutes(0, 2)), state_of()) == [(1, 0, 2, 1, False)]


def test_holes_as_long_as_each_other_stay_gaps() -> None:
    """Losing every second reading now and then is no rhythm."""
    r = rows([1] * 8, minutes(0, 2, 4, 5, 7, 9, 10, 12))

    expected = [(0, 2), (2, 4), (5, 7), (7, 9), (10, 12)]
    assert [(a, b) for _, a, b, _, _ in found(r, state_of())] == expected


def test_a_late_poll_is_no_gap() -> None:
    steady = rows([1] * 4, [T, T + MINUTE, T + 2 * MINUTE, T + int(3.4 * MINUTE)])

    assert found(steady, state_of()) == []


def test_a_jump_of_the_sequence_says_how_many_are_missing() -> None:
    r = rows([1] * 2, minutes(0, 1), [7, 11])

    assert found(r, state_of(interval=0)) == [(1, 0, 1, 3, True)]


def test_a_sequence_that_starts_anew_is_no_gap() -> None:
    assert found(rows([1] * 3, minutes(0, 1, 2), [500, 0, 1]), state_of()) == []


def test_the_first_reading_of_a_device_owes_nothing() -> None:
    assert found(rows([1], minutes(0)), state_of()) == []


def test_history_at_another_rhythm_is_no_gap() -> None:
    """A device set to one minute resends a week of quarter-hours."""
    r = rows([1] * 8, minutes(0, 15, 30, 45, 60, 75, 76, 77))

    assert found(r, state_of()) == []


@pytest.mark.parametrize("interval", [0, MINUTE])
def test_a_slower_rhythm_is_held_against_a_device_until_it_is_steady(interval: int) -> None:
    """One minute, then quarters of an hour: three gaps, taken back at the fourth step."""
    state, owed, owing = state_of(interval), set[int](), []
    for t in minutes(0, 1, 2, 3, 18, 33, 48, 63, 78, 93, 108):
        gaps = find_gaps(rows([1], [t]), state)
        owed |= set(gaps.after.tolist())
        owed -= set(gaps.undone_after.tolist())
        owing.append(len(owed))

    assert owing == [0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0]


def test_a_device_that_keeps_its_rhythm_is_not_judged_anew() -> None:
    state = state_of()
    steady = find_gaps(rows([1] * 20, [T + 15 * n * MINUTE for n in range(20)]), state)
    more = find_gaps(rows([1], minutes(300)), state)

    assert steady.device.size == 0 and 3 <= steady.undone_after.size <= 7
    assert more.device.size == more.undone_after.size == 0


def test_after_history_a_device_owes_by_its_interval_again() -> None:
    r = rows([1] * 9, minutes(0, 15, 30, 45, 60, 75, 76, 79, 80))

    assert found(r, state_of()) == [(1, 76, 79, 2, False)]


def test_a_jump_of_the_sequence_is_never_a_rhythm() -> None:
    r = rows([1] * 6, minutes(0, 2, 4, 6, 8, 10), [0, 2, 4, 6, 8, 10])

    assert [m for *_, m, _ in found(r, state_of())] == [1] * 5


def test_a_gap_within_history_counts_in_the_rhythm_of_the_history() -> None:
    r = rows([1] * 6, minutes(0, 15, 30, 45, 90, 105))

    assert found(r, state_of()) == [(1, 45, 90, 2, False)]


def test_a_device_without_interval_is_timed_from_its_data() -> None:
    r = rows([1] * 6, minutes(0, 5, 10, 15, 30, 35))

    assert found(r, state_of(interval=0)) == [(1, 15, 30, 2, False)]


def test_a_device_that_speaks_on_change_only_owes_nothing() -> None:
    r = rows([1] * 7, minutes(0, 10, 15, 27, 30, 50, 58))

    assert found(r, state_of(interval=0)) == []


def test_what_is_read_from_the_table_at_a_start_equals_what_was_known() -> None:
    times = minutes(0, 15, 30, 45, 90)
    seen, read = state_of(), state_of()
    find_gaps(rows([1] * 5, times), seen)
    read.remember(1, times, -1)

    after = rows([1] * 2, minutes(105, 150))

    assert found(after, read) == found(after, seen) == [(1, 105, 150, 2, False)]


def test_each_device_is_judged_by_itself() -> None:
    r = rows([1, 1, 1, 1, 2, 2, 2, 2], minutes(0, 1, 2, 3) + minutes(0, 1, 2, 9))

    assert found(r, state_of()) == [(2, 2, 9, 6, False)]


def test_late_rows_are_told_apart_and_move_nothing() -> None:
    state = state_of()
    find_gaps(rows([1] * 3, minutes(0, 1, 5)), state)
    newest = state.time[1]

    gaps = find_gaps(rows([1] * 3, minutes(2, 3, 6)), state)

    assert gaps.late.tolist() == [True, True, False]
    assert gaps.device.size == 0
    assert (int(newest), int(state.time[1])) == (T + 5 * MINUTE, T + 6 * MINUTE)


def kept(*batches: GapsFound) -> set[tuple[int, int, int, int]]:
    """Device, after, before and missing of the gaps that stand in the table after some batches."""
    table: dict[tuple[int, int], tuple[int, int, bool]] = {}
    for g in batches:
        for d, a, b, m, s in zip(
            g.device, g.after, g.before, g.missing, g.by_sequence, strict=True
        ):
            table[int(d), int(a)] = (int(b), int(m), bool(s))
        for d, a in zip(g.undone_device, g.undone_after, strict=True):
            if (int(d), int(a)) in table and not table[int(d), int(a)][2]:
                del table[int(d), int(a)]
    return {(d, a, b, m) for (d, a), (b, m, _) in table.items()}


@pytest.mark.parametrize("seed", range(5))
def test_the_cut_of_a_stream_into_batches_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    device = rng.integers(0, 4, 300)
    # In order for each device, with losses; every second device numbers its readings.
    time = T + np.sort(rng.choice(900, 300, replace=False)) * MINUTE
    seq = np.where(device % 2, np.arange(300) + rng.integers(0, 3, 300).cumsum(), -1)
    # Devices 0 and 1 turn to a steady other rhythm for a while.
    slow = (device < 2) & (np.arange(300) > 80) & (np.arange(300) < 220)
    time[slow] = T + (time[slow] - T) // (12 * MINUTE) * 12 * MINUTE
    _, once = np.unique(np.stack([device, time]), axis=1, return_index=True)
    once.sort()
    device, time, seq = device[once], time[once], seq[once]
    n = len(once)
    whole = find_gaps(rows(device.tolist(), time.tolist(), seq.tolist()), state_of())

    state, parts = state_of(), []
    cuts = [0, *sorted(rng.integers(0, n, 40).tolist()), n]
    for a, b in pairwise(cuts):
        if a < b:
            part = rows(device[a:b].tolist(), time[a:b].tolist(), seq[a:b].tolist())
            parts.append(find_gaps(part, state))

    assert kept(*parts) == kept(whole)
    undone = sum(g.undone_after.size for g in parts)
    opened = sum(g.device.size for g in parts)
    assert undone > 0 and opened > len(whole.device), "some were taken back in a later batch"
    assert len(whole.device) > 10
