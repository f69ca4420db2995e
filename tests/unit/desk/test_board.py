"""What pages show: feed, queue, one alert, one ticket, each for a role."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.states import STATES
from alerts.tickets import TicketDesk
from desk.board import Board, TicketPage
from desk.counter import Counter
from grid.records import Contact
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

T1, T2 = ("transformer", "T1"), ("transformer", "T2")
CHIEF = Actor("赵值班", "operator")


class Desk:
    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + HOUR)
        self.network = town()
        self.first = raised("neutral_loose", T1)
        events = [
            self.first,
            raised("neutral_broken", T1, MINUTE),
            raised("over_voltage", ("usage_point", "T1-B1-1"), MINUTE),
            raised("energy_loss", T2, 2 * MINUTE),
        ]
        apply_events(events, self.ledger, self.network)
        self.board = Board(self.ledger, self.network)
        self.tickets = TicketDesk(self.ledger, self.network, self.clock)

    def page(self, id_: int = 1) -> TicketPage:
        page = self.board.ticket(id_, "operator")
        assert page is not None
        return page


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_feed_shows_cause_consequence_and_ticket(desk: Desk) -> None:
    rows = {r.alert.fault: r for r in desk.board.feed(role="operator")}

    assert len(rows) == 4
    assert rows["neutral_loose"].opens_ticket
    assert not rows["neutral_broken"].opens_ticket
    assert [m.kind for m in rows["over_voltage"].mutes] == ["upstream"]
    numbers = {f: r.ticket.number for f, r in rows.items() if r.ticket is not None}
    assert numbers["neutral_loose"] == numbers["neutral_broken"] == numbers["over_voltage"]


@pytest.mark.parametrize("role", ["clerk", "read_only", "customer"])
def test_inspections_are_absent_for_those_who_speak_with_customers(desk: Desk, role: str) -> None:
    feed = desk.board.feed(role=role)  # type: ignore[arg-type]
    queue = desk.board.tickets(role=role)  # type: ignore[arg-type]

    assert "energy_loss" not in {r.alert.fault for r in feed}
    assert [r.ticket.work for r in queue] == ["repair"]
    assert desk.board.ticket(2, role) is None  # type: ignore[arg-type]


def test_what_ended_before_anybody_saw_it_is_marked(desk: Desk) -> None:
    apply_events([after(desk.first, "cleared", HOUR)], desk.ledger, desk.network)

    row = next(r for r in desk.board.feed(role="operator") if r.alert.id == desk.first.alert_id)
    assert row.returned_unseen


def test_the_alert_page_names_its_area_its_like_and_whom_to_call_first(desk: Desk) -> None:
    page = desk.board.alert(desk.first.alert_id, "operator", "en")

    assert page is not None
    assert page.transformer is not None
    assert (page.transformer.id, page.customers) == ("T1", 6)
    assert {a.fault for a in page.beside.first} == {"neutral_broken", "over_voltage"}
    assert [c.account for c in page.call_first] == ["A11"]
    assert page.procedure.title == "Loose or broken neutral"
    assert [e.change for e in page.events] == ["raised"]


def test_an_alert_that_is_not_there_is_none(desk: Desk) -> None:
    assert desk.board.alert("nothing", "operator") is None


def test_the_queue_shows_the_most_urgent_first_and_what_is_late(desk: Desk) -> None:
    rows = desk.board.tickets(role="operator")

    assert [r.ticket.fault for r in rows] == ["neutral_broken", "energy_loss"]
    assert rows[0].state_name == ("to be assessed", "待研判")
    assert rows[0].overdue(START + HOUR)
    assert not rows[1].overdue(START + HOUR)
    assert not rows[0].overdue(START + MINUTE)


def test_the_ticket_page_tells_the_whole_story_in_order(desk: Desk) -> None:
    counter = Counter(desk.ledger, desk.network, desk.clock)
    counter.report(Contact("phone", "c1", START + 30 * MINUTE, account="A11", text="灯很亮"))
    version = desk.page().ticket.version
    desk.tickets.take(1, CHIEF, version)

    page = desk.page()
    assert [e.kind for e in page.timeline][-3:] == ["contact", "step", "step"]
    assert page.timeline[-1].actor == "赵值班"
    assert page.timeline == sorted(page.timeline, key=lambda e: e.at_us)
    assert [c.external_id for c in page.contacts] == ["c1"]
    assert "dispatch" in page.allowed
    assert page.ticket.number == "20260301-0001"
    by_number = desk.board.ticket_numbered("20260301-0001", "operator")
    assert by_number is not None
    assert by_number.ticket == page.ticket


def test_the_way_shows_done_now_and_next(desk: Desk) -> None:
    desk.tickets.dispatch(1, CHIEF, desk.page().ticket.version)

    way = [(s.state, s.when) for s in desk.page().route]
    assert way[:3] == [("assessing", "done"), ("dispatched", "now"), ("assigned", "next")]
    assert way[-1] == ("closed", "next")


def test_a_ticket_tells_since_when_the_readings_are_normal_again() -> None:
    """A crew must not drive out to a place that has had supply again for hours."""
    ledger, network = MemoryLedger(), town()
    lost = raised("outage", T1)
    apply_events([lost], ledger, network)
    board = Board(ledger, network)
    open_page = board.ticket(1, "operator")

    apply_events([after(lost, "cleared", 40 * MINUTE)], ledger, network)
    over_page = board.ticket(1, "operator")

    assert open_page is not None and open_page.over_us is None
    assert over_page is not None and over_page.over_us == START + 40 * MINUTE


def test_the_way_of_a_held_ticket_goes_on_after_the_hold(desk: Desk) -> None:
    desk.tickets.dispatch(1, CHIEF, desk.page().ticket.version)
    desk.tickets.hold(1, CHIEF, desk.page().ticket.version, "material")

    way = [(s.state, s.when) for s in desk.page().route]
    assert way[:4] == [
        ("assessing", "done"),
        ("dispatched", "done"),
        ("on_hold", "now"),
        ("assigned", "next"),
    ]


def test_the_way_of_a_closed_ticket_shows_only_where_it_has_been(desk: Desk) -> None:
    desk.tickets.close(1, CHIEF, desk.page().ticket.version, "confirmed_fault", "loose_connection")

    way = [(s.state, s.when) for s in desk.page().route]
    assert way == [("assessing", "done"), ("closed", "now")]


def test_main_and_sub_ticket_name_each_other(desk: Desk) -> None:
    apply_events([raised("outage", T2, DAY)], desk.ledger, desk.network)
    desk.tickets.merge(3, CHIEF, 1, "20260301-0001")

    assert [t.id for t in desk.page(1).merged] == [3]
    main = desk.page(3).main
    assert main is not None
    assert main.id == 1


def test_every_state_can_be_drawn(desk: Desk) -> None:
    from dataclasses import replace

    from desk.board import route

    for state in STATES:
        stops = route(replace(desk.page().ticket, state=state), [])
        assert [s.state for s in stops if s.when == "now"] == [state]
