"""The hand-over sheet: what the next shift must know, and nothing that is not theirs to see."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import MissingDetail, WrongRole
from alerts.handling import AlertDesk
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.silences import SilenceDesk
from alerts.tickets import TicketDesk
from desk.handover import HandOverDesk
from tests.unit.alerts.town import HOUR, START, StandingClock, raised, town

CHIEF, CLERK = Actor("赵值班", "operator"), Actor("李明", "clerk")
NEUTRAL = raised("neutral_loose")
THEFT = raised("energy_loss", ("transformer", "T2"))


class Shift:
    """A loose neutral with its ticket, and a matter for inspection."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + HOUR)
        apply_events([NEUTRAL, THEFT], self.ledger, town())
        self.desk = HandOverDesk(self.ledger, self.clock)
        self.alerts = AlertDesk(self.ledger, self.clock)


@pytest.fixture
def shift() -> Shift:
    return Shift()


def test_open_causes_stand_on_the_sheet_gravest_first(shift: Shift) -> None:
    causes = shift.desk.sheet("operator").causes

    assert causes[0].incident.fault == "neutral_loose"
    assert all(c.ticket is not None for c in causes)


def test_inspection_is_not_told_to_who_may_not_see_it(shift: Shift) -> None:
    faults = {c.incident.fault for c in shift.desk.sheet("clerk").causes}

    assert faults == {"neutral_loose"}


def test_what_was_seen_and_left_is_named_until_somebody_takes_it(shift: Shift) -> None:
    shift.alerts.acknowledge(NEUTRAL.alert_id, CHIEF, "等备件")
    idle = [a.ack_note for a in shift.desk.sheet("operator").seen_only]
    with shift.ledger.reading() as r:
        ticket = next(t for t in r.tickets() if t.fault == "neutral_loose")
    TicketDesk(shift.ledger, town(), shift.clock).dispatch(
        ticket.id, Actor("王", "dispatcher"), ticket.version
    )

    assert idle == ["等备件"]
    assert shift.desk.sheet("operator").seen_only == []


def test_promises_are_due_in_order_and_late_ones_say_so(shift: Shift) -> None:
    with shift.ledger.reading() as r:
        due = [t.due_us for t in r.tickets() if t.due_us is not None]
    shift.clock.us = max(due) + 1

    promises = shift.desk.sheet("operator").promises

    assert [p.at_us for p in promises] == sorted(due)
    assert all(p.late and not p.told for p in promises)


def test_shelves_and_silences_say_when_they_end(shift: Shift) -> None:
    shift.alerts.shelve(NEUTRAL.alert_id, CHIEF, shift.clock.us + 4 * HOUR, "等待备件")
    silences = SilenceDesk(shift.ledger, town(), shift.clock)
    silences.add("silence", ("transformer", "T1"), shift.clock.us + 2 * HOUR, "检修", CHIEF)

    sheet = shift.desk.sheet("operator")

    assert [a.shelved_until_us for a in sheet.shelved] == [shift.clock.us + 4 * HOUR]
    assert [s.reason for s in sheet.silences] == ["检修"]


def test_a_note_reaches_the_next_shift_and_not_the_one_after(shift: Shift) -> None:
    shift.desk.say(CHIEF, "T1 的钥匙在值班室")
    told = [n.data["text"] for n in shift.desk.sheet("operator").notes]
    shift.clock.us += 13 * HOUR

    assert told == ["T1 的钥匙在值班室"]
    assert shift.desk.sheet("operator").notes == []


def test_an_empty_note_and_a_clerks_note_are_refused(shift: Shift) -> None:
    with pytest.raises(MissingDetail):
        shift.desk.say(CHIEF, "  ")
    with pytest.raises(WrongRole):
        shift.desk.say(CLERK, "x")


def test_an_empty_town_has_nothing_to_hand_over() -> None:
    sheet = HandOverDesk(MemoryLedger(), StandingClock(START)).sheet("operator")

    assert sheet.quiet
