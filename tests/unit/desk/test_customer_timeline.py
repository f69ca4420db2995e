"""One customer's story: contacts, applications, outages, tickets, notices, announced work."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import UnknownAccount
from alerts.memory import MemoryLedger
from alerts.notices import NoticeDesk, draft_notices
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.counter import Counter
from grid.network import PlannedWork
from grid.records import Contact
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

CHIEF = Actor("赵值班", "operator")
WORK = PlannedWork("transformer", "T1", START + 5 * DAY, START + 5 * DAY + HOUR, "更换配变")


def a_busy_day() -> Counter:
    """An outage of T1 with a call and a notice, an application, announced work, an inspection."""
    network, ledger, clock = town([WORK]), MemoryLedger(), StandingClock(START + HOUR)
    counter = Counter(ledger, network, clock)
    outage = raised("outage", ("transformer", "T1"))
    apply_events([outage, raised("energy_loss", ("transformer", "T1"), -9 * HOUR)], ledger, network)
    counter.report(Contact("phone", "c1", START + 10 * MINUTE, account="A11", text="家里没电"))
    NoticeDesk(ledger, network, clock).approve(
        draft_notices(ledger, network, clock.us)[0].id, CHIEF
    )
    apply_events([after(outage, "cleared", 2 * HOUR, score=0.0)], ledger, network)
    with ledger.reading() as r:
        ticket = next(t for t in r.tickets() if t.fault == "outage")
    clock.us = START + 3 * HOUR
    TicketDesk(ledger, network, clock).close(
        ticket.id, CHIEF, ticket.version, "confirmed_fault", "weather"
    )
    clock.us = START + DAY
    counter.report(Contact("counter", "c2", clock.us, "application", "A11", text="增容到12千瓦"))
    return counter


def test_everything_about_a_customer_is_on_one_line_newest_first() -> None:
    story = a_busy_day().timeline("A11", "clerk")

    assert [(e.kind, e.text_zh) for e in story] == [
        ("planned", "计划停电开始"),
        ("application", "业务申请（营业厅）"),
        ("ticket", "工单20260301-0001：归档"),
        ("notice", "通知（停电告知）：待发送"),
        ("contact", "故障报修（电话）"),
        ("ticket", "工单20260301-0001建立：停电"),
        ("outage", "停电120分钟（故障停电）"),
    ]
    assert [e.said for e in story if e.kind in ("contact", "application")] == [
        "增容到12千瓦",
        "家里没电",
    ]
    assert next(e for e in story if e.kind == "contact").number == "20260301-0001"


def test_an_inspection_is_no_part_of_what_a_clerk_reads() -> None:
    counter = a_busy_day()

    def named(role: str) -> int:
        return sum("线损" in e.text_zh for e in counter.timeline("A11", role))  # type: ignore[arg-type]

    assert (named("clerk"), named("engineer")) == (0, 1)


def test_a_neighbour_of_another_area_has_another_story() -> None:
    counter = a_busy_day()

    assert counter.timeline("A22", "clerk") == []
    with pytest.raises(UnknownAccount):
        counter.timeline("nobody", "clerk")
