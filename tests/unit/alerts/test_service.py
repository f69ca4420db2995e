"""Service clocks: start at the first evidence, pause for customers, stop with the step."""

from __future__ import annotations

from typing import Any

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.service import ServiceClock, clocks
from alerts.tickets import TicketDesk
from grid.records import Ticket
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, raised, town

CHIEF = Actor("赵值班", "operator")
KNOWN = START + 30_000_000  # the alert's evidence had arrived


class Story:
    """An outage at T1 (urban) whose ticket is acted on at stated minutes."""

    def __init__(self, fault: str = "outage", area: str = "T1") -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START)
        self.desk = TicketDesk(self.ledger, town(), self.clock)
        self.area_class = "rural" if area == "T2" else "urban"
        apply_events([raised(fault, ("transformer", area))], self.ledger, town())

    def ticket(self) -> Ticket:
        with self.ledger.reading() as r:
            found = r.ticket(1)
        assert found is not None
        return found

    def at(self, minute: int, action: str, **details: Any) -> Story:
        self.clock.us = START + minute * MINUTE
        self.desk.perform(action, 1, CHIEF, self.ticket().version, **details)
        return self

    def clocks(self, minute: int) -> dict[str, ServiceClock]:
        now_us = START + minute * MINUTE
        with self.ledger.reading() as r:
            steps = r.steps(1)
        return {c.metric: c for c in clocks(self.ticket(), steps, self.area_class, now_us)}


def test_the_clocks_of_a_repair_start_at_the_first_evidence() -> None:
    found = Story().clocks(5)

    assert set(found) == {"dispatch", "arrive"}
    assert (found["arrive"].start_us, found["arrive"].due_us) == (KNOWN, KNOWN + 45 * MINUTE)
    assert not found["dispatch"].breached(START + 10 * MINUTE)
    assert found["dispatch"].breached(START + 11 * MINUTE)


def test_a_rural_area_has_more_time() -> None:
    assert Story(area="T2").clocks(0)["arrive"].due_us == KNOWN + 90 * MINUTE


def test_a_step_stops_its_clock_and_starts_the_next() -> None:
    story = Story().at(5, "dispatch").at(30, "arrive")
    found = story.clocks(60)

    assert found["dispatch"].met_us == START + 5 * MINUTE
    assert found["arrive"].met_us == START + 30 * MINUTE
    assert not found["arrive"].breached(START + 9 * HOUR)
    assert found["restore"].due_us == START + 30 * MINUTE + 180 * MINUTE
    assert found["restore"].met_us is None


def test_a_hold_that_the_customer_causes_pauses_and_ours_does_not() -> None:
    theirs = Story().at(5, "dispatch").at(10, "hold", reason="customer_absent")
    ours = Story().at(5, "dispatch").at(10, "hold", reason="material")

    assert theirs.clocks(40)["arrive"].due_us == KNOWN + 75 * MINUTE
    assert theirs.clocks(40)["arrive"].paused
    assert ours.clocks(40)["arrive"].due_us == KNOWN + 45 * MINUTE
    resumed = theirs.at(40, "resume").clocks(50)["arrive"]
    assert (resumed.paused, resumed.paused_us) == (False, 30 * MINUTE)


def test_the_share_used_counts_without_pauses() -> None:
    story = Story().at(5, "dispatch").at(10, "hold", reason="customer_absent").at(100, "resume")
    clock = story.clocks(110)["arrive"]

    assert round(clock.share(START + 110 * MINUTE), 2) == round((20 - 0.5) / 45, 2)
    assert clock.at_share(1.0) == clock.due_us


def test_preventive_work_has_one_clock_to_its_due_time() -> None:
    found = Story("neutral_loose").clocks(0)

    assert set(found) == {"complete"}
    assert found["complete"].due_us == KNOWN + 7 * DAY


def test_a_reopened_ticket_starts_again() -> None:
    story = Story().at(5, "close", verdict="confirmed_fault", cause_code="weather")
    found = story.at(500, "reopen", reason="又停了").clocks(501)

    assert found["arrive"].start_us == START + 500 * MINUTE
    assert found["arrive"].met_us is None


def test_when_supply_is_lost_the_clocks_of_a_repair_run_from_the_loss() -> None:
    story = Story("transformer_winding").at(5, "dispatch").at(6, "arrive")
    lost = raised("outage", ("transformer", "T1"), at=2 * DAY)

    apply_events([lost], story.ledger, town())

    found = story.clocks(2 * 24 * 60 + 60)
    assert found["restore"].start_us == KNOWN + 2 * DAY
    assert (found["dispatch"].met_us, found["arrive"].met_us) == (KNOWN + 2 * DAY,) * 2


def test_a_ticket_that_waits_for_a_call_has_a_day() -> None:
    story = Story()
    for minute, action in ((1, "dispatch"), (2, "arrive"), (3, "restore"), (4, "call_back")):
        story.at(minute, action)

    assert story.clocks(5)["call_back"].due_us == START + 4 * MINUTE + DAY


def test_what_is_cancelled_promises_nothing() -> None:
    assert Story().at(5, "cancel", reason="误报").clocks(6) == {}
