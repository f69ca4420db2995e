"""Where work lies now: queues by department, how fast they accept it, and what stands still.

A ticket stands still when it has been in its state longer than its limit; holds count until the
time they were given for. Limits are minutes for repair and hours for everything else.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.ledger import Ledger
from alerts.roles import Role, may_see
from alerts.settings import HOUR_US, MINUTE_US
from alerts.states import OPEN_STATES, state_name
from grid.faults import Work
from grid.records import Ticket, TicketState
from storage.desk_records import Step

# How long a ticket may stay in a state before somebody should ask, (repair, other work).
STILL_US: Final[Mapping[TicketState, tuple[int, int]]] = {
    "received": (10 * MINUTE_US, 24 * HOUR_US),
    "assessing": (15 * MINUTE_US, 48 * HOUR_US),
    "dispatched": (15 * MINUTE_US, 48 * HOUR_US),
    "assigned": (15 * MINUTE_US, 72 * HOUR_US),
    "accepted": (120 * MINUTE_US, 7 * 24 * HOUR_US),
    "on_site": (240 * MINUTE_US, 24 * HOUR_US),
    "restored": (120 * MINUTE_US, 72 * HOUR_US),
    "verified": (24 * HOUR_US, 72 * HOUR_US),
    "callback": (24 * HOUR_US, 72 * HOUR_US),
    "on_hold": (24 * HOUR_US, 30 * 24 * HOUR_US),
}
HAND_OVERS: Final[dict[str, tuple[str, str]]] = {
    "dispatch": ("office to unit", "派单到班组"),
    "assign": ("unit to crew", "班组到人员"),
    "hand_over": ("person to person", "人员之间移交"),
    "send_back": ("back to the office", "退回"),
}


@dataclass(frozen=True, slots=True)
class Queue:
    """What one department has; `oldest_min` of its open tickets, `waiting` not accepted yet."""

    team: str
    open: int
    waiting: int
    late: int
    oldest_min: float
    by_state: Mapping[TicketState, int]


@dataclass(frozen=True, slots=True)
class HandOver:
    """How long until what was handed over was taken up, by department and kind of hand-over;
    `open` are those that still wait."""

    team: str
    action: str
    count: int
    open: int
    p50_min: float
    p90_min: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """A ticket that stands still, since when, and who could move it."""

    ticket: Ticket
    state_name: tuple[str, str]
    since_us: int
    minutes: float
    limit_min: float
    who: str


def queues(ledger: Ledger, now_us: int, role: Role) -> list[Queue]:
    """The open tickets by department; those without one are under ""."""
    by_team: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in _open(ledger, role):
        by_team[ticket.team or ""].append(ticket)
    out = []
    for team, tickets in sorted(by_team.items()):
        states: dict[TicketState, int] = defaultdict(int)
        for t in tickets:
            states[t.state] += 1
        out.append(
            Queue(
                team,
                len(tickets),
                sum(t.state in ("dispatched", "assigned") for t in tickets),
                sum(t.due_us is not None and t.due_us < now_us for t in tickets),
                max((now_us - t.opened_us) / 60e6 for t in tickets),
                {s: states[s] for s in OPEN_STATES if s in states},
            )
        )
    return out


def stuck(ledger: Ledger, now_us: int, role: Role) -> list[Stuck]:
    """Open tickets that stand still, the worst (against their limit) first."""
    tickets = _open(ledger, role)
    with ledger.reading() as reading:
        steps = reading.steps_of([t.id for t in tickets])
    out = []
    for ticket in tickets:
        since_us = _since(ticket, steps.get(ticket.id, ()))
        limit_us = _limit(ticket.state, ticket.work)
        if now_us - since_us > limit_us:
            out.append(
                Stuck(
                    ticket,
                    state_name(ticket.state, ticket.work),
                    since_us,
                    (now_us - since_us) / 60e6,
                    limit_us / 60e6,
                    ticket.assignee or ticket.team or "",
                )
            )
    return sorted(out, key=lambda s: (-s.minutes / s.limit_min, s.ticket.id))


def hand_overs(
    tickets: Sequence[Ticket], steps: Mapping[int, Sequence[Step]], now_us: int
) -> list[HandOver]:
    """Time from handing over to taking up: the next step of somebody else than the one who gave
    it away."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    waiting: dict[tuple[str, str], int] = defaultdict(int)
    for ticket in tickets:
        history = [s for s in steps.get(ticket.id, ()) if s.role != "system"]
        for n, step in enumerate(history):
            if step.action not in HAND_OVERS:
                continue
            key = (ticket.team or "", step.action)
            following = history[n + 1 :]
            taker = next((s for s in following if s.action != "note" and _takes_up(step, s)), None)
            if taker is not None:
                taken[key].append((taker.at_us - step.at_us) / 60e6)
            elif ticket.state in OPEN_STATES and not following:
                waiting[key] += 1
                taken.setdefault(key, [])
    return [
        HandOver(
            team,
            action,
            len(minutes),
            waiting[team, action],
            float(np.quantile(minutes, 0.5)) if minutes else 0.0,
            float(np.quantile(minutes, 0.9)) if minutes else 0.0,
        )
        for (team, action), minutes in sorted(taken.items())
    ]


def _takes_up(given: Step, step: Step) -> bool:
    if given.action == "dispatch":
        return step.action in ("assign", "accept", "arrive", "send_back")
    if given.action == "assign":
        return step.action in ("accept", "arrive", "send_back", "restore")
    return step.actor != given.actor


def _open(ledger: Ledger, role: Role) -> list[Ticket]:
    hidden = None if may_see("inspection", role) else "inspection"
    with ledger.reading() as reading:
        return reading.tickets(without_work=hidden, limit=100_000)


def _since(ticket: Ticket, steps: Sequence[Step]) -> int:
    moved = [s.at_us for s in steps if s.from_state != s.to_state]
    return moved[-1] if moved else ticket.opened_us


def _limit(state: TicketState, work: Work) -> int:
    repair, other = STILL_US[state]
    return repair if work == "repair" else other
