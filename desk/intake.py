"""Where a contact goes: onto the incident that is known, or into a new one.

Reports without readings still locate a fault: callers of one area within a short time are one
outage at the nearest node that supplies them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from alerts.incidents import Standing
from alerts.ledger import Transaction
from alerts.opening import facts_for, incident_data, merged_by_hand, open_ticket, ticket_data
from alerts.places import Asset, Places
from alerts.roles import SYSTEM, Actor
from alerts.settings import HOUR_US, DeskSettings
from grid.network import UsagePoint
from grid.records import Contact, Incident, Ticket
from storage.desk_records import Move, Step

# Callers of one outage call within this time of its first report.
TOGETHER_US: Final = 2 * HOUR_US
# How many different places have to report before the cause is thought to be above them.
PLACES_FOR: Final = {"branch": 2, "transformer": 2, "section": 4, "feeder": 4}


def attach(
    tx: Transaction, contact: Contact, incident_id: int
) -> tuple[Contact, Incident, Ticket | None]:
    """Hang a new contact on an open incident and on the ticket that stands for it."""
    incident = tx.incident(incident_id)
    assert incident is not None, "the incident was found in this transaction"
    ticket = tx.open_tickets([incident_id]).get(incident_id)
    filled = replace(
        contact, incident_id=incident_id, ticket_id=ticket.id if ticket is not None else None
    )
    made, _ = tx.add_contact(filled)
    return made, *counted(tx, made, incident, ticket)


def counted(
    tx: Transaction, made: Contact, incident: Incident, ticket: Ticket | None
) -> tuple[Incident, Ticket | None]:
    """Incident and ticket with one contact more."""
    first_us = incident.first_contact_us
    incident = replace(
        incident,
        contacts=incident.contacts + 1,
        first_contact_us=made.time_us if first_us is None else min(first_us, made.time_us),
        version=incident.version + 1,
    )
    tx.put_incident(incident)
    if ticket is not None:
        changed = replace(ticket, contacts=incident.contacts)
        ticket = _step(tx, ticket, changed, "contact", made, made.text)
    tx.publish("incident", str(incident.id), made.time_us, incident_data(incident, "contact"))
    return incident, ticket


def open_for(
    tx: Transaction,
    contact: Contact,
    points: Sequence[UsagePoint],
    places: Places,
    settings: DeskSettings,
    actor: Actor | None,
    lives: Callable[[Asset], bool] = lambda asset: False,
) -> tuple[Contact, Incident, Ticket | None, bool]:
    """A contact about something unknown: joins what others of the area have just reported, else
    opens an incident and a ticket that waits to be accepted. The last value says which: True for
    a new ticket.

    `lives` says of a place that its meters have supply: it is never predicted.
    """
    here: Asset | None = ("usage_point", points[0].id) if points else None
    joined = _reported_nearby(tx, contact, here, places, lives) if here is not None else None
    if joined is not None and here is not None:
        incident, common = joined
        _move(tx, incident, common, contact, places, settings)
        made, incident, ticket = attach(tx, contact, incident.id)
        return made, incident, ticket, False
    return open_own(tx, contact, here, places, settings, actor)


def link(tx: Transaction, ticket: Ticket, known: Ticket, contact: Contact) -> Ticket:
    """Let two tickets of one place name each other: what was known there, and what a caller has
    reported since. Whoever works on one sees the other."""
    _step(tx, known, known, "linked", contact, ticket.number)
    return _step(tx, ticket, ticket, "linked", contact, known.number)


def open_own(
    tx: Transaction,
    contact: Contact,
    here: Asset | None,
    places: Places,
    settings: DeskSettings,
    actor: Actor | None,
) -> tuple[Contact, Incident, Ticket | None, bool]:
    """An incident and a ticket of its own for a contact, new or taken before."""
    kind, asset = here or ("unknown", f"{contact.channel}:{contact.external_id}")
    incident = tx.add_incident(
        Incident(
            id=0,
            incident_class="supply",
            fault="outage",
            asset_kind=kind,
            asset=asset,
            severity="P1",
            opened_us=contact.time_us,
            known_us=contact.time_us,
            stage="predicted",
            customers=len(places.customers((kind, asset))),
            contacts=1,
            first_contact_us=contact.time_us,
        )
    )
    made = replace(contact, incident_id=incident.id, ticket_id=None)
    if not contact.id:
        made, _ = tx.add_contact(made)
    ticket = open_ticket(
        tx,
        Standing(incident, ()),
        places,
        settings,
        episode=f"contact:{contact.channel}:{contact.external_id}",
        state="received",
        actor=actor or SYSTEM,
    )
    if ticket is not None:
        made = replace(made, ticket_id=ticket.id)
    tx.put_contact(made)
    tx.publish("incident", str(incident.id), made.time_us, incident_data(incident, "opened"))
    return made, incident, ticket, ticket is not None


def _reported_nearby(
    tx: Transaction,
    contact: Contact,
    here: Asset,
    places: Places,
    lives: Callable[[Asset], bool],
) -> tuple[Incident, Asset] | None:
    """An incident that people have reported nearby, and the node that would explain both."""
    best: tuple[int, Incident, Asset] | None = None
    for incident in tx.incidents(incident_class="supply", limit=100_000):
        if incident.stage != "predicted" or not incident.contacts:
            continue
        since_us = contact.time_us - incident.opened_us
        if not -TOGETHER_US <= since_us <= TOGETHER_US:
            continue
        common = places.common([(incident.asset_kind, incident.asset), here])
        if common is None or common[0] not in PLACES_FOR:
            continue
        callers = {c.account for c in tx.contacts(incident_id=incident.id)} | {contact.account}
        if len(callers) < PLACES_FOR[common[0]] or lives(common):
            continue
        depth = places.depth(common)
        if best is None or depth > best[0]:
            best = depth, incident, common
    return None if best is None else (best[1], best[2])


def _move(
    tx: Transaction,
    incident: Incident,
    to: Asset,
    contact: Contact,
    places: Places,
    settings: DeskSettings,
) -> None:
    if (incident.asset_kind, incident.asset) == to:
        return
    taken = tx.incidents(assets=[to], incident_class=incident.incident_class)
    if taken:
        return
    moved = replace(
        incident,
        asset_kind=to[0],
        asset=to[1],
        customers=len(places.customers(to)),
        version=incident.version + 1,
    )
    tx.put_incident(moved)
    why = "several customers reported it"
    tx.add_move(Move(incident.id, contact.time_us, incident.asset_kind, incident.asset, *to, why))
    ticket = tx.open_tickets([incident.id]).get(incident.id)
    if ticket is not None:
        standing = Standing(moved, (), ticket, merged=merged_by_hand(tx, ticket.id))
        facts = facts_for(tx, ticket, standing, places, settings)
        _step(tx, ticket, replace(ticket, **facts), "moved", contact, why)


def _step(
    tx: Transaction, old: Ticket, new: Ticket, action: str, contact: Contact, reason: str
) -> Ticket:
    data = {"channel": contact.channel, "contact": contact.external_id}
    step = Step(
        old.id,
        0,
        action,
        old.state,
        new.state,
        contact.taken_by or SYSTEM.name,
        SYSTEM.role,
        contact.time_us,
        reason,
        data,
    )
    made = tx.change_ticket(new, old.version, step)
    assert made is not None, "the writers' lock is ours"
    tx.publish("ticket", str(made.id), contact.time_us, ticket_data(made, action))
    return made
