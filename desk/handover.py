"""The shift hand-over (交接班): what the next shift must know, read in one snapshot.

Four lists, each with who and until when: causes still open, alerts that somebody has seen and
nobody has acted on, promises that fall due, silences and shelves that end. Pure reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.errors import MissingDetail, WrongRole
from alerts.ledger import FINAL_STATES, Ledger, Reading
from alerts.roles import Actor, Role, may_see
from alerts.settings import HOUR_US
from alerts.states import state_name
from grid.clock import Clock
from grid.faults import FAULTS
from grid.records import Alert, Incident, Ticket
from storage.desk_records import HumanInput, Silence
from storage.desk_text import plain

AHEAD_US: Final = 12 * HOUR_US
SINCE_US: Final = 12 * HOUR_US
LIST_MAX: Final = 500
NOTES: Final = ("handover",)
_ROLES: Final[tuple[Role, ...]] = ("operator", "dispatcher", "supervisor", "engineer", "admin")


@dataclass(frozen=True, slots=True)
class OpenCause:
    """An open incident with the ticket that stands for it."""

    incident: Incident
    ticket: Ticket | None
    state_name: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Promise:
    """A time that somebody was told, or that the service level sets; `late` when it has passed."""

    ticket: Ticket
    at_us: int
    told: bool
    late: bool


@dataclass(frozen=True, slots=True)
class HandOverSheet:
    """What the next shift must know, as of `now_us`."""

    now_us: int
    causes: list[OpenCause]
    seen_only: list[Alert]
    promises: list[Promise]
    silences: list[Silence]
    shelved: list[Alert]
    notes: list[HumanInput]

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to hand over."""
        return not (self.causes or self.seen_only or self.promises or self.silences)


def handover(ledger: Ledger, role: Role, now_us: int) -> HandOverSheet:
    """The sheet as this role may see it; each list holds at most `LIST_MAX` rows."""
    with ledger.reading() as r:
        incidents = [i for i in r.incidents(limit=10_000) if may_see(FAULTS[i.fault].work, role)]
        tickets = r.open_tickets([i.id for i in incidents])
        alerts = [a for a in r.alerts(limit=10_000) if may_see(a.work, role)]
        until_us = now_us + AHEAD_US
        ending = [s for s in r.silences(now_us, now_us) if now_us < s.end_us <= until_us]
        said = [n for n in r.human_inputs(kinds=NOTES, limit=50) if n.at_us >= now_us - SINCE_US]
        promises = _promises(r, role, now_us)
    causes = [_cause(i, tickets.get(i.id)) for i in incidents]
    causes.sort(key=lambda c: (c.incident.severity, c.incident.opened_us))
    shelved = [a for a in alerts if a.handling == "shelved" and a.shelved_until_us]
    return HandOverSheet(
        now_us,
        causes[:LIST_MAX],
        [a for a in alerts if a.handling == "acked" and _idle(a, tickets)][:LIST_MAX],
        promises[:LIST_MAX],
        ending[:LIST_MAX],
        sorted(shelved, key=lambda a: a.shelved_until_us or 0)[:LIST_MAX],
        said,
    )


def _cause(incident: Incident, ticket: Ticket | None) -> OpenCause:
    name = state_name(ticket.state, ticket.work) if ticket else ("", "")
    return OpenCause(incident, ticket, name)


def _idle(alert: Alert, tickets: Mapping[int, Ticket]) -> bool:
    """Seen, still there, and nobody has begun: no ticket, or one that nobody has taken."""
    if alert.cleared_us is not None:
        return False
    ticket = tickets.get(alert.incident_id or 0)
    return ticket is None or ticket.state in ("received", "assessing")


def _promises(r: Reading, role: Role, now_us: int) -> list[Promise]:
    """What is due in this or the next shift, the first first; told times before service levels."""
    out = []
    open_tickets: Sequence[Ticket] = r.tickets(limit=10_000)
    for t in open_tickets:
        if t.state in FINAL_STATES or not may_see(t.work, role):
            continue
        told = t.estimated_restoration_us
        at_us = told if told is not None else t.due_us
        if at_us is not None and at_us <= now_us + AHEAD_US:
            out.append(Promise(t, at_us, told is not None, at_us < now_us))
    return sorted(out, key=lambda p: (p.at_us, p.ticket.id))


class HandOverDesk:
    """Words of one shift to the next; kept with everything else that people say."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock

    def sheet(self, role: Role) -> HandOverSheet:
        """The sheet now."""
        return handover(self.ledger, role, self.clock.now_us())

    def say(self, actor: Actor, text: str) -> HumanInput:
        """A note for the next shift."""
        if actor.role not in _ROLES:
            raise WrongRole(
                "handover", "write a hand-over note", "填写交接事项", actor.role, _ROLES
            )
        text = plain(text)
        if not text:
            raise MissingDetail("text", "Write what the next shift must know.", "请填写交接事项。")
        with self.ledger.transaction() as tx:
            given = HumanInput("handover", "shift", actor.name, self.clock.now_us(), {"text": text})
            return tx.add_human_input(given)
