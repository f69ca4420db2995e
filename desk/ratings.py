"""What customers say after a ticket is closed, and whether they had to come back.

One rating a customer and ticket; a second one replaces the first. Only who reported the problem
may rate it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.errors import Conflict, MissingDetail, UnknownTicket
from alerts.ledger import Ledger, Reading
from alerts.roles import Actor, may_see
from alerts.settings import DAY_US
from grid.clock import Clock
from grid.network import Network
from grid.records import Contact, Ticket
from storage.desk_records import HumanInput
from storage.desk_text import plain

STARS: Final = (1, 2, 3, 4, 5)
REASONS: Final[dict[str, tuple[str, str]]] = {
    "quick": ("quick", "处理及时"),
    "slow": ("too slow", "处理太慢"),
    "informed": ("well informed", "告知清楚"),
    "not_informed": ("not informed", "没有告知进展"),
    "friendly": ("friendly", "服务态度好"),
    "unfriendly": ("unfriendly", "服务态度差"),
    "still_broken": ("still not mended", "问题没有解决"),
    "other": ("other", "其他"),
}
# Whoever calls again about a fault within this time was not helped.
BACK_WITHIN_US: Final = 7 * DAY_US
RATABLE_US: Final = 30 * DAY_US


@dataclass(frozen=True, slots=True)
class Rating:
    """One customer's word on one ticket."""

    number: str
    account: str
    stars: int
    reason: str
    text: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Satisfaction:
    """Ratings of a period. `mean` None without any; `back` are customers of closed tickets that
    came back about a fault within a week, of `served` ones."""

    count: int
    mean: float | None
    stars: Mapping[int, int]
    reasons: Mapping[str, int]
    served: int
    back: int

    @property
    def back_rate(self) -> float | None:
        """Share of served customers who had to come back."""
        return self.back / self.served if self.served else None


class RatingDesk:
    """The ratings of one ledger."""

    def __init__(self, ledger: Ledger, network: Network, clock: Clock) -> None:
        self.ledger, self.network, self.clock = ledger, network, clock

    def ratable(self, account: str) -> list[Ticket]:
        """Tickets that this customer reported, closed within a month, the newest first."""
        now_us = self.clock.now_us()
        with self.ledger.reading() as reading:
            ids = [c.ticket_id for c in reading.contacts(account=account, limit=100)]
            found = [t for i in dict.fromkeys(ids) if i and (t := reading.ticket(i))]
        return [
            t
            for t in found
            if t.state == "closed"
            and may_see(t.work, "customer")
            and now_us - (t.closed_us or 0) <= RATABLE_US
        ]

    def rate(
        self,
        ticket_id: int,
        account: str,
        stars: int,
        actor: Actor,
        *,
        reason: str = "",
        text: str = "",
    ) -> Rating:
        """Keep a customer's word; MissingDetail for stars outside 1 to 5, Conflict while the
        ticket is open, UnknownTicket for one the customer did not report."""
        if stars not in STARS or isinstance(stars, bool):
            raise MissingDetail("stars", "Give 1 to 5 stars.", "请给出1至5星。", ("1", "5"))
        if reason and reason not in REASONS:
            raise MissingDetail("reason", "Choose a reason.", "请选择原因。", tuple(REASONS))
        with self.ledger.transaction() as tx:
            ticket = tx.ticket(ticket_id)
            own = [c for c in tx.contacts(account=account, limit=1000) if c.ticket_id == ticket_id]
            if ticket is None or not own or not may_see(ticket.work, "customer"):
                raise UnknownTicket(ticket_id)
            if ticket.state != "closed":
                raise Conflict(
                    f"Ticket {ticket.number} is not closed yet; rate it afterwards.",
                    f"工单{ticket.number}尚未归档，归档后再评价。",
                    ticket,
                )
            given = {"account": account, "stars": stars, "reason": reason, "text": plain(text)}
            subject, now_us = f"ticket:{ticket.number}", self.clock.now_us()
            made = tx.add_human_input(HumanInput("rating", subject, actor.name, now_us, given))
            return _rating(made)


def ratings(reading: Reading, number: str | None = None) -> list[Rating]:
    """The last word of every customer on every ticket (or on one), oldest first."""
    subject = None if number is None else f"ticket:{number}"
    found: dict[tuple[str, str], Rating] = {}
    for row in reading.human_inputs(subject=subject, kinds=("rating",), limit=1_000_000):
        made = _rating(row)
        found.pop((made.number, made.account), None)
        found[made.number, made.account] = made
    return list(found.values())


def _rating(row: HumanInput) -> Rating:
    d = row.data
    return Rating(
        row.subject.removeprefix("ticket:"),
        str(d["account"]),
        int(d["stars"]),
        str(d["reason"]),
        str(d["text"]),
        row.at_us,
    )


def satisfaction(
    given: Sequence[Rating], tickets: Iterable[Ticket], contacts: Iterable[Contact]
) -> Satisfaction:
    """What customers say of these tickets, and how many had to come back."""
    by_number = {t.number: t for t in tickets}
    mine = [r for r in given if r.number in by_number]
    stars = {s: sum(r.stars == s for r in mine) for s in STARS}
    reasons: dict[str, int] = {}
    for r in mine:
        if r.reason:
            reasons[r.reason] = reasons.get(r.reason, 0) + 1
    served, back = _came_back(list(by_number.values()), contacts)
    mean = sum(r.stars for r in mine) / len(mine) if mine else None
    return Satisfaction(len(mine), mean, stars, reasons, served, back)


def _came_back(tickets: Sequence[Ticket], contacts: Iterable[Contact]) -> tuple[int, int]:
    faults = [c for c in contacts if c.kind == "fault" and c.account]
    calls: dict[str, list[int]] = {}
    for c in faults:
        calls.setdefault(c.account or "", []).append(c.time_us)
    closed = {t.id: t.closed_us for t in tickets if t.state == "closed" and t.closed_us}
    served = {(c.account or "", c.ticket_id) for c in faults if c.ticket_id in closed}
    back = 0
    for account, ticket_id in served:
        end_us = closed[ticket_id or 0] or 0
        back += any(end_us < at <= end_us + BACK_WITHIN_US for at in calls[account])
    return len(served), back
