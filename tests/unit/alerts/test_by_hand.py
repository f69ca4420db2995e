"""Whoever is on duty may open a ticket for what the machine only watches."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.by_hand import TicketByHand
from alerts.errors import Conflict, MissingDetail, UnknownAlert, WrongRole
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.settings import DeskSettings
from alerts.tickets import TicketDesk
from tests.unit.alerts.town import HOUR, START, StandingClock, after, raised, town

CHIEF = Actor("赵值班", "operator")
EVENT = raised("under_voltage")
WATCHED = DeskSettings(watch_only=frozenset({"under_voltage"}))


class Watched:
    """An alert that opens no ticket by itself."""

    def __init__(self, settings: DeskSettings = WATCHED) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + HOUR)
        apply_events([EVENT], self.ledger, town(), settings=settings)
        self.desk = TicketByHand(self.ledger, town(), self.clock)


def test_a_watched_alert_gets_a_ticket_of_its_cause() -> None:
    site = Watched()

    made = site.desk.open(EVENT.alert_id, CHIEF, "三户同时反映")

    with site.ledger.reading() as r:
        alert, steps = r.alert(EVENT.alert_id), r.steps(made.id)
    assert alert is not None
    assert (made.fault, made.incident_id, made.state) == (
        "under_voltage",
        alert.incident_id,
        "assessing",
    )
    assert alert.ticket
    assert (steps[0].action, steps[0].actor) == ("open", "赵值班")


def test_asking_twice_gives_the_same_ticket() -> None:
    site = Watched()

    assert site.desk.open(EVENT.alert_id, CHIEF) == site.desk.open(EVENT.alert_id, CHIEF)


def test_a_ticket_that_the_machine_has_opened_is_handed_out() -> None:
    site = Watched(DeskSettings())
    with site.ledger.reading() as r:
        there = r.tickets()[0]

    assert site.desk.open(EVENT.alert_id, CHIEF) == there


def test_a_closed_ticket_is_named_instead_of_a_second_one() -> None:
    site = Watched()
    first = site.desk.open(EVENT.alert_id, CHIEF)
    TicketDesk(site.ledger, town(), site.clock).cancel(first.id, CHIEF, first.version, "误报")

    with pytest.raises((Conflict, MissingDetail)):
        site.desk.open(EVENT.alert_id, CHIEF)


def test_what_has_ended_needs_no_ticket() -> None:
    site = Watched()
    apply_events([after(EVENT, "cleared", HOUR)], site.ledger, town(), settings=WATCHED)

    with pytest.raises(MissingDetail):
        site.desk.open(EVENT.alert_id, CHIEF)


def test_nobody_but_the_shift_opens_tickets_by_hand() -> None:
    site = Watched()

    with pytest.raises(WrongRole):
        site.desk.open(EVENT.alert_id, Actor("李明", "clerk"))
    with pytest.raises(UnknownAlert):
        site.desk.open("0" * 16, CHIEF)
