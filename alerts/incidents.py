"""Which alerts are one cause: a pure function of the set of alerts on the supply tree.

Three rules, all on event time. A cause explains what it brings about below itself: a loss of
supply its silent meters, a broken neutral its wild voltages. What nothing explains is grouped
with its like on the same line of supply. And a loss of supply where something had been growing is
how that has ended: a joint that burns off is one repair. Because the whole set is grouped each
time, the order in which alerts arrive cannot matter.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from alerts.places import Asset, Places
from alerts.settings import DAY_US, HOUR_US
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

# What ends in a loss of supply at its own place: a contact burns off, a transformer trips. A loss
# a step up or down leaves other customers dark and keeps a ticket and a place of its own.
PRECURSORS: Final[frozenset[str]] = frozenset({"joint", "winding", "thermal", "insulation"})
# A contact that has gone quiet is not mended: for as long as preventive work on a serious defect
# may wait, the loss of supply there is its end.
PRECURSOR_US: Final = 7 * DAY_US

# Alerts of one event are found within minutes of each other, slow families within the hour.
SLACK_US: Final = HOUR_US
_OPPOSITE: Final = {"over_voltage", "under_voltage"}
_MENDED: Final = ("restored", "verified", "callback")


@dataclass(frozen=True)
class Standing:
    """An open incident as the rules see it; what follows from its alerts is found once.

    `alerts` are all alerts attached to it, what it explains included; `ticket` its open ticket;
    `held` says that people have merged another ticket into that; `aside` are alerts that came with
    it from elsewhere and are of another class: they do not say what this is. `merged` are the
    tickets that people have merged into its own: they count in what it means for whom, and in how
    urgent it is.
    """

    incident: Incident
    alerts: tuple[Alert, ...]
    ticket: Ticket | None = None
    held: bool = False
    aside: frozenset[str] = frozenset()
    merged: tuple[Ticket, ...] = ()

    @classmethod
    def with_merged(
        cls,
        incident: Incident,
        alerts: tuple[Alert, ...],
        ticket: Ticket,
        merged: Sequence[Ticket],
        places: Places,
    ) -> "Standing":
        """An incident and the tickets that people have merged into its own, if any."""
        aside = from_elsewhere(incident, alerts, places) if merged else frozenset[str]()
        return cls(incident, alerts, ticket, bool(merged), aside, tuple(merged))

    @property
    def asset(self) -> Asset:
        return self.incident.asset_kind, self.incident.asset

    @cached_property
    def own(self) -> tuple[Alert, ...]:
        """The alerts that are the cause, not what it explains: those of the incident's class, a
        loss of supply with what had been growing there."""
        cls = self.incident.incident_class
        found = (a for a in self.alerts if same_cause(class_of(a), cls))
        return tuple(a for a in found if a.id not in self.aside)

    @cached_property
    def leading(self) -> tuple[Alert, ...]:
        """Of its own alerts those that say what it is now: a loss of supply, not its precursor;
        none where customers alone say that supply is lost."""
        lost = tuple(a for a in self.own if class_of(a) == "supply")
        told = self.incident.incident_class == "supply" and self.incident.stage == "predicted"
        return lost if lost or told else self.own

    @cached_property
    def quiet_since_us(self) -> int | None:
        """When the last of its leading alerts ended; None while one lasts, or if it has none.

        Supply that is back is back, though the joint that had burnt off is watched for longer.
        """
        ends = [a.cleared_us for a in self.leading]
        known = [e for e in ends if e is not None]
        return max(known) if known and len(known) == len(ends) else None

    @property
    def over(self) -> bool:
        """Whether all of its own alerts have ended; False if it has none."""
        return bool(self.own) and all(a.cleared_us is not None for a in self.own)

    @property
    def reported_mended(self) -> bool:
        """Whether people have said that the work on its ticket is done."""
        return self.ticket is not None and self.ticket.state in _MENDED

    @property
    def touched(self) -> bool:
        """Whether people have begun to act on its ticket."""
        begun = self.ticket is not None and self.ticket.state not in ("received", "assessing")
        return begun or self.held

    @property
    def pinned(self) -> bool:
        """What people work on, or alone have reported, stands by itself: the machine adds to it
        and takes nothing away."""
        return self.touched or not self.leading

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
    apart: bool = False  # a loss that was announced, a defect reported mended: no end of another

    @property
    def order(self) -> tuple[int, str]:
        return self.raised_us, self.key


@dataclass(slots=True)
class Cluster:
    """One cause: the members of its own class, and what it explains."""

    own: list[Member]
    explained: list[Member]


def from_elsewhere(incident: Incident, alerts: Iterable[Alert], places: Places) -> frozenset[str]:
    """Of an incident that people have merged others into, the alerts of another class and place."""
    here = places.node((incident.asset_kind, incident.asset))
    return frozenset(
        a.id
        for a in alerts
        if class_of(a) != incident.incident_class and places.node((a.asset_kind, a.asset)) != here
    )


def class_of(alert: Alert) -> str:
    """The incident class of an alert."""
    return FAULTS[alert.fault].incident_class


def same_cause(one: str, other: str) -> bool:
    """Whether alerts of two classes can be one cause, and not one explained by the other.

    >>> same_cause("joint", "supply"), same_cause("comms", "supply"), same_cause("joint", "winding")
    (True, False, False)
    """
    if "supply" in (one, other):
        return {one, other} <= {"supply", *PRECURSORS}
    return one == other


def member(
    alert: Alert,
    *,
    pinned: bool = False,
    released: frozenset[int] = frozenset(),
    apart: bool = False,
) -> Member:
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
        apart,
    )


def members_of(
    standing: Standing,
    places: Places,
    released: Mapping[str, frozenset[int]],
    announced: Collection[str] = (),
) -> list[Member]:
    """The members of an open incident; one that people reported is a member of its own.

    `announced` : alerts that announced work explains. What people have merged into it from
    elsewhere is left out: the tree must not undo it.
    """
    incident, pinned, mended = standing.incident, standing.pinned, standing.reported_mended
    cls = incident.incident_class
    out = [
        member(
            a,
            pinned=pinned and same_cause(class_of(a), cls),
            released=released.get(a.id, frozenset()),
            apart=mended or a.id in announced,
        )
        for a in standing.alerts
        if not standing.held
        or (
            places.steps_between((a.asset_kind, a.asset), standing.asset) is not None
            and same_cause(class_of(a), cls)
            and a.id not in standing.aside
        )
    ]
    if standing.reported:
        start = min([incident.opened_us, *(a.raised_us for a in standing.leading)])
        until = standing.quiet_since_us
        key = f"incident:{incident.id}"
        out.append(
            Member(
                key,
                cls,
                incident.fault,
                standing.asset,
                start,
                until,
                incident.id,
                None,
                pinned,
                apart=mended,
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
    for growing, lost in _ends(roots, find, places):
        parent[find(growing.key)] = find(lost.key)
    found: dict[str, Cluster] = {}
    for m in roots:
        found.setdefault(find(m.key), Cluster([], [])).own.append(m)
    # Members of one incident that stands by itself stay together whatever the tree says.
    return _keep_pinned_together(list(found.values()))


def _ends(
    roots: Sequence[Member], find: Callable[[str], str], places: Places
) -> list[tuple[Member, Member]]:
    """(what was growing, the loss of supply that is its end), one loss for each growing cause.

    Only where the loss as a whole is located counts: a joint at one customer does not end in the
    outage of the whole area, though that customer was the first to go dark. Nor does a loss that
    customers alone have told of: whether it is one, meters say.
    """
    losses: dict[str, list[Member]] = defaultdict(list)
    for m in roots:
        if m.incident_class == "supply":
            losses[find(m.key)].append(m)
    at_top: dict[Asset, list[Member]] = defaultdict(list)
    for one in losses.values():
        top = min((places.node(m.asset) for m in one), key=lambda n: (places.depth(n), n))
        at_top[top] += [m for m in one if m.alert and places.node(m.asset) == top and not m.apart]
    ended: dict[str, tuple[Member, Member]] = {}
    for m in roots:
        if m.incident_class in PRECURSORS and not m.apart:
            for lost in at_top.get(places.node(m.asset), ()):
                until = lost.raised_us if m.cleared_us is None else m.cleared_us + PRECURSOR_US
                strangers = lost.incident_id in m.released or m.incident_id in lost.released
                if not strangers and m.raised_us - SLACK_US <= lost.raised_us <= until:
                    ended.setdefault(find(m.key), (m, lost))
    return list(ended.values())


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
    own = s.leading
    if not own or s.incident.located_by is not None:
        return s.asset
    if class_of(own[0]) in SPREADING:
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
    """The incident as its alerts make it: class, fault, severity, place, start, customers.

    Once supply is lost it is a loss of supply, and begins when that began: this is what customers
    are told.
    """
    incident, own = s.incident, s.leading
    gravest = worst(own)
    if gravest is None:
        return replace(incident, customers=len(places.customers(s.asset)))
    kind, asset = located(s, places)
    first_us = incident.first_contact_us
    ended = len(own) < len(s.own)  # who called days before the loss did not call about it
    if first_us is not None and ended and first_us < min(a.raised_us for a in own) - SLACK_US:
        first_us = None
    reported = () if first_us is None else (first_us,)
    return altered(
        incident,
        incident_class=class_of(gravest),
        fault=gravest.fault,
        severity=min(a.severity for a in s.own),  # "P1" < "P2"
        asset_kind=kind,
        asset=asset,
        opened_us=min((*reported, *(a.raised_us for a in own))),
        known_us=min((*reported, *(a.known_us for a in own))),
        stage="confirmed",
        customers=len(places.customers((kind, asset))),
    )


def fault_of_work(s: Standing) -> tuple[str, Work]:
    """(fault, kind of work) the ticket asks for, as the gravest alert has it."""
    gravest = worst(s.leading)
    fault = gravest.fault if gravest else s.incident.fault
    return fault, FAULTS[fault].work
