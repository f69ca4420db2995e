"""An operator's own OpenDSS file as one area of the town.

A mapping (TOML) says which transformer feeds it, which line begins each branch and which loads
are supplied through it:

    transformer = "tx1"               # or the three units of a bank: ["txa", "txb", "txc"]
    neutral = 4                       # node of the neutral; 0 where the file has none
    commercial = ["shop"]             # optional: loads that are not homes
    [[branch]]
    line = "b1_1"
    loads = ["home_1", "home_2", ["shop_a", "shop_b", "shop_c"]]

The file's own loads are switched off; each becomes a usage point whose demand the town's model
draws, behind a metre of service cable, so that contacts, panels and meters are as in a built
town. The rest of the file (lines, capacitances, generators, controls held) is taken as it is.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.errors import BadInput
from simulators.area import Area, LoadPoint, PowerFlowError, Segment, Service
from simulators.dss_script import contact, demand_elements, leak_elements, service_lines
from simulators.opendss import opendss
from simulators.powerflow import OpenDssPowerFlow
from simulators.tables import read_table


@dataclass(frozen=True, slots=True)
class BranchMap:
    """One branch: its first line, and its loads (a list of three = a three-phase customer)."""

    line: str
    loads: tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class DssMap:
    """The mapping file."""

    transformer: str | tuple[str, ...]
    branch: tuple[BranchMap, ...]
    neutral: int = 4
    commercial: tuple[str, ...] = ()
    source_pu: float = 0.0

    @property
    def transformers(self) -> tuple[str, ...]:
        """The units, whether one or a bank of three."""
        return (self.transformer,) if isinstance(self.transformer, str) else self.transformer


@dataclass(frozen=True, slots=True)
class DssFile:
    """A read file: what the engine needs besides the area's description."""

    file: str
    map: DssMap
    busbar: str
    primary: tuple[str, ...]
    source_pu: float
    line_bus: dict[str, str] = field(hash=False)
    loads_off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DssArea:
    """An area read from a file; `branch_of` and `business_of` go by service."""

    area: Area
    source: DssFile
    branch_of: tuple[int, ...]
    business_of: tuple[bool, ...]


def read_dss_area(name: str, file: Path, mapping: Path) -> DssArea:
    """Compile a file and check its mapping. Raises BadInput naming place, reason and fix."""
    spec = _load_map(mapping)
    if not file.is_file():
        raise BadInput("no such network file", file=str(file), fix="Check the path.")
    engine = _compiled(file)
    circuit = engine.ActiveCircuit
    circuit.Solution.Solve()
    if not circuit.Solution.Converged:
        raise BadInput(
            "its power flow does not converge as it stands",
            file=str(file),
            fix="Solve it in OpenDSS first and correct its loads or lines.",
        )
    loads = {n.lower(): n for n in circuit.Loads.AllNames}
    lines = {n.lower(): n for n in circuit.Lines.AllNames}
    line_bus = {}
    for n in lines:
        circuit.Lines.Name = n
        line_bus[n] = str(circuit.Lines.Bus1)
    kva, busbar, primary = _transformer(circuit, spec, mapping)
    segments: list[Segment] = []
    services: list[Service] = []
    points: list[LoadPoint] = []
    branch_of: list[int] = []
    business: list[bool] = []
    for b, branch in enumerate(spec.branch):
        if branch.line.lower() not in lines:
            raise _unknown(f"branch[{b}].line", branch.line, lines, mapping)
        head = branch.line.lower()
        to_bus = _bus(line_bus[head])
        segments.append(Segment(head, "lv", to_bus, 1.0, 0.0, 0.0))
        for k, entry in enumerate(branch.loads):
            names = (entry,) if isinstance(entry, str) else entry
            for load in names:
                if load.lower() not in loads:
                    raise _unknown(f"branch[{b}].loads[{k}]", load, loads, mapping)
            bus, phases = _load_place(circuit, names, spec, mapping)
            service = len(services)
            services.append(Service(f"fwu{service + 1}", bus, phases, 1.0, 1.2))
            points += [LoadPoint(service, p) for p in phases]
            branch_of.append(b)
            business.append(bool({n.lower() for n in names} & {c.lower() for c in spec.commercial}))
    circuit.Vsources.First  # noqa: B018  reading it makes the source active
    source_pu = spec.source_pu or float(circuit.Vsources.pu)
    engine.ClearAll()
    area = Area(name, kva, tuple(segments), tuple(services), tuple(points))
    source = DssFile(str(file.resolve()), spec, busbar, primary, source_pu, line_bus, tuple(loads))
    return DssArea(area, source, tuple(branch_of), tuple(business))


class DssFilePowerFlow(OpenDssPowerFlow):
    """`PowerFlow` of an area that was read from a file."""

    def __init__(self, area: Area, source: DssFile) -> None:
        self._source = source
        super().__init__(area, _script(area, source))

    def _conductors(self, name: str) -> tuple[int, ...]:
        found = super()._conductors(name)
        if self._source.map.neutral == 0 and name in self.area.heads:
            return found[:3]
        return found

    def _index_busbar(self) -> None:
        n = self._source.map.neutral
        wires = (1, 2, 3, n)
        self._busbar = self._nodes([f"{self._source.busbar}.{c}" for c in wires])
        self._star = int(self._busbar[3])
        heads = self.area.heads
        self._head_from = self._nodes(
            [f"{_bus(self._source.line_bus[h])}.{c}" for h in heads for c in wires]
        )
        self._head_to = self._nodes([f"h_{h}.{c}" for h in heads for c in wires])
        # The link between busbar and branch is a contact of known resistance: an ammeter.
        self._y_head = np.stack([np.diag(np.full(4, 1.0 / _LINK_OHM, np.complex128))] * len(heads))

    def _set_taps(self, tap: NDArray[np.float64]) -> None:
        units = self._source.map.transformers
        if len(units) == 1 and np.ptp(tap) > 0:
            raise PowerFlowError(
                f"area {self.area.name}: {units[0]} is one three-phase unit, so its phases "
                "cannot change alone; model it as a bank of three"
            )
        transformers = self._engine.ActiveCircuit.Transformers
        for k, unit in enumerate(units):
            transformers.Name = unit
            transformers.Wdg = 2
            transformers.Tap = float(tap[k if len(units) == 3 else 0])


_LINK_OHM = 2e-4


def _script(area: Area, source: DssFile) -> list[str]:
    """The file, its loads off, ammeter links before each branch, and our own elements."""
    n = source.map.neutral
    wires = (1, 2, 3) if n == 0 else (1, 2, 3, n)
    script = ["clear", f'compile "{source.file}"']
    script += [f"load.{name}.enabled=no" for name in source.loads_off]
    for head in area.heads:
        bus = _bus(source.line_bus[head])
        nodes = ".".join(map(str, wires))
        start = f"h_{head}"
        for c in wires:
            script.append(
                f"new reactor.link_{head}_{c} phases=1 bus1={bus}.{c} bus2={start}.{c} "
                f"R={_LINK_OHM} X=0"
            )
        if head in area.joints:
            script += [
                contact(head, 3 if c == n else c - 1, f"{start}.{c}", f"j_{head}.{c}")
                for c in wires
            ]
            start = f"j_{head}"
        script.append(f"line.{head}.bus1={start}.{nodes}")
    if "mv" in area.joints:
        script += [contact("mv", c, f"{_bus(source.primary[0])}.{c + 1}", f"j_mv.{c + 1}")
                   for c in range(3)]  # fmt: skip
        for unit, bus in zip(source.map.transformers, source.primary, strict=True):
            nodes = bus.partition(".")[2]
            script.append(f"transformer.{unit}.wdg=1 bus=j_mv.{nodes or '1.2.3'}")
    return [*script, *service_lines(area, n), *demand_elements(area), *leak_elements(area, n)]


def _compiled(file: Path) -> Any:
    engine = opendss().NewContext()
    from dss import DSSException

    engine.AllowForms = False
    engine.AllowChangeDir = False
    try:
        engine.Text.Command = f'compile "{file.resolve()}"'
    except DSSException as problem:
        raise BadInput(
            f"OpenDSS cannot compile it: {str(problem).splitlines()[0]}", file=str(file)
        ) from problem
    return engine


def _load_map(path: Path) -> DssMap:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise BadInput("no such mapping", file=str(path), fix="Check the path.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise BadInput(f"not valid TOML: {problem}", file=str(path)) from problem
    spec = read_table(DssMap, table, file=str(path), where="")
    if not spec.branch or not any(b.loads for b in spec.branch):
        raise BadInput("no branch with loads", file=str(path), fix="Add [[branch]] tables.")
    if len(spec.transformers) not in (1, 3):
        raise BadInput("one unit, or a bank of three", file=str(path), fix="Correct transformer.")
    return spec


def _transformer(circuit: Any, spec: DssMap, mapping: Path) -> tuple[float, str, tuple[str, ...]]:
    known = {n.lower() for n in circuit.Transformers.AllNames}
    kva, busbar, primary = 0.0, "", []
    for unit in spec.transformers:
        if unit.lower() not in known:
            raise _unknown("transformer", unit, dict.fromkeys(known, ""), mapping)
        circuit.Transformers.Name = unit
        circuit.SetActiveElement(f"transformer.{unit}")
        buses = list(circuit.ActiveCktElement.BusNames)
        primary.append(str(buses[0]))
        busbar = _bus(str(buses[1]))
        circuit.Transformers.Wdg = 2
        kva += float(circuit.Transformers.kVA)
    return kva, busbar, tuple(primary)


def _load_place(
    circuit: Any, names: tuple[str, ...], spec: DssMap, mapping: Path
) -> tuple[str, tuple[int, ...]]:
    """Bus and phases of a customer's loads."""
    buses, phases = [], []
    for name in names:
        circuit.SetActiveElement(f"load.{name}")
        whole = str(circuit.ActiveCktElement.BusNames[0])
        buses.append(_bus(whole))
        nodes = [int(x) for x in whole.split(".")[1:]] or [1, 2, 3]
        phases += [x - 1 for x in nodes if x in (1, 2, 3)]
    if len(set(buses)) != 1 or len(phases) not in (1, 3) or len(set(phases)) != len(phases):
        raise BadInput(
            f"{' + '.join(names)} is no customer on one or three phases of one bus",
            file=str(mapping),
            fix="List loads of one bus together; loads between two phases are not modelled.",
        )
    return buses[0], tuple(sorted(phases))


def _bus(whole: str) -> str:
    return whole.split(".")[0].lower()


def _unknown(key: str, value: str, known: dict[str, str], mapping: Path) -> BadInput:
    some = ", ".join(sorted(known)[:8])
    return BadInput(
        f"{key} = {value!r} is not in the network", file=str(mapping), fix=f"It has: {some} ..."
    )
