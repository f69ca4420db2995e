"""Storm mode: declared or seen; one edit gives a whole area its estimate."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import MissingDetail, WrongRole
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.settings import DeskSettings
from alerts.storm import StormDesk, storm
from alerts.tickets import TicketDesk
from desk.counter import Counter
from desk.estimates import suggest
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, raised, town

CHIEF, CLERK = Actor("赵值班", "dispatcher"), Actor("王芳", "clerk")


class Night:
    """Two areas out."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + 10 * MINUTE)
        places = (("transformer", "T1"), ("transformer", "T2"))
        apply_events(
            [raised("outage", p, n * MINUTE) for n, p in enumerate(places)], self.ledger, town()
        )
        self.desk = StormDesk(self.ledger, town(), self.clock)

    def storms(self, settings: DeskSettings | None = None) -> bool:
        with self.ledger.reading() as r:
            return storm(r, self.clock.now_us(), settings)


@pytest.fixture
def night() -> Night:
    return Night()


def test_a_person_declares_a_storm_with_its_end(night: Night) -> None:
    assert not night.storms()
    night.desk.declare(CHIEF, "台风过境", night.clock.us + 6 * HOUR)
    assert night.storms()

    night.clock.us += 7 * HOUR

    assert not night.storms()
    assert night.desk.state() is None


def test_a_storm_is_ended_by_a_person_too(night: Night) -> None:
    night.desk.declare(CHIEF, "台风过境", night.clock.us + 6 * HOUR)
    night.desk.end(CHIEF)

    assert not night.storms()


def test_many_lost_supplies_are_a_storm_by_themselves(night: Night) -> None:
    assert night.storms(DeskSettings(storm_incidents=2))
    assert not night.storms(DeskSettings(storm_incidents=3))


def test_a_storm_is_declared_by_those_who_may_with_a_near_end_and_a_reason(night: Night) -> None:
    with pytest.raises(WrongRole):
        night.desk.declare(CLERK, "x", night.clock.us + HOUR)
    with pytest.raises(MissingDetail):
        night.desk.declare(CHIEF, "x", night.clock.us + 9 * DAY)
    with pytest.raises(MissingDetail):
        night.desk.declare(CHIEF, " ", night.clock.us + HOUR)


def test_one_edit_gives_every_ticket_of_an_area_its_estimate(night: Night) -> None:
    start, end = night.clock.us + 2 * HOUR, night.clock.us + 4 * HOUR

    changed = night.desk.estimate_area(("feeder", "F1"), start, end, CHIEF, "抢修力量集中调配")

    assert [(t.asset, t.estimated_restoration_us, t.estimated_latest_us) for t in changed] == [
        ("T1", start, end),
        ("T2", start, end),
    ]
    answer = Counter(night.ledger, town(), night.clock).answer("A11")
    assert "预计10:10至12:10恢复供电" in answer.sentence_zh
    assert "between 10:10 and 12:10" in answer.sentence


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (3, 2)])
def test_an_estimate_begins_after_now_and_before_it_ends(
    night: Night, start: int, end: int
) -> None:
    now = night.clock.us
    with pytest.raises(MissingDetail):
        night.desk.estimate_area(("feeder", "F1"), now + start * HOUR, now + end * HOUR, CHIEF, "x")


def test_a_first_estimate_is_the_promise_until_there_is_a_past(night: Night) -> None:
    with night.ledger.reading() as r:
        ticket = next(t for t in r.tickets() if t.asset == "T1")

    found = suggest(night.ledger, town(), ticket, night.clock.us)

    assert found is not None
    assert found.basis == 0
    assert abs(found.from_us - (ticket.opened_us + 45 * MINUTE)) <= 5 * MINUTE
    assert abs(found.latest_us - (ticket.opened_us + 225 * MINUTE)) <= 5 * MINUTE


def test_a_first_estimate_is_the_middle_of_past_repairs() -> None:
    ledger, clock = MemoryLedger(), StandingClock()
    desk = TicketDesk(ledger, town(), clock)
    for n, minutes in enumerate((60, 70, 80, 90, 100)):
        apply_events([raised("outage", at=n * DAY)], ledger, town())
        with ledger.reading() as r:
            (ticket,) = r.tickets()
        for action, minute in (("dispatch", 5), ("arrive", 20), ("restore", minutes)):
            clock.us = ticket.opened_us + minute * MINUTE
            ticket = desk.perform(action, ticket.id, CHIEF, ticket.version)
        desk.close(ticket.id, CHIEF, ticket.version, "confirmed_fault", "weather")
    apply_events([raised("outage", at=9 * DAY)], ledger, town())
    with ledger.reading() as r:
        (ticket,) = r.tickets()

    found = suggest(ledger, town(), ticket, ticket.opened_us)

    assert found is not None
    assert found.basis == 5
    assert found.from_us - ticket.opened_us == pytest.approx(70 * MINUTE, abs=5 * MINUTE)
    assert found.latest_us - ticket.opened_us == pytest.approx(90 * MINUTE, abs=5 * MINUTE)


def test_in_a_storm_nothing_is_suggested(night: Night) -> None:
    night.desk.declare(CHIEF, "台风过境", night.clock.us + 6 * HOUR)
    with night.ledger.reading() as r:
        ticket = r.tickets()[0]

    assert suggest(night.ledger, town(), ticket, night.clock.us) is None
