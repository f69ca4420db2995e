"""The power flow against hand calculation and against power-grid-model."""

from typing import Any

import numpy as np
import power_grid_model as pgm
import pytest
from numpy.typing import NDArray

from simulators.area import (
    NOMINAL_V,
    OPEN_OHM,
    Area,
    AreaInputs,
    LoadPoint,
    PowerFlowError,
    Rod,
    Segment,
    Service,
)
from simulators.dss_script import series_impedance
from simulators.powerflow import OpenDssPowerFlow


def _street(**changes: Any) -> Area:
    """Two single-phase homes on phases a and b behind one short segment."""
    values: dict[str, Any] = {
        "name": "street",
        "rated_kva": 400.0,
        "segments": (Segment("s1", "lv", "n1", 10.0, 0.3, 0.3),),
        "services": (
            Service("u1", "n1", (0,), 10.0, 1.2),
            Service("u2", "n1", (1,), 10.0, 1.2),
        ),
        "loads": (LoadPoint(0, 0), LoadPoint(1, 1)),
        "load_shares": (1.0, 0.0),
    }
    return Area(**(values | changes))


def _inputs(load_w: list[float], steps: int = 1, **more: Any) -> AreaInputs:
    watt = np.tile(np.array(load_w, float), (steps, 1))
    return AreaInputs(np.ones(steps), watt, np.zeros(len(load_w)), np.zeros((steps, 0)), **more)


def _joints(steps: int, joint: int, conductor: int, ohm: float) -> NDArray[np.float64]:
    found = np.full((steps, joint + 1, 4), 2e-4)
    found[:, joint, conductor] = ohm
    return found


def test_broken_neutral_divides_the_line_voltage_by_resistance() -> None:
    """1 kW on phase a and 4 kW on b in series across 400 V: 320 V and 80 V."""
    engine = OpenDssPowerFlow(_street(joints=("s1",)))

    answer = engine.run(_inputs([1000.0, 4000.0], joint_ohm=_joints(1, 0, 3, OPEN_OHM)))

    r_a, r_b = NOMINAL_V**2 / 1000.0, NOMINAL_V**2 / 4000.0
    expected = [400.0 * r_a / (r_a + r_b), 400.0 * r_b / (r_a + r_b)]
    assert expected == pytest.approx(np.abs(answer.v_load[0]), rel=0.003)


def test_a_healthy_neutral_keeps_unequal_homes_at_nominal() -> None:
    """The same loads with a tight clamp: within a volt of 230.9 V, whatever was before."""
    engine = OpenDssPowerFlow(_street(joints=("s1",)))
    ohm = np.concatenate([_joints(1, 0, 3, OPEN_OHM), _joints(1, 0, 3, 2e-4)])

    answer = engine.run(_inputs([1000.0, 4000.0], steps=2, joint_ohm=ohm))

    assert [NOMINAL_V, NOMINAL_V] == pytest.approx(np.abs(answer.v_load[1]), abs=1.0)


def test_earth_rods_hold_a_broken_neutral_part_of_the_way() -> None:
    """A rod carries return current, so the homes are further from 320 V and 80 V."""
    floating = OpenDssPowerFlow(_street(joints=("s1",)))
    held = OpenDssPowerFlow(_street(joints=("s1",), rods=(Rod("n1", 5.0),)))
    inputs = _inputs([1000.0, 4000.0], joint_ohm=_joints(1, 0, 3, OPEN_OHM))

    spread = [float(np.ptp(np.abs(engine.run(inputs).v_load[0]))) for engine in (floating, held)]

    assert spread[1] < 0.6 * spread[0]


def test_a_blown_fuse_leaves_a_dead_phase_near_zero() -> None:
    """No hundreds of volts behind an open phase, in the step of the change and after it."""
    engine = OpenDssPowerFlow(_street(joints=("s1",), load_shares=(0.7, 0.3)))
    ohm = np.concatenate([_joints(1, 0, 0, 2e-4), _joints(3, 0, 0, OPEN_OHM)])

    answer = engine.run(_inputs([3000.0, 3000.0], steps=4, joint_ohm=ohm))

    dead = np.abs(answer.v_load[1:, 0])
    assert dead.max() < 0.1


def test_a_lost_medium_voltage_phase_halves_two_low_voltage_phases() -> None:
    """Dyn with one MV conductor open: the theory gives 1, 1/2 and 1/2 of nominal."""
    balanced = (LoadPoint(0, 0), LoadPoint(0, 1), LoadPoint(0, 2))
    area = _street(
        services=(Service("u1", "n1", (0, 1, 2), 10.0, 1.2),), loads=balanced, joints=("mv",)
    )

    answer = OpenDssPowerFlow(area).run(_inputs([1000.0] * 3, joint_ohm=_joints(1, 0, 0, OPEN_OHM)))

    expected = [NOMINAL_V / 2, NOMINAL_V, NOMINAL_V / 2]
    assert expected == pytest.approx(np.sort(np.abs(answer.v_load[0]))[[0, 2, 1]], rel=0.01)
    assert int(np.argmax(np.abs(answer.v_load[0]))) == 1


def test_a_dead_feeder_is_dead_and_its_inverters_are_off() -> None:
    """No island runs on inverters alone."""
    area = _street(pv=(LoadPoint(0, 0),))
    inputs = AreaInputs(
        np.array([1.0, 0.0]), np.full((2, 2), 500.0), np.zeros(2), np.full((2, 1), 3000.0)
    )

    answer = OpenDssPowerFlow(area).run(inputs)

    assert [[True], [False]] == answer.pv_on.tolist()
    assert 0.0 == np.abs(answer.v_load[1]).max()


def test_inverters_trip_before_the_voltage_runs_away() -> None:
    """Far too much sun on a long thin cable: the inverter is off, the voltage ordinary."""
    area = _street(
        services=(
            Service("u1", "n1", (0,), 400.0, 1.2),
            Service("u2", "n1", (1,), 10.0, 1.2),
        ),
        pv=(LoadPoint(0, 0),),
    )
    inputs = AreaInputs(np.ones(1), np.full((1, 2), 10.0), np.zeros(2), np.full((1, 1), 2e4))

    answer = OpenDssPowerFlow(area).run(inputs)

    assert [[False]] == answer.pv_on.tolist()
    assert np.abs(answer.v_load[0, 0]) < 1.02 * NOMINAL_V


def test_inverters_trip_where_they_are_set_to() -> None:
    """The same sun on the same cable: off above 1.02 of nominal, on below 1.15."""
    inputs = AreaInputs(np.ones(1), np.full((1, 2), 10.0), np.zeros(2), np.full((1, 1), 6e3))
    services = (Service("u1", "n1", (0,), 300.0, 1.2), Service("u2", "n1", (1,), 10.0, 1.2))

    on = [
        OpenDssPowerFlow(_street(services=services, pv=(LoadPoint(0, 0),), pv_trip_pu=(0.8, high)))
        .run(inputs)
        .pv_on.tolist()
        for high in (1.02, 1.15)
    ]

    assert [[[False]], [[True]]] == on


def test_currents_obey_kirchhoff_at_the_busbar() -> None:
    """Without rods all current that leaves on the phases comes back on the neutral."""
    engine = OpenDssPowerFlow(_street(rods=()))

    answer = engine.run(_inputs([1000.0, 4000.0]))

    assert np.abs(answer.i_head.sum(axis=2)).max() < 1e-6
    assert np.abs(answer.i_head[0, 0, :2]) == pytest.approx(np.abs(answer.i_load[0]), rel=1e-6)


def test_a_demand_that_is_not_a_number_is_refused_by_area_and_step() -> None:
    """The message says where, and the next run is not spoilt by it."""
    engine = OpenDssPowerFlow(_street())
    inputs = _inputs([1000.0, 10.0], steps=3)
    inputs.load_w[2, 0] = np.nan

    with pytest.raises(PowerFlowError, match="area street, step 2"):
        engine.run(inputs)

    after = engine.run(_inputs([1000.0, 10.0]))
    assert [NOMINAL_V, NOMINAL_V] == pytest.approx(np.abs(after.v_load[0]), abs=1.0)


def test_steps_that_differ_little_are_solved_as_if_alone() -> None:
    """What the engine keeps from step to step does not show: each step equals a fresh solve."""
    area = _street(load_shares=(0.7, 0.3))
    watt = np.array([[900.0, 4000.0], [900.4, 4000.0], [900.4, 10.0], [6000.0, 10.0]])
    inputs = AreaInputs(np.ones(4), watt, np.full(2, 0.2), np.zeros((4, 0)))

    together = np.abs(OpenDssPowerFlow(area).run(inputs).v_load)

    for t in range(4):
        alone = AreaInputs(np.ones(1), watt[t : t + 1], np.full(2, 0.2), np.zeros((1, 0)))
        expected = np.abs(OpenDssPowerFlow(area).run(alone).v_load[0])
        assert expected == pytest.approx(together[t], abs=2e-3)


# -- the oracle ---------------------------------------------------------------------------


def _branch(rng: np.random.Generator, shares: tuple[float, float]) -> Area:
    """Twelve homes along six nodes, no earth rod: what power-grid-model can represent."""
    segments = [
        Segment(f"n{k + 1}", "lv" if k == 0 else f"n{k}", f"n{k + 1}", 30.0 + 3 * k, 0.32, 0.4)
        for k in range(6)
    ]
    services, loads = [], []
    for k in range(12):
        phases = (0, 1, 2) if k % 5 == 4 else (int(rng.integers(3)),)
        services.append(Service(f"u{k + 1}", f"n{k // 2 + 1}", phases, 12.0 + k, 1.2))
        loads += [LoadPoint(k, p) for p in phases]
    return Area(
        "oracle", 250.0, tuple(segments), tuple(services), tuple(loads), load_shares=shares,
        joints=("n1",),
    )  # fmt: skip


def _loop(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Phase-to-neutral loop impedance: exact while the neutral carries all return current."""
    return np.asarray(z[:3, :3] - z[:3, 3:] - z[3:, :3] + z[3, 3])


def _oracle(area: Area, load_w: NDArray[np.float64], kind: int, joint_ohm: float) -> Any:
    """Phase-to-neutral voltage of each load by power-grid-model."""
    names = ["source", "lv", *[s.to_bus for s in area.segments], *[s.name for s in area.services]]
    place = {n: i for i, n in enumerate(names)}
    nodes = pgm.initialize_array("input", "node", len(names))
    nodes["id"] = np.arange(len(names))
    nodes["u_rated"] = [10e3] + [400.0] * (len(names) - 1)
    lines: list[tuple[str, str, NDArray[np.complex128]]] = []
    for seg in area.segments:
        z = series_impedance(seg)
        if seg.name == "n1":
            z = z + np.diag([2e-4, 2e-4, 2e-4, joint_ohm])
        lines.append((seg.from_bus, seg.to_bus, _loop(z)))
    for svc in area.services:
        one = complex(svc.r_ohm_km, svc.x_ohm_km) * svc.length_m / 1000
        lines.append((svc.from_bus, svc.name, _loop(np.diag([one] * 4))))
    asym = pgm.initialize_array("input", "asym_line", len(lines))
    for k, (a, b, z3) in enumerate(lines):
        asym[k]["id"] = 1000 + k
        asym[k]["from_node"], asym[k]["to_node"] = place[a], place[b]
        asym[k]["from_status"] = asym[k]["to_status"] = 1
        for i, p in enumerate("abc"):
            for j, q in enumerate("abc"[: i + 1]):
                asym[k][f"r_{p}{q}"] = z3[i, j].real
                asym[k][f"x_{p}{q}"] = z3[i, j].imag
        asym[k]["c0"] = asym[k]["c1"] = 0.0
        asym[k]["i_n"] = 1000.0
    loads = pgm.initialize_array("input", "asym_load", len(area.loads))
    for k, point in enumerate(area.loads):
        loads[k]["id"] = 2000 + k
        loads[k]["node"] = place[area.services[point.service].name]
        loads[k]["status"], loads[k]["type"] = 1, kind
        watt = np.zeros(3)
        watt[point.phase] = load_w[k]
        loads[k]["p_specified"], loads[k]["q_specified"] = watt, 0.2 * watt
    source = pgm.initialize_array("input", "source", 1)
    source["id"], source["node"], source["status"], source["u_ref"] = 3000, 0, 1, 1.0
    source["sk"], source["rx_ratio"], source["z01_ratio"] = area.mv_fault_mva * 1e6, 0.25, 1.0
    transformer = pgm.initialize_array("input", "transformer", 1)
    kva = area.rated_kva * 1e3
    uk = np.hypot(area.short_circuit_percent, area.load_loss_percent) / 100
    for name, value in {
        "id": 4000, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1, "u1": 10e3,
        "u2": 400.0, "sn": kva, "uk": uk, "pk": area.load_loss_percent / 100 * kva, "i0": 0.0,
        "p0": 0.0, "winding_from": 2, "winding_to": 1, "clock": 11, "tap_side": 0, "tap_pos": 0,
        "tap_min": 0, "tap_max": 0, "tap_nom": 0, "tap_size": 0.0,
    }.items():  # fmt: skip
        transformer[name] = value
    model = pgm.PowerGridModel(
        {
            "node": nodes, "asym_line": asym, "asym_load": loads, "source": source,
            "transformer": transformer,
        }
    )  # fmt: skip
    result = model.calculate_power_flow(symmetric=False, error_tolerance=1e-10, max_iterations=50)
    at = [place[area.services[x.service].name] for x in area.loads]
    phase = [x.phase for x in area.loads]
    return result["node"]["u"][at, phase]


@pytest.mark.parametrize(
    ("shares", "kind", "joint_ohm"),
    [((0.0, 1.0), 0, 2e-4), ((1.0, 0.0), 1, 2e-4), ((1.0, 0.0), 1, 0.5), ((1.0, 0.0), 1, 3.0)],
    ids=["constant power", "constant impedance", "loose neutral 0.5 ohm", "loose neutral 3 ohm"],
)
def test_agrees_with_power_grid_model_within_a_millivolt(
    shares: tuple[float, float], kind: int, joint_ohm: float
) -> None:
    """Four-wire cases without rods, where the other engine is exact too."""
    rng = np.random.default_rng(3)
    area = _branch(rng, shares)
    load_w = rng.uniform(100.0, 4000.0, (3, len(area.loads)))
    joints = np.full((3, 1, 4), 2e-4)
    joints[:, 0, 3] = joint_ohm
    inputs = AreaInputs(
        np.ones(3), load_w, np.full(load_w.shape[1], 0.2), np.zeros((3, 0)), joint_ohm=joints
    )

    ours = np.abs(OpenDssPowerFlow(area).run(inputs).v_load)

    theirs = np.array([_oracle(area, row, kind, joint_ohm) for row in load_w])
    assert np.abs(ours - theirs).max() < 1e-3
