"""Kernels of areas and meters beside ten obvious lines of numpy or Python; see `test_oracles`."""

import math

import numpy as np
import pytest

from detectors import (
    daily,
    mapping,
    meter,
    momentary,
    odd,
    outage,
    records,
    sensor,
    supply,
    transformer,
)
from detectors.frames import NEVER
from detectors.layout import CHANNEL, ROW_FLOATS
from detectors.thermal import DISTRIBUTION
from tests.unit.detectors.sixteen import (
    MONITOR,
    NOMINAL,
    OFFSETS,
    RUN,
    SEEDS,
    STEP_US,
    N,
    U,
    beside,
    column,
    frame,
    more,
    phases,
    volts,
)


@pytest.mark.parametrize("seed", SEEDS)
def test_power_of_devices_and_areas_is_summed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phase = phases(rng)
    values = frame(rng, phase, 0.0)
    v, i = (np.array([values[:, CHANNEL[f"{q}_{c}"]] for c in "abc"], float) for q in "vi")
    for p in np.flatnonzero(phase == 3).tolist():
        apparent = transformer.apparent_power(values, p, U)
        assert (v[:, p] * i[:, p]).sum() == pytest.approx(apparent, rel=1e-5)
    values[rng.random(N) < 0.15, CHANNEL["p"] :] = np.nan
    power = values[:, CHANNEL["p"]].astype(float)
    one_phase = phase != 3
    instead = np.where(one_phase, v[0] * i[0], np.nansum(v * i, axis=0)) * transformer.POWER_FACTOR
    each = np.where(np.isnan(power), instead, power)[1:11]
    metered = transformer.metered_power(values, phase, 1, 11, U)
    assert abs(each.sum()) / transformer.POWER_FACTOR == pytest.approx(metered, rel=1e-5)
    values[:, CHANNEL["p_a"]] = 7.0
    values[:, CHANNEL["p_b"]] = values[:, CHANNEL["p_c"]] = 1.0
    for p in range(N):
        assert daily.power(values, p) == pytest.approx(9.0 if np.isnan(power[p]) else power[p])


def test_the_overload_dose_gathers_above_rating_and_melts_below() -> None:
    values = np.full((1, ROW_FLOATS), np.nan, np.float32)
    state, when = np.full((1, transformer.N_STATE), np.nan), np.full((1, 4), NEVER)
    state[:, [transformer.DOSE, transformer.HEAVY_MIN, transformer.RISE_1, transformer.RISE_2]] = 0
    score, dose = np.zeros((1, 3)), 0.0
    loads = [0.5, 1.2, 1.2, 1.05, 1.3, 0.95, 0.8, 1.1]
    for k, load in enumerate(loads):
        values[0, CHANNEL["p"]], values[0, CHANNEL["q"]] = load * 1e5, 0.0
        transformer.advance(
            k * STEP_US, values, more(values), np.array([3], np.int8), np.array([0, 1], np.int32),
            np.zeros(1, np.int32), np.array([U]), np.array([1e5]),
            DISTRIBUTION.array(), state, when, score,
        )  # fmt: skip
        minutes = 15.0 if k else 0.0
        if load > 1:
            dose += minutes * min(8.0, max(1.0, (load - 1.0) / 0.1))
        else:
            dose = max(0.0, dose - minutes * (4.0 if load < 0.9 else 1.0))
        assert dose / transformer.DOSE_LIMIT_MIN == pytest.approx(score[0, 0], rel=1e-4)


def test_a_supply_is_outside_as_long_as_most_of_it_is() -> None:
    rng = np.random.default_rng(1)
    phase = np.array([3] + [0] * 15, np.int8)
    state, last = np.zeros((2, supply.N_STATE)), np.full(2, NEVER)
    score, high, factor = np.zeros((2, 5)), 0.0, 1 - math.exp(-0.25 / supply.LEVEL_HOURS)
    for k in range(40):
        values = frame(rng, phase)
        values[:, CHANNEL["v_a"]] += 25.0 if k > 10 else 0.0
        first, _, slot_v, _ = beside(values, phase)
        supply.follow_supply(
            k * STEP_US, 0.25, values, more(values), slot_v, first, OFFSETS, MONITOR, NOMINAL,
            np.array([1e5, 1e5]), 1.07, 0.9, state, last, score,
        )  # fmt: skip
        mine = np.r_[volts(values, 0)[:11], volts(values, 1)[0], volts(values, 2)[0]]
        mine = mine[(mine > 0.5 * U) & (mine < 1.6 * U)]
        above = (mine > (1.07 + supply.BEYOND) * U).sum() * 2 >= mine.size
        high += factor * (above - high)
        assert high / supply.OUTSIDE_LIMIT == pytest.approx(score[0, 0])
    assert high > 0


def test_voltages_are_remembered_and_their_level_is_mean_and_variance() -> None:
    rng = np.random.default_rng(1)
    phase = phases(rng)
    ring, level = np.zeros((192, 48), np.int16), np.zeros((3, 48), np.float32)
    seen = []
    for k in range(60):
        first, _, slot_v, _ = beside(frame(rng, phase), phase)
        seen.append(slot_v.astype(float))
        records.remember(slot_v, first, OFFSETS, NOMINAL, k, 50, True, 1e9, ring, level)
    ring, level = ring[:, : len(seen[0])], level[:, : len(seen[0])]
    x = np.array(seen)
    known = ~np.isnan(x)
    assert ((ring[:60] == records.MISSING) == ~known).all()
    assert np.abs(ring[:60] / 50 + U - x)[known].max() < 0.0101
    np.testing.assert_allclose(level[records.MEAN], np.nanmean(x, axis=0), rtol=1e-5)
    np.testing.assert_allclose(level[records.VARIANCE], np.nanvar(x, axis=0), rtol=1e-3)


def test_the_monitor_is_compared_with_the_sum_of_its_meters() -> None:
    rng = np.random.default_rng(1)
    usual, state, pairs = np.zeros(2), np.zeros((2, 6)), []
    for _ in range(50):
        values = frame(rng, np.array([3] * N, np.int8), 0.0)
        values[0, CHANNEL["p"]] = 0.4 * values[1:11, CHANNEL["p"]].sum() + rng.normal(0, 20)
        pairs.append((values[1:11, CHANNEL["p"]].sum(), values[0, CHANNEL["p"]]))
        told = column(values, "p")
        # Whose sum is not told, of that the phases' are.
        values[5, CHANNEL["p_a"] : CHANNEL["p_c"] + 1] = told[5] / 3
        told[5] = np.nan
        records.compare_power(values, told, OFFSETS, MONITOR, 1e9, usual, state)
    x, y = np.array(pairs, float).T
    covariance = np.cov(x, y, bias=True)
    expected_row = [50, x.mean(), y.mean(), covariance[0, 0], covariance[1, 1], covariance[0, 1]]
    assert expected_row == pytest.approx(state[0].tolist(), rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_and_medians_of_the_map_are_those_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, n, first = 24, 37, int(rng.integers(0, 24))
    ring = rng.integers(-300, 300, (k, n)).astype(np.int16)
    ring[rng.random((k, n)) < 0.3] = records.MISSING
    rows, unit = rng.permutation(n)[: int(rng.integers(1, 22))], np.float32(0.02)
    moves = np.empty((k - 1, rows.size), np.float32)
    mapping.changes(ring, first, records.MISSING, unit, rows, moves)
    ordered = np.roll(ring, -first, axis=0)
    slow = np.where(ordered == records.MISSING, np.nan, ordered.astype(np.float32) * unit)
    np.testing.assert_array_equal(moves, np.diff(slow.astype(np.float32), axis=0)[:, rows])
    some = rng.permutation(rows.size)[: int(rng.integers(1, rows.size + 1))]
    out = np.empty(k - 1, np.float32)
    mapping.median_change(moves, some, out)
    for t in range(k - 1):
        mine = moves[t, some][~np.isnan(moves[t, some])]
        assert float(np.median(mine) if mine.size else np.nan) == pytest.approx(out[t], nan_ok=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_drop_varies_least_below_the_bus_that_a_meter_hangs_on(seed: int) -> None:
    """Two areas: one with a monitor and few meters, one with many meters and no monitor."""
    rng = np.random.default_rng(seed)
    k, first, unit = 60, int(rng.integers(0, 60)), np.float32(0.02)
    phase = np.array([3, 3, 3, 0, 1, -1] + [0, 1, 2] * 5, np.int8)
    bus = rng.normal(0, 3, (2, 3, k)).cumsum(axis=2)
    area, true = np.repeat([0, 1], [6, 15]), np.array([0, 1, 2, 0, 1, 2] + [0, 1, 2] * 5)
    volts = bus[area, true] + rng.normal(0, 0.5, (21, k))
    ring = np.rint(np.ascontiguousarray(volts.T) / unit).astype(np.int16)
    ring[rng.random(ring.shape) < 0.05] = records.MISSING
    references = np.empty((3, 3, k - 1), np.float32)
    variance, pairs = np.empty((21, 3)), np.empty((21, 3), np.int64)
    offsets = np.array([0, 6, 21, 21], np.int32)
    monitor = np.array([0, -1, mapping.NO_TRANSFORMER], np.int32)
    mapping.own_places(
        ring, first, records.MISSING, unit, offsets, monitor, phase, references, variance, pairs
    )
    ordered = np.roll(ring, -first, axis=0)
    slow = np.where(ordered == records.MISSING, np.nan, ordered.astype(np.float32) * unit)
    moves = np.diff(slow.astype(np.float32), axis=0).astype(float)

    def cut(x: np.ndarray) -> np.ndarray:
        limit = max(10.0 * np.sqrt(np.nanmean(np.minimum(x**2, 25.0))), 1.0)
        return np.where(np.abs(x) <= limit, x, np.nan)

    for row in range(21):
        for c in range(3):
            mine = moves[:, (area == 1) & (phase == c)]
            reference = cut(np.nanmedian(mine, axis=1) if area[row] else moves[:, c])
            d = cut(moves[:, row]) - reference
            seen = int((~np.isnan(d)).sum())
            least = float(np.nanmean(d**2)) + mapping.NOISE_V2 if seen >= 48 else np.inf
            assert seen == pairs[row, c]
            assert least == pytest.approx(variance[row, c], rel=1e-5)
            np.testing.assert_allclose(references[area[row], c], reference, rtol=1e-5)
    assert np.isnan(references[2]).all()
    assert (mapping.places(variance, pairs).reference == true)[pairs.min(1) >= 48].all()


def test_a_meter_is_stuck_while_its_area_moves_and_its_register_runs_back() -> None:
    rng = np.random.default_rng(1)
    state, last = np.zeros((meter.N_STATE, N), np.float32), np.full(N, NEVER)
    state[[meter.LAST_V, meter.LAST_I]] = np.nan
    state[meter.LOW], state[meter.HIGH] = 1e9, -1e9
    gap, last_e = np.full(N, STEP_US), np.full(N, np.nan)
    healed, score, same, last_row = np.zeros(2), np.zeros((N, 4)), 0.0, (0.0, 0.0)
    repeating, early = np.zeros(N, np.uint8), []
    phase = np.array([3] + [0] * 15, np.int8)
    for k in range(60):
        values = frame(rng, phase, 0.0)
        if 20 < k < 50:
            values[5, CHANNEL["v_a"]], values[5, CHANNEL["i_a"]] = 231.5, 4.0
        register = np.full(N, 1000.0 + 100 * k - (500.0 if k > 40 else 0.0))
        time = np.full(N, k * STEP_US)
        given = (
            k * STEP_US, 0.25, column(values, "v_a"), column(values, "i_a"), column(values, "p"),
            register, True, time, OFFSETS, NOMINAL, np.zeros(N, np.int64), np.zeros(N, np.int64),
        )  # fmt: skip
        kept = (last, gap, healed, last_e, state, repeating)
        alone, others = np.full((N, 4), -1.0), [x.copy() for x in kept]
        count = meter.judge_meters(*given, 1e9, False, *others, alone, np.zeros(2))
        assert count == meter.judge_meters(*given, 1e9, True, *kept, score, np.zeros(2))
        # Where not all are asked for, those at the limit are told.
        hot = np.any(score >= 1.0, axis=1)
        np.testing.assert_array_equal(alone, np.where(hot[:, None], score, -1.0))
        assert count == hot.sum()
        row = (float(values[5, CHANNEL["v_a"]]), float(values[5, CHANNEL["i_a"]]))
        same = same + 0.25 if row == last_row else 0.0
        last_row = row
        slow = min(same / meter.STUCK_HOURS, 4 * same / meter.STUCK_READINGS)
        assert score[5, meter.STUCK] in (pytest.approx(slow), 0.5)
        back = max(0.0, 2 - (k - 41) * 0.25 / 24) if k > 40 else 0.0
        assert back == pytest.approx(score[3, meter.REGISTER], abs=1e-4)
        assert score[7, meter.STUCK] == 0.0
        early += [k] * int(repeating[5])
        assert repeating.sum() == repeating[5]
    # Three readings like the one of k = 21, and the area has moved by then.
    assert early == list(range(early[0], 50)) and 24 <= early[0] <= 32


def test_a_register_may_start_anew_just_below_a_power_of_ten() -> None:
    for e in (9.79e6, 9.81e6, 9.99e5, 99.5e6, 50e6):
        top = 10 ** math.ceil(math.log10(e))
        assert meter._rolls_over(e) == (e >= 1e6 and e > 0.98 * top)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dip_is_a_low_half_cycle_under_a_sound_reading(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phase = np.zeros(N, np.int8)
    last, downs, depth = np.zeros(N, np.int64), np.full((N, 2), np.nan), np.zeros(N)
    values = frame(rng, phase)
    time = np.where(rng.random(N) < 0.2, NEVER, STEP_US)
    found = momentary.find_dips(
        STEP_US, STEP_US, values, more(values), time, True, phase, OFFSETS, NOMINAL, last, downs,
        depth,
    )  # fmt: skip
    v, low = volts(values), values[:, CHANNEL["v_a_min"]].astype(float)
    for p in range(N):
        slow = math.nan
        if time[p] > NEVER and not np.isnan(low[p]):
            deep = low[p] < momentary.DEEP * U and not v[p] < momentary.SOUND * U
            slow = 1 - low[p] / U if deep else 0.0
        assert slow == pytest.approx(depth[p], nan_ok=True)
    assert found == (depth > 0).sum()


@pytest.mark.parametrize("first", [0, 1])  # an area without a monitor, and behind one
def test_a_day_of_a_meter_is_summed_against_its_area(first: int) -> None:
    monitor = MONITOR if first else np.array([-1, -1], np.int32)
    rng = np.random.default_rng(1)
    phase = np.zeros(N, np.int8)
    sums, apart, watts = np.zeros((odd.N_SUM, N), np.float32), [], []
    for _ in range(20):
        values = frame(rng, phase)
        v, p = column(values, "v_a"), column(values, "p")
        odd.add_frame(v, p, OFFSETS, monitor, NOMINAL, sums)
        apart.append(volts(values)[first:11] - np.nanmean(volts(values)[first:11]))
        watts.append(np.where(np.isnan(v), np.nan, p)[first:11])
    d = np.array(apart)
    slow = {odd.N: (~np.isnan(d)).sum(0), odd.SUM_D: np.nansum(d, 0), odd.MIN_D: np.nanmin(d, 0)}
    slow[odd.SUM_DD] = np.nansum(d * d, 0)
    slow[odd.SUM_P], slow[odd.MAX_P] = np.nansum(watts, 0), np.nanmax(watts, 0)
    slow[odd.SUM_PP] = np.nansum(np.square(watts), 0)
    known = [x[~np.isnan(x)] for x in d.T]
    slow[odd.MOVES] = np.array([np.abs(np.diff(x)).sum() for x in known])
    slow[odd.LAST_D] = np.array([x[-1] for x in known])
    for what, of_meters in slow.items():
        np.testing.assert_allclose(sums[what, first:11], of_meters, rtol=1e-3, atol=1e-3)


def test_silence_is_counted_in_whole_intervals() -> None:
    device = np.arange(N, dtype=np.int32)
    phase, zero = np.zeros(N, np.int8), np.zeros(N, np.int64)
    alive, gap, seen = np.full(N, NEVER), zero.copy(), zero.copy()
    missed, rate = np.zeros(N, np.int32), np.full(N, 0.05, np.float32)
    low, rng = np.zeros(N, np.int8), np.random.default_rng(1)
    heard_at = np.full(N, NEVER)
    for k in range(30):
        values = frame(rng, phase, 0.0)
        time = np.where(rng.random(N) < 0.4, NEVER, k * STEP_US)
        first, _, slot_v, _ = beside(values, phase)
        outage.listen(
            k * STEP_US, STEP_US, device, time, values, slot_v, first, False,
            np.full(N, STEP_US), zero, NOMINAL, phase, OFFSETS, 1e12, alive, gap, missed, rate,
            seen, low,
        )  # fmt: skip
        heard_at = np.maximum(heard_at, time)
        slow = [0 if t == NEVER else k - t // STEP_US for t in heard_at.tolist()]
        assert slow == missed.tolist()


def test_each_device_speaks_at_its_node_for_or_against_lost_supply() -> None:
    node = np.array([1, 1, 2, 2, -1], np.int32)
    alive, gasp = np.array([5, 1, 5, 5, 5]), np.array([NEVER, 3, NEVER, NEVER, NEVER])
    missed = np.array([0, 2, 3, 0, 0], np.int32)
    weight, count = np.zeros((5, 3)), np.zeros((5, 3), np.int32)
    suspects = outage.weigh(
        node, np.zeros(5, np.int8), np.zeros(3, np.int32), np.full(3, NEVER), alive, gasp, missed,
        np.full(5, 0.05, np.float32), np.ones(5, np.int64), np.ones(5, np.int64),
        np.zeros(5, np.int8),
        np.array([0, 0, 0, 0, 0], np.uint8), np.full(5, NEVER), 9, False, weight, count,
    )  # fmt: skip
    silent = min(outage.SILENT_MAX, 3 * -math.log(np.float32(0.05)))
    gasped = outage.GASP + 2 * outage.GASP_SILENT

    assert suspects == 2
    assert weight[0].tolist() == pytest.approx([0, -outage.ALIVE + gasped, silent - outage.ALIVE])
    assert weight[1].tolist() == pytest.approx(
        [0, -outage.ALIVE - outage.GASP, silent - outage.ALIVE]
    )
    assert count[:3].sum(1).tolist() == [1, 1, 2]


def test_a_sensor_leaps_alone_and_its_usual_distance_is_a_mean() -> None:
    rng = np.random.default_rng(1)
    phase = np.array([3] + [0] * 15, np.int8)
    state = np.zeros((sensor.N_STATE, N + 2), np.float32)
    distance, score, by = np.zeros((N, 3)), np.zeros(N), np.zeros(N, np.float32)
    strays = np.zeros(3 * N, np.int32)
    own, leaps = rng.normal(0, 2, N), []
    for k in range(120):
        values = frame(rng, phase, 0.0)
        values[:, CHANNEL["v_a"]] = (
            U + own + rng.normal(0, 0.3, N) + (k > 105) * 25.0 * (np.arange(N) == 4)
        )
        values[4, CHANNEL["i_a"]] = np.nan  # its current follows from power and voltage
        first, device, slot_v, slot_i = beside(values, phase)
        v = column(values, "v_a")
        sensor.judge_voltages(
            values, v, slot_v, slot_i, device, first, OFFSETS, MONITOR, RUN, NOMINAL, 1e9, state,
            distance, strays, score, by,
        )  # fmt: skip
        if k == 100:
            middle = np.r_[U + own, U, U][:11].mean()  # the monitor's b and c stand at U
            assert U + own[4] - middle == pytest.approx(state[sensor.USUAL, first[4]], abs=1.5)
        leaps.append(score[4])
        assert np.isnan([values[4, CHANNEL["v_a"]], v[4], slot_v[first[4]]]).all() == (k > 105)
        np.testing.assert_array_equal(slot_i, beside(values, phase)[3])
    assert leaps[105] == 0.0
    assert leaps[106:] == pytest.approx([(k + 1) / sensor.UP_RUN for k in range(14)])
    assert by[4] == pytest.approx(25.0, abs=3.0)
    others = np.delete(np.arange(N), 4)
    assert np.nan_to_num(score[others]).max() == 0.0
