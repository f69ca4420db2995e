"""A call on the wrong ticket is taken off: nothing is lost, both histories tell of it."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import Conflict, DeskError, MissingDetail, UnknownContact, WrongRole
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.counter import Counter
from desk.splitting import SplitDesk
from grid.records import Contact, Ticket
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, raised, town

CLERK = Actor("王芳", "clerk")
NOW = START + HOUR


class Evening:
    """T1 and T2 are dark; A11 and A12 of T1 have called."""

    def __init__(self) -> None:
        self.ledger, self.network, self.clock = MemoryLedger(), town(), StandingClock(NOW)
        events = [raised("outage", ("transformer", t)) for t in ("T1", "T2")]
        apply_events(events, self.ledger, self.network)
        self.counter = Counter(self.ledger, self.network, self.clock)
        for n, account in enumerate(("A11", "A12")):
            self.call(account, NOW + n * MINUTE)
        self.desk = SplitDesk(self.ledger, self.network, self.clock)
        self.first, self.second = self.tickets()

    def call(self, account: str, at_us: int) -> None:
        """Somebody rings."""
        contact = Contact("phone", f"call-{account}", at_us, account=account, text="没电")
        self.counter.report(contact, CLERK)

    def tickets(self) -> list[Ticket]:
        """All of them, by number."""
        with self.ledger.reading() as r:
            return sorted(r.tickets(), key=lambda t: t.number)

    def calls(self, ticket: Ticket) -> list[str | None]:
        """Who called about a ticket."""
        with self.ledger.reading() as r:
            return [c.account for c in r.contacts(incident_id=ticket.incident_id)]

    def id_of(self, account: str) -> int:
        """The id of their call."""
        with self.ledger.reading() as r:
            return next(c.id for c in r.contacts() if c.account == account)


@pytest.fixture
def evening() -> Evening:
    return Evening()


def test_a_call_moves_to_the_ticket_that_is_named_and_both_count_right(evening: Evening) -> None:
    evening.desk.split(
        evening.first.id, evening.id_of("A11"), CLERK, "lives elsewhere", evening.second.number
    )

    first, second = evening.tickets()
    assert (["A12"], ["A11"]) == (evening.calls(first), evening.calls(second))
    assert (1, 1) == (first.contacts, second.contacts)
    with evening.ledger.reading() as r:
        old, new = r.incident(first.incident_id), r.incident(second.incident_id)
    assert old is not None and (1, NOW + MINUTE) == (old.contacts, old.first_contact_us)
    assert new is not None and (1, NOW) == (new.contacts, new.first_contact_us)


def test_both_histories_tell_who_moved_it_and_why(evening: Evening) -> None:
    evening.desk.split(
        evening.first.id, evening.id_of("A11"), CLERK, "lives elsewhere", evening.second.number
    )

    with evening.ledger.reading() as r:
        off, on = r.steps(evening.first.id)[-1], r.steps(evening.second.id)[-1]
    assert ("call_off", "王芳") == (off.action, off.actor)
    assert f"lives elsewhere → {evening.second.number}" == off.reason
    assert ("call_on", f"lives elsewhere ← {evening.first.number}") == (on.action, on.reason)
    assert off.from_state == off.to_state == evening.first.state


def test_without_a_number_the_call_gets_a_ticket_of_its_own(evening: Evening) -> None:
    made = evening.desk.split(evening.first.id, evening.id_of("A12"), CLERK, "own breaker")

    assert 3 == len(evening.tickets())
    assert ("usage_point", "T1-B1-2", "received") == (made.asset_kind, made.asset, made.state)
    assert (["A12"], ["A11"]) == (evening.calls(made), evening.calls(evening.first))


def test_the_last_call_taken_off_leaves_a_ticket_that_nobody_called_about(
    evening: Evening,
) -> None:
    for account in ("A11", "A12"):
        evening.desk.split(
            evening.first.id, evening.id_of(account), CLERK, "wrong", evening.second.number
        )

    with evening.ledger.reading() as r:
        old = r.incident(evening.first.incident_id)
    assert old is not None and (0, None) == (old.contacts, old.first_contact_us)
    assert {"A11", "A12"} == set(evening.calls(evening.second))


def test_a_call_can_be_moved_back(evening: Evening) -> None:
    id_ = evening.id_of("A11")
    evening.desk.split(evening.first.id, id_, CLERK, "wrong", evening.second.number)

    evening.desk.split(evening.second.id, id_, CLERK, "was right", evening.first.number)

    assert {"A11", "A12"} == set(evening.calls(evening.first))
    assert 2 == evening.tickets()[0].contacts


def test_the_call_that_opened_a_ticket_stays_with_it(evening: Evening) -> None:
    made = evening.desk.split(evening.first.id, evening.id_of("A12"), CLERK, "own breaker")

    with pytest.raises(Conflict, match="merge or cancel"):
        evening.desk.split(made.id, evening.id_of("A12"), CLERK, "no", evening.second.number)


def test_what_cannot_be_changes_nothing(evening: Evening) -> None:
    done = TicketDesk(evening.ledger, evening.network, evening.clock)
    chief = Actor("赵", "dispatcher")
    second = evening.second
    done.close(second.id, chief, second.version, "confirmed_fault", "weather")
    id_, first = evening.id_of("A11"), evening.first
    tries = [
        (first.id, id_, CLERK, " ", "", MissingDetail),
        (first.id, id_, Actor("x", "engineer"), "why", "", WrongRole),
        (first.id, 999, CLERK, "why", "", UnknownContact),
        (second.id, id_, CLERK, "why", "", UnknownContact),
        (first.id, id_, CLERK, "why", second.number, Conflict),
        (first.id, id_, CLERK, "why", first.number, Conflict),
        (first.id, id_, CLERK, "why", "20000101-0001", DeskError),
    ]
    before = evening.tickets()

    for ticket, contact, actor, reason, number, error in tries:
        with pytest.raises(error):
            evening.desk.split(ticket, contact, actor, reason, number)

    assert before == evening.tickets()
    assert {"A11", "A12"} == set(evening.calls(first))
