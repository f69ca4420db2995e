"""Each kind of fault against the healthy twin: what must move, and what must not."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulators.areas import Bench, prepare
from simulators.drive import Drive
from simulators.meters import Reports, meter_reports
from simulators.monitors import monitor_reports
from simulators.physics import AreaPhysics, solve_area
from simulators.powerflow import OpenDssPowerFlow
from simulators.scenario import check_scenario
from simulators.spec import DeliverySpec, Scenario
from simulators.tables import read_table

HOUR_US = 3_600_000_000


class Run:
    """One area with and without its faults, the same noise in both."""

    def __init__(self, **fault: Any) -> None:
        town = {
            "feeders": 1,
            "transformers": 1,
            "customers": [12, 12],
            "branches": [2, 2],
            "monitor": "ttu",
            "rod_ohm": fault.pop("rod_ohm", 15.0),
            "three_phase_share": 0.2,
        }
        table = {
            "start": datetime.fromisoformat("2026-03-02T06:00:00+08:00"),
            "days": 0.5,
            "seed": 3,
            "town": town,
            "fault": [{"id": "f", "onset": "03:00"} | fault],
        }
        self.spec = read_table(Scenario, table, file="test", where="")
        whole = check_scenario(self.spec, "test")
        self.bench: Bench = prepare(self.spec, whole, whole.areas[0])
        self.area = self.bench.area
        engine = OpenDssPowerFlow(self.bench.network)
        self.faulted = self._side(engine, self.bench.faults)
        self.healthy = self._side(engine, [])
        self.times = self.bench.times_us
        self.after = self.times >= self.spec.start_us + 3 * HOUR_US

    def _side(self, engine: OpenDssPowerFlow, faults: Any) -> tuple[AreaPhysics, Drive, Reports]:
        drive = self.bench.drive(faults, slice(None))
        ambient = self.bench.weather.ambient_c
        physics = solve_area(engine, self.bench.network, drive, ambient, self.spec.step_s)
        perfect = DeliverySpec(missing=0.0)
        meters = meter_reports(
            self.area, physics, drive, self.spec.town, perfect, self.spec.step_s, 28800, 3
        )
        return physics, drive, meters

    def change(self, quantity: str) -> NDArray[np.float64]:
        """Faulted minus healthy of a physical quantity, after the onset."""
        f, h = (getattr(side[0], quantity) for side in (self.faulted, self.healthy))
        return np.asarray((f - h)[self.after])

    def before(self) -> float:
        """The largest difference in voltage before the onset."""
        return float(np.abs(self.faulted[0].v - self.healthy[0].v)[~self.after].max())

    def column(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A meter column with and without the fault, rows after the onset."""
        late = self.faulted[2].times[:, 0] >= self.spec.start_us + 3 * HOUR_US
        return self.faulted[2].columns[name][late], self.healthy[2].columns[name][late]

    def loads_of(self, *, branch: str = "", phase: int = -1) -> list[int]:
        """Indexes of load points of a branch and phase."""
        return [
            k
            for u in self.area.usage_points
            if not branch or u.branch == branch
            for k, p in zip(u.loads, u.phases, strict=True)
            if phase in (-1, p)
        ]


def test_nothing_moves_before_the_onset() -> None:
    """The faulted area and its twin are one and the same until then."""
    assert Run(kind="transformer_winding", asset="T1", conductor="b").before() < 0.01


def test_winding_turns_raise_one_phase_by_their_share_whatever_the_load() -> None:
    """+1.5 % first, +3.45 % in the last four tenths, other phases unmoved."""
    run = Run(kind="transformer_winding", asset="T1", conductor="b", cleared="09:00")

    ratio = run.faulted[0].v_bus[run.after] / run.healthy[0].v_bus[run.after]

    assert ratio[6, 1] == pytest.approx(1.015, abs=0.002)
    assert ratio[60, 1] == pytest.approx(1.0345, abs=0.003)
    assert np.abs(ratio[:, [0, 2]] - 1.0).max() < 0.002


def test_a_service_joint_moves_one_customer_only() -> None:
    """Its voltage falls with its own current; no neighbour moves by half a volt."""
    run = Run(kind="joint_resistance", asset="T1-U003", ohm_start=0.3, ohm_end=1.2, arcing=0.0)

    own = list(run.area.usage_points[2].loads)[:1]
    others = [k for k in run.loads_of() if k not in run.area.usage_points[2].loads]
    drop, amps = run.change("v")[:, own[0]], run.faulted[0].i[run.after][:, own[0]]
    assert drop.min() < -2.0
    assert np.corrcoef(-drop, amps)[0, 1] > 0.8
    assert np.abs(run.change("v")[:, others]).max() < 0.5


def test_a_lost_branch_is_dead_and_the_rest_alive() -> None:
    """Every meter of the branch loses its supply, none elsewhere does."""
    run = Run(kind="outage", asset="T1-B1", cleared="05:00")

    during = run.after & (run.times < run.spec.start_us + 5 * HOUR_US)
    alive = run.faulted[0].alive[during]
    inside = np.array([u.branch == "T1-B1" for u in run.area.usage_points])
    assert not alive[:, inside].any()
    assert alive[:, ~inside].all()


def test_a_bypass_changes_what_is_metered_and_not_what_flows() -> None:
    """The network carries the same; the meter reports four tenths."""
    run = Run(kind="energy_loss", asset="T1-U001", amount=0.6)

    seen, true = run.column("p")
    assert np.abs(run.change("v")).max() < 1e-6
    assert seen[:, 0] == pytest.approx(0.4 * true[:, 0], abs=1.5)


def test_leakage_shows_in_the_residual_current_and_not_in_voltages() -> None:
    """It grows to the ampere asked for."""
    run = Run(kind="insulation_leakage", asset="T1-B2", amount=1.5, rod_ohm=0.0, arcing=0.0)

    assert run.faulted[0].i_residual[-1] == pytest.approx(1.5, rel=0.1)
    assert run.healthy[0].i_residual.max() < 0.01
    assert np.abs(run.change("v")).max() < 1.5


def test_short_contacts_show_in_counters_and_lowest_voltage_only() -> None:
    """The sampled voltage is ordinary, the interval's lowest and the counters are not."""
    run = Run(kind="momentary", asset="T1-B1", amount=4.0)

    sags, none = run.column("sags")
    lowest, _ = run.column("v_a_min")
    inside = np.array([u.branch == "T1-B1" for u in run.area.usage_points])
    assert np.abs(run.change("v")).max() < 1e-6
    assert sags[-1, inside].min() >= 10
    assert sags[-1, ~inside].tolist() == none[-1, ~inside].tolist()
    assert lowest[:, inside].min() < 10.0


def test_a_tree_makes_deeper_sags_the_nearer_one_lives_to_it() -> None:
    """A shunt at the far end: the first node sags less than the last."""
    run = Run(kind="momentary", asset="T1-B1", amount=6.0, mode="vegetation", conductor="a")

    depth = run.faulted[0].v[0].mean() - run.faulted[0].moment_v.min(axis=0)
    mine = run.loads_of(branch="T1-B1", phase=0)
    assert depth[mine[-1]] > depth[mine[0]] > 5.0


def test_failing_cooling_heats_the_oil_and_changes_nothing_else() -> None:
    """The electrical side knows nothing of it."""
    run = Run(kind="transformer_thermal", asset="T1", amount=2.0)

    assert np.abs(run.change("v")).max() < 1e-6
    assert run.change("t_oil")[-1] > 2.0


def test_a_hot_terminal_heats_with_the_current_through_it() -> None:
    """Only that meter's terminal, by 2.6 K a watt."""
    run = Run(kind="hot_terminal", asset="T1-U002", ohm_start=0.05, ohm_end=0.08, arcing=0.0)

    rise = run.change("t_terminal").max(axis=0)
    assert 1 == int(np.argmax(rise))
    assert rise[1] > 1.0
    assert np.delete(rise, 1).max() < 0.1


@pytest.mark.parametrize(
    ("kind", "amount", "sign"), [("over_voltage", 0.06, 1), ("under_voltage", 0.08, -1)]
)
def test_a_wrong_tap_moves_all_customers_alike(kind: str, amount: float, sign: int) -> None:
    """By its share of the voltage, all three phases, all branches."""
    run = Run(kind=kind, asset="T1", amount=amount)

    moved = run.change("v") / run.healthy[0].v[run.after]
    assert np.median(moved) == pytest.approx(sign * amount, rel=0.1)
    assert np.ptp(np.median(moved, axis=0)) < 0.01


def test_evening_cars_load_the_transformer_between_their_hours() -> None:
    """Seven kilowatt a car, nothing outside."""
    run = Run(
        kind="transformer_overload", asset="T1", customers=5, amount=7.0, between=["12:00", "16:00"]
    )

    watt = run.change("p_bus").sum(axis=1)
    assert watt.max() == pytest.approx(35e3, rel=0.12)
    assert np.abs(watt[-20:]).max() < 100.0


def test_unbalance_loads_one_phase() -> None:
    """Only phase c carries more."""
    run = Run(
        kind="unbalance", asset="T1", conductor="c", customers=3, amount=3.0,
        between=["10:00", "18:00"],
    )  # fmt: skip

    added = np.abs(run.change("p_bus")).max(axis=0)
    assert added[2] > 5e3
    assert added[:2].max() < 0.1 * added[2]


@pytest.mark.parametrize(
    "mode", ["stuck", "reset", "drift", "jump", "silent", "missing", "burst", "backlog"]
)
def test_faults_of_the_measuring_leave_the_network_alone(mode: str) -> None:
    """They touch one meter's rows and nothing physical."""
    run = Run(
        kind="meter_health", asset="T1-M004", mode=mode, cleared="08:00",
        amount=0.5 if mode == "missing" else 40.0, quantity="v_a",
    )  # fmt: skip

    faulted, healthy = run.faulted[2], run.healthy[2]
    assert np.array_equal(run.faulted[0].v, run.healthy[0].v)
    touched = {
        "stuck": np.abs(faulted.columns["v_a"] - healthy.columns["v_a"]).max(axis=0),
        "reset": np.abs(faulted.columns["e_import"] - healthy.columns["e_import"]).max(axis=0),
        "drift": np.abs(faulted.times - healthy.times).max(axis=0),
        "jump": np.abs(faulted.columns["v_a"] - healthy.columns["v_a"]).max(axis=0),
        **dict.fromkeys(
            ("silent", "missing", "burst"), (faulted.present != healthy.present).max(axis=0)
        ),
        "backlog": np.abs(faulted.received - healthy.received).max(axis=0),
    }[mode]
    assert [3] == np.flatnonzero(np.asarray(touched, float) > 0.5).tolist()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "new_ev", "asset": "T1-U003", "between": ["11:00", "15:00"]},
        {"kind": "new_pv", "asset": "T1-U003", "amount": 6.0},
        {"kind": "tap_change", "asset": "T1"},
        {"kind": "feeder_switching", "asset": "F1-S1", "cleared": "08:00"},
        {"kind": "planned_outage", "asset": "T1", "cleared": "05:00"},
        {"kind": "moved_out", "asset": "T1-U003"},
        {"kind": "meter_exchange", "asset": "T1-U003"},
    ],
    ids=lambda f: f["kind"],
)
def test_lookalikes_change_readings_and_are_called_benign(fault: dict[str, Any]) -> None:
    """They look like something; the truth says they are nothing."""
    run = Run(**fault)

    changed = ~np.isclose(
        run.faulted[2].columns["v_a"], run.healthy[2].columns["v_a"], equal_nan=True
    ) | (run.faulted[2].present != run.healthy[2].present)
    assert run.spec.fault[0].benign
    assert changed.any()


def test_a_monitor_reports_only_what_its_device_has() -> None:
    """A terminal unit has temperatures; its values are the physics, within its accuracy."""
    run = Run(kind="tap_change", asset="T1")
    physics, drive, _ = run.healthy

    reports = monitor_reports(
        run.area, physics, drive, run.spec.town, DeliverySpec(), run.spec.step_s, 28800, 3
    )

    assert reports is not None
    assert {"t_oil", "i_residual", "v_n"} <= set(reports.columns)
    assert reports.columns["v_a"][:, 0] == pytest.approx(physics.v_bus[:, 0], rel=0.005)
    assert np.all(np.diff(reports.columns["e_import"][:, 0]) >= 0)


def test_single_readings_or_runs_of_them_get_lost() -> None:
    """A share of them one by one, or for half an hour and more at a time."""
    single = Run(kind="comms_failure", asset="T1-B1", mode="missing", amount=0.5)
    runs = Run(kind="comms_failure", asset="T1-B1", mode="burst", amount=12.0)

    inside = np.array([u.branch == "T1-B1" for u in single.area.usage_points])
    for run, longest in ((single, 1), (runs, 3)):
        gone = ~run.faulted[2].present
        assert 0.2 < gone[12:, inside].mean() < 0.9
        assert not gone[:, ~inside].any() and not gone[:12].any()
        edges = np.diff(
            np.vstack([np.zeros(12, bool), gone, np.zeros(12, bool)]).astype(int), axis=0
        )
        lengths = np.flatnonzero(edges.T == -1) - np.flatnonzero(edges.T == 1)
        assert np.median(lengths) >= longest


def test_a_load_over_midnight_is_on_at_both_its_ends() -> None:
    """Between ten in the evening and six in the morning, not between six and ten."""
    run = Run(kind="new_ev", asset="T1-U003", between=["15:00", "11:00"], amount=7.0)

    watt = run.change("p_bus").sum(axis=1)
    hour = (run.times[run.after] - run.spec.start_us) / 3.6e9 + 6.0
    assert watt[hour < 10.6].min() > 5e3
    assert np.abs(watt[(hour > 11.1) & (hour < 14.9)]).max() < 200.0
    assert watt[hour > 15.5].min() > 5e3
