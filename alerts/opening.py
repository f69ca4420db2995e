"""A ticket's derived facts and its opening; shared by machine-made and contact-made tickets."""

from collections.abc import Mapping
from typing import Any, Final

from alerts.incidents import Standing, fault_of_work, primary, worst
from alerts.ledger import Reading, Transaction
from alerts.places import Places
from alerts.priority import prioritise
from alerts.roles import SYSTEM, Actor
from alerts.service import due
from alerts.settings import DeskSettings
from grid.faults import FAULTS
from grid.records import Alert, Incident, Ticket, TicketState
from storage.desk_records import Step

RANK: Final = ("priority", "priority_reason", "priority_reason_zh")


def facts_of(main: Standing, places: Places, settings: DeskSettings) -> dict[str, Any]:
    """What a ticket says that follows from its incident, by the names of `Ticket`.

    What people have merged into it is part of the whole: its customers are counted, the gravest of
    all ranks it, and the promise that falls due first holds. Its place and its fault stay its own.
    """
    incident = main.incident
    place = (incident.asset_kind, incident.asset)
    fault, work = fault_of_work(main)
    gravest = worst(main.leading)
    horizon_h = gravest.horizon_h if gravest else None
    of_merged = [c for t in main.merged for c in places.customers((t.asset_kind, t.asset))]
    customers = list({c.account: c for c in (*places.customers(place), *of_merged)}.values())
    rank = prioritise(fault, incident.severity, customers, horizon_h)
    before = worst(main.own)
    if before is not None and before is not gravest:
        # A terminal that has burnt off is no less dangerous for having taken the supply with it.
        as_before = prioritise(before.fault, before.severity, customers, before.horizon_h)
        rank = max(rank, as_before, key=lambda r: r.value)
    for part in main.merged:
        as_part = prioritise(part.fault, part.severity, customers)
        rank = max(rank, as_part, key=lambda r: r.value)
    area = places.transformer_of(place)
    due_us = due(
        work,
        incident.severity,
        area.area_class if area else "urban",
        incident.known_us,
        level=settings.service_level,
        horizon_h=horizon_h,
    )
    ends = [t for t in (due_us, *(part.due_us for part in main.merged)) if t is not None]
    return {
        "fault": fault,
        "work": work,
        "asset_kind": incident.asset_kind,
        "asset": incident.asset,
        "severity": min([incident.severity, *(part.severity for part in main.merged)]),
        "customers": len(customers),
        # Its first evidence; what follows from the loss of supply is counted from the loss.
        "opened_us": min([incident.known_us, *(a.known_us for a in main.own)]),
        "manager": area.manager if area else None,
        "priority": rank.value,
        "priority_reason": rank.reason,
        "priority_reason_zh": rank.reason_zh,
        "due_us": min(ends, default=None),
    }


def facts_for(
    reading: Reading, ticket: Ticket, main: Standing, places: Places, settings: DeskSettings
) -> dict[str, Any]:
    """What a ticket that stands is to say now: as `facts_of`, but the rank that a person has set
    stays."""
    facts = facts_of(main, places, settings)
    changed = any(getattr(ticket, name) != facts[name] for name in RANK)
    if changed and ranked_by_hand(reading, ticket):
        facts = {k: v for k, v in facts.items() if k not in RANK}
    return facts


def merged_by_hand(reading: Reading, ticket_id: int) -> tuple[Ticket, ...]:
    """The tickets that people have merged into one, and those merged into them before."""
    found = [
        t
        for t in reading.merged_into(ticket_id)
        if any(s.action == "merge" and s.role != SYSTEM.role for s in reading.steps(t.id))
    ]
    return (*found, *(sub for t in found for sub in merged_by_hand(reading, t.id)))


def main_of(reading: Reading, ticket: Ticket | None) -> Ticket | None:
    """The ticket that a merged one, or one merged into that, has become part of."""
    while ticket is not None and ticket.merged_into is not None:
        ticket = reading.ticket(ticket.merged_into)
    return ticket


def ranked_by_hand(reading: Reading, ticket: Ticket) -> bool:
    """Whether a person has set its rank: that stays."""
    return any(step.action == "prioritise" for step in reading.steps(ticket.id))


def open_ticket(
    tx: Transaction,
    main: Standing,
    places: Places,
    settings: DeskSettings,
    *,
    episode: str | None = None,
    state: TicketState = "assessing",
    actor: Actor = SYSTEM,
    held: Mapping[str, Ticket] | None = None,
) -> Ticket | None:
    """Open the ticket of an incident that has none; None if its episode has had one before.

    A ticket made by the machine waits for assessment (待研判), one made by a contact for
    acceptance (待受理). The day in its number is that of its first evidence. `held` are the
    tickets that its alerts have opened before.
    """
    incident = main.incident
    facts = facts_of(main, places, settings)
    first = primary(main.own, main.asset)
    if episode is None:
        assert first is not None, "a ticket without alerts names its episode"
        episode = _free_episode(main, first.id, held)
    area = places.transformer_of((incident.asset_kind, incident.asset))
    ticket = Ticket(
        id=0,
        number="",
        incident_id=incident.id,
        episode=episode,
        state=state,
        team=area.team if area else None,
        contacts=incident.contacts,
        **facts,
    )
    reason = f"{facts['fault']} {incident.asset_kind} {incident.asset}"
    opened = Step(0, 1, "open", None, state, actor.name, actor.role, ticket.opened_us, reason)
    made = tx.add_ticket(ticket, settings.day(ticket.opened_us), opened)
    if made is not None:
        tx.publish("ticket", str(made.id), made.opened_us, ticket_data(made, "open"))
    return made


def _free_episode(main: Standing, first: str, held: Mapping[str, Ticket] | None) -> str:
    """The alert that opens the ticket; where its ticket went on with another part of what had
    seemed one cause, the next one does, and at last the first with a mark."""
    for alert in [first, *(a.id for a in main.own)]:
        ticket = (held or {}).get(alert)
        if ticket is None or ticket.state in ("closed", "cancelled"):
            return alert
    return f"{first}~{main.incident.id}"


def ticket_data(ticket: Ticket, action: str) -> dict[str, Any]:
    """What a row of the queue needs of a ticket."""
    return {
        "action": action,
        "incident_id": ticket.incident_id,
        "number": ticket.number,
        "state": ticket.state,
        "severity": ticket.severity,
        "fault": ticket.fault,
        "asset_kind": ticket.asset_kind,
        "asset": ticket.asset,
        "assignee": ticket.assignee,
        "team": ticket.team,
        "customers": ticket.customers,
        "version": ticket.version,
        "work": ticket.work,
    }


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


def incident_data(incident: Incident, change: str) -> dict[str, Any]:
    """What the live stream says of an incident."""
    return {
        "change": change,
        "fault": incident.fault,
        "asset_kind": incident.asset_kind,
        "asset": incident.asset,
        "severity": incident.severity,
        "customers": incident.customers,
        "work": FAULTS[incident.fault].work,
    }
