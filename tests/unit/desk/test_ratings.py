"""Customers' word after closing, and whether they had to come back."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import Conflict, MissingDetail, UnknownTicket
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.counter import Counter
from desk.ratings import RatingDesk
from desk.reports import report
from grid.records import Contact
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, raised, town

CUSTOMER = Actor("A11", "customer")


class Evening:
    """An outage at T1, reported by A11 and A12."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + HOUR)
        apply_events([raised("outage")], self.ledger, town())
        self.counter = Counter(self.ledger, town(), self.clock)
        self.desk = RatingDesk(self.ledger, town(), self.clock)
        self.call("A11", 10 * MINUTE)
        self.call("A12", 12 * MINUTE)

    def call(self, account: str, at: int) -> None:
        self.counter.report(Contact("phone", f"{account}-{at}", START + at, account=account))

    def close(self) -> None:
        with self.ledger.reading() as r:
            ticket = r.ticket(1)
        assert ticket is not None
        TicketDesk(self.ledger, town(), self.clock).close(
            1, Actor("赵", "operator"), ticket.version, "confirmed_fault", "weather"
        )


@pytest.fixture
def evening() -> Evening:
    return Evening()


def test_whoever_reported_it_rates_the_closed_ticket_and_may_think_again(evening: Evening) -> None:
    evening.close()
    assert [t.id for t in evening.desk.ratable("A11")] == [1]

    evening.desk.rate(1, "A11", 2, CUSTOMER, reason="slow")
    evening.desk.rate(1, "A11", 4, CUSTOMER, reason="informed", text="后来说清楚了")
    evening.desk.rate(1, "A12", 5, Actor("A12", "customer"))

    said = report(evening.ledger, town(), START, START + DAY).satisfaction
    assert (said.count, said.mean) == (2, 4.5)
    assert said.stars == {1: 0, 2: 0, 3: 0, 4: 1, 5: 1}
    assert said.reasons == {"informed": 1}


@pytest.mark.parametrize("stars", [0, 6, True])
def test_stars_are_one_to_five(evening: Evening, stars: int) -> None:
    evening.close()
    with pytest.raises(MissingDetail):
        evening.desk.rate(1, "A11", stars, CUSTOMER)


def test_an_open_ticket_and_somebody_elses_are_not_rated(evening: Evening) -> None:
    with pytest.raises(Conflict):
        evening.desk.rate(1, "A11", 5, CUSTOMER)
    evening.close()
    with pytest.raises(UnknownTicket):
        evening.desk.rate(1, "A16", 5, Actor("A16", "customer"))
    assert evening.desk.ratable("A16") == []


def test_who_calls_again_within_a_week_was_not_helped(evening: Evening) -> None:
    evening.close()
    evening.clock.us += 3 * DAY
    evening.call("A12", 3 * DAY)

    said = report(evening.ledger, town(), START, START + 9 * DAY).satisfaction

    assert (said.served, said.back, said.back_rate) == (2, 1, 0.5)
