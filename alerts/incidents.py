"""Which alerts are one cause: a pure function of the set of alerts on the supply tree.

Two rules, both on event time. A cause explains what it brings about below itself: a loss of
supply its silent meters, a broken neutral its wild voltages. What nothing explains is grouped
with its like on the same line of supply. Because the whole set is grouped each time, the order in
which alerts arrive cannot matter.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from alerts.places import Asset, Places
from alerts.settings import HOUR_US
from grid.faults import FAULTS, Work
from grid.records import Alert, Incident, Ticket
from storage.desk_records import altered

# A cause of these classes shows at everything below it: one at the transformer explains the same
# class at its meters. Of the other classes each place is a cause of its own (two hot joints in
# one area are two repairs), and only the next node up or down may be the same, because that is
# how far locating can be wrong.
SPREADING: Final[frozenset[str]] = frozenset(
    {"supply", "voltage", "neutral", "unbalance", "comms", "loss"}
)

# What a cause brings about below itself, so that it needs no ticket of its own.
EXPLAINS: Final[Mapping[str, frozenset[str]]] = {
    "supply": frozenset({"voltage", "unbalance", "neutral", "comms", "meter", "loss"}),
    "neutral": frozenset({"voltage", "unbalance"}),
}
EXPLAINED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    below: tuple(above for above, brings in EXPLAINS.items() if below in brings)
    for brought in EXPLAINS.values()
    for below in brought
}

# Alerts of one event are found within minutes of each other, slow families within the hour.
SLACK_US: Final = HOUR_US
_OPPOSITE: Final = {"over_voltage", "under_voltage"}


@dataclass(frozen=True)
class Standing:
    """An open incident as the rules see it; what follows from its alerts is found once.

    `alerts` are all alerts attached to it, what it explains included; `ticket` its open ticket;
    `held` says that people have merged another ticket into that.
    """

    incident: Incident
    alerts: tuple[Alert, ...]
    ticket: Ticket | None = None
    held: bool = False

    @property
    def asset(self) -> Asset:
        return self.incident.asset_kind, self.incident.asset

    @cached_property
    def own(self) -> tuple[Alert, ...]:
        """The alerts of the incident's own class: the cause, not what it explains."""
        cls = self.incident.incident_class
        return tuple(a for a in self.alerts if class_of(a) == cls)

    @cached_property
    def quiet_since_us(self) -> int | None:
        """When the last of its own alerts ended; None while one lasts, or if it has none."""
        ends = [a.cleared_us for a in self.own]
        known = [e for e in ends if e is not None]
        return max(known) if known and len(known) == len(ends) else None

    @property
    def touched(self) -> bool:
        """Whether people have begun to act on its ticket."""
        begun = self.ticket is not None and self.ticket.state not in ("received", "assessing")
        return begun or self.held

    @property
    def pinned(self) -> bool:
        """What people work on, or alone have reported, stands by itself: the machine adds to it
        and takes nothing away."""
        return self.touched or not self.own

    @property
    def reported(self) -> bool:
        """Whether its place rests on what people said as well."""
        return self.pinned or self.incident.contacts > 0


@dataclass(frozen=True, slots=True)
class Member:
    """An alert as the grouping sees it, or (`alert` None) an incident that stands by itself."""

    key: str
    incident_class: str
    fault: str
    asset: Asset
    raised_us: int
    cleared_us: int | None
    incident_id: int | None
    alert: Alert | None = None
    pinned: bool = False
    released: frozenset[int] = frozenset()  # incidents it was found to be no part of

    @property
    def order(self) -> tuple[int, str]:
        return self.raised_us, self.key


@dataclass(slots=True)
class Cluster:
    """One cause: the members of its own class, and what it explains."""

    own: list[Member]
    explained: list[Member]


def class_of(alert: Alert) -> str:
    """The incident class of an alert."""
    return FAULTS[alert.fault].incident_class


def member(alert: Alert, *, pinned: bool = False, released: frozenset[int] = frozenset()) -> Member:
    """An alert as a member."""
    return Member(
        alert.id,
        class_of(alert),
        alert.fault,
        (alert.asset_kind, alert.asset),
        alert.raised_us,
        alert.cleared_us,
        alert.incident_id,
        alert,
        pinned,
        released,
    )


def members_of(
    standing: Standing, places: Places, released: Mapping[str, frozenset[int]]
) -> list[Member]:
    """The members of an open incident; one that people reported is a member of its own.

    What people have merged into it from elsewhere is left out: the tree must not undo it.
    """
    incident, pinned = standing.incident, standing.pinned
    cls = incident.incident_class
    out = [
        member(a, pinned=pinned and class_of(a) == cls, released=released.get(a.id, frozenset()))
        for a in standing.alerts
        if not standing.held
        or (
            places.steps_between((a.asset_kind, a.asset), standing.asset) is not None
            and class_of(a) == cls
        )
    ]
    if standing.reported:
        start = min([incident.opened_us, *(a.raised_us for a in standing.own)])
        until = standing.quiet_since_us
        key = f"incident:{incident.id}"
        out.append(
            Member(
                key, cls, incident.fault, standing.asset, start, until, incident.id, None, pinned
            )
        )
    return out


def group(members: Iterable[Member], places: Places) -> list[Cluster]:
    """The causes behind a set of members, oldest first."""
    ordered = sorted(members, key=lambda m: m.order)
    at: dict[tuple[str, Asset], list[Member]] = defaultdict(list)
    for m in ordered:
        at[m.incident_class, places.node(m.asset)].append(m)
    causes = {m.key: cause for m in ordered if (cause := _cause(m, at, places))}
    roots = [m for m in ordered if m.key not in causes]
    clusters = {m.key: c for c in _join(roots, at, causes, places) for m in c.own}
    for m in ordered:
        cause = causes.get(m.key)
        while cause is not None and cause.key in causes:  # classes explain downwards: it ends
            cause = causes[cause.key]
        if cause is not None:
            clusters[cause.key].explained.append(m)
    unique = {id(c): c for c in clusters.values()}
    return sorted(unique.values(), key=lambda c: c.own[0].order)


def _cause(
    m: Member, at: Mapping[tuple[str, Asset], list[Member]], places: Places
) -> Member | None:
    """The nearest member above that explains this one."""
    if m.pinned:
        return None
    for node in places.lineage(m.asset):
        for cls in EXPLAINED_BY.get(m.incident_class, ()):
            for c in at.get((cls, node), ()):
                # What was there before the cause, or came after it had gone, is no consequence.
                ended = c.cleared_us is not None and m.raised_us > c.cleared_us + SLACK_US
                apart = c.incident_id in m.released
                if m.raised_us >= c.raised_us - SLACK_US and not ended and not apart:
                    return c
    return None


def _join(
    roots: Sequence[Member],
    at: Mapping[tuple[str, Asset], list[Member]],
    causes: Mapping[str, Member],
    places: Places,
) -> list[Cluster]:
    parent = {m.key: m.key for m in roots}

    def find(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for m in roots:
        line = places.lineage(m.asset)
        reach = line if m.incident_class in SPREADING else line[:2]
        for i, node in enumerate(reach):
            for other in at.get((m.incident_class, node), ()):
                if other.key != m.key and other.key not in causes and _same(m, other, i == 0):
                    parent[find(m.key)] = find(other.key)
    rest: dict[int, Member] = {}  # what one outage has left dark is one nested cause
    for m in roots:
        for incident_id in m.released if m.incident_class == "supply" else ():
            first = rest.setdefault(incident_id, m)
            if _reaches(m, first) and _reaches(first, m):
                parent[find(m.key)] = find(first.key)
    found: dict[str, Cluster] = {}
    for m in roots:
        found.setdefault(find(m.key), Cluster([], [])).own.append(m)
    # Members of one incident that stands by itself stay together whatever the tree says.
    return _keep_pinned_together(list(found.values()))


def _keep_pinned_together(clusters: list[Cluster]) -> list[Cluster]:
    home: dict[int, Cluster] = {}
    for cluster in clusters:
        for m in cluster.own:
            if m.alert is None and m.incident_id is not None:
                home[m.incident_id] = cluster
    for cluster in clusters:
        strays = [
            m
            for m in cluster.own
            if m.pinned and home.get(m.incident_id or 0, cluster) is not cluster
        ]
        for m in strays:
            cluster.own.remove(m)
            home[m.incident_id or 0].own.append(m)
    for cluster in clusters:
        cluster.own.sort(key=lambda m: m.order)
    return [c for c in clusters if c.own]


def _same(one: Member, other: Member, same_node: bool) -> bool:
    if other.incident_id in one.released or one.incident_id in other.released:
        return False
    if same_node:
        return True
    if {one.fault, other.fault} == _OPPOSITE:
        return False
    return _reaches(one, other) and _reaches(other, one)


def _reaches(one: Member, other: Member) -> bool:
    """Whether `one` begins before `other` has ended."""
    return other.cleared_us is None or one.raised_us <= other.cleared_us + SLACK_US


# -- what an incident is, given its alerts ---------------------------------------------------


def primary(own: Iterable[Alert], asset: Asset | None = None) -> Alert | None:
    """The alert that stands for an incident: the first raised; its line bears `ticket: true`."""
    return min(
        own,
        key=lambda a: (a.raised_us, (a.asset_kind, a.asset) != asset, a.id),
        default=None,
    )


def worst(own: Iterable[Alert]) -> Alert | None:
    """The gravest alert: it names the incident's fault (a broken neutral was a loose one)."""
    return min(own, key=lambda a: (a.severity, a.raised_us, a.id), default=None)


def located(s: Standing, places: Places) -> Asset:
    """Where the cause is: for a spreading class the highest of what its alerts name, else where
    it was first seen. What people reported or work on stays unless the machine looks higher; where
    a person has said that it is, it is."""
    own = s.own
    if not own or s.incident.located_by is not None:
        return s.asset
    if s.incident.incident_class in SPREADING:
        named = {(a.asset_kind, a.asset) for a in own}
        if s.reported:
            named.add(s.asset)
        top = min(named, key=lambda a: (places.depth(a), a))
        # What an outage has left dark may lie side by side: it is where they all are supplied.
        aside = any(places.steps_between(top, a) is None for a in named)
        return (places.common(sorted(named)) if aside else None) or top
    first = primary(own)
    assert first is not None
    return s.asset if s.touched else (first.asset_kind, first.asset)


def summarise(s: Standing, places: Places) -> Incident:
    """The incident as its alerts make it: fault, severity, place, start, customers."""
    incident, own = s.incident, s.own
    gravest = worst(own)
    if gravest is None:
        return replace(incident, customers=len(places.customers(s.asset)))
    kind, asset = located(s, places)
    reported = () if incident.first_contact_us is None else (incident.first_contact_us,)
    return altered(
        incident,
        fault=gravest.fault,
        severity=gravest.severity,
        asset_kind=kind,
        asset=asset,
        opened_us=min((*reported, *(a.raised_us for a in own))),
        known_us=min((*reported, *(a.known_us for a in own))),
        stage="confirmed",
        customers=len(places.customers((kind, asset))),
    )


def fault_of_work(s: Standing) -> tuple[str, Work]:
    """(fault, kind of work) the ticket asks for, as the gravest alert has it."""
    gravest = worst(s.own)
    fault = gravest.fault if gravest else s.incident.fault
    return fault, FAULTS[fault].work
