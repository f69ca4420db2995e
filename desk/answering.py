"""The answer at the counter: what is known about an account before the caller has finished.

Decides by incidents on the caller's line of supply, announced work, the account's status and the
newest readings of their own meters.
"""

from collections.abc import Sequence
from typing import Final

from alerts.errors import UnknownAccount
from alerts.ledger import Ledger, Reading
from alerts.places import Asset, Places, places_of
from alerts.roles import Role, may_see
from alerts.settings import DAY_US, DeskSettings
from desk.answer import (
    Answer,
    NoReadings,
    Script,
    SupplyEvidence,
    judge_supply,
    say,
    steps_for,
)
from desk.customer_timeline import StoryEntry, customer_timeline
from desk.outages import Frequent, frequency, frequent_rules, of_line
from grid.clock import Clock
from grid.network import Customer, Network, PlannedWork, UsagePoint
from grid.records import Incident, Ticket
from storage.desk_records import LastSeen

# What a caller may have noticed; the measuring itself and inspections are not theirs to hear.
TOLD_CLASSES: Final = ("supply", "neutral", "joint", "voltage", "thermal", "winding", "unbalance")
METER_INTERVAL_S: Final = 900.0
SAMPLE: Final = 100  # meters that speak for a place


class Answers:
    """The answers of one ledger."""

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

    def answer(self, account: str) -> Answer:
        """The answer for an account; UnknownAccount if there is no such customer."""
        with self.ledger.reading() as reading:
            return self._answer(reading, account)

    def timeline(self, account: str, role: Role, limit: int = 100) -> list[StoryEntry]:
        """The story of an account, newest first; UnknownAccount if there is no such customer."""
        self._customer(account)
        points = self.network.usage_points_of_account.get(account, ())
        line = list(self._line(points))
        with self.ledger.reading() as reading:
            return customer_timeline(
                reading,
                self.places,
                account,
                points,
                line,
                role,
                self.clock.now_us(),
                limit=limit,
            )

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
        ticket = ticket_told(tickets.get(incident.id) if incident else None)
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


def ticket_told(ticket: Ticket | None) -> Ticket | None:
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
