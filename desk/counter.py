"""The counter: find whoever calls, answer before they have finished, keep one problem one ticket.

Receives contacts of any channel; decides by incidents on the caller's line of supply, announced
work, the account's status and the newest readings. A contact is stored once for its channel and
id; it attaches to what is known and opens a ticket only for what is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from alerts.errors import Conflict, MissingDetail, UnknownAccount, UnknownTicket
from alerts.ledger import FINAL_STATES, Ledger, Reading, Transaction
from alerts.places import Asset, Places, places_of
from alerts.roles import Actor, may_see
from alerts.settings import AHEAD_MAX_US, DAY_US, DeskSettings
from desk.answer import (
    Answer,
    NoReadings,
    Script,
    SupplyEvidence,
    judge_supply,
    say,
    steps_for,
)
from desk.intake import TOGETHER_US, attach, open_for
from desk.outages import Frequent, frequency, frequent_rules, of_line
from desk.search import CustomerIndex, Hit
from grid.clock import Clock
from grid.faults import FAULTS
from grid.network import Customer, Network, PlannedWork, UsagePoint
from grid.records import Contact, Incident, Ticket
from storage.desk_records import LastSeen
from storage.desk_text import nameable, plain

# What a caller may have noticed; the measuring itself and inspections are not theirs to hear.
TOLD_CLASSES: Final = ("supply", "neutral", "joint", "voltage", "thermal", "winding", "unbalance")
METER_INTERVAL_S: Final = 900.0
TAKE_IN: Final = 500  # past contacts kept in one transaction
SAMPLE: Final = 100  # meters that speak for a place


@dataclass(frozen=True, slots=True)
class ContactOutcome:
    """What became of a contact.

    known : attached to what was known before the call
    created : a new ticket was opened for it
    repeated : this channel and id had been taken before; nothing changed
    """

    contact: Contact
    incident: Incident | None
    ticket: Ticket | None
    known: bool
    created: bool
    repeated: bool
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of the contacts of a file: new ones, those about something known, and those
    that opened a ticket."""

    new: int
    known: int
    tickets: int


class Counter:
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
        self.ledger, self.network, self.clock = ledger, network, clock
        self.supply = supply or NoReadings()
        self.settings = settings or DeskSettings()
        self.places = places or places_of(network)
        self._index = CustomerIndex(network)

    # -- finding ---------------------------------------------------------------------------

    def find(self, text: str, limit: int = 20) -> list[Hit]:
        """Customers and tickets for what was typed, best first; the number of a merged ticket
        finds its main one."""
        wanted = text.strip()
        hits = self._index.find(wanted, limit)
        if "-" in wanted and wanted.replace("-", "").isdigit():
            with self.ledger.reading() as reading:
                ticket = _main_of(reading, reading.ticket_numbered(wanted))
            if ticket is not None and may_see(ticket.work, "clerk"):
                found = Hit(
                    "ticket", "ticket", ticket_id=ticket.id, number=ticket.number, score=100
                )
                hits = [found, *hits][:limit]
        return hits

    def by_phone(self, phone: str) -> list[Hit]:
        """The customers a telephone system announces by the caller's number."""
        return [h for h in self._index.find(phone) if h.by == "phone"]

    # -- answering -------------------------------------------------------------------------

    def answer(self, account: str) -> Answer:
        """The answer for an account; UnknownAccount if there is no such customer."""
        with self.ledger.reading() as reading:
            return self._answer(reading, account)

    def _customer(self, account: str) -> Customer:
        customer = self.network.customer_by_account.get(account)
        if customer is None:
            if account not in self.network.usage_points_of_account:
                raise UnknownAccount(account)
            customer = Customer(account)
        return customer

    def _answer(self, reading: Reading, account: str) -> Answer:
        customer = self._customer(account)
        points = self.network.usage_points_of_account.get(account, ())
        now_us = self.clock.now_us()
        incident = self.known_incident(reading, points)
        outage = incident if incident and incident.incident_class == "supply" else None
        seen = self._seen(points)
        judged = judge_supply([(s, i) for s, i, _ in seen], outage, now_us)
        planned = self._planned(points, now_us)
        relay_open = any(relay for _, _, relay in seen)
        script = _script(customer, judged.supply, incident, planned, relay_open)
        if script in ("arrears", "closed", "in_home"):
            incident = None
        tickets = reading.tickets_by_incident([incident.id] if incident else [])
        ticket = _told(tickets.get(incident.id) if incident else None)
        sentence, sentence_zh = say(
            script, judged, now_us, self.settings.time_zone, incident, ticket, planned
        )
        return Answer(
            customer=customer,
            usage_points=points,
            supply=judged.supply,
            since_us=judged.since_us,
            seen_us=judged.seen_us,
            own_meter=judged.own_meter,
            incident=incident,
            ticket=ticket,
            known_us=incident.known_us if incident else None,
            estimated_us=ticket.estimated_restoration_us if ticket else None,
            script=script,
            sentence=sentence,
            sentence_zh=sentence_zh,
            steps=steps_for(script),
            contacts=tuple(reading.contacts(account=account, limit=20)),
            planned=planned,
            frequent=self._frequent(reading, points, now_us),
        )

    def _line(self, points: Sequence[UsagePoint]) -> dict[Asset, int]:
        """The caller's line of supply with the steps from their meter, meters included."""
        line: dict[Asset, int] = {}
        for point in points:
            for depth, node in enumerate(self.places.lineage(("usage_point", point.id))):
                line[node] = min(depth, line.get(node, depth))
                if depth == 0:
                    meters = self.places.devices_at(("usage_point", point.id))
                    line.update({("device", d.id): 0 for d in meters})
        return line

    def _frequent(
        self, reading: Reading, points: Sequence[UsagePoint], now_us: int
    ) -> tuple[Frequent, ...]:
        if not points:
            return ()
        spans = of_line(reading, list(self._line(points)), now_us, now_us - 365 * DAY_US)
        rules, longest_s = frequent_rules(*self.settings.frequent), self.settings.sustained_s
        found = frequency(spans, now_us, rules=rules, sustained_s=longest_s)
        return tuple(f for f in found if f.level is not None)

    def known_incident(self, reading: Reading, points: Sequence[UsagePoint]) -> Incident | None:
        """The open incident on the caller's line of supply: an outage first, then the nearest."""
        line = self._line(points)
        if not line:
            return None
        found = [
            i for i in reading.incidents(assets=list(line)) if i.incident_class in TOLD_CLASSES
        ]
        return min(
            found,
            key=lambda i: (
                i.incident_class != "supply",
                TOLD_CLASSES.index(i.incident_class),
                line[i.asset_kind, i.asset],
                i.id,
            ),
            default=None,
        )

    def _seen(self, points: Sequence[UsagePoint]) -> list[tuple[LastSeen, float, bool]]:
        meters = [
            d
            for p in points
            for d in self.places.devices_at(("usage_point", p.id))
            if d.kind == "meter"
        ]
        last = self.supply.last_seen([d.id for d in meters])
        return [
            (
                last[d.id],
                max(d.interval_s or METER_INTERVAL_S, d.delivery_s or 0),
                last[d.id].relay_open_us is not None,
            )
            for d in meters
            if d.id in last
        ]

    def _lives(self, asset: Asset) -> bool:
        """Whether most meters of a place are heard to have supply: then the fault is further
        down, whatever the number of callers."""
        meters = [d for d in self.places.devices_within(asset) if d.kind == "meter"]
        asked = meters[:: max(1, len(meters) // SAMPLE)]
        last = self.supply.last_seen([d.id for d in asked])
        now_us = self.clock.now_us()
        told = [
            judge_supply([(last[d.id], d.interval_s or METER_INTERVAL_S)], None, now_us).supply
            for d in asked
            if d.id in last
        ]
        return told.count("on") > len(asked) / 2

    def _planned(self, points: Sequence[UsagePoint], now_us: int) -> PlannedWork | None:
        for work in self.network.planned:
            if work.start_us <= now_us < work.end_us and any(
                self.places.covers((work.asset_kind, work.asset), ("usage_point", p.id))
                for p in points
            ):
                return work
        return None

    # -- reporting -------------------------------------------------------------------------

    def report(
        self, contact: Contact, actor: Actor | None = None, open_ticket: bool | None = None
    ) -> ContactOutcome:
        """Take a contact; once for its channel and id, whatever happens in between.

        `open_ticket` None follows the rules: a fault that nothing explains opens a ticket
        (待受理); arrears, a closed account, announced work, a live meter with a single call and
        everything that is no fault do not. True opens one on the clerk's word, False never.
        """
        contact = self._checked(contact)
        with self.ledger.transaction() as tx:
            repeated = tx.contact(contact.channel, contact.external_id)
            if repeated is not None:
                return self._repeated(tx, repeated)
            answer = self._answer(tx, contact.account) if contact.account else None
            taken = replace(contact, taken_by=actor.name if actor else contact.taken_by)
            if contact.kind != "fault" and not open_ticket:
                made, _ = tx.add_contact(taken)
                return ContactOutcome(made, None, None, False, False, False, answer)
            if answer is not None and answer.incident is not None:
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
                outcome = self.report(contact)
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
            ticket = _main_of(tx, tx.ticket_numbered(number))
            if ticket is None or not may_see(ticket.work, "clerk"):
                raise UnknownTicket(number)
            if ticket.state in FINAL_STATES:
                raise Conflict(
                    f"Ticket {ticket.number} is done; take the call as a new report.",
                    f"工单{ticket.number}已办结,请重新登记报修。",
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
                "来电记录编号含有无法识别的字符,请更正。",
            )
        if not 0 <= contact.time_us <= self.clock.now_us() + AHEAD_MAX_US:
            raise MissingDetail(
                "time",
                "Give the time of the contact, between 1970 and a year from now.",
                "来电时间有误,应在1970年之后、一年之内。",
            )
        return replace(contact, text=plain(contact.text), phone=plain(contact.phone, 40))

    def _deserves(self, reading: Reading, contact: Contact, answer: Answer | None) -> bool:
        """Whether a fault report that nothing known explains opens a ticket by the rules.

        A live meter and one call means: look inside the home. A second caller of the same area
        within `TOGETHER_US` means that the meters may be wrong.
        """
        if answer is None or answer.script == "unclear":
            return True
        if answer.script != "in_home":
            return False
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
        ticket = _told(tx.ticket(contact.ticket_id) if contact.ticket_id else None)
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
        return ContactOutcome(made, incident, _told(ticket), True, False, False, again)

    def _opened(
        self, tx: Transaction, contact: Contact, answer: Answer | None, actor: Actor | None
    ) -> ContactOutcome:
        points = answer.usage_points if answer else ()
        made, incident, ticket, created = open_for(
            tx, contact, points, self.places, self.settings, actor, self._lives
        )
        self._publish(tx, made, known=not created)
        again = self._answer(tx, contact.account) if contact.account else answer
        return ContactOutcome(made, incident, ticket, not created, created, False, again)

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


def _main_of(reading: Reading, ticket: Ticket | None) -> Ticket | None:
    """The ticket that a merged one, or one merged into that, has become part of."""
    while ticket is not None and ticket.merged_into is not None:
        ticket = reading.ticket(ticket.merged_into)
    return ticket


def _told(ticket: Ticket | None) -> Ticket | None:
    """A ticket as the counter may name it: an inspection is nobody's business there."""
    return ticket if ticket is not None and may_see(ticket.work, "clerk") else None


def _script(
    customer: Customer,
    supply: str,
    incident: Incident | None,
    planned: PlannedWork | None,
    relay_open: bool,
) -> Script:
    if customer.supply_status == "closed":
        return "closed"
    if incident is not None and incident.incident_class == "supply" and supply != "on":
        return "known"
    if customer.supply_status == "arrears_off" or (relay_open and supply == "on"):
        return "arrears"
    if planned is not None:
        return "planned"
    if incident is not None:
        return "known"
    return "in_home" if supply == "on" else "unclear"


def mask_name(text: str) -> str:
    """Only what is needed to recognise somebody.

    >>> mask_name("王小明"), mask_name("李四"), mask_name("City Hospital")
    ('王*明', '李*', 'C***l')
    """
    if len(text) <= 1:
        return text
    if len(text) == 2:
        return text[0] + "*"
    return text[0] + "*" * min(len(text) - 2, 3) + text[-1]


def mask_phone(text: str) -> str:
    """The first three and the last four digits.

    >>> mask_phone("13900001234")
    '139****1234'
    """
    return f"{text[:3]}****{text[-4:]}" if len(text) >= 8 else "*" * len(text)
