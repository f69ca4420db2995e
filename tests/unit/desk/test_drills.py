"""Drills: played into a realm of their own, worked like real ones, scored by what was true."""

from __future__ import annotations

import pytest

from alerts.errors import Conflict, MissingDetail, WrongRole
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.drill_script import SCENES, write_script
from desk.drills import DrillDesk, new_realm
from tests.unit.alerts.town import MINUTE, START, StandingClock, town

LEADER, CLERK = Actor("孙班长", "supervisor"), Actor("王芳", "clerk")
CHIEF = Actor("赵值班", "operator")


class Room:
    """A drill room."""

    def __init__(self, scene: str = "outage") -> None:
        self.ledger, self.clock = MemoryLedger("drill-1"), StandingClock(START)
        self.desk = DrillDesk(self.ledger, town(), self.clock)
        self.tickets = TicketDesk(self.ledger, town(), self.clock)
        self.desk.start(LEADER, scene, seed=3)

    def at(self, minute: float) -> int:
        self.clock.us = START + int(minute * MINUTE)
        return self.desk.advance()

    def act(self, action: str, actor: Actor = CHIEF, **details: object) -> None:
        with self.ledger.reading() as r:
            (ticket,) = r.tickets()
        self.tickets.perform(action, ticket.id, actor, ticket.version, **details)


@pytest.mark.parametrize("scene", SCENES)
def test_a_script_is_the_same_for_the_same_seed(scene: str) -> None:
    one = write_script(town(), scene, 7, START)  # type: ignore[arg-type]

    assert one == write_script(town(), scene, 7, START)  # type: ignore[arg-type]
    assert one.truths
    assert one.events


def test_a_drill_unfolds_with_the_clock_and_nothing_happens_twice() -> None:
    room = Room()
    assert room.at(0.5) == 0

    first = room.at(2)
    room.at(60)

    assert first == 1
    assert room.at(60) == 0
    with room.ledger.reading() as r:
        assert len(r.tickets()) == 1
        assert len(r.contacts()) == 5


def test_quick_and_right_work_earns_everything() -> None:
    room = Room()
    room.at(3)
    room.act("take", CLERK)
    room.at(8)
    room.act("dispatch")
    room.at(60)
    room.act("arrive")
    room.act("restore")
    room.act("close", verdict="confirmed_fault", cause_code="weather")

    score = room.desk.end(LEADER)

    (fault,) = score.faults
    assert (score.points, fault.found, fault.verdict_right) == (100, 0, True)
    assert (score.duplicates, score.calls, score.attached) == (0, 5, 5)
    assert fault.actors == ("王芳", "赵值班")


def test_a_wrong_verdict_and_late_work_cost_points() -> None:
    room = Room()
    room.at(40)
    room.act("take", CLERK)
    room.act("close", verdict="no_fault", cause_code="unknown")

    (fault,) = room.desk.score().faults

    assert fault.verdict_right is False
    assert fault.points == 25 + 15


def test_a_false_alarm_is_worked_well_by_sending_nobody() -> None:
    room = Room("false_alarm")
    room.at(4)
    room.act("take", CLERK)
    room.act("close", verdict="no_fault", cause_code="unknown")

    assert room.desk.score().points == 100


def test_a_drill_nobody_works_earns_only_what_the_machine_located() -> None:
    room = Room("storm")
    room.at(120)

    score = room.desk.score()

    assert len(score.faults) == 2  # the town has two areas
    assert all(f.points <= 25 for f in score.faults)


def test_what_was_true_is_told_after_the_end() -> None:
    room = Room()
    with pytest.raises(Conflict):
        room.desk.truths()

    room.desk.end(LEADER)

    assert room.desk.truths()[0].fault == "outage"
    assert room.at(500) == 0


def test_a_realm_plays_one_drill_led_by_those_who_may() -> None:
    room = Room()
    with pytest.raises(Conflict):
        room.desk.start(LEADER, "joint")
    other = DrillDesk(MemoryLedger("drill-2"), town(), StandingClock())
    with pytest.raises(WrongRole):
        other.start(CLERK, "joint")
    with pytest.raises(MissingDetail):
        other.start(LEADER, "flood")


def test_the_live_realm_is_never_drilled() -> None:
    with pytest.raises(MissingDetail):
        DrillDesk(MemoryLedger("live"), town(), StandingClock())


def test_a_realm_name_is_safe_and_free() -> None:
    assert new_realm("2026 夏季/演练", ["drill-2026"]) == "drill-2026-2"
    assert new_realm("'; DROP", []) == "drill-drop"
