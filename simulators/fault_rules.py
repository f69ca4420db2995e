"""Which faults make sense where: what a scenario is refused for before anything is simulated.

Receives a fault and its place in the town; raises ValueError (problem; fix). The tables say which
assets a kind can happen to, which modes it has, and on which conductors it works.
"""

from simulators.drive import Place, conductors, needs_joint
from simulators.monitors import QUANTITIES
from simulators.spec import FaultSpec, TownSpec
from simulators.town import TownArea

_SUPPLY = ("usage_point", "branch", "transformer")
_UPSTREAM = ("transformer", "section", "feeder")
_METERED = ("usage_point", "device", "branch", "transformer")
PLACES: dict[str, tuple[str, ...]] = {
    "over_voltage": (*_SUPPLY, "section", "feeder"),
    "under_voltage": _UPSTREAM,
    "neutral_loose": _SUPPLY,
    "neutral_broken": _SUPPLY,
    "joint_resistance": _SUPPLY,
    "transformer_overload": ("transformer", "branch"),
    "transformer_thermal": ("transformer",),
    "transformer_winding": ("transformer",),
    "unbalance": ("transformer", "branch"),
    "hot_terminal": ("usage_point",),
    "outage": (*_SUPPLY, "section", "feeder"),
    "phase_loss": (*_SUPPLY, "section", "feeder"),
    "momentary": _SUPPLY,
    "energy_loss": ("usage_point",),
    "insulation_leakage": _SUPPLY,
    "meter_health": _METERED,
    "sensor_fault": _METERED,
    "comms_failure": (*_METERED, "section", "feeder"),
    "new_ev": _SUPPLY,
    "new_pv": ("usage_point", "branch", "transformer"),
    "tap_change": ("transformer",),
    "feeder_switching": ("section", "feeder"),
    "planned_outage": (*_SUPPLY, "section", "feeder"),
    "moved_out": ("usage_point",),
    "meter_exchange": ("usage_point", "device"),
}
_METER_MODES = ("stuck", "reset", "drift", "jump", "silent", "missing", "burst", "backlog")
MODES: dict[str, tuple[str, ...]] = {
    "over_voltage": ("pv",),
    "phase_loss": ("lv",),
    "momentary": ("vegetation",),
    "meter_health": _METER_MODES,
    "sensor_fault": _METER_MODES,
    "comms_failure": _METER_MODES,
}
METER_LAYER = ("meter_health", "sensor_fault", "comms_failure", "meter_exchange")
_NEUTRAL = ("neutral_loose", "neutral_broken")
_SIGNED = ("tap_change", "feeder_switching", "meter_health", "sensor_fault", "comms_failure")
_MOST: dict[tuple[str, str], tuple[float, str]] = {
    # (kind, mode): largest amount that is still that kind of thing, and what it counts
    ("energy_loss", ""): (1.0, "share"),
    ("over_voltage", ""): (0.3, "share of the voltage"),
    ("under_voltage", ""): (0.6, "share of the voltage"),
    ("transformer_winding", ""): (0.2, "share of the ratio"),
    ("transformer_thermal", ""): (20.0, "multiple of the oil's rise"),
    ("tap_change", ""): (0.2, "share of the ratio"),
    ("feeder_switching", ""): (0.2, "share of the voltage"),
    ("momentary", ""): (240.0, "number an hour"),
    ("momentary", "vegetation"): (240.0, "number an hour"),
    ("insulation_leakage", ""): (100.0, "current in ampere"),
    ("comms_failure", "missing"): (1.0, "share of readings"),
    ("comms_failure", "burst"): (100.0, "number a day"),
    ("meter_health", "missing"): (1.0, "share of readings"),
    ("meter_health", "burst"): (100.0, "number a day"),
}
_ANY_MOST = (1e6, "quantity")
_BASIC = ("v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "p", "e_import", "e_export")
_FULL = (*_BASIC, "v_a_min", "v_b_min", "v_c_min", "sags", "power_downs", "t_terminal")


def check_fault(fault: FaultSpec, place: Place, area: TownArea, spec: TownSpec) -> None:
    """Refuse what could not happen, or would silently do nothing."""
    _check_place(fault, place)
    modes = MODES.get(fault.kind, ())
    if fault.mode and fault.mode not in modes:
        fix = f"use one of: {', '.join(modes)}" if modes else "leave mode out"
        raise ValueError(f"fault {fault.id}: {fault.kind} has no mode {fault.mode!r}; {fix}")
    _check_conductor(fault, place)
    _check_amount(fault)
    if fault.kind in METER_LAYER and fault.mode in ("", "jump") and fault.quantity:
        _check_quantity(fault, place, area, spec)
    _check_source(fault, place, area)


def _check_place(fault: FaultSpec, place: Place) -> None:
    allowed = PLACES[fault.kind]
    monitor = place.kind == "device" and place.monitor
    kind = "monitor" if monitor and fault.kind == "meter_exchange" else place.kind
    if kind not in allowed or (fault.kind == "over_voltage" and _wrong_tap(fault, place)):
        words = " or ".join(w.replace("_", " ") for w in allowed)
        raise ValueError(
            f"fault {fault.id}: {fault.kind} cannot happen to the {kind.replace('_', ' ')} "
            f"{fault.asset}; give a {words}"
        )


def _wrong_tap(fault: FaultSpec, place: Place) -> bool:
    """A tap moves a whole transformer; panels (mode "pv") stand at customers."""
    return place.kind not in (_SUPPLY if fault.mode == "pv" else _UPSTREAM)


def _check_conductor(fault: FaultSpec, place: Place) -> None:
    if not fault.conductor:
        return
    allowed = "n" if fault.kind in _NEUTRAL else "abc"
    if fault.kind == "hot_terminal":
        allowed = "abcn"
    if fault.conductor not in allowed:
        raise ValueError(
            f"fault {fault.id}: {fault.kind} does not work on conductor {fault.conductor!r}; "
            f"use {' or '.join(allowed)}"
        )
    if place.kind == "usage_point" and fault.conductor in "abc":
        has = ["abc"[p] for p in place.usage_points[0].phases]
        if fault.conductor not in has:
            raise ValueError(
                f"fault {fault.id}: {fault.asset} has no phase {fault.conductor!r}; "
                f"use {' or '.join(has)}"
            )


def _check_amount(fault: FaultSpec) -> None:
    if fault.amount < 0 and fault.kind not in _SIGNED:
        raise ValueError(f"fault {fault.id}: amount cannot be negative; give 0 or more")
    most, what = _MOST.get((fault.kind, fault.mode), _ANY_MOST)
    if abs(fault.amount) > most:
        raise ValueError(
            f"fault {fault.id}: amount is a {what} for {fault.kind}; give at most {most:g}"
        )
    if fault.kind == "transformer_thermal" and 0 < fault.amount < 1:
        raise ValueError(f"fault {fault.id}: amount below 1 would cool the oil; give 1 or more")


def _check_quantity(fault: FaultSpec, place: Place, area: TownArea, spec: TownSpec) -> None:
    """A jump of a quantity that nothing there reports would be no fault."""
    if place.kind == "device" and place.monitor:
        has: tuple[str, ...] = QUANTITIES.get(spec.monitor, ())
    else:
        has = _FULL if spec.meter_quantities == "full" else _BASIC
        single = all(len(u.phases) == 1 for u in place.usage_points)
        if single:
            has = tuple(q for q in has if not q.startswith(("v_b", "v_c", "i_b", "i_c")))
    if fault.quantity not in has:
        raise ValueError(
            f"fault {fault.id}: {fault.asset} does not report {fault.quantity!r}; "
            f"use one of: {', '.join(has)}"
        )


def _check_source(fault: FaultSpec, place: Place, area: TownArea) -> None:
    """What an operator's own network file cannot show."""
    if area.source is None:
        return
    file, spec = area.source.file, area.source.map
    on_joint = needs_joint(fault, place)
    on_neutral = on_joint and 3 in conductors(fault, place)
    if on_neutral and spec.neutral == 0 and place.kind == "branch":
        raise ValueError(
            f"fault {fault.id}: {file} has no neutral conductor to fail; give a "
            "four-wire file and its neutral node"
        )
    if on_joint and place.head == "main":
        raise ValueError(
            f"fault {fault.id}: the busbar connection of {file} cannot fail; "
            "name a branch or a usage point"
        )
    if fault.kind == "transformer_winding" and len(spec.transformers) == 1:
        raise ValueError(
            f"fault {fault.id}: {spec.transformers[0]} of {file} is one three-phase unit, so its "
            "phases cannot change alone; model it as a bank of three"
        )
