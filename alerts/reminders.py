"""Reminders before and after a promise is broken: each rung once, whoever looks and how often.

What is due is computed from the tickets' histories; a row says that a rung was told. So a timer
is never lost by a restart, never told twice by two workers, and never told about a ticket that
has moved on: the state is read again in the transaction that tells it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.ledger import Ledger, Reading
from alerts.service import METRIC_NAMES, Metric, ServiceClock, clocks
from alerts.settings import DeskSettings
from alerts.storm import storm
from grid.network import Network
from grid.records import Ticket
from storage.desk_records import Step, Timer

# Share of the time used, and who is told: the person, then the dispatcher, then the supervisor,
# then the list of the day.
RUNGS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    (50, ("owner",)),
    (80, ("owner", "dispatcher")),
    (100, ("owner", "dispatcher", "supervisor")),
    (150, ("daily_list",)),
)


@dataclass(frozen=True, slots=True)
class Reminder:
    """One reminder that was told."""

    ticket: Ticket
    metric: Metric
    rung: int
    due_us: int
    to: tuple[str, ...]
    text: str
    text_zh: str


def remind(
    ledger: Ledger, network: Network, now_us: int, *, settings: DeskSettings | None = None
) -> list[Reminder]:
    """Tell every rung that was reached by `now_us` and not told yet.

    When several rungs of one clock were reached since the last look, only the highest is told.
    """
    chosen = settings or DeskSettings()
    with ledger.reading() as reading:
        tickets = reading.tickets(limit=100_000)
        waiting = _due(reading, tickets, network, now_us, chosen)
    if not waiting:
        return []
    told = []
    with ledger.transaction() as tx:
        fresh = [t for i in dict.fromkeys(w[0].id for w in waiting) if (t := tx.ticket(i))]
        for ticket, clock, rungs in _due(tx, fresh, network, now_us, chosen):
            new = [
                rung
                for rung in rungs
                if tx.fire(Timer(ticket.id, clock.metric, rung, clock.start_us, now_us))
            ]
            if not new:
                continue
            reminder = _reminder(ticket, clock, max(new), now_us)
            told.append(reminder)
            tx.publish("notice", str(ticket.id), now_us, _data(reminder))
    return told


def _due(
    reading: Reading,
    tickets: Sequence[Ticket],
    network: Network,
    now_us: int,
    settings: DeskSettings,
) -> list[tuple[Ticket, ServiceClock, list[int]]]:
    ids = [t.id for t in tickets]
    steps: Mapping[int, list[Step]] = reading.steps_of(ids)
    fired = {(f.ticket_id, f.metric, f.rung, f.start_us) for f in reading.fired(ids)}
    # In a storm everybody knows that everything is late: only broken promises are told.
    low = 100 if storm(reading, now_us, settings) else 0
    level = settings.service_level
    out = []
    for ticket in tickets:
        area = network.transformer_of(ticket.asset_kind, ticket.asset)
        area_class = area.area_class if area else "urban"
        for clock in clocks(ticket, steps.get(ticket.id, ()), area_class, now_us, level=level):
            if clock.met_us is not None or clock.paused or ticket.state == "closed":
                continue
            rungs = [
                rung
                for rung, _ in RUNGS
                if rung >= low
                and clock.at_share(rung / 100) <= now_us
                and (ticket.id, clock.metric, rung, clock.start_us) not in fired
            ]
            if rungs:
                out.append((ticket, clock, rungs))
    return out


def _reminder(ticket: Ticket, clock: ServiceClock, rung: int, now_us: int) -> Reminder:
    name, name_zh = METRIC_NAMES[clock.metric]
    minutes = abs(clock.due_us - now_us) // 60_000_000
    if clock.due_us > now_us:
        text = f"Ticket {ticket.number}: {name} is due in {minutes} min."
        text_zh = f"工单{ticket.number}：{name_zh}还剩{minutes}分钟到期。"
    else:
        text = f"Ticket {ticket.number}: {name} is {minutes} min late; note the reason."
        text_zh = f"工单{ticket.number}：{name_zh}已超时{minutes}分钟，请说明原因。"
    to = dict(RUNGS)[rung]
    return Reminder(ticket, clock.metric, rung, clock.due_us, to, text, text_zh)


def _data(r: Reminder) -> dict[str, object]:
    t = r.ticket
    return {
        "kind": "reminder",
        "number": t.number,
        "metric": r.metric,
        "rung": r.rung,
        "due_us": r.due_us,
        "to": list(r.to),
        "assignee": t.assignee,
        "team": t.team,
        "text": r.text,
        "text_zh": r.text_zh,
        "work": t.work,
    }
