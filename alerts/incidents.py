"""Which cause an alert belongs to: pure rules on the supply tree, the same in any order.

One cause is one incident is one ticket. An alert joins the open incident of its class on its line
of supply; a loss of supply above explains what its meters tell below; what neither joins nor is
explained is a cause of its own. All rules compare intervals of event time, never arrival.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from alerts.places import Asset, Places
from alerts.settings import HOUR_US
from grid.faults import FAULTS, Work
from grid.records import Alert, Incident, Ticket

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

# Alerts of one event are found within minutes of each other, slow families within the hour.
SLACK_US: Final = HOUR_US


@dataclass(frozen=True, slots=True)
class Standing:
    """An open incident as the rules see it.

    `alerts` are all alerts attached to it, the muted ones included; `ticket` its open ticket.
    """

    incident: Incident
    alerts: tuple[Alert, ...]
    ticket: Ticket | None = None

    @property
    def asset(self) -> Asset:
        return self.incident.asset_kind, self.incident.asset

    @property
    def own(self) -> tuple[Alert, ...]:
        """The alerts of the incident's own class: the cause, not what it explains."""
        cls = self.incident.incident_class
        return tuple(a for a in self.alerts if class_of(a) == cls)

    @property
    def span(self) -> tuple[int, int | None]:
        """Event time from its first evidence to the end of its last alert; None while it lasts.

        An incident that only people reported lasts until its ticket is done.
        """
        own = self.own
        if not own:
            return self.incident.opened_us, self.incident.closed_us
        ends = [a.cleared_us for a in own]
        until = None if None in ends else max(e for e in ends if e is not None)
        return min(self.incident.opened_us, *(a.raised_us for a in own)), until

    @property
    def touched(self) -> bool:
        """Whether people have begun to act on its ticket."""
        return self.ticket is not None and self.ticket.state not in ("received", "assessing")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an alert belongs.

    join : the incident it belongs to, or whose consequence it is; None makes a new one
    explained : the alert is a consequence, muted and without a ticket
    absorb : incidents that turn out to be the same cause as `join`
    """

    join: int | None = None
    explained: bool = False
    absorb: tuple[int, ...] = ()


def class_of(alert: Alert) -> str:
    """The incident class of an alert."""
    return FAULTS[alert.fault].incident_class


def place(alert: Alert, standing: Sequence[Standing], places: Places) -> Placement:
    """Find the incident of a new alert among the open ones.

    `standing` holds at least the open incidents of the alert's class and of the classes that
    explain it; others are ignored.
    """
    same = [s for s in standing if _same_cause(alert, s, places)]
    if same:
        here = places.node((alert.asset_kind, alert.asset))
        main = min(same, key=lambda s: _standing_order(s, places.node(s.asset) == here))
        rest = [s.incident.id for s in same if s is not main and not s.touched]
        return Placement(main.incident.id, absorb=tuple(rest))
    above = [s for s in standing if _explained(alert, s, places)]
    if above:
        # The nearest cause is named; all of them are true.
        nearest = max(above, key=lambda s: (places.depth(s.asset), -s.incident.id))
        return Placement(nearest.incident.id, explained=True)
    return Placement()


def explained_by(cause: Standing, standing: Sequence[Standing], places: Places) -> list[Standing]:
    """The open incidents below `cause` that are only its consequences.

    This is `place` seen from above: whichever alert came first, the grouping is the same. What
    people are already working on stays theirs.
    """
    return [
        s
        for s in standing
        if s.incident.id != cause.incident.id
        and not s.touched
        and s.own
        and all(_explained(a, cause, places) for a in s.own)
    ]


def _standing_order(s: Standing, here: bool) -> tuple[bool, bool, bool, int, int]:
    """What people work on stays; then the place itself; then whatever was first."""
    return not s.touched, not here, s.ticket is None, s.incident.opened_us, s.incident.id


def _same_cause(alert: Alert, s: Standing, places: Places) -> bool:
    if class_of(alert) != s.incident.incident_class:
        return False
    here, there = (alert.asset_kind, alert.asset), s.asset
    if places.node(here) == places.node(there):
        return True
    steps = places.steps_between(here, there)
    if steps is None or not _overlap((alert.raised_us, alert.cleared_us), s.span):
        return False
    if s.incident.incident_class not in SPREADING:
        return steps <= 1
    opposite = {alert.fault, s.incident.fault} == {"over_voltage", "under_voltage"}
    return not opposite


def _explained(alert: Alert, s: Standing, places: Places) -> bool:
    if class_of(alert) not in EXPLAINS.get(s.incident.incident_class, ()):
        return False
    if not places.covers(s.asset, (alert.asset_kind, alert.asset)):
        return False
    # What was there before the cause is not its consequence.
    start, until = s.span
    if alert.raised_us < start - SLACK_US:
        return False
    return until is None or alert.raised_us <= until + SLACK_US


def _overlap(one: tuple[int, int | None], other: tuple[int, int | None]) -> bool:
    def begins_before_end(start: int, end: int | None) -> bool:
        return end is None or start <= end + SLACK_US

    return begins_before_end(one[0], other[1]) and begins_before_end(other[0], one[1])


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
    it was first seen. What people reported holds until the machine sees it."""
    own = s.own
    if not own:
        return s.asset
    if s.incident.incident_class in SPREADING:
        named = {(a.asset_kind, a.asset) for a in own} | {s.asset}
        return min(named, key=lambda a: (places.depth(a), a))
    first = primary(own)
    assert first is not None
    return first.asset_kind, first.asset


def summarise(s: Standing, places: Places) -> Incident:
    """The incident as its alerts make it: fault, severity, place, start, customers."""
    incident, own = s.incident, s.own
    gravest = worst(own)
    if gravest is None:
        return replace(incident, customers=len(places.customers(s.asset)))
    kind, asset = located(s, places)
    reported = () if incident.first_contact_us is None else (incident.first_contact_us,)
    return replace(
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
