"""Solve one low-voltage area, step by step, with its neutral and its earth.

Receives an `Area` and the demand, source voltage and contact resistances of each step; hands on
terminal phasors. `PowerFlow` is the seam; `OpenDssPowerFlow` is the engine used. Knows nothing of
meters, faults or time: a step is a row.

Three traps of OpenDSS are guarded here (tried, see docs/simulation.md): the convergence flag is
checked after every step; demand is set explicitly and never through load shapes; when a contact
changes, the load admittances in the matrix are rebuilt, else a dead phase can report hundreds of
volts.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulators.area import (
    HEALTHY_CONTACT_OHM,
    NEUTRAL,
    NOMINAL_V,
    OPEN_OHM,
    Area,
    AreaInputs,
    AreaSolution,
    PowerFlowError,
    Segment,
    Service,
)
from simulators.dss_script import DEMAND_NAMES, NO_LEAK_OHM, area_script, series_impedance
from simulators.opendss import opendss

_PV_START_WITHIN_PU = 0.1
TOLERANCE_PU = 3e-5
MAX_ITERATIONS = 100
# SetterFlags: AvoidFullRecalc, a new kW alone needs no new factorisation, and SkipNA, a demand
# given as NaN stays as it was.
_KEEP_MATRIX = 2 | 4
_SAME_KW = 5e-4  # half a watt moves a house's voltage by less than a millivolt


class PowerFlow(Protocol):
    """Anything that solves an area; implementations keep no state between calls of `run`."""

    def run(self, inputs: AreaInputs) -> AreaSolution:
        """Solve every step; raises `PowerFlowError` where no solution was found."""
        ...


class OpenDssPowerFlow:
    """`PowerFlow` on OpenDSS, in an engine context of its own (one a thread or process).

    Demand is part impedance, part constant power that turns to impedance below 0.8 of nominal:
    more voltage always means more current, so a floating neutral has one physical answer.
    (OpenDSS's own ZIP and exponential models jump or stop converging there: tried.) Inverters
    give constant power, trip outside the area's `pv_trip_pu` and start again near nominal.
    """

    def __init__(self, area: Area, script: list[str] | None = None) -> None:
        self.area = area
        self._engine = opendss().NewContext()
        self._engine.AllowForms = False
        settings = [
            "set mode=snapshot controlmode=off",
            f"set tolerance={TOLERANCE_PU} maxiterations={MAX_ITERATIONS}",
        ]
        for command in [*(script or area_script(area)), *settings]:
            self._engine.Text.Command = command
        self._engine.ActiveCircuit.Solution.Solve()
        util = self._engine._api_util
        self._lib, self._ffi, self._ctx = util.lib_unpatched, util.ffi, util.ctx
        self._node = {
            name.lower(): i for i, name in enumerate(self._engine.ActiveCircuit.YNodeOrder)
        }
        self._load_batch, self._n_load_batch = self._batch(b"load", DEMAND_NAMES.encode())
        self._kw, self._pf = self._property("load", "kw"), self._property("load", "pf")
        self._r = self._property("reactor", "r")
        self._handles: dict[str, Any] = {}
        self._pointer = self._ffi.new("double**")
        self._seen_at: Any = None
        self._seen: NDArray[np.complex128] = np.zeros(0, np.complex128)
        self._index_nodes()
        self._good = self._voltages().copy()
        self._start = self._good.copy()

    # -- set-up -----------------------------------------------------------------------------

    def _batch(self, class_name: bytes, names: bytes) -> tuple[Any, int]:
        pointer, size = self._ffi.new("void***"), self._ffi.new("int32_t[4]")
        self._lib.Batch_CreateByRegExpS(self._ctx, pointer, size, class_name, names)
        return pointer[0], int(size[0])

    def _property(self, class_name: str, name: str) -> int:
        circuit = self._engine.ActiveCircuit
        circuit.SetActiveClass(class_name)
        _ = circuit.ActiveClass.First  # reading it makes the first element active
        names = [p.lower() for p in circuit.ActiveDSSElement.AllPropertyNames]
        return names.index(name) + 1

    def _handle(self, class_name: str, name: str) -> Any:
        key = f"{class_name}.{name}"
        if key not in self._handles:
            index = list(self._engine.Classes).index(
                {"reactor": "Reactor", "transformer": "Transformer"}[class_name]
            )
            handle = self._lib.Obj_GetHandleByName(self._ctx, index + 1, name.lower().encode())
            if handle == self._ffi.NULL:
                raise PowerFlowError(f"area {self.area.name} has no {key}; check its description")
            self._handles[key] = handle
        return self._handles[key]

    def _nodes(self, names: list[str]) -> NDArray[np.intp]:
        earth = len(self._node)  # one past the last: a column of zeros
        return np.array(
            [earth if n.endswith(".0") else self._node[n.lower()] for n in names], dtype=np.intp
        )

    def _index_nodes(self) -> None:
        area = self.area
        load_bus = [area.services[x.service].name for x in area.loads]
        self._at_load = self._nodes(
            [f"{b}.{x.phase + 1}" for b, x in zip(load_bus, area.loads, strict=True)]
        )
        self._at_load_n = self._nodes([f"{b}.4" for b in load_bus])
        before = [self._upstream(area.services[x.service].name) for x in area.loads]
        self._before_load = self._nodes(
            [f"{b}.{x.phase + 1}" for b, x in zip(before, area.loads, strict=True)]
        )
        z = [
            complex(s.r_ohm_km, s.x_ohm_km) * s.length_m / 1000
            for s in (area.services[x.service] for x in area.loads)
        ]
        self._y_service = 1.0 / np.array(z, dtype=np.complex128)
        pv_bus = [area.services[x.service].name for x in area.pv]
        self._at_pv = self._nodes(
            [f"{b}.{x.phase + 1}" for b, x in zip(pv_bus, area.pv, strict=True)]
        )
        self._at_pv_n = self._nodes([f"{b}.4" for b in pv_bus])
        self._at_neutral = self._nodes([f"{s.name}.4" for s in area.services])
        self._index_busbar()

    def _index_busbar(self) -> None:
        """The LV busbar, the star point and the first line of each branch."""
        area = self.area
        self._busbar = self._nodes([f"lv.{c}" for c in (1, 2, 3, 4)])
        self._star = self._node["lvt.4" if "main" in area.joints else "lv.4"]
        heads = [s for s in area.segments if s.name in area.heads]
        self._head_from = self._nodes(
            [f"{self._upstream(s.name)}.{c}" for s in heads for c in (1, 2, 3, 4)]
        )
        self._head_to = self._nodes([f"{s.to_bus}.{c}" for s in heads for c in (1, 2, 3, 4)])
        self._y_head = np.array(
            [np.linalg.inv(series_impedance(s)) for s in heads], dtype=np.complex128
        )

    def _upstream(self, name: str) -> str:
        """The bus on which the line itself starts: behind its joint, if it has one."""
        if name in self.area.joints:
            return f"j_{name}"
        lines: tuple[Segment | Service, ...] = (*self.area.segments, *self.area.services)
        for item in lines:
            if item.name == name:
                return item.from_bus
        raise PowerFlowError(f"area {self.area.name} has no line {name}; check its description")

    def close(self) -> None:
        """Give back what the engine holds; it cannot run afterwards."""
        self._lib.Batch_Dispose(self._load_batch)
        self._engine.ClearAll()

    # -- steps ------------------------------------------------------------------------------

    def run(self, inputs: AreaInputs) -> AreaSolution:
        """Solve every step in order; only tripped inverters remember the step before."""
        area = self.area
        steps = inputs.emf_pu.shape[0]
        n_loads, n_pv = len(area.loads), len(area.pv)
        if 2 * n_loads + n_pv != self._n_load_batch:
            raise PowerFlowError(f"area {area.name}: {self._n_load_batch} loads were built")
        n_nodes = len(self._node)
        volts = np.zeros((steps, n_nodes + 1), dtype=np.complex128)
        finite = np.isfinite(inputs.load_w).all(axis=1) & np.isfinite(inputs.pv_w).all(axis=1)
        if not finite.all():
            raise PowerFlowError(
                f"area {area.name}, step {int(np.argmin(finite))}: a demand is not a number; "
                "check the loads and faults of this area"
            )
        z, p = (share / 1000.0 for share in area.load_shares)
        kw = np.hstack([z * inputs.load_w, p * inputs.load_w, inputs.pv_w / -1000.0])
        self._set_power_factors(inputs.load_tangent, n_pv)
        pv_on = np.ones((steps, n_pv), dtype=np.bool_)
        iterations = np.zeros(steps, dtype=np.int32)
        self._reset()
        changes = _change_rows(inputs)
        on = np.ones(n_pv, dtype=np.bool_)
        for t in range(steps):
            if inputs.emf_pu[t] <= 0.0:
                pv_on[t] = on[:] = False  # no island runs on inverters alone: they have tripped
                continue
            flags = _KEEP_MATRIX if t else 0
            if changes[t]:
                self._apply_contacts(inputs, t)
                flags = 0
            self._lib.ctx_Vsources_Set_pu(self._ctx, float(inputs.emf_pu[t]))
            found = self._solve_step(kw[t], flags, on)
            if not found:
                raise PowerFlowError(
                    f"area {area.name}, step {t}: no solution within {MAX_ITERATIONS} "
                    "iterations; lower the demand or check the network of this area"
                )
            iterations[t], pv_on[t], volts[t, :n_nodes] = found, on, self._voltages()
        return self._answer(volts, pv_on, iterations)

    def _set_power_factors(self, tangent: NDArray[np.float64], n_pv: int) -> None:
        """Reactive follows active demand of its own from here on."""
        factor = np.concatenate([np.cos(np.arctan(np.tile(tangent, 2))), np.ones(n_pv)])
        self._lib.Batch_SetFloat64Array(
            self._load_batch, factor.size, self._pf, self._ffi.from_buffer("double[]", factor), 0
        )
        self._last_kw = np.full(factor.size, np.inf)

    def _reset(self) -> None:
        self._voltages()[:] = self._start  # so that a run does not depend on the one before
        _ = self._engine.ActiveCircuit.Vsources.First  # reading it makes the source active
        self._last_joint: NDArray[np.float64] | None = None
        self._last_leak: NDArray[np.float64] | None = None
        self._last_tap: NDArray[np.float64] | None = None
        for name in self.area.joints:
            for c in self._conductors(name):
                self._set_r(f"{name}_{c}", HEALTHY_CONTACT_OHM)
        for k in range(len(self.area.leaks)):
            self._set_r(f"leak{k}", NO_LEAK_OHM)
        self._set_taps(np.ones(3))

    def _conductors(self, name: str) -> tuple[int, ...]:
        if name == "mv":
            return (0, 1, 2)
        for svc in self.area.services:
            if svc.name == name:
                return (*svc.phases, NEUTRAL)
        return (0, 1, 2, NEUTRAL)

    def _set_r(self, name: str, ohm: float) -> None:
        self._lib.Obj_SetFloat64(self._handle("reactor", name), self._r, ohm, 0)

    def _set_taps(self, tap: NDArray[np.float64]) -> None:
        transformers = self._engine.ActiveCircuit.Transformers
        for phase in range(3):
            transformers.Name = f"t{phase}"
            transformers.Wdg = 2
            transformers.Tap = float(tap[phase])

    def _apply_contacts(self, inputs: AreaInputs, t: int) -> None:
        if inputs.joint_ohm is not None:
            now = np.clip(inputs.joint_ohm[t], HEALTHY_CONTACT_OHM, OPEN_OHM)
            for j, name in enumerate(self.area.joints):
                for c in self._conductors(name):
                    if self._last_joint is None or now[j, c] != self._last_joint[j, c]:
                        self._set_r(f"{name}_{c}", float(now[j, c]))
            self._last_joint = now
        if inputs.leak_s is not None:
            leak = 1.0 / np.maximum(inputs.leak_s[t], 1.0 / NO_LEAK_OHM)
            for k in range(len(self.area.leaks)):
                if self._last_leak is None or leak[k] != self._last_leak[k]:
                    self._set_r(f"leak{k}", float(leak[k]))
            self._last_leak = leak
        if inputs.tap is not None and (
            self._last_tap is None or np.any(inputs.tap[t] != self._last_tap)
        ):
            self._set_taps(inputs.tap[t])
            self._last_tap = inputs.tap[t]

    def _solve(self, kw: NDArray[np.float64], flags: int) -> int:
        """Iterations taken, 0 = none found; a second try rebuilds every load admittance."""
        n = self._n_load_batch
        if flags & _KEEP_MATRIX:
            same = np.abs(kw - self._last_kw) < _SAME_KW
            fresh = np.where(same, np.nan, kw)
            np.copyto(self._last_kw, kw, where=~same)
        else:
            fresh, self._last_kw = kw, kw.copy()
        for values, setting in ((fresh, flags), (kw, 0)):
            self._lib.Batch_SetFloat64Array(
                self._load_batch, n, self._kw, self._ffi.from_buffer("double[]", values), setting
            )
            self._lib.ctx_Solution_SolveNoControl(self._ctx)
            if self._lib.ctx_Solution_Get_Converged(self._ctx):
                np.copyto(self._good, self._voltages())
                return max(1, int(self._lib.ctx_Solution_Get_Iterations(self._ctx)))
            # A diverged start (even NaN) would spoil every later solution.
            self._voltages()[:] = self._good
            self._last_kw = kw.copy()
        return 0

    def _solve_step(
        self,
        kw: NDArray[np.float64],
        flags: int,
        on: NDArray[np.bool_],
    ) -> int:
        """Solve with the inverters that were `on`, then let them start and trip; 0 = no solution.

        On a floating part constant power has no answer, so an inverter starts only where it sees
        an ordinary voltage, as real ones do.
        """
        if not on.size:
            return self._solve(kw, flags)
        low, high = self.area.pv_trip_pu
        power = kw[-on.size :]
        if on.all() and not power.any():
            return self._solve(kw, flags)  # night
        wanted = power.copy()

        def attempt(flags: int) -> int:
            power[:] = np.where(on, wanted, 0.0)
            return self._solve(kw, flags)

        found = attempt(flags)
        if not found:
            on[:] = False
            found = attempt(0)
        if not found:
            return 0
        ready = ~on & (np.abs(self._pv_pu() - 1.0) < _PV_START_WITHIN_PU)
        if ready.any():
            on |= ready
            if not attempt(0):
                on &= ~ready
                found = attempt(0)
        for _ in range(on.size):
            pu = self._pv_pu()
            excess = np.where(on, np.maximum(pu - high, low - pu), -1.0)
            worst = float(excess.max())
            if worst <= 0.0:
                return found
            # Those as far outside as the worst, within 2 %, see the same thing at the same moment.
            on &= ~((excess > 0.0) & (excess >= worst - 0.02))
            found = attempt(0)
            if not found:
                on[:] = False
                found = attempt(0)
        return found

    def _pv_pu(self) -> NDArray[np.float64]:
        v = self._voltages()
        return np.asarray(np.abs(v[self._at_pv] - v[self._at_pv_n]) / NOMINAL_V)

    def _voltages(self) -> NDArray[np.complex128]:
        """The engine's own node voltages; it moves them when it builds its matrix anew."""
        self._lib.ctx_YMatrix_getVpointer(self._ctx, self._pointer)
        at = self._pointer[0]
        if at != self._seen_at:
            raw = self._ffi.buffer(at, (len(self._node) + 1) * 16)
            self._seen, self._seen_at = np.frombuffer(raw, dtype=np.complex128)[1:], at
        return self._seen

    def _answer(
        self,
        volts: NDArray[np.complex128],
        pv_on: NDArray[np.bool_],
        iterations: NDArray[np.int32],
    ) -> AreaSolution:
        at_load = volts[:, self._at_load]
        drop = (volts[:, self._head_from] - volts[:, self._head_to]).reshape(volts.shape[0], -1, 4)
        busbar = volts[:, self._busbar]
        return AreaSolution(
            v_load=at_load - volts[:, self._at_load_n],
            i_load=(volts[:, self._before_load] - at_load) * self._y_service,
            v_neutral=volts[:, self._at_neutral],
            v_busbar=busbar,
            i_head=np.einsum("bij,tbj->tbi", self._y_head, drop),
            i_earth=volts[:, self._star] / self.area.star_point_ohm,
            pv_on=pv_on,
            iterations=iterations,
        )


def _change_rows(inputs: AreaInputs) -> NDArray[np.bool_]:
    """Which steps differ from the one before in a contact, a leak or a tap."""
    steps = inputs.emf_pu.shape[0]
    changed = np.zeros(steps, dtype=np.bool_)
    for series in (inputs.tap, inputs.joint_ohm, inputs.leak_s):
        if series is not None and steps:
            flat = series.reshape(steps, -1)
            changed[0] = True
            changed[1:] |= np.any(flat[1:] != flat[:-1], axis=1)
    return changed
