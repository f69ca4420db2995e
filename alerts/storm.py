"""Storm mode: many faults at once, declared by a person or seen by the machine.

In a storm no estimate is suggested by itself, reminders speak of broken promises only, and a named
person gives the estimate for a whole area in one edit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from alerts.errors import MissingDetail, WrongRole
from alerts.ledger import Ledger, Reading, Transaction
from alerts.opening import ticket_data
from alerts.places import Asset, Places, places_of
from alerts.roles import Actor, Role
from alerts.settings import AHEAD_MAX_US, DAY_US, HOUR_US, DeskSettings
from grid.clock import Clock
from grid.network import Network
from grid.records import Ticket
from storage.desk_records import HumanInput, Step
from storage.desk_text import plain

WINDOW_US: Final = HOUR_US
DAYS_MAX: Final = 3
_SUBJECT: Final = "storm"
_ROLES: Final[tuple[Role, ...]] = ("operator", "dispatcher", "supervisor", "engineer", "admin")


@dataclass(frozen=True, slots=True)
class Storm:
    """A declared storm: by whom, why, until when."""

    declared_by: str
    reason: str
    start_us: int
    until_us: int


def declared(reading: Reading, now_us: int) -> Storm | None:
    """The storm that a person has declared and that has not ended."""
    said = reading.human_inputs(subject=_SUBJECT, kinds=("storm", "storm_end"), limit=1)
    if not said or said[-1].kind == "storm_end":
        return None
    d = said[-1].data
    found = Storm(said[-1].actor, str(d["reason"]), said[-1].at_us, int(d["until_us"]))
    return found if found.until_us > now_us else None


def storm(reading: Reading, now_us: int, settings: DeskSettings | None = None) -> bool:
    """Whether it storms: declared, or so many supplies lost within the hour."""
    most = (settings or DeskSettings()).storm_incidents
    lately = reading.incidents(
        incident_class="supply", opened_since_us=now_us - WINDOW_US, limit=most
    )
    return len(lately) >= most or declared(reading, now_us) is not None


class StormDesk:
    """Storm mode of one ledger, and estimates for whole areas."""

    def __init__(self, ledger: Ledger, network: Network, clock: Clock) -> None:
        self.ledger, self.network, self.clock = ledger, network, clock
        self.places: Places = places_of(network)

    def state(self) -> Storm | None:
        """The declared storm, if there is one."""
        with self.ledger.reading() as reading:
            return declared(reading, self.clock.now_us())

    def declare(self, actor: Actor, reason: str, until_us: int) -> Storm:
        """From now until a stated end, at most three days on."""
        _permit(actor)
        now_us, reason = self.clock.now_us(), plain(reason)
        if not reason:
            raise MissingDetail("reason", "Say why.", "请填写原因。")
        if not now_us < until_us <= now_us + DAYS_MAX * DAY_US:
            raise MissingDetail(
                "until_us",
                f"Give an end within the next {DAYS_MAX} days.",
                f"结束时间应在今后{DAYS_MAX}天之内。",
            )
        with self.ledger.transaction() as tx:
            given = {"reason": reason, "until_us": until_us}
            tx.add_human_input(HumanInput("storm", _SUBJECT, actor.name, now_us, given))
            _tell(tx, now_us, "storm")
        return Storm(actor.name, reason, now_us, until_us)

    def end(self, actor: Actor) -> None:
        """It is over."""
        _permit(actor)
        now_us = self.clock.now_us()
        with self.ledger.transaction() as tx:
            if declared(tx, now_us) is not None:
                tx.add_human_input(HumanInput("storm_end", _SUBJECT, actor.name, now_us))
                _tell(tx, now_us, "storm_end")

    def estimate_area(
        self, asset: Asset, from_us: int, latest_us: int, actor: Actor, reason: str
    ) -> list[Ticket]:
        """One edit, one named person: the estimate of every open ticket about lost supply at or
        below an asset. The changed tickets."""
        _permit(actor)
        now_us, reason = self.clock.now_us(), plain(reason)
        if self.network.node(*asset) is None:
            raise MissingDetail(
                "asset", f"There is no {asset[0]} '{asset[1]}'.", f"台账中没有{asset[1]}。"
            )
        if not now_us < from_us <= latest_us <= now_us + AHEAD_MAX_US:
            raise MissingDetail(
                "estimated_us",
                "Give a range after now and within a year, its beginning first.",
                "预计恢复时间范围应晚于现在且在一年之内，起点在前。",
            )
        with self.ledger.transaction() as tx:
            rows = tx.incidents(incident_class="supply", limit=100_000)
            here = [i.id for i in rows if self.places.covers(asset, (i.asset_kind, i.asset))]
            tickets = [t for t in tx.open_tickets(here).values() if t.state not in _DONE]
            return [
                _estimated(tx, t, from_us, latest_us, actor, reason, now_us)
                for t in sorted(tickets, key=lambda t: t.id)
            ]


_DONE: Final[Sequence[str]] = ("restored", "verified", "callback")


def _estimated(
    tx: Transaction,
    ticket: Ticket,
    from_us: int,
    latest_us: int,
    actor: Actor,
    reason: str,
    now_us: int,
) -> Ticket:
    data = {
        "estimated_us": from_us,
        "latest_us": latest_us,
        "before_us": ticket.estimated_restoration_us,
        "area": True,
    }
    step = Step(
        ticket.id,
        0,
        "estimate",
        ticket.state,
        ticket.state,
        actor.name,
        actor.role,
        now_us,
        reason,
        data,
    )
    changed = replace(ticket, estimated_restoration_us=from_us, estimated_latest_us=latest_us)
    made = tx.change_ticket(changed, ticket.version, step)
    assert made is not None, "the writers' lock is ours"
    subject = f"ticket:{made.number}"
    tx.add_human_input(HumanInput("estimate", subject, actor.name, now_us, data))
    tx.publish("ticket", str(made.id), now_us, ticket_data(made, "estimate"))
    return made


def _tell(tx: Transaction, now_us: int, kind: str) -> None:
    tx.publish("notice", "storm", now_us, {"kind": kind})


def _permit(actor: Actor) -> None:
    if actor.role not in _ROLES:
        raise WrongRole("storm", "lead a storm", "启用风暴模式", actor.role, _ROLES)
