"""Queues by department, hand-overs until they are taken up, tickets that stand still."""

from __future__ import annotations

import pytest

from alerts.errors import UnknownTicket
from alerts.roles import Actor
from desk.queues import queues, stuck
from desk.reports import note_versions
from tests.unit.alerts.town import MINUTE, START
from tests.unit.desk.test_reports import T1, T2, Month


def test_each_department_sees_what_it_has() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.fault("outage", T2, 0)
    month.at(5, "dispatch", 1)

    one, two = queues(month.ledger, START + 100 * MINUTE, "supervisor")

    assert (one.team, one.open, one.waiting, one.late) == ("crew-1", 1, 1, 1)
    assert (two.team, two.by_state) == ("crew-2", {"assessing": 1})
    assert two.oldest_min == pytest.approx(99.5)


def test_a_ticket_that_stands_still_is_named_with_who_could_move_it() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.fault("outage", T2, 0)
    month.at(5, "dispatch", 1)
    assert stuck(month.ledger, START + 10 * MINUTE, "supervisor") == []

    worst, other = stuck(month.ledger, START + 65 * MINUTE, "supervisor")

    assert (worst.ticket.asset, worst.who) == ("T2", "crew-2")
    assert (other.state_name[1], other.minutes, other.limit_min) == ("已派单", 60, 15)


def test_an_inspection_is_in_no_clerks_queue() -> None:
    month = Month()
    month.fault("energy_loss", T1, 0)

    assert queues(month.ledger, START, "clerk") == []
    assert len(queues(month.ledger, START + MINUTE, "supervisor")) == 1


def test_a_hand_over_lasts_until_the_other_side_takes_it_up() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.at(5, "dispatch", 1)
    month.at(12, "note", 1, text="请尽快")
    month.at(25, "assign", 1, crew="李师傅")
    month.fault("outage", T2, 0)
    month.at(30, "dispatch", 2)

    rows = {(h.team, h.action): h for h in month.report().hand_overs}

    assert rows["crew-1", "dispatch"].p50_min == 20
    assert (rows["crew-1", "assign"].count, rows["crew-1", "assign"].open) == (0, 1)
    assert (rows["crew-2", "dispatch"].open, rows["crew-2", "dispatch"].count) == (1, 0)


def test_verdicts_are_told_by_the_version_that_was_running() -> None:
    month = Month()
    assert note_versions(month.ledger, {"outage": 1}, START - MINUTE) == ["outage"]
    assert note_versions(month.ledger, {"outage": 1}, START) == []
    month.fault("outage", T1, 0)
    month.close(50, 1)
    note_versions(month.ledger, {"outage": 2}, START + 100 * MINUTE)
    month.fault("outage", T2, 200)
    month.close(300, 2, "no_fault")

    rows = [(d.detector, d.version, d.precision) for d in month.report().detectors]

    assert rows == [("outage", 1, 1.0), ("outage", 2, 0.0)]


def test_what_was_known_first_needed_no_call() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.close(50, 1)

    worth = month.report().avoided

    assert (worth.never_called, worth.before_first_call, worth.lead_p50_min) == (1, 0, None)


def test_a_crew_does_not_see_another_teams_ticket() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.at(5, "dispatch", 1)
    mine, other = Actor("李", "crew", "crew-1"), Actor("周", "crew", "crew-2")
    with month.ledger.reading() as r:
        ticket = r.ticket(1)
    assert ticket is not None

    with pytest.raises(UnknownTicket):
        month.desk.accept(1, other, ticket.version)

    assert month.desk.accept(1, mine, ticket.version).state == "accepted"
