"""The counter: find whoever calls, answer before they have finished, keep one problem one ticket.

Receives contacts of any channel; decides by incidents on the caller's line of supply, announced
work, the account's status and the newest readings. A contact is stored once for its channel and
id; it attaches to what is known and opens a ticket only for what is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from alerts.errors import Conflict, MissingDetail, UnknownTicket
from alerts.incidents import PRECURSORS
from alerts.ledger import FINAL_STATES, Ledger, Reading, Transaction
from alerts.opening import main_of
from alerts.places import Places
from alerts.roles import SYSTEM, Actor, may_see
from alerts.settings import AHEAD_MAX_US, DeskSettings
from desk.answer import Answer, SupplyEvidence
from desk.answering import TOLD_CLASSES as TOLD_CLASSES
from desk.answering import Answers, ticket_told
from desk.intake import TOGETHER_US, attach, link, open_for
from desk.masking import mask_name as mask_name
from desk.masking import mask_phone as mask_phone
from desk.search import CustomerIndex, Hit
from desk.symptoms import NEW_FACTS, Symptom, symptom_of
from grid.clock import Clock
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Contact, Incident, Ticket
from storage.desk_text import nameable, plain

_BURNS: Final = ("neutral", "voltage")
TAKE_IN: Final = 500  # past contacts kept in one transaction


@dataclass(frozen=True, slots=True)
class ContactOutcome:
    """What became of a contact.

    known : attached to what was known before the call
    created : a new ticket was opened for it
    repeated : this channel and id had been taken before; nothing changed
    beside : what was known there already and does not explain what was reported now
    """

    contact: Contact
    incident: Incident | None
    ticket: Ticket | None
    known: bool
    created: bool
    repeated: bool
    answer: Answer | None
    beside: Ticket | None = None


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of the contacts of a file: new ones, those about something known, and those
    that opened a ticket."""

    new: int
    known: int
    tickets: int


class Counter(Answers):
    """The counter of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        supply: SupplyEvidence | None = None,
        *,
        settings: DeskSettings | None = None,
        places: Places | None = None,
    ) -> None:
        super().__init__(ledger, network, clock, supply, settings=settings, places=places)
        self._index = CustomerIndex(network)

    # -- finding ---------------------------------------------------------------------------

    def find(self, text: str, limit: int = 20) -> list[Hit]:
        """Customers and tickets for what was typed, best first; the number of a merged ticket
        finds its main one."""
        wanted = text.strip()
        hits = self._index.find(wanted, limit)
        if "-" in wanted and wanted.replace("-", "").isdigit():
            with self.ledger.reading() as reading:
                ticket = main_of(reading, reading.ticket_numbered(wanted))
            if ticket is not None and may_see(ticket.work, "clerk"):
                found = Hit(
                    "ticket", "ticket", ticket_id=ticket.id, number=ticket.number, score=100
                )
                hits = [found, *hits][:limit]
        return hits

    def by_phone(self, phone: str) -> list[Hit]:
        """The customers a telephone system announces by the caller's number."""
        return [h for h in self._index.find(phone) if h.by == "phone"]

    # -- reporting -------------------------------------------------------------------------

    def report(
        self,
        contact: Contact,
        actor: Actor | None = None,
        open_ticket: bool | None = None,
        symptom: Symptom | None = None,
        ringing: bool = False,
    ) -> ContactOutcome:
        """Take a contact; once for its channel and id, whatever happens in between.

        `open_ticket` None follows the rules: a fault that nothing explains opens a ticket
        (待受理); arrears, a closed account, announced work, a live meter with a single call and
        everything that is no fault do not. True opens one on the clerk's word, False never.
        `symptom` None is read from the text. Who reports supply lost or danger where a growing
        defect is known reports a new fact: it gets a ticket of its own, linked to the known one.
        `ringing` is a call that a telephone system announces: `taken_by` says to whom it was
        given, None leaves it to the first who takes it (`desk.calls`).
        """
        contact = self._checked(contact)
        with self.ledger.transaction() as tx:
            repeated = tx.contact(contact.channel, contact.external_id)
            if repeated is not None:
                return self._repeated(tx, repeated)
            answer = self._answer(tx, contact.account) if contact.account else None
            taken = contact
            if actor is not None and not ringing:
                taken = replace(contact, taken_by=actor.name)
            if contact.kind != "fault" and not open_ticket:
                made, _ = tx.add_contact(taken)
                self._publish(tx, made, known=False)  # it may be ringing, whatever it is about
                return ContactOutcome(made, None, None, False, False, False, answer)
            if answer is not None and answer.incident is not None:
                if self._new_fact(tx, contact, answer, symptom, open_ticket):
                    return self._opened(tx, taken, answer, actor, beside=answer.incident)
                return self._attached(tx, taken, answer.incident.id, answer)
            wanted = self._deserves(tx, contact, answer) if open_ticket is None else open_ticket
            if not wanted:
                made, _ = tx.add_contact(taken)
                self._publish(tx, made, known=False)
                return ContactOutcome(made, None, None, False, False, False, answer)
            return self._opened(tx, taken, answer, actor)

    def take_in(self, contacts: Sequence[Contact]) -> TakenIn:
        """Contacts of a file: what is recent is reported as if it came in now, what is past is
        kept on the customers' timelines and opens nothing."""
        recent_us = self.clock.now_us() - TOGETHER_US
        past = [c for c in contacts if c.time_us < recent_us]
        new = known = tickets = 0
        for at in range(0, len(past), TAKE_IN):
            with self.ledger.transaction() as tx:
                for contact in past[at : at + TAKE_IN]:
                    new += tx.add_contact(self._checked(contact))[1]
        for contact in contacts:
            if contact.time_us >= recent_us:
                outcome = self.report(contact, SYSTEM)  # nobody waits on the line of a file
                new += not outcome.repeated
                known += outcome.known and not outcome.repeated
                tickets += outcome.created
        return TakenIn(new, known, tickets)

    def attach(self, contact: Contact, number: str, actor: Actor) -> ContactOutcome:
        """Hang a contact on the ticket that the caller names; on the main one if it was merged.

        UnknownTicket for no such number, Conflict for one that is done: then nothing is stored.
        """
        contact = self._checked(contact)
        with self.ledger.transaction() as tx:
            repeated = tx.contact(contact.channel, contact.external_id)
            if repeated is not None:
                return self._repeated(tx, repeated)
            ticket = main_of(tx, tx.ticket_numbered(number))
            if ticket is None or not may_see(ticket.work, "clerk"):
                raise UnknownTicket(number)
            if ticket.state in FINAL_STATES:
                raise Conflict(
                    f"Ticket {ticket.number} is done; take the call as a new report.",
                    f"工单{ticket.number}已办结，请重新登记报修。",
                    ticket,
                )
            answer = self._answer(tx, contact.account) if contact.account else None
            taken = replace(contact, taken_by=actor.name)
            return self._attached(tx, taken, ticket.incident_id, answer)

    def _checked(self, contact: Contact) -> Contact:
        """The contact as it can be kept; what is wrong with it is said before anything is."""
        if contact.account is not None:
            self._customer(contact.account)  # an account typed wrong is refused before storing
        if not nameable(contact.external_id):
            raise MissingDetail(
                "external_id",
                "Give the contact's id in readable characters.",
                "来电记录编号含有无法识别的字符，请更正。",
            )
        if not 0 <= contact.time_us <= self.clock.now_us() + AHEAD_MAX_US:
            raise MissingDetail(
                "time",
                "Give the time of the contact, between 1970 and a year from now.",
                "来电时间有误，应在1970年之后、一年之内。",
            )
        return replace(contact, text=plain(contact.text), phone=plain(contact.phone, 40))

    def _deserves(self, reading: Reading, contact: Contact, answer: Answer | None) -> bool:
        """Whether a fault report that nothing known explains opens a ticket by the rules.

        A live meter and one call means: look inside the home. A second caller of the same area
        within `TOGETHER_US` means that the meters may be wrong.
        """
        if answer is None or answer.script == "unclear":
            return True
        return answer.script == "in_home" and self._others_called(reading, contact, answer)

    def _new_fact(
        self,
        reading: Reading,
        contact: Contact,
        answer: Answer,
        symptom: Symptom | None,
        word: bool | None,
    ) -> bool:
        """Whether a caller reports what the known cause does not explain: no supply, or danger,
        where a defect is still growing. What is an outage, or urgent already, takes the call; and
        where the caller's own meter has supply, only a defect that may have just failed, danger or
        a second caller speak against it. A clerk's `word` for or against a ticket goes before."""
        incident = answer.incident
        assert incident is not None, "asked where something is known"
        urgent = incident.severity == "P1" or incident.incident_class == "supply"
        explained = urgent or answer.script != "known"  # arrears, announced work
        if explained or word is not None:
            return bool(word) and not explained
        told = symptom or symptom_of(contact.text)
        if symptom is None and told == "danger" and incident.incident_class in _BURNS:
            return False  # a smell of burning is what such a voltage does to lamps and sets
        if contact.kind != "fault" or told not in NEW_FACTS:
            return False
        may_fail = incident.incident_class in (*PRECURSORS, "neutral")
        return (
            answer.supply != "on"
            or may_fail
            or told == "danger"
            or self._others_called(reading, contact, answer)
        )

    def _others_called(self, reading: Reading, contact: Contact, answer: Answer) -> bool:
        areas = {p.transformer for p in answer.usage_points if p.transformer}
        others = {
            c.account
            for c in reading.contacts(limit=200)
            if c.kind == "fault"
            and c.account not in (None, contact.account)
            and abs(contact.time_us - c.time_us) <= TOGETHER_US
        }
        found = self.network.usage_points_of_account
        return any(p.transformer in areas for a in others if a for p in found.get(a, ()))

    def _repeated(self, tx: Transaction, contact: Contact) -> ContactOutcome:
        ticket = ticket_told(tx.ticket(contact.ticket_id) if contact.ticket_id else None)
        incident = tx.incident(contact.incident_id) if contact.incident_id else None
        if incident is not None and not may_see(FAULTS[incident.fault].work, "clerk"):
            incident = None
        answer = self._answer(tx, contact.account) if contact.account else None
        return ContactOutcome(contact, incident, ticket, incident is not None, False, True, answer)

    def _attached(
        self, tx: Transaction, contact: Contact, incident_id: int, answer: Answer | None
    ) -> ContactOutcome:
        made, incident, ticket = attach(tx, contact, incident_id)
        self._publish(tx, made, known=True)
        again = self._answer(tx, contact.account) if contact.account else answer
        return ContactOutcome(made, incident, ticket_told(ticket), True, False, False, again)

    def _opened(
        self,
        tx: Transaction,
        contact: Contact,
        answer: Answer | None,
        actor: Actor | None,
        beside: Incident | None = None,
    ) -> ContactOutcome:
        points = answer.usage_points if answer else ()
        made, incident, ticket, created = open_for(
            tx, contact, points, self.places, self.settings, actor, self._lives
        )
        known = tx.open_tickets([beside.id]).get(beside.id) if beside is not None else None
        if created and ticket is not None and known is not None:
            ticket = link(tx, ticket, known, made)
        self._publish(tx, made, known=not created)
        again = self._answer(tx, contact.account) if contact.account else answer
        there = ticket_told(known)
        return ContactOutcome(made, incident, ticket, not created, created, False, again, there)

    @staticmethod
    def _publish(tx: Transaction, contact: Contact, *, known: bool) -> None:
        data = {
            "channel": contact.channel,
            "kind": contact.kind,
            "account": contact.account,
            "incident_id": contact.incident_id,
            "ticket_id": contact.ticket_id,
            "known": known,
        }
        tx.publish("contact", f"{contact.channel}:{contact.external_id}", contact.time_us, data)
