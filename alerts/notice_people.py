"""Who is to be told of an outage, and who has been.

Outages that people have merged into a ticket are part of it: their customers are told with it.
"""

from collections.abc import Sequence
from typing import Final

from alerts.ledger import Reading
from alerts.notice_words import Trigger, dark_places
from alerts.opening import merged_by_hand
from alerts.places import places_of
from grid.network import Customer, Network
from grid.records import Incident, Ticket

# Whoever has been told one of these expects to hear of the end.
OF_BEGINNING: Final[tuple[Trigger, ...]] = (
    "power_out",
    "initial_etr",
    "etr_change",
    "inform_dispatched",
)


def outages_in(reading: Reading, ticket: Ticket) -> tuple[Ticket, ...]:
    """The outages that people have merged into a ticket; other work says nothing of supply."""
    return tuple(t for t in merged_by_hand(reading, ticket.id) if t.fault == "outage")


def recipients(
    reading: Reading, network: Network, incident: Incident, merged: Sequence[Ticket], over: bool
) -> dict[str, Customer]:
    """Who is to be told, by account: those below the fault and below what was merged into it, and
    those who have reported it; of the end only who is not dark and was told of the beginning or
    has called."""
    places, known = places_of(network), network.customer_by_account
    here = dark_places(incident, merged)
    people = {c.account: c for place in here for c in places.customers(place)}
    contacts = reading.contacts(incident_id=incident.id, limit=100_000)
    callers = {c.account for c in contacts if c.account in known}
    people |= {account: known[account] for account in callers if account}
    if over:
        dark = {
            c.account
            for a in reading.alerts(fault="outage", open_only=True, limit=100_000)
            if a.condition != "cleared"
            for c in places.customers((a.asset_kind, a.asset))
        }
        told = told_of_beginning(reading, incident, merged)
        people = {
            a: c
            for a, c in people.items()
            if a not in dark and (a in callers or f"account:{a}" in told)
        }
    return {account: c for account, c in people.items() if c.phone}


def told_of_beginning(reading: Reading, incident: Incident, merged: Sequence[Ticket]) -> set[str]:
    """Whom a text about the beginning has reached or is about to reach."""
    subjects = {f"incident:{i}" for i in (incident.id, *(t.incident_id for t in merged))}
    return set().union(*(reading.told(s, trigger) for s in subjects for trigger in OF_BEGINNING))
