"""An area as OpenDSS commands: text only, no engine.

The demand elements come last and in a fixed order, because the engine sets them as one batch:
impedance parts, constant-power parts, inverters.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.area import HEALTHY_CONTACT_OHM, NEUTRAL, NOMINAL_V, Area, Segment

NO_LEAK_OHM = 1e9
LOAD_LINEAR_BELOW_PU = 0.8
DEMAND_NAMES = "^fw_(z|p|g)[0-9]+$"
"""Names of the demand elements, whatever other loads a file has."""


def area_script(area: Area) -> list[str]:
    """The whole area; three single-phase units make the Dyn11 transformer."""
    kv = NOMINAL_V / 1000.0
    star = "lvt" if "main" in area.joints else "lv"
    script = [
        "clear",
        f"new circuit.area basekv={area.mv_kv} pu=1.0 phases=3 bus1=source "
        f"MVAsc3={area.mv_fault_mva} MVAsc1={area.mv_fault_mva}",
    ]
    script += [contact("mv", c, f"source.{c + 1}", f"mv.{c + 1}") for c in range(3)]
    if star == "lvt":
        script += [contact("main", c, f"lvt.{c + 1}", f"lv.{c + 1}") for c in range(4)]
    for phase, (x, y) in enumerate(((1, 2), (2, 3), (3, 1))):
        script.append(
            f"new transformer.t{phase} phases=1 windings=2 buses=[mv.{x}.{y} {star}.{phase + 1}.4] "
            f"kvs=[{area.mv_kv} {kv}] kvas=[{area.rated_kva / 3} {area.rated_kva / 3}] "
            f"xhl={area.short_circuit_percent} %loadloss={area.load_loss_percent}"
        )
    script.append(
        f"new reactor.star phases=1 bus1={star}.4 bus2={star}.0 R={area.star_point_ohm} X=0"
    )
    for rod in area.rods:
        script.append(
            f"new reactor.rod_{rod.bus} phases=1 bus1={rod.bus}.4 bus2={rod.bus}.0 "
            f"R={rod.r_ohm} X=0"
        )
    for seg in area.segments:
        start = seg.from_bus
        if seg.name in area.joints:
            start = f"j_{seg.name}"
            script += [
                contact(seg.name, c, f"{seg.from_bus}.{c + 1}", f"{start}.{c + 1}")
                for c in range(4)
            ]
        script.append(
            f"new line.{seg.name} phases=4 bus1={start}.1.2.3.4 bus2={seg.to_bus}.1.2.3.4 "
            f"length={seg.length_m / 1000} units=km {_matrices(seg)}"
        )
    script += service_lines(area, neutral=4) + demand_elements(area) + leak_elements(area)
    return [*script, f"set voltagebases=[{area.mv_kv} 0.4]", "calcvoltagebases"]


def service_lines(area: Area, neutral: int) -> list[str]:
    """Service cables from the network's buses, whose neutral is node `neutral` (0 = earth)."""
    script = []
    for svc in area.services:
        wires = [*svc.phases, NEUTRAL]
        at = [str(c + 1) if c != NEUTRAL else str(neutral) for c in wires]
        own = [str(c + 1) for c in wires]
        start = f"{svc.from_bus}.{'.'.join(at)}"
        if svc.name in area.joints:
            start = f"j_{svc.name}.{'.'.join(own)}"
            script += [
                contact(svc.name, c, f"{svc.from_bus}.{a}", f"j_{svc.name}.{o}")
                for c, a, o in zip(wires, at, own, strict=True)
            ]
        n = len(wires)
        script.append(
            f"new line.{svc.name} phases={n} bus1={start} bus2={svc.name}.{'.'.join(own)} "
            f"length={svc.length_m / 1000} units=km rmatrix={_diagonal(n, svc.r_ohm_km)} "
            f"xmatrix={_diagonal(n, svc.x_ohm_km)} cmatrix={_diagonal(n, 0.0)}"
        )
    return script


def demand_elements(area: Area) -> list[str]:
    """Impedance and constant-power part of each load, and the inverters, all at nothing."""
    kv = NOMINAL_V / 1000.0
    script = []
    for part, model in (("z", 2), ("p", 1)):
        for k, load in enumerate(area.loads):
            bus = area.services[load.service].name
            script.append(
                f"new load.fw_{part}{k} phases=1 bus1={bus}.{load.phase + 1}.4 kV={kv} kW=0 "
                f"kvar=0 model={model} vminpu={LOAD_LINEAR_BELOW_PU} vmaxpu=2.5"
            )
    for k, unit in enumerate(area.pv):
        bus = area.services[unit.service].name
        script.append(
            f"new load.fw_g{k} phases=1 bus1={bus}.{unit.phase + 1}.4 kV={kv} kW=0 kvar=0 "
            f"model=1 vminpu=0.5 vmaxpu=2.5"
        )
    return script


def leak_elements(area: Area, neutral: int = 4) -> list[str]:
    """Places where a phase may leak, closed to nothing."""
    script = []
    for k, leak in enumerate(area.leaks):
        other = f"{leak.bus}.{neutral}" if leak.to_neutral else f"{leak.bus}.0"
        script.append(
            f"new reactor.leak{k} phases=1 bus1={leak.bus}.{leak.phase + 1} bus2={other} "
            f"R={NO_LEAK_OHM} X=0"
        )
    return script


def contact(name: str, conductor: int, a: str, b: str) -> str:
    """A contact resistance between two nodes, tight."""
    return f"new reactor.{name}_{conductor} phases=1 bus1={a} bus2={b} R={HEALTHY_CONTACT_OHM} X=0"


def series_impedance(segment: Segment) -> NDArray[np.complex128]:
    """Series impedance of a four-wire segment, ohm, complex128[4, 4]."""
    km = segment.length_m / 1000.0
    z = np.full((4, 4), 1j * segment.x_mutual_ohm_km, dtype=np.complex128)
    r = [segment.r_phase_ohm_km] * 3 + [segment.r_neutral_ohm_km]
    np.fill_diagonal(z, np.array(r) + 1j * segment.x_self_ohm_km)
    return z * km


def _diagonal(n: int, value: float) -> str:
    rows = ["0 " * i + str(value) for i in range(n)]
    return "[" + " | ".join(rows) + "]"


def _matrices(segment: Segment) -> str:
    z = series_impedance(segment) / (segment.length_m / 1000.0)

    def lower(m: NDArray[np.float64]) -> str:
        return (
            "["
            + " | ".join(" ".join(repr(float(x)) for x in m[i, : i + 1]) for i in range(4))
            + "]"
        )

    return f"rmatrix={lower(z.real)} xmatrix={lower(z.imag)} cmatrix={_diagonal(4, 0.0)}"
