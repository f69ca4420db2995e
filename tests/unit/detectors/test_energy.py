"""The energy balance: a meter that counts too little, against its oracle and on a street."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.balance import (
    EXCESS,
    LAST_R,
    M_L,
    M_P,
    N_AREA,
    N_DEVICE,
    VAR,
    balance,
)
from detectors.energy import EnergyDetector
from detectors.engine import Engine
from detectors.frames import Frames
from detectors.layout import CHANNEL, fleet_layout
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, Course, Street, network, only

DAYS = 9.0


def judged(share: dict[str, float], monitor: bool = True) -> list[Finding]:
    """The street, where some meters count only a share of their power from day 6 on."""
    net = network(areas=1, monitor=monitor)
    engine = Engine(net, only("energy"))
    return engine.feed("s", readings(net, share)) + engine.flush()


def readings(
    net: Network, share: dict[str, float], load: dict[str, Course] | None = None
) -> ReadingBatch:
    batch = Street(net, DAYS, load=load or {}).readings()
    p = np.array(batch.value("p"), float)
    for monitor in (name for name in batch.names if name.endswith("-TM")):
        mine = batch.device == batch.names.index(monitor)
        total = sum(np.array(batch.value(f"i_{c}"), float)[mine] for c in "abc") * 230.0
        p[mine] = total * 1.02
    late = batch.time >= START_US + round(6 * 86400e6)
    for name, part in share.items():
        p[late & (batch.device == batch.names.index(name))] *= part
    return ReadingBatch.of(batch.names, batch.device, batch.time, {**batch.values, "p": p})


def test_a_meter_that_counts_a_fifth_is_found_at_its_usage_point() -> None:
    found = judged({"T1-B1-3": 0.2})

    assert {(f.fault, f.asset) for f in found} == {("energy_loss", "U-T1-B1-3")}
    # The share settles as days of the new counting gather.
    assert found[-1].evidence.numbers["counted_of_usual"] == pytest.approx(0.2, abs=0.1)


def test_a_meter_whose_place_is_corrected_leaves_no_theft_behind() -> None:
    """Its power was counted where it is not: the usual losses of both areas were others."""
    net = network(areas=2)
    wrong = replace(
        net,
        usage_points=tuple(
            replace(u, transformer="T2", branch="T2-B1") if u.id == "U-T1-B1-3" else u
            for u in net.usage_points
        ),
    )
    all_rows = readings(net, {}, load={"T1-B1-3": lambda days: np.full(days.size, 1500.0)})
    cut_us = START_US + round(6 * 86400e6)
    engine, following = Engine(wrong, only("energy")), Engine(net, only("energy"))
    engine.feed("s", all_rows.select(all_rows.time < cut_us))
    engine.tick("s", cut_us)

    following.restore(engine.snapshot())
    found = following.feed("s", all_rows.select(all_rows.time >= cut_us)) + following.flush()

    assert found == []


def test_what_one_meter_explains_stays_over_its_limit_while_it_lasts() -> None:
    """A site may ask that a condition holds for hours before it is an alert."""
    net = network(areas=1)
    heavy: dict[str, Course] = {"T1-B2-1": lambda days: np.full(days.size, 9000.0)}
    engine = Engine(net, only("energy"))

    found = engine.feed("s", readings(net, {"T1-B1-3": 0.5}, load=heavy)) + engine.flush()

    assert {f.asset for f in found} == {"U-T1-B1-3"}
    assert len(found) > 24 and all(f.score >= 1.0 for f in found[:24])


def test_an_honest_street_is_quiet() -> None:
    assert judged({}) == []


def test_without_a_monitor_there_is_no_balance() -> None:
    assert judged({"T1-B1-3": 0.2}, monitor=False) == []


def slow_balance(handed: np.ndarray, metered: np.ndarray) -> float:
    """Mean loss above `a + b M^2`, the plain way: one least-squares line a frame, no freezing."""
    m_x, m_l, s_xx, s_xl, r = 0.0, 0.0, 0.0, 0.0, 0.0
    for n, (m, s) in enumerate(zip(handed, metered, strict=True), 1):
        x, loss = m * m * 1e-6, m - s
        m_x, m_l = (x, loss) if n == 1 else (m_x, m_l)
        dx, dl = x - m_x, loss - m_l
        r = dl - s_xl / (s_xx + 1.0) * dx
        a = 1.0 / n
        m_x, m_l = m_x + a * dx, m_l + a * dl
        s_xx, s_xl = (1 - a) * (s_xx + a * dx * dx), (1 - a) * (s_xl + a * dx * dl)
    return r


@pytest.mark.parametrize("seed", range(5))
def test_kernel_equals_the_plain_line_while_it_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    meters = rng.gamma(2.0, 400.0, (n, 3))
    metered = meters.astype(np.float32).astype(float).sum(1)
    handed = (metered * 1.03 + 40.0).astype(np.float32).astype(float)
    areas, devices = np.zeros((1, N_AREA)), np.zeros((N_DEVICE, 4), np.float32)
    offsets, monitor, score = np.array([0, 4], np.int32), np.array([0], np.int32), np.zeros(1)
    register, ratio, energy = np.full(4, 5e6), np.ones(4), np.full(4, 1e6)
    kept = np.ones(1, np.uint8)
    for k in [*range(n), n - 1]:  # judged is the frame before
        values = np.full((4, 32), np.nan, np.float32)
        values[:, CHANNEL["p"]] = [handed[k], *meters[k]]
        told = np.ascontiguousarray(values[:, CHANNEL["p"]])
        balance(
            k, 0.25, values, told, register, False, ratio, np.zeros(4, np.uint8), offsets, monitor,
            np.full(1, 230.0), areas, devices, energy, kept, np.zeros((2, 4)),
            np.zeros(5, np.int32), np.zeros(1, np.int64), score,
        )  # fmt: skip

    assert areas[0, LAST_R] == pytest.approx(slow_balance(handed, metered), abs=0.01)
    assert areas[0, EXCESS] == 0.0
    assert devices[M_P, 1] > 0.0
    assert np.isnan(energy[1:]).all()  # nobody told a register


def lossy(
    grain_wh: float, lost: NDArray[np.bool_] | None, registers: bool = True
) -> NDArray[np.float64]:
    """State of an area of nine meters whose registers count in steps of `grain_wh`."""
    rng = np.random.default_rng(3)
    n = 200
    meters = np.round(rng.gamma(2.0, 400.0, (n, 9)))
    handed = meters.sum(1) * 1.03 + 40.0
    register = np.floor((np.cumsum(meters * 0.25, 0) + 1e6) / grain_wh) * grain_wh
    gone = np.zeros((n, 9), bool) if lost is None else lost
    offsets, monitor = np.array([0, 10], np.int32), np.zeros(1, np.int32)
    areas, devices = np.zeros((1, N_AREA)), np.zeros((N_DEVICE, 10), np.float32)
    energy, kept = np.full(10, np.nan), np.ones(1, np.uint8)
    for k in range(n):
        values = np.full((10, 32), np.nan, np.float32)
        values[0, CHANNEL["p"]] = handed[k]
        values[1:, CHANNEL["p"]] = np.where(gone[k], np.nan, meters[k])
        read = np.r_[np.nan, np.where(gone[k], np.nan, register[k])]
        told = np.ascontiguousarray(values[:, CHANNEL["p"]])
        balance(
            k, 0.25, values, told, read, registers, np.ones(10), np.zeros(10, np.uint8), offsets,
            monitor, np.full(1, 230.0), areas, devices, energy, kept, np.zeros((2, 10)),
            np.zeros(11, np.int32), np.zeros(1, np.int64), np.zeros(1),
        )  # fmt: skip
    mine: NDArray[np.float64] = areas[0]
    return mine


def never_two_running(share: float) -> NDArray[np.bool_]:
    lost = np.random.default_rng(4).random((200, 9)) < share
    lost[1:] &= ~lost[:-1]
    lost[[0, -2, -1]] = False
    return lost


def test_a_lost_reading_is_made_good_by_the_register_of_the_next() -> None:
    """Some readings lost, never two running: the balance is that of all."""
    with_lost = lossy(0.001, never_two_running(0.1))

    without = lossy(0.001, None)

    assert with_lost[[M_L, VAR, LAST_R]] == pytest.approx(without[[M_L, VAR, LAST_R]], rel=1e-3)


def test_registers_of_whole_kilowatt_hours_tell_nothing_of_a_frame() -> None:
    lost = never_two_running(0.1)

    assert lossy(1000.0, lost).tolist() == lossy(1000.0, lost, registers=False).tolist()


def test_what_was_raised_without_powers_is_looked_at_when_they_come_back() -> None:
    """Balanced by days meanwhile, it is no longer as quiet as the powers had left it."""
    layout = fleet_layout(network(areas=1), only("energy"))
    detector = EnergyDetector(layout.groups[0], only("energy"))
    frame = replace(Frames(layout, only("energy")).peek(0)[0], tick_us=START_US)
    quiet = detector.quiet(0)

    detector.over(frame, np.array([1.2]), detector.open, 0.5, partial(detector._finding, frame))

    assert (quiet, detector.quiet(0)) == (True, False)
