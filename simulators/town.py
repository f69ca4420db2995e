"""Build a town: feeders, sections, transformers, branches, usage points, customers.

Receives the `[town]` table of a scenario and its seed; hands on a `Town`, whose areas carry the
electrical description for the power flow. The same seed gives the same town, whatever faults a
scenario adds.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simulators.area import Area, LoadPoint, Rod, Segment, Service
from simulators.dss_file import DssFile, read_dss_area
from simulators.people import Person, customers, street
from simulators.seeds import stream
from simulators.spec import TownSpec, TransformerSpec

# (phase, neutral) ohm/km of the usual four-core aluminium bundles and of service cables.
_TRUNK_OHM_KM = (0.253, 0.253)
_TAIL_OHM_KM = (0.443, 0.443)
_SERVICE_OHM_KM = 1.20
_PHASE = "abc"


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """A supply of the simulated town; `loads` index the area's load points."""

    id: str
    meter: str
    branch: str
    node: str
    phases: tuple[int, ...]
    service: int
    loads: tuple[int, ...]
    person: Person
    ev_kw: float = 0.0
    pv_kw: float = 0.0
    heat_pump_kw: float = 0.0

    @property
    def phase_name(self) -> str:
        """As the network file writes it."""
        return "abc" if len(self.phases) == 3 else _PHASE[self.phases[0]]


@dataclass(frozen=True, slots=True)
class TownArea:
    """One transformer with its electrical area and its usage points."""

    id: str
    feeder: str
    section: str
    name: str
    spec: TransformerSpec
    area_class: str
    latitude: float
    longitude: float
    area: Area
    usage_points: tuple[UsagePoint, ...]
    monitor: str | None
    source: DssFile | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """Ids of the outgoing LV circuits, in order of the area's heads."""
        return tuple(f"{self.id}-B{k + 1}" for k in range(len(self.area.heads)))


@dataclass(frozen=True, slots=True)
class Town:
    """The whole town."""

    spec: TownSpec
    areas: tuple[TownArea, ...]
    feeders: tuple[str, ...]
    sections: tuple[tuple[str, str, str, str], ...]  # section, feeder, parent, switch

    def areas_under(self, asset: str) -> list[TownArea]:
        """The areas supplied through a feeder, a section or a transformer."""
        inside = {asset}
        for section, _, parent, _ in self.sections:
            if parent in inside:
                inside.add(section)
        return [a for a in self.areas if {a.id, a.feeder, a.section} & inside]


def build_town(spec: TownSpec, seed: int) -> Town:
    """The town that a scenario describes.

    Raises ValueError (problem; fix) when a `[[town.transformer]]` names one that is not there.
    """
    feeders = tuple(f"F{i + 1}" for i in range(spec.feeders))
    ids = [f"T{i + 1}" for i in range(spec.transformers)]
    special = {t.id: t for t in spec.transformer}
    lost = [i for i in special if i not in ids]
    if lost:
        raise ValueError(
            f"town.transformer {lost[0]!r} is outside T1..T{spec.transformers}; "
            "correct its id or raise town.transformers"
        )
    sections: list[tuple[str, str, str, str]] = []
    for f in feeders:
        sections.append((f"{f}-S1", f, "", f"{f}-CB"))
        sections.append((f"{f}-S2", f, f"{f}-S1", f"{f}-SW2"))
    areas = []
    account = 1
    for i, area_id in enumerate(ids):
        feeder = feeders[i * spec.feeders // spec.transformers]
        mates = [
            k
            for k in range(len(ids))
            if k * spec.feeders // spec.transformers == i * spec.feeders // spec.transformers
        ]
        half = "S1" if mates.index(i) < (len(mates) + 1) // 2 else "S2"
        one = special.get(area_id, TransformerSpec(area_id))
        build = _area_of_file if one.dss else _build_area
        area = build(spec, one, seed, i, account, feeder, f"{feeder}-{half}")
        account += len(area.usage_points)
        areas.append(area)
    return Town(spec, tuple(areas), feeders, tuple(sections))


def _build_area(
    spec: TownSpec,
    special: TransformerSpec,
    seed: int,
    index: int,
    account: int,
    feeder: str,
    section: str,
) -> TownArea:
    rng = stream(seed, special.id, "network")
    n = special.customers or int(rng.integers(spec.customers[0], spec.customers[1] + 1))
    n_branches = special.branches or int(rng.integers(spec.branches[0], spec.branches[1] + 1))
    n_branches = min(n_branches, n)
    rated = special.rated_kva or float(rng.choice(list(spec.rated_kva)))
    segments: list[Segment] = []
    rods: list[Rod] = []
    services: list[Service] = []
    loads: list[LoadPoint] = []
    pv: list[LoadPoint] = []
    points: list[UsagePoint] = []
    shares = {
        name: getattr(special, name) if getattr(special, name) is not None else getattr(spec, name)
        for name in ("ev_share", "pv_share", "heat_pump_share")
    }
    people = customers(
        stream(seed, special.id, "people"), account, index, _categories(rng, n), spec.name_zh
    )
    per_branch = np.array_split(np.arange(n), n_branches)
    for b, members in enumerate(per_branch):
        nodes = max(1, -(-members.size // spec.customers_per_node))
        before = "lv"
        for m in range(nodes):
            bus = f"b{b + 1}_n{m + 1}"
            r_phase, r_neutral = _TRUNK_OHM_KM if m < nodes / 2 else _TAIL_OHM_KM
            length = float(rng.uniform(*spec.span_m))
            segments.append(Segment(bus, before, bus, length, r_phase, r_neutral))
            if spec.rod_ohm > 0 and (m % spec.rod_every == spec.rod_every - 1 or m == nodes - 1):
                rods.append(Rod(bus, spec.rod_ohm * float(rng.lognormal(0.0, 0.3))))
            before = bus
        for place, k in enumerate(members.tolist()):
            m = place * nodes // members.size
            bus = f"b{b + 1}_n{m + 1}"
            person = people[k]
            three = rng.random() < spec.three_phase_share or person.category != "residential"
            single = int((place + rng.integers(0, 2) * (rng.random() < 0.5)) % 3)
            phases = (0, 1, 2) if three else (single,)
            service = len(services)
            name = f"u{k + 1}"
            services.append(
                Service(name, bus, phases, float(rng.uniform(8.0, 30.0)), _SERVICE_OHM_KM)
            )
            own = tuple(range(len(loads), len(loads) + len(phases)))
            loads += [LoadPoint(service, p) for p in phases]
            draw = rng.random(3)
            pv_kw = float(rng.uniform(3.0, 8.0)) if draw[1] < shares["pv_share"] else 0.0
            if pv_kw:
                pv += [LoadPoint(service, p) for p in phases]
            points.append(
                UsagePoint(
                    id=f"{special.id}-U{k + 1:03d}",
                    meter=f"{special.id}-M{k + 1:03d}",
                    branch=f"{special.id}-B{b + 1}",
                    node=f"{special.id}-B{b + 1}-N{m + 1}",
                    phases=phases,
                    service=service,
                    loads=own,
                    person=person,
                    ev_kw=7.0 if draw[0] < shares["ev_share"] else 0.0,
                    pv_kw=pv_kw,
                    heat_pump_kw=float(rng.uniform(1.2, 3.0))
                    if draw[2] < shares["heat_pump_share"]
                    else 0.0,
                )
            )
    area = Area(
        name=special.id,
        rated_kva=rated,
        segments=tuple(segments),
        services=tuple(services),
        loads=tuple(loads),
        pv=tuple(pv),
        rods=tuple(rods),
        pv_trip_pu=spec.pv_trip_pu,
    )
    zh, en = street(index)
    return TownArea(
        id=special.id,
        feeder=feeder,
        section=section,
        name=f"{zh}台区 / {en}",
        spec=special,
        area_class=special.area_class or spec.area_class,
        latitude=round(spec.latitude + float(rng.uniform(-0.02, 0.02)), 5),
        longitude=round(spec.longitude + float(rng.uniform(-0.02, 0.02)), 5),
        area=area,
        usage_points=tuple(points),
        monitor=None if spec.monitor == "none" else f"{special.id}-TM",
    )


def _area_of_file(
    spec: TownSpec,
    special: TransformerSpec,
    seed: int,
    index: int,
    account: int,
    feeder: str,
    section: str,
) -> TownArea:
    """An area whose lines come from an operator's own file; its customers are invented."""
    rng = stream(seed, special.id, "network")
    found = read_dss_area(special.id, Path(special.dss), Path(special.map))
    kinds = ["commercial" if b else "residential" for b in found.business_of]
    people = customers(stream(seed, special.id, "people"), account, index, kinds, spec.name_zh)
    places = {
        bus: k for k, bus in enumerate(dict.fromkeys(s.from_bus for s in found.area.services))
    }
    points = []
    for k, svc in enumerate(found.area.services):
        own = tuple(i for i, x in enumerate(found.area.loads) if x.service == k)
        branch = f"{special.id}-B{found.branch_of[k] + 1}"
        heat_share = special.heat_pump_share
        if heat_share is None:
            heat_share = spec.heat_pump_share
        heat = float(rng.uniform(1.2, 3.0)) if rng.random() < heat_share else 0.0
        points.append(
            UsagePoint(
                id=f"{special.id}-U{k + 1:03d}",
                meter=f"{special.id}-M{k + 1:03d}",
                branch=branch,
                node=f"{branch}-N{places[svc.from_bus] + 1}",
                phases=svc.phases,
                service=k,
                loads=own,
                person=people[k],
                heat_pump_kw=heat,
            )
        )
    zh, en = street(index)
    return TownArea(
        id=special.id,
        feeder=feeder,
        section=section,
        name=f"{zh}台区 / {en}",
        spec=special,
        area_class=special.area_class or spec.area_class,
        latitude=round(spec.latitude + float(rng.uniform(-0.02, 0.02)), 5),
        longitude=round(spec.longitude + float(rng.uniform(-0.02, 0.02)), 5),
        area=replace(
            found.area,
            rated_kva=special.rated_kva or found.area.rated_kva,
            pv_trip_pu=spec.pv_trip_pu,
        ),
        usage_points=tuple(points),
        monitor=None if spec.monitor == "none" else f"{special.id}-TM",
        source=found.source,
    )


def _categories(rng: np.random.Generator, n: int) -> list[str]:
    """Mostly homes, some shops; now and then a school, a clinic or a workshop."""
    names = ["residential", "commercial", "school", "hospital", "industrial"]
    return [str(c) for c in rng.choice(names, n, p=[0.93, 0.058, 0.004, 0.002, 0.006])]
