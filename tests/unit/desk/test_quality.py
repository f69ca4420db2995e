"""Who knew first, in one sentence; and the operator's counts."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.counter import Counter
from desk.quality import bar, headline, span
from grid.records import Contact
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, raised, town

T1 = ("transformer", "T1")


def test_the_headline_counts_from_knowing_to_the_first_call() -> None:
    ledger, network = MemoryLedger(), town()
    apply_events([raised("neutral_loose", T1)], ledger, network)
    counter = Counter(ledger, network, StandingClock(START + 4 * HOUR))
    for i in range(6):
        at_us = START + 3 * HOUR + (13 + i) * MINUTE
        counter.report(Contact("phone", f"c{i}", at_us, account=f"A{11 + i}"))

    told = headline(ledger, network, START + 5 * HOUR)

    assert told is not None
    assert (told.contacts, told.tickets) == (6, 1)
    assert told.sentence.endswith("known 3 h 12 min before the first call; 6 calls, 1 ticket.")
    assert told.sentence_zh.endswith("比首个来电早3小时12分发现；6个来电，1张工单。")


def test_the_story_is_told_for_a_day_after_its_ticket_is_closed() -> None:
    ledger, network = MemoryLedger(), town()
    apply_events([raised("outage", T1)], ledger, network)
    clock = StandingClock(START + HOUR)
    Counter(ledger, network, clock).report(Contact("phone", "c1", START + HOUR, account="A11"))
    with ledger.reading() as r:
        (ticket,) = r.tickets()
    desk = TicketDesk(ledger, network, clock)
    chief = Actor("赵值班", "operator")
    desk.close(ticket.id, chief, ticket.version, "confirmed_fault", "weather")

    soon = headline(ledger, network, START + 20 * HOUR)

    assert soon is not None
    assert (soon.contacts, soon.tickets) == (1, 1)
    assert headline(ledger, network, START + 26 * HOUR) is None


def test_a_customer_who_was_first_is_said_so() -> None:
    ledger, network = MemoryLedger(), town()
    counter = Counter(ledger, network, StandingClock(START))
    counter.report(Contact("phone", "c1", START, account="A11"))
    apply_events([raised("outage", T1, 10 * MINUTE)], ledger, network)

    told = headline(ledger, network, START + HOUR)

    assert told is not None
    assert told.known_before_s == -630
    assert "the first call came 10 min before it was known" in told.sentence


def test_an_incident_that_nobody_has_called_about_is_said_so() -> None:
    ledger, network = MemoryLedger(), town()
    apply_events([raised("outage", T1)], ledger, network)

    told = headline(ledger, network, START + HOUR)

    assert told is not None
    assert told.known_before_s is None
    assert "nobody has called yet." in told.sentence


def test_there_is_no_headline_without_an_incident_and_none_about_inspections() -> None:
    ledger, network = MemoryLedger(), town()
    assert headline(ledger, network, START) is None
    apply_events([raised("energy_loss", T1)], ledger, network)
    assert headline(ledger, network, START) is None


def test_the_bar_counts_what_waits_and_since_when() -> None:
    ledger, network = MemoryLedger(), town()
    empty = bar(ledger, START)
    apply_events([raised("outage", T1), raised("neutral_loose", T1, -9 * HOUR)], ledger, network)

    full = bar(ledger, START + HOUR)

    assert (empty.alerts_unseen, empty.oldest_unseen_s) == (0, None)
    assert (full.alerts_unseen, full.tickets_open, full.never_called) == (2, 2, 2)
    assert full.oldest_unseen_s == 10 * 3600 - 30


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (-5, "0 s", "0秒"),
        (59, "59 s", "59秒"),
        (60, "1 min", "1分钟"),
        (3600, "1 h 0 min", "1小时0分"),
        (90_000, "1 d 1 h", "1天1小时"),
    ],
)
def test_lengths_of_time_are_said_in_two_units_at_most(
    seconds: float, english: str, chinese: str
) -> None:
    assert (english, chinese) == span(seconds)
