"""Kernels of places beside ten obvious lines of numpy or Python, on random frames with holes.

The oracles of `scatter`, `thermal_step`, `locate_kernel`, `test_drops`, `balance`, `_compare` and
of the admission kernels stand with the tests of their subjects.
"""

import itertools
import math

import numpy as np
import pytest

from detectors import base, currents, displacement, expected, observed, terminal
from detectors.layout import CHANNEL, ROW_FLOATS
from tests.unit.detectors.sixteen import (
    AREA,
    MONITOR,
    NOMINAL,
    OFFSETS,
    RUN,
    SEEDS,
    N,
    U,
    beside,
    frame,
    more,
    phases,
    slots,
    volts,
)


@pytest.mark.parametrize("seed", SEEDS)
def test_over_limit_reports_what_is_over_or_raised_and_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = np.where(rng.random((30, 2)) < 0.3, np.nan, rng.uniform(0, 1.3, (30, 2)))
    opened = np.where(rng.random((30, 2)) < 0.2, 7, 0)
    for c in range(2):
        before = opened[:, c].copy()
        expected_rows = [
            (k, x, int(before[k]) or 9)
            for k, x in enumerate(score[:, c].tolist())
            if x >= 1 or (before[k] and x == x)
        ]
        one = score[:, c : c + 1].copy(), opened[:, c : c + 1].copy()
        assert bool(expected_rows) == base.any_over(*one)
        assert expected_rows == base.over_limit(score[:, c], opened[:, c], 0.6, 9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [0, 1, 40])
def test_the_rows_looked_at_are_those_near_the_limit_or_raised_and_seen(
    seed: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    score = rng.choice([np.nan, 0.0, 0.4, 0.5, 0.6, 1.3], size)
    opened = np.where(rng.random(size) < 0.3, 7, 0)
    slow = [
        k
        for k, (x, o) in enumerate(zip(score.tolist(), opened.tolist(), strict=True))
        if x >= 0.5 or (o > 0 and not math.isnan(x))
    ]
    rows = np.full(size, -1, np.int32)

    n = base.rows_from(score, opened, 0.5, rows)

    assert slow == rows[:n].tolist()
    assert (rows[n:] == -1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_line_voltage_is_the_side_of_the_triangle_round_any_star_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    side = rng.uniform(300, 420)
    corners = side / math.sqrt(3) * np.exp(2j * np.pi / 3 * np.arange(3))
    star = complex(*rng.uniform(-60, 60, 2))

    a, b, c = np.abs(corners - star).tolist()

    assert side == pytest.approx(displacement.line_voltage(a, b, c))
    assert math.isnan(displacement.line_voltage(a + b + c, 1.0, 1.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_current_comes_from_the_ammeter_else_from_power_over_voltage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phase = phases(rng)
    values = frame(rng, phase, 0.4)
    for p in range(N):
        for c in range(3 if phase[p] == 3 else 1):
            i, v = (float(values[p, CHANNEL[f"{q}_{'abc'[c]}"]]) for q in "iv")
            power = float(values[p, CHANNEL["p_a"] + c])
            if c == 0 and np.isnan(power) and np.isnan(values[p, CHANNEL["v_b"]]):
                power = float(values[p, CHANNEL["p"]])
            if np.isnan(i):
                slow = power / (v if v >= 0.5 * U else U)
            else:
                slow = -abs(i) if power < 0 else i
            got = currents.phase_current(values, p, c, U)
            assert slow == pytest.approx(got, nan_ok=True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lost", [None, 1, 2])
def test_currents_of_a_device_that_feeds_in_point_where_their_powers_sum_up(
    seed: int, lost: int | None
) -> None:
    """Of all directions of three currents, those that explain the total power best; a phase may
    be lost."""
    rng = np.random.default_rng(seed)
    values = np.full((1, ROW_FLOATS), np.nan, np.float32)
    for _ in range(50):
        true = rng.normal(-4.0, 4.0, 3)
        if lost is not None:
            true[lost] = 0.0
        v = rng.normal(U, 3.0, 3)
        power = (v * true).sum() * rng.uniform(0.95, 1.0)
        values[0, CHANNEL["v_a"] :][:3] = v
        values[0, CHANNEL["i_a"] :][:3] = abs(true)
        if lost is not None:
            values[0, CHANNEL["i_a"] + lost] = np.nan
        values[0, CHANNEL["p"]] = power
        directions = np.array([d for d in itertools.product((1, -1), repeat=3) if sum(d) < 3])
        off = abs((directions * v * abs(true)).sum(axis=1) - power)
        best = directions[off.argmin()] if power < 0.0 else np.ones(3)

        got = [currents.phase_current(values, 0, c, U) for c in range(3)]

        slow = best * abs(values[0, CHANNEL["i_a"] :][:3].astype(float))
        assert got == pytest.approx(slow.tolist(), rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_place_is_displaced_by_the_phasor_sum_of_its_phases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phase = phases(rng)
    values = np.abs(frame(rng, phase, 0.0))  # nobody feeds in
    n_place = displacement.N_PLACE
    sums, runs, areas = np.zeros((3, 13)), np.zeros((3, n_place)), np.zeros((2, n_place))
    three = np.flatnonzero(phase == 3).astype(np.int32)
    first, device, slot_v, slot_i = beside(values, phase)
    devices, offset = np.zeros((three.size, n_place)), np.zeros(device.size, np.float32)
    heard, usual = np.ones(N, np.int32), np.full(device.size, np.nan, np.float32)
    displacement.observe(
        slot_v, slot_i, first, phase, OFFSETS, MONITOR, RUN, three, NOMINAL, offset, heard, usual,
        np.ones(3, np.uint8), sums, runs, areas, devices, np.zeros((3, 13)), 1e9,
        np.zeros(2, np.int32), 4, np.array([0, 1], np.uint8),
    )  # fmt: skip
    turned = np.exp(-2j * np.pi / 3 * np.arange(3))
    for k in range(2):
        own = np.array([volts(values, c)[MONITOR[k]] for c in range(3)])
        assert 2 / 3 * (own * turned).sum() == pytest.approx(complex(*areas[k, :2]), abs=1e-3)
    for r in range(3):
        m = MONITOR[0 if r < 2 else 1]
        by_phase: list[list[float]] = [[], [], []]
        amps = np.zeros(3)
        for p, c, at in slots(phase):
            if RUN[p] == r:
                by_phase[at].append(volts(values, c)[p] - volts(values, at)[m])
                amps[at] += values[p, CHANNEL["i_a"] + c]
        if r == 2:  # of no branch: the transformer's own line
            amps = values[m, CHANNEL["i_a"] :][:3]
        assert amps.tolist() == pytest.approx(runs[r, displacement.I_0 :][:3].tolist(), rel=1e-5)
        if all(by_phase):
            z = 2 / 3 * (np.array([np.mean(x) for x in by_phase]) * turned).sum()
            assert z == pytest.approx(complex(*runs[r, :2]), abs=1e-3)


def test_an_added_neutral_resistance_is_found_by_least_squares_over_the_window() -> None:
    rng = np.random.default_rng(2)
    n, learned, ohm = 500, 400, 0.8
    amps = rng.gamma(2, 4, (n, 3))
    turned = np.exp(-2j * np.pi / 3 * np.arange(3))
    i_n = amps @ turned
    z = 1.5 - 0.1 * i_n + 0.05 * (rng.normal(0, 1, n) + 1j * rng.normal(0, 1, n))
    z[learned:] -= ohm * i_n[learned:]
    state, score = np.zeros((1, displacement.N_STATE)), np.zeros((1, 2))
    decay = 0.8, 0.97
    rules = [0, 0.08, 1, 1.7, 6.5, 0.5, 0, math.inf], [1, 0.05, 1, 0.75, 8, 0.5, 1, math.inf]
    limits = np.array(rules)
    place = np.zeros((1, displacement.N_PLACE))
    for k in range(n):
        place[0, :2] = z[k].real, z[k].imag
        place[0, displacement.I_0 : displacement.I_0 + 3] = amps[k]
        place[0, [displacement.UP, displacement.DOWN, displacement.READINGS]] = 9.0, 9.0, 3.0
        place[0, displacement.LINE] = 1.0
        displacement.test_places(place, state, score, 1e9, 300.0, decay, limits)
    w = decay[0] ** np.arange(n - learned)[::-1]
    i, e = i_n[learned:], z[learned:] - (1.5 - 0.1 * i_n[learned:])
    slow = -(w * (e * i.conj()).real).sum() / (w * abs(i) ** 2).sum()

    assert score[0, 0] > 1.0
    assert slow == pytest.approx(state[0, displacement.RESISTANCE], rel=0.05)
    assert state[0, displacement.COUNT] < learned + 50  # it stopped learning from the fault


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drop_is_the_mean_of_the_siblings_less_the_own_voltage(seed: int) -> None:
    """A meter that repeats itself is neither judged nor among the siblings."""
    rng = np.random.default_rng(seed)
    phase = phases(rng)
    values = frame(rng, phase)
    stuck = (rng.random(N) < 0.1).astype(np.uint8)
    table = slots(phase)
    device, slot, at = (np.array(x) for x in zip(*table, strict=True))
    services, branches = (np.zeros((m, observed.N_SEEN), np.float32) for m in (len(table), 9))
    first = np.searchsorted(RUN[device], np.arange(4)).astype(np.int32)
    start, _, slot_v, slot_i = beside(values, phase)
    observed.observe_drops(
        slot_v, slot_i, start[MONITOR], np.array([0, 0, 1], np.int32), NOMINAL, first,
        device.astype(np.int32), (start[device] + slot).astype(np.int32), at.astype(np.int8),
        np.full(len(table), -1, np.int32), np.zeros(0), stuck,
        np.full(len(table), np.nan, np.float32), np.zeros((3, 8)), services, branches,
    )  # fmt: skip
    v = np.array([np.nan if stuck[p] else volts(values, c)[p] for p, c, _ in table])
    for j, (p, _, c) in enumerate(table):
        same = np.array([RUN[q] == RUN[p] and d == c for q, _, d in table]) & ~np.isnan(v)
        same[j] = False
        others = v[same]
        judged = not np.isnan(v[j]) and others.size >= 2
        near = judged and np.ptp(np.append(others, v[j])) < observed.ODD_V
        if near:
            assert services[j, observed.DROP] == pytest.approx(others.mean() - v[j], abs=1e-5)
        assert judged == bool(~np.isnan(services[j, observed.DROP]))


def test_a_lone_meter_is_expected_by_least_squares_on_the_monitor() -> None:
    rng = np.random.default_rng(3)
    inputs = np.c_[rng.normal(U, 2, (300, 3)), rng.gamma(2, 3, (300, 3))]
    own = rng.gamma(2, 2, 300)
    inputs = np.c_[inputs, own]
    y = 3.0 + inputs @ [0.9, 0.1, 0.0, -0.05, 0.02, 0.01, -0.12] + rng.normal(0, 0.02, 300)
    s, x = np.zeros(expected.N_LONE, np.float32), np.zeros(2 * expected.INPUTS)
    left = []
    for k in range(300):
        x[: expected.INPUTS] = inputs[k]
        left.append(expected.follow(s, x, np.zeros(6), y[k], 1e9, True)[0])
    design = np.c_[inputs, np.ones(300)]
    slow = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]

    assert np.abs(np.array(left[150:]) - slow[150:]).max() < 0.05
    assert np.std(left[150:]) < 1.5 * np.std(slow[150:])


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_agreeing_others_share_is_taken_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(12) < 0.2, np.nan, rng.normal(0.4, 0.2, 12))
    out, share = x.copy(), rng.uniform(-1.0, 0.5, 12)
    state, hold = np.zeros((12, expected.N_LONE), np.float32), rng.random(12) < 0.5
    state[:, expected.SHARE] = share
    expected._take_off_common(out, 0, 12, state, hold.astype(np.uint8), 336.0)
    centre, inside = np.nanmean(x), np.isfinite(x)
    for band in expected.BANDS:
        inside = np.abs(x - centre) < band
        centre = x[inside].mean()
    for j in range(12):
        others = inside & (np.arange(12) != j)
        common = x[others].mean()
        left = x[j] - (1.0 + state[j, expected.SHARE]) * common if hold[j] else out[j]
        assert x[j] - (1.0 + share[j]) * common == pytest.approx(out[j], nan_ok=True)
        assert left == pytest.approx(out[j], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_terminal_is_compared_with_the_middle_of_its_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = frame(rng, phases(rng))
    t = values[:, CHANNEL["t_terminal"]].astype(float)
    t[3] += 40
    values[:, CHANNEL["t_terminal"]] = t
    seen, warm = np.zeros((N, observed.N_SEEN), np.float32), np.zeros(N)
    terminal.observe_terminals(values, more(values), OFFSETS, NOMINAL, seen, warm)
    for k in range(2):
        mine = t[AREA == k]
        middle = np.nanmean(mine)
        for band in (8.0, 4.0):
            middle = mine[np.abs(mine - middle) < band].mean()
        amps = np.array([currents.phase_current(values, p, 0, U) for p in range(N)])
        scale = np.where(np.isnan(amps), terminal.KELVIN_BLIND, 1.0)[AREA == k]
        np.testing.assert_allclose(seen[AREA == k, 0], (mine - middle) / scale, atol=1e-4)
