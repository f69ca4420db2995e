"""What a crew does with the link of its ticket: seen, on site, mended; late and twice without harm.

A phone without connection keeps what was done and sends it later, perhaps twice, perhaps when the
desk has gone on. So a step that has been made is no error, and each note carries its own key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts.errors import StaleTicket, UnknownTicket
from alerts.roles import Actor, may_see
from alerts.states import CAUSES, ROUTE
from alerts.tickets import TicketDesk
from grid.records import Ticket, TicketState
from storage.desk_records import HumanInput, Step
from web.links import read, sign

LINK_S: Final = 7 * 86_400.0
PURPOSE: Final = "crew"
TRIES: Final = 5
MINUTE_US: Final = 60_000_000
WITH_CREW: Final[tuple[TicketState, ...]] = (
    "dispatched",
    "assigned",
    "accepted",
    "on_site",
    "restored",
    "on_hold",
)
STEPS: Final[dict[str, TicketState]] = {
    "accept": "accepted",
    "arrive": "on_site",
    "restore": "restored",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What a crew reports with one tap.

    key : made by the phone, the same when it sends again
    late_s : how long it lay on the phone, seconds of site time
    minutes : until the work should be done, from then; None if not said
    """

    action: str
    key: str
    note: str = ""
    cause_code: str = ""
    late_s: float = 0.0
    minutes: int | None = None


def crew_of(ticket: Ticket, steps: Sequence[Step]) -> str | None:
    """Who is sent: the crew of the newest assignment, else the team; None before it is sent."""
    if ticket.state not in WITH_CREW:
        return None
    for step in reversed(steps):
        if step.action == "assign":
            return str(step.data.get("crew") or "") or ticket.team
        if step.action in ("dispatch", "send_back"):
            break
    return ticket.team


def link_token(secret: bytes, ticket: Ticket, crew: str, now_s: float) -> str:
    """The token of the link for this crew and ticket."""
    return sign(secret, PURPOSE, {"ticket": ticket.id, "crew": crew}, now_s + LINK_S)


class CrewDesk:
    """The acts of whoever holds a link."""

    def __init__(self, desk: TicketDesk, secret: bytes) -> None:
        self.desk, self.ledger, self._secret = desk, desk.ledger, secret

    def opened(self, token: str) -> tuple[Ticket, str, bool] | None:
        """(ticket, crew, whether it is still theirs); None for a link that is none."""
        facts = read(self._secret, PURPOSE, token)
        if facts is None:
            return None
        with self.ledger.reading() as reading:
            ticket = reading.ticket(int(facts["ticket"]))
            if ticket is None or not may_see(ticket.work, "crew"):
                return None
            theirs = crew_of(ticket, reading.steps(ticket.id)) == facts["crew"]
        return ticket, str(facts["crew"]), theirs

    def cause(self, ticket: Ticket) -> str | None:
        """The cause that the crew has found, newest first said."""
        with self.ledger.reading() as reading:
            said = reading.human_inputs(subject=_subject(ticket))
        codes = [str(h.data.get("cause_code") or "") for h in said if h.kind == "crew"]
        return next((c for c in reversed(codes) if c in CAUSES), None)

    def report(self, ticket: Ticket, crew: str, done: Done) -> Ticket:
        """Do it, unless it has been done; the ticket afterwards.

        Raises DeskError when the desk has decided otherwise meanwhile (cancelled, on hold).
        """
        if done.key and self._known(ticket, done.key):
            return self._now(ticket.id)
        actor = Actor(crew, "crew", ticket.team)
        note = _with_time(done)
        made = self._now(ticket.id)
        if done.action == "note":
            made = self._perform("note", made, actor, text=note)
        elif not _reached(made, STEPS[done.action]):
            if done.action == "restore" and not _reached(made, "accepted"):
                # Who has mended it was there, whatever became of the phone's word of it.
                made = self._perform("arrive", made, actor)
            made = self._perform(done.action, made, actor, note=note)
        elif note:
            made = self._perform("note", made, actor, text=note)
        now_us = self.desk.clock.now_us()
        if done.minutes is not None and made.state == "on_site":
            until_us = now_us - round(done.late_s * 1e6) + done.minutes * MINUTE_US
            if until_us > now_us:
                made = self._perform("estimate", made, actor, estimated_us=until_us)
        given = {"key": done.key, "action": done.action, "cause_code": done.cause_code}
        with self.ledger.transaction() as tx:
            tx.add_human_input(HumanInput("crew", _subject(ticket), crew, now_us, given))
        return made

    def _known(self, ticket: Ticket, key: str) -> bool:
        with self.ledger.reading() as reading:
            said = reading.human_inputs(subject=_subject(ticket))
        return any(h.kind == "crew" and h.data.get("key") == key for h in said)

    def _now(self, ticket_id: int) -> Ticket:
        with self.ledger.reading() as reading:
            ticket = reading.ticket(ticket_id)
        if ticket is None:
            raise UnknownTicket(ticket_id)
        return ticket

    def _perform(self, action: str, ticket: Ticket, actor: Actor, **details: Any) -> Ticket:
        """As of now: a phone cannot know what version the desk is at."""
        for _ in range(TRIES):
            try:
                return self.desk.perform(action, ticket.id, actor, ticket.version, **details)
            except StaleTicket as e:
                ticket = e.ticket
        return self.desk.perform(action, ticket.id, actor, ticket.version, **details)


def _subject(ticket: Ticket) -> str:
    return f"crew:{ticket.number}"


def _reached(ticket: Ticket, state: TicketState) -> bool:
    return ticket.state in ROUTE and ROUTE.index(ticket.state) >= ROUTE.index(state)


def _with_time(done: Done) -> str:
    """The note, with the cause in words and how late it came."""
    parts = []
    if done.cause_code in CAUSES:
        cause = CAUSES[done.cause_code]
        parts.append(f"{cause.name_zh} / {cause.name}")
    if done.note:
        parts.append(done.note)
    if done.late_s >= 60:
        minutes = round(done.late_s / 60)
        parts.append(f"（离线，{minutes} 分钟前 / sent {minutes} min later）")
    return " · ".join(parts)
