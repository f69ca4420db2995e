"""One customer's story on one line: what they asked and applied for, their outages, the tickets
behind them, what they were told and what is announced, newest first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from alerts.ledger import Reading
from alerts.notice_words import TRIGGER_NAMES
from alerts.places import Asset, Places
from alerts.roles import Role, may_see
from alerts.settings import DAY_US
from alerts.states import state_name
from desk.outages import of_line
from desk.timeline import CHANNEL_NAMES, CONTACT_NAMES
from grid.faults import FAULTS
from grid.network import UsagePoint
from grid.records import Contact, Ticket, TicketState
from storage.desk_records import ToldNotice

Kind = Literal["contact", "application", "ticket", "outage", "notice", "planned"]
YEAR_US: Final = 365 * DAY_US
AHEAD_US: Final = 30 * DAY_US
NOTICE_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "waiting": ("on its way", "待发送"),
    "sent": ("sent", "已发送"),
    "dead": ("could not be delivered", "发送失败"),
    "withheld": ("withheld (drill)", "未发送（演练）"),
    "withdrawn": ("withdrawn, not sent", "已撤回，未发送"),
}


@dataclass(frozen=True, slots=True)
class StoryEntry:
    """One line of a customer's story, in both languages.

    said : the customer's or the notice's own words; number : the ticket it belongs to
    """

    at_us: int
    kind: Kind
    text: str
    text_zh: str
    said: str = ""
    number: str | None = None


def customer_timeline(
    reading: Reading,
    places: Places,
    account: str,
    points: Sequence[UsagePoint],
    line: Sequence[Asset],
    role: Role,
    now_us: int,
    *,
    limit: int = 100,
) -> list[StoryEntry]:
    """Everything about an account, newest first; `line` is its line of supply, meters included.

    What the role may not see (inspections) is absent.
    """
    contacts = reading.contacts(account=account, limit=limit)
    tickets = {t.id: t for t in _tickets(reading, contacts, line, limit) if may_see(t.work, role)}
    found = [
        *(_contact(c, tickets) for c in contacts),
        *(e for t in tickets.values() for e in _ticket(t)),
        *_outages(reading, line, now_us),
        *(_notice(n) for n in reading.notices_to(f"account:{account}", limit)),
        *_planned(places, points, now_us),
    ]
    return sorted(found, key=lambda e: (-e.at_us, e.kind, e.text))[:limit]


def _tickets(
    reading: Reading, contacts: Sequence[Contact], line: Sequence[Asset], limit: int
) -> list[Ticket]:
    """The tickets that the contacts hang on, and those that stood on the line of supply."""
    ids = list(dict.fromkeys(c.incident_id for c in contacts if c.incident_id is not None))
    there = reading.tickets(states=get_args(TicketState), assets=line, limit=limit) if line else []
    return [*reading.tickets_by_incident(ids).values(), *there]


def _contact(c: Contact, tickets: Mapping[int, Ticket]) -> StoryEntry:
    name, name_zh = CONTACT_NAMES[c.kind]
    way, way_zh = CHANNEL_NAMES[c.channel]
    kind: Kind = "application" if c.kind == "application" else "contact"
    ticket = tickets.get(c.ticket_id or 0)
    text, text_zh = f"{name} ({way})", f"{name_zh}（{way_zh}）"
    return StoryEntry(c.time_us, kind, text, text_zh, c.text, ticket.number if ticket else None)


def _ticket(t: Ticket) -> list[StoryEntry]:
    fault = FAULTS[t.fault]
    opened = f"Ticket {t.number} opened: {fault.name}"
    entries = [
        StoryEntry(
            t.opened_us, "ticket", opened, f"工单{t.number}建立：{fault.name_zh}", number=t.number
        )
    ]
    if t.closed_us is not None:
        state, state_zh = state_name(t.state, t.work)
        entries.append(
            StoryEntry(
                t.closed_us,
                "ticket",
                f"Ticket {t.number}: {state}",
                f"工单{t.number}：{state_zh}",
                number=t.number,
            )
        )
    return entries


def _outages(reading: Reading, line: Sequence[Asset], now_us: int) -> list[StoryEntry]:
    out = []
    for (start_us, end_us), planned in of_line(reading, line, now_us, now_us - YEAR_US):
        minutes = (end_us - start_us) // 60_000_000
        why, why_zh = ("announced", "计划停电") if planned else ("not announced", "故障停电")
        lasts, lasts_zh = (" and lasts", "，仍在持续") if end_us >= now_us else ("", "")
        out.append(
            StoryEntry(
                start_us,
                "outage",
                f"No supply for {minutes} min ({why}){lasts}",
                f"停电{minutes}分钟（{why_zh}）{lasts_zh}",
            )
        )
    return out


def _notice(n: ToldNotice) -> StoryEntry:
    name, name_zh = TRIGGER_NAMES.get(n.trigger, (n.trigger, n.trigger))  # type: ignore[call-overload]
    state, state_zh = NOTICE_STATES[n.state]
    return StoryEntry(
        n.created_us, "notice", f"Notice, {name}: {state}", f"通知（{name_zh}）：{state_zh}", n.text
    )


def _planned(places: Places, points: Sequence[UsagePoint], now_us: int) -> list[StoryEntry]:
    return [
        StoryEntry(w.start_us, "planned", "Announced work begins", "计划停电开始", w.reason)
        for w in places.network.planned
        if now_us - YEAR_US <= w.start_us <= now_us + AHEAD_US
        and any(places.covers((w.asset_kind, w.asset), ("usage_point", p.id)) for p in points)
    ]
