"""What drives one area: demand, source, contacts, leaks and meters, as arrays over time.

`base_drive` is the healthy town; `faults.apply` changes the arrays of one fault. The places that
faults touch (joints, leaks, extra inverters) are collected first, so that the healthy twin and
the faulted area are the same network with different numbers.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from simulators.area import HEALTHY_CONTACT_OHM, Area, AreaInputs, Leak, LoadPoint
from simulators.loads import Loads
from simulators.spec import FaultSpec
from simulators.town import Town, TownArea, UsagePoint

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault sits: its asset's kind, and what it touches in one area."""

    kind: str  # feeder, section, transformer, branch, usage_point, device
    asset: str
    head: str = ""  # the segment or service whose upstream contact it is
    usage_points: tuple[UsagePoint, ...] = ()
    monitor: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A disturbance shorter than a step: contacts open, or a leak closes, for `seconds`."""

    time_us: int
    seconds: float
    joint: str = ""
    conductors: tuple[int, ...] = ()
    leak: int = -1
    siemens: float = 0.0


@dataclass(frozen=True, slots=True)
class MeterEffect:
    """A change in the measuring, not in the network; `until_us` None = to the end."""

    what: str  # scale, stuck, reset, drift, jump, silent, backlog, exchange
    devices: tuple[str, ...]
    from_us: int
    until_us: int | None = None
    amount: float = 0.0
    quantity: str = ""


@dataclass(slots=True)
class Drive:
    """Arrays over T steps that one area's physics and meters follow; faults change them."""

    times_us: NDArray[np.int64]
    emf_pu: Floats
    load_w: Floats
    load_tangent: Floats
    pv_w: Floats
    tap: Floats
    joint_ohm: dict[str, Floats] = field(default_factory=dict)
    leak_s: dict[int, Floats] = field(default_factory=dict)
    cooling: Floats = field(default_factory=lambda: np.ones(0))
    terminal_ohm: dict[int, Floats] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    meters: list[MeterEffect] = field(default_factory=list)
    supply_marks_us: list[int] = field(default_factory=list)  # supply may go or come back here
    gasp_rate: list[tuple[int, int, float]] = field(default_factory=list)

    def joint(self, name: str) -> Floats:
        """Contact resistances [T, 4] of a joint, made healthy at first use."""
        if name not in self.joint_ohm:
            self.joint_ohm[name] = np.full((self.times_us.size, 4), HEALTHY_CONTACT_OHM)
        return self.joint_ohm[name]

    def leak(self, index: int) -> Floats:
        """Conductance [T] of a leak, none at first use."""
        if index not in self.leak_s:
            self.leak_s[index] = np.zeros(self.times_us.size)
        return self.leak_s[index]

    def window(self, fault: FaultSpec, start_us: int) -> NDArray[np.bool_]:
        """Steps from the fault's onset to its clearing."""
        begin = start_us + fault.onset_us
        end = start_us + fault.cleared_us if fault.cleared_us is not None else None
        inside = self.times_us >= begin
        return inside if end is None else inside & (self.times_us < end)

    def inputs(self, area: Area) -> AreaInputs:
        """The arrays in the form and order the power flow takes."""
        joints = leaks = None
        if area.joints:
            joints = np.stack([self.joint(name) for name in area.joints], axis=1)
        if area.leaks:
            leaks = np.stack([self.leak(k) for k in range(len(area.leaks))], axis=1)
        tap = None if np.all(self.tap == self.tap[0, 0]) and self.tap[0, 0] == 1.0 else self.tap
        return AreaInputs(
            self.emf_pu, self.load_w, self.load_tangent, self.pv_w, tap, joints, leaks
        )


def base_drive(
    times_us: NDArray[np.int64], emf_pu: Floats, loads: Loads, area: Area, tap_pu: float
) -> Drive:
    """The healthy town; extra inverters that faults bring are there and give nothing."""
    steps = times_us.size
    extra = len(area.pv) - loads.pv_w.shape[1]
    return Drive(
        times_us=times_us,
        emf_pu=emf_pu.copy(),
        load_w=loads.load_w.copy(),
        load_tangent=loads.load_tangent,
        pv_w=np.hstack([loads.pv_w, np.zeros((steps, extra))]),
        tap=np.full((steps, 3), tap_pu),
        cooling=np.ones(steps),
    )


def find_place(fault: FaultSpec, town: Town) -> dict[str, Place]:
    """Area id to what the fault touches there. Raises ValueError (problem; fix) if unknown."""
    areas = town.areas_under(fault.asset)
    if areas:
        kind = "transformer"
        if fault.asset in town.feeders:
            kind = "feeder"
        elif any(s[0] == fault.asset for s in town.sections):
            kind = "section"
        neutral = fault.kind in ("neutral_loose", "neutral_broken", "joint_resistance")
        head = "main" if neutral or fault.mode == "lv" else "mv"
        return {a.id: Place(kind, fault.asset, head, a.usage_points, True) for a in areas}
    for a in town.areas:
        if not fault.asset.startswith(f"{a.id}-"):
            continue
        if fault.asset in a.branches:
            head = a.area.heads[a.branches.index(fault.asset)]
            points = tuple(u for u in a.usage_points if u.branch == fault.asset)
            return {a.id: Place("branch", fault.asset, head, points)}
        for u in a.usage_points:
            if fault.asset in (u.id, u.meter):
                kind = "usage_point" if fault.asset == u.id else "device"
                name = a.area.services[u.service].name
                return {a.id: Place(kind, fault.asset, name, (u,))}
        if fault.asset == a.monitor:
            return {a.id: Place("device", fault.asset, "", (), True)}
    raise ValueError(
        f"fault {fault.id}: {fault.asset!r} is not in this town; use ids such as "
        f"{town.areas[0].id}, {town.areas[0].branches[0]}, {town.areas[0].usage_points[0].id}, "
        f"{town.feeders[0]}, {town.sections[0][0]}"
    )


def prepare_area(
    area: TownArea, faults: list[tuple[FaultSpec, Place]]
) -> tuple[Area, dict[str, int], dict[str, int]]:
    """The area with the joints, leaks and extra inverters its faults need.

    Also the index of each fault's leak and of its first extra inverter, by fault id.
    """
    joints: list[str] = []
    leaks: list[Leak] = []
    pv = list(area.area.pv)
    leak_of: dict[str, int] = {}
    pv_of: dict[str, int] = {}
    for fault, place in faults:
        if needs_joint(fault, place) and place.head not in joints:
            joints.append(place.head)
        if fault.kind == "insulation_leakage" or fault.mode == "vegetation":
            bus = _far_end(place, area)
            phase = _letter(fault.conductor, _first_phase(place))
            leak_of[fault.id] = len(leaks)
            leaks.append(Leak(bus, phase, to_neutral=fault.mode == "vegetation"))
        if fault.kind == "new_pv" or fault.mode == "pv":
            pv_of[fault.id] = len(pv)
            for u in place.usage_points[: max(fault.customers, 1)]:
                pv += [LoadPoint(u.service, p) for p in u.phases]
    return (
        replace(area.area, joints=tuple(joints), leaks=tuple(leaks), pv=tuple(pv)),
        leak_of,
        pv_of,
    )


def _far_end(place: Place, area: TownArea) -> str:
    """The bus where the farthest usage point of the place hangs: trees grow along the line."""
    if not place.usage_points:
        return area.area.segments[-1].to_bus
    return area.area.services[place.usage_points[-1].service].from_bus


def needs_joint(fault: FaultSpec, place: Place) -> bool:
    """Whether the fault works through a contact (an outage of a transformer is its source)."""
    if fault.kind in ("neutral_loose", "neutral_broken", "joint_resistance", "phase_loss"):
        return True
    if fault.kind in ("outage", "planned_outage"):
        return place.head not in ("mv", "main")
    return fault.kind == "hot_terminal" or (
        fault.kind == "momentary" and fault.mode != "vegetation"
    )


def _letter(conductor: str, default: int) -> int:
    return "abcn".index(conductor) if conductor else default


def _first_phase(place: Place) -> int:
    return place.usage_points[0].phases[0] if len(place.usage_points) == 1 else 0


def conductors(fault: FaultSpec, place: Place) -> tuple[int, ...]:
    """Which conductors the fault works on; the kind's usual ones when the file names none."""
    if fault.conductor:
        return ("abcn".index(fault.conductor),)
    if fault.kind in ("neutral_loose", "neutral_broken"):
        return (3,)
    if place.kind in ("usage_point", "device"):
        phases = place.usage_points[0].phases
        if fault.kind in ("outage", "planned_outage", "momentary"):
            return phases
        return (phases[0],)
    return (0,) if fault.kind in ("phase_loss", "joint_resistance") else (0, 1, 2)
