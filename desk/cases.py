"""A closed ticket as a case to learn from: what was seen, what it was, how it went.

Cases carry no customer: no account, no phone, no text of a call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.ledger import Ledger, Reading
from alerts.places import names_in
from alerts.roles import Role, may_see
from alerts.states import CAUSES, VERDICTS, state_name
from desk.checklist import used_version
from desk.reports import TRUE
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert, Ticket
from storage.desk_records import Step


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One change of state: after how many minutes, what, by which role."""

    minute: float
    state: tuple[str, str]
    role: str
    note: str


@dataclass(frozen=True, slots=True)
class Case:
    """What can be learned from one closed ticket.

    known_before_min : by how much it was known before the first call; None if nobody called
    hours : from the first evidence to the work being done; None if it never was
    """

    number: str
    fault: str
    title: str
    title_zh: str
    asset_kind: str
    asset: str
    customers: int
    calls: int
    opened_us: int
    verdict: tuple[str, str]
    cause: tuple[str, str]
    known_before_min: float | None
    hours: float | None
    alerts: tuple[Alert, ...]
    steps: tuple[CaseStep, ...]
    checklist: tuple[str, int] | None
    remark: str


def case(ledger: Ledger, network: Network, number: str, role: Role) -> Case | None:
    """The case of a closed ticket; None while it is open, or where the role may not see it."""
    with ledger.reading() as reading:
        ticket = reading.ticket_numbered(number)
        if ticket is None or ticket.state != "closed" or not may_see(ticket.work, role):
            return None
        return _case(reading, network, ticket)


def cases(
    ledger: Ledger,
    network: Network,
    role: Role,
    *,
    fault: str | None = None,
    limit: int = 50,
) -> list[Case]:
    """Closed tickets whose fault was confirmed, the newest first: what a similar one can learn."""
    hidden = None if may_see("inspection", role) else "inspection"
    with ledger.reading() as reading:
        closed = reading.tickets(states=("closed",), without_work=hidden, limit=10_000)
        fitting = [t for t in closed if t.verdict in TRUE and (fault is None or t.fault == fault)]
        newest = sorted(fitting, key=lambda t: (-(t.closed_us or 0), t.id))[:limit]
        return [_case(reading, network, t) for t in newest]


def _case(reading: Reading, network: Network, ticket: Ticket) -> Case:
    incident = reading.incident(ticket.incident_id)
    assert incident is not None, f"ticket {ticket.number} has lost its incident"
    steps = reading.steps(ticket.id)
    alerts = reading.alerts_of([incident.id]).get(incident.id, ())
    area = network.transformer_of(ticket.asset_kind, ticket.asset)
    place, place_zh = names_in(area.name or area.id if area else ticket.asset)
    fault = FAULTS[ticket.fault]
    first_us = incident.first_contact_us
    done_us = next((s.at_us for s in steps if s.to_state == "restored"), None)
    cause = CAUSES[ticket.cause_code or "unknown"]
    closing = next((s for s in reversed(steps) if s.action == "close"), None)
    return Case(
        number=ticket.number,
        fault=ticket.fault,
        title=f"{fault.name} at {place}",
        title_zh=f"{place_zh}{fault.name_zh}",
        asset_kind=ticket.asset_kind,
        asset=ticket.asset,
        customers=ticket.customers,
        calls=incident.contacts,
        opened_us=ticket.opened_us,
        verdict=VERDICTS[ticket.verdict or "no_fault"],
        cause=(cause.name, cause.name_zh),
        known_before_min=None if first_us is None else (first_us - ticket.opened_us) / 60e6,
        hours=None if done_us is None else (done_us - ticket.opened_us) / 3600e6,
        alerts=tuple(a for a in alerts if a.ticket or len(alerts) == 1),
        steps=tuple(_steps(ticket, steps)),
        checklist=used_version(steps),
        remark=closing.reason if closing else "",
    )


def _steps(ticket: Ticket, steps: Sequence[Step]) -> list[CaseStep]:
    return [
        CaseStep(
            (s.at_us - ticket.opened_us) / 60e6,
            state_name(s.to_state, ticket.work),
            s.role,
            s.reason if s.role != "system" else "",
        )
        for s in steps
        if s.from_state != s.to_state
    ]
