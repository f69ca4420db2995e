"""Alert events to alerts, incidents and tickets: everything that follows, in one transaction.

Effects follow only from events that the ledger did not know, so the same events may come again
after a restart or a replay. The result depends on the set of events, not on their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from alerts import incidents as rules
from alerts.incidents import Standing, class_of
from alerts.ledger import Advance, Ledger, Transaction
from alerts.opening import facts_of, open_ticket, ticket_data
from alerts.places import Places
from alerts.roles import SYSTEM
from alerts.settings import DeskSettings
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert, AlertEvent, Incident, Ticket
from storage.desk_records import Move, Mute, Step

CHANGE_ORDER = {"raised": 0, "moved": 1, "worsened": 2, "updated": 3, "cleared": 4}


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch of events has changed.

    known : events the ledger had already; opened : tickets that are new
    """

    new: int
    known: int
    alerts: tuple[Alert, ...] = ()
    opened: tuple[Ticket, ...] = ()


def apply_events(
    events: Sequence[AlertEvent],
    ledger: Ledger,
    network: Network,
    *,
    settings: DeskSettings | None = None,
    places: Places | None = None,
    advance: Advance | None = None,
) -> Applied:
    """Store events and let follow what follows from the new ones, all in one transaction.

    `places` keeps answers about the network between calls; `advance` saves the offset of the
    consumer that the events come from in the same commit.
    """
    if not events and advance is None:
        return Applied(0, 0)
    with ledger.transaction(advance) as tx:
        fresh = tx.new_events(events)
        if not fresh:
            return Applied(0, len(events))
        desk = Grouping(tx, places or Places(network), settings or DeskSettings())
        ids = list(dict.fromkeys(e.alert_id for e in sorted(fresh, key=_event_order)))
        before = tx.alerts_by_id(ids)
        history = tx.events_of(ids)
        worsened = {e.alert_id for e in fresh if e.change == "worsened"}
        for alert_id in ids:
            old = before.get(alert_id)
            alert = fold(history[alert_id], old)
            if old is None:
                desk.enter(alert)
            else:
                desk.change(_seen_anew(alert) if alert_id in worsened else alert, old)
        return Applied(len(fresh), len(events) - len(fresh), tuple(desk.changed), desk.opened)


def _event_order(e: AlertEvent) -> tuple[int, str, int]:
    return e.raised_us, e.alert_id, e.finding.tick_us


def fold(events: Sequence[AlertEvent], before: Alert | None = None) -> Alert:
    """The state of an alert after all its events, whatever order they were stored in.

    What people did with it (`before`: handling, incident, version) stays as it was.
    """
    ordered = sorted(events, key=lambda e: (e.finding.tick_us, CHANGE_ORDER[e.change]))
    first = next((e for e in ordered if e.change == "raised"), ordered[0])
    cleared = next((e for e in ordered if e.change == "cleared"), None)
    telling = [e for e in ordered if e.change != "cleared"] or ordered
    last = telling[-1].finding
    made = before or Alert(
        id=first.alert_id,
        fault=last.fault,
        asset_kind=last.asset_kind,
        asset=last.asset,
        severity=last.severity,
        raised_us=first.raised_us,
        known_us=first.finding.known_us,
        score=last.score,
        devices=last.devices,
        evidence=last.evidence,
        ticket=False,
        detector=last.detector,
    )
    return replace(
        made,
        asset_kind=last.asset_kind,
        asset=last.asset,
        severity=min(e.finding.severity for e in ordered),  # "P1" < "P2": the gravest there was
        known_us=first.finding.known_us,
        score=last.score,
        devices=last.devices,
        evidence=last.evidence,
        horizon_h=last.horizon_h,
        work=FAULTS[last.fault].work,
        condition="active" if cleared is None else "cleared",
        cleared_us=None if cleared is None else cleared.finding.tick_us,
    )


def _seen_anew(alert: Alert) -> Alert:
    """Whoever saw it has seen something less grave: worse is news again."""
    if alert.handling == "acked":
        return replace(alert, handling="new", acked_by=None, acked_at_us=None)
    return alert


class Grouping:
    """The incidents of one transaction: places alerts, keeps incidents and tickets in step."""

    def __init__(self, tx: Transaction, places: Places, settings: DeskSettings) -> None:
        self.tx, self.places, self.settings = tx, places, settings
        self.changed: list[Alert] = []
        self._opened: dict[int, Ticket] = {}
        self._standing: dict[int, Standing] | None = None

    @property
    def opened(self) -> tuple[Ticket, ...]:
        return tuple(self._opened.values())

    @property
    def standing(self) -> dict[int, Standing]:
        """All open incidents; the writers' lock keeps them from changing under us."""
        if self._standing is None:
            rows = self.tx.incidents(open_only=True, limit=100_000)
            ids = [i.id for i in rows]
            alerts, tickets = self.tx.alerts_of(ids), self.tx.open_tickets(ids)
            self._standing = {
                i.id: Standing(i, alerts.get(i.id, ()), tickets.get(i.id)) for i in rows
            }
        return self._standing

    def one(self, incident_id: int | None) -> Standing | None:
        """One open incident, without loading all of them."""
        if incident_id is None:
            return None
        if self._standing is not None:
            return self._standing.get(incident_id)
        row = self.tx.incident(incident_id)
        if row is None or row.closed_us is not None:
            return None
        alerts = self.tx.alerts_of([incident_id]).get(incident_id, ())
        return Standing(row, alerts, self.tx.open_tickets([incident_id]).get(incident_id))

    # -- alerts ----------------------------------------------------------------------------

    def enter(self, alert: Alert, *, without: int | None = None) -> None:
        """Place an alert that has no incident; `without` leaves one incident out."""
        place = (alert.asset_kind, alert.asset)
        alert = replace(alert, customers=len(self.places.customers(place)), incident_id=None)
        self.tx.put_alert(alert)
        self._mute_planned(alert)
        self._mute_flapping(alert)
        choices = [s for i, s in self.standing.items() if i != without]
        placement = rules.place(alert, choices, self.places)
        if placement.explained and placement.join is not None:
            self._explain(alert, self.standing[placement.join])
            return
        if placement.join is None:
            incident = self.tx.add_incident(self._incident(alert))
            main = Standing(incident, ())
            self.standing[incident.id] = main
        else:
            main = self.standing[placement.join]
        back = main.span[1] is not None and alert.condition != "cleared" and bool(main.own)
        for other in placement.absorb:
            main = self._absorb(main, self.standing[other], explained=False)
        self._keep(replace(alert, incident_id=main.incident.id))
        grown = replace(main, alerts=(*main.alerts, self._with_incident(alert, main)))
        self.refresh(grown, was=main if placement.join is not None else None)
        if back:
            self._note(main.incident.id, "condition_returned", alert)

    def change(self, alert: Alert, old: Alert) -> None:
        """Take over what new events say of an alert that has its place already."""
        if alert == old:
            return
        alert = replace(alert, version=old.version + 1)
        self._keep(alert)
        self._mute_flapping(alert)
        main = self.one(alert.incident_id)
        if main is None:
            return
        was = main
        others = tuple(a for a in main.alerts if a.id != alert.id)
        self.refresh(replace(main, alerts=(*others, alert)), was=was)

    def _keep(self, alert: Alert) -> None:
        self.tx.put_alert(alert)
        self.changed.append(alert)
        self.tx.publish("alert", alert.id, alert.known_us, alert_data(alert))

    @staticmethod
    def _with_incident(alert: Alert, main: Standing) -> Alert:
        return replace(alert, incident_id=main.incident.id)

    def _explain(self, alert: Alert, cause: Standing) -> None:
        alert = replace(alert, incident_id=cause.incident.id, ticket=False)
        self._keep(alert)
        reason = f"{cause.incident.fault} at {cause.incident.asset}"
        ref = str(cause.incident.id)
        self.tx.put_mute(Mute(alert.id, "upstream", ref, alert.raised_us, None, reason))
        grown = replace(cause, alerts=(*cause.alerts, alert))
        if self._standing is not None:
            self._standing[cause.incident.id] = grown

    def _mute_planned(self, alert: Alert) -> None:
        here = (alert.asset_kind, alert.asset)
        for work in self.places.network.planned:
            if not work.start_us <= alert.raised_us < work.end_us:
                continue
            if self.places.covers((work.asset_kind, work.asset), here):
                ref = planned_ref(work.asset_kind, work.asset, work.start_us)
                self.tx.put_mute(
                    Mute(alert.id, "maintenance", ref, work.start_us, work.end_us, work.reason)
                )

    def _mute_flapping(self, alert: Alert) -> None:
        since = alert.evidence.numbers.get("flapping_since_us")
        if isinstance(since, int):
            self.tx.put_mute(Mute(alert.id, "flapping", alert.id, since, alert.cleared_us))

    # -- incidents -------------------------------------------------------------------------

    def _incident(self, alert: Alert) -> Incident:
        return Incident(
            id=0,
            incident_class=class_of(alert),
            fault=alert.fault,
            asset_kind=alert.asset_kind,
            asset=alert.asset,
            severity=alert.severity,
            opened_us=alert.raised_us,
            known_us=alert.known_us,
            stage="confirmed",
            customers=alert.customers,
        )

    def refresh(self, main: Standing, was: Standing | None = None) -> None:
        """Bring incident, ticket and flags in step with the alerts of `main`."""
        incident = rules.summarise(main, self.places)
        if self._taken(incident):  # two crews already work on what seems one cause: both stay
            kind, asset = main.asset
            incident = replace(incident, asset_kind=kind, asset=asset)
        place = (incident.asset_kind, incident.asset)
        if incident != main.incident:
            incident = replace(incident, version=main.incident.version + 1)
            self.tx.put_incident(incident)
        if place != main.asset:
            reason = "a cause above was found" if main.alerts else "several customers reported it"
            self.tx.add_move(Move(incident.id, incident.known_us, *main.asset, *place, reason))
        if was is None or incident != main.incident:
            change = "opened" if was is None else "moved" if place != main.asset else "changed"
            self._publish_incident(incident, change)
        main = replace(main, incident=incident)
        main = replace(main, ticket=self._ticket(main, was))
        main = self._flag(main)
        self._remember(main)
        if main.ticket is not None:
            others = [s for s in self._consequences(main) if s.incident.id != incident.id]
            for other in others:
                main = self._absorb(main, other, explained=True)
                self._remember(main)
        elif main.own and main.span[1] is not None:
            closed = replace(incident, closed_us=main.span[1], version=incident.version + 1)
            self.tx.put_incident(closed)
            self._publish_incident(closed, "closed")
            if self._standing is not None:
                self._standing.pop(incident.id, None)

    def _taken(self, incident: Incident) -> bool:
        here = (incident.asset_kind, incident.asset)
        found = self.tx.incidents(assets=[here], incident_class=incident.incident_class)
        return any(i.id != incident.id for i in found)

    def _remember(self, main: Standing) -> None:
        if self._standing is not None:
            self._standing[main.incident.id] = main

    def _consequences(self, main: Standing) -> list[Standing]:
        explains = rules.EXPLAINS.get(main.incident.incident_class)
        if not explains:
            return []
        below = [s for s in self.standing.values() if s.incident.incident_class in explains]
        return rules.explained_by(main, below, self.places)

    def _absorb(self, main: Standing, other: Standing, *, explained: bool) -> Standing:
        """Let `other` turn out to be `main`: alerts, contacts and its ticket follow."""
        target = main.incident
        moved = []
        for alert in other.alerts:
            alert = replace(alert, incident_id=target.id, ticket=False, version=alert.version + 1)
            self._keep(alert)
            if explained:
                reason = f"{target.fault} at {target.asset}"
                mute = Mute(alert.id, "upstream", str(target.id), alert.raised_us, None, reason)
                self.tx.put_mute(mute)
            moved.append(alert)
        ended = max((a.known_us for a in other.alerts), default=other.incident.known_us)
        gone = replace(other.incident, closed_us=ended, version=other.incident.version + 1)
        self.tx.put_incident(gone)
        self._publish_incident(gone, "merged")
        calls = [t for t in (target.first_contact_us, gone.first_contact_us) if t is not None]
        contacts = self.tx.contacts(incident_id=gone.id) if gone.contacts else []
        if contacts:
            ticket_id = main.ticket.id if main.ticket else None
            self.tx.attach_contacts(gone.id, target.id, ticket_id)
        target = replace(
            target,
            contacts=target.contacts + gone.contacts,
            first_contact_us=min(calls, default=None),
        )
        if target != main.incident:
            self.tx.put_incident(target)
        ticket = main.ticket
        if other.ticket is not None and ticket is not None:
            into = ticket
            merged = replace(other.ticket, state="merged", merged_into=into.id, closed_us=ended)
            reason = f"same cause as {into.number}"
            data = {  # what `unmerge` gives back
                "target": into.number,
                "alerts": [[a.id, a.ticket] for a in other.alerts],
                "contacts": [[c.channel, c.external_id] for c in contacts],
                "first_contact_us": gone.first_contact_us,
            }
            self._step(other.ticket, merged, "merge", ended, reason, data)
        if self._standing is not None:
            self._standing.pop(gone.id, None)
        return Standing(target, (*main.alerts, *moved), ticket)

    def _flag(self, main: Standing) -> Standing:
        """Exactly one alert of a cause bears the ticket."""
        first = rules.primary(main.own, main.asset)
        alerts = []
        for alert in main.alerts:
            flag = main.ticket is not None and first is not None and alert.id == first.id
            if alert.ticket != flag:
                alert = replace(alert, ticket=flag)
                self.tx.put_alert(alert)
                self.changed = [alert if c.id == alert.id else c for c in self.changed]
            alerts.append(alert)
        return replace(main, alerts=tuple(alerts))

    # -- tickets ---------------------------------------------------------------------------

    def _ticket(self, main: Standing, was: Standing | None) -> Ticket | None:
        if main.ticket is None:
            if not self._deserves_ticket(main):
                return None
            ticket = open_ticket(self.tx, main, self.places, self.settings)
            if ticket is not None:
                self._opened[ticket.id] = ticket
            return ticket
        return self._keep_in_step(main, main.ticket, was)

    def _deserves_ticket(self, main: Standing) -> bool:
        own = [a for a in main.own if a.fault not in self.settings.watch_only]
        if not own:
            return False
        mutes = self.tx.mutes([a.id for a in own])
        planned = {i for i, ms in mutes.items() if any(m.kind == "maintenance" for m in ms)}
        return any(a.id not in planned for a in own)

    def _keep_in_step(self, main: Standing, ticket: Ticket, was: Standing | None) -> Ticket:
        facts = facts_of(main, self.places, self.settings)
        if ticket.priority != facts["priority"] and self._ranked_by_hand(ticket):
            for name in ("priority", "priority_reason", "priority_reason_zh"):
                facts.pop(name)
        changed = replace(ticket, **facts, contacts=main.incident.contacts)
        at_us = max((a.known_us for a in main.own), default=ticket.opened_us)
        if changed != ticket:
            action = "updated"
            if changed.severity < ticket.severity:
                action = "worsened"
            elif (changed.asset_kind, changed.asset) != (ticket.asset_kind, ticket.asset):
                action = "moved"
            ticket = self._step(ticket, changed, action, at_us, f"{changed.fault} {changed.asset}")
        quiet_before = was is not None and was.span[1] is not None
        if main.own and main.span[1] is not None and not quiet_before:
            ended_us = main.span[1]
            ticket = self._step(ticket, ticket, "condition_cleared", ended_us, "")
            if ticket.state == "restored":
                verified = replace(ticket, state="verified")
                ticket = self._step(ticket, verified, "verify", ended_us, "the meters confirm it")
        return ticket

    def _ranked_by_hand(self, ticket: Ticket) -> bool:
        return any(s.action == "prioritise" for s in self.tx.steps(ticket.id))

    def _note(self, incident_id: int, action: str, alert: Alert) -> None:
        main = self.one(incident_id)
        if main is not None and main.ticket is not None:
            ticket = self._step(main.ticket, main.ticket, action, alert.known_us, alert.fault)
            self._remember(replace(main, ticket=ticket))

    def _step(
        self,
        old: Ticket,
        new: Ticket,
        action: str,
        at_us: int,
        reason: str,
        data: dict[str, Any] | None = None,
    ) -> Ticket:
        step = Step(
            old.id,
            0,
            action,
            old.state,
            new.state,
            SYSTEM.name,
            SYSTEM.role,
            at_us,
            reason,
            data or {},
        )
        made = self.tx.change_ticket(new, old.version, step)
        # The writers' lock is ours, so nobody can have been faster.
        assert made is not None, f"ticket {old.number} changed inside the transaction"
        self.tx.publish("ticket", str(made.id), at_us, ticket_data(made, action))
        if made.id in self._opened:
            self._opened[made.id] = made
        return made

    def _publish_incident(self, incident: Incident, change: str) -> None:
        data = {
            "change": change,
            "fault": incident.fault,
            "asset_kind": incident.asset_kind,
            "asset": incident.asset,
            "severity": incident.severity,
            "customers": incident.customers,
            "work": FAULTS[incident.fault].work,
        }
        self.tx.publish("incident", str(incident.id), incident.known_us, data)


def planned_ref(asset_kind: str, asset: str, start_us: int) -> str:
    """How a mute names an announced work."""
    return f"{asset_kind}:{asset}:{start_us}"


def alert_data(alert: Alert) -> dict[str, Any]:
    """What a row of the feed needs of an alert."""
    return {
        "change": "cleared" if alert.condition == "cleared" else "active",
        "fault": alert.fault,
        "asset_kind": alert.asset_kind,
        "asset": alert.asset,
        "severity": alert.severity,
        "condition": alert.condition,
        "handling": alert.handling,
        "incident_id": alert.incident_id,
        "customers": alert.customers,
        "raised_us": alert.raised_us,
        "work": alert.work,
    }
