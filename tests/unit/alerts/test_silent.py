"""Silence of data is a condition of its own, never an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from alerts.apply import apply_events
from alerts.keeper import keep
from alerts.memory import MemoryLedger
from grid.records import Condition
from tests.unit.alerts.town import HOUR, MINUTE, START, after, raised, town

METERS = ("M-T1-B1-1", "M-T1-B1-2")


class Heard:
    """When each meter was last heard, as the test sets it."""

    def __init__(self) -> None:
        self.at: dict[str, int] = {}

    def heard(self, devices: Sequence[str]) -> Mapping[str, int]:
        return {d: self.at[d] for d in devices if d in self.at}


class Story:
    """An alert of two meters."""

    def __init__(self, fault: str = "neutral_loose") -> None:
        self.ledger, self.heard = MemoryLedger(), Heard()
        self.event = raised(fault, devices=METERS)
        apply_events([self.event], self.ledger, town())

    def at(self, hours: float) -> Condition:
        keep(self.ledger, town(), START + int(hours * HOUR), heard=self.heard)
        with self.ledger.reading() as r:
            alert = r.alert(self.event.alert_id)
        assert alert is not None
        return alert.condition


def test_an_alert_of_which_nothing_is_heard_has_no_data_and_is_not_over() -> None:
    story = Story()
    story.heard.at = dict.fromkeys(METERS, START)

    assert story.at(1) == "active"
    assert story.at(3) == "no_data"
    with story.ledger.reading() as r:
        assert [t.state for t in r.tickets()] == ["assessing"]


def test_one_device_that_speaks_is_enough() -> None:
    story = Story()
    story.heard.at = {METERS[0]: START, METERS[1]: START + 3 * HOUR}

    assert story.at(3.5) == "active"


def test_it_is_active_again_when_it_is_heard_and_ends_only_by_its_detector() -> None:
    story = Story()
    story.heard.at = dict.fromkeys(METERS, START)
    assert story.at(3) == "no_data"
    story.heard.at[METERS[0]] = START + 4 * HOUR
    assert story.at(4) == "active"
    assert story.at(9) == "no_data"

    end = after(story.event, "cleared", 10 * HOUR, score=0.0)
    apply_events([end], story.ledger, town())

    assert story.at(20) == "cleared"


@pytest.mark.parametrize("fault", ["outage", "comms_failure"])
def test_what_silence_itself_means_stays_as_it_is(fault: str) -> None:
    story = Story(fault)
    story.heard.at = dict.fromkeys(METERS, START - MINUTE)

    assert story.at(9) == "active"


def test_a_device_that_was_never_stored_is_not_silent() -> None:
    assert Story().at(9) == "active"


def test_news_comes_to_the_stream_once() -> None:
    story = Story()
    story.heard.at = dict.fromkeys(METERS, START)
    story.at(3)
    with story.ledger.reading() as r:
        head = r.outbox_head()

    story.at(3.1)

    with story.ledger.reading() as r:
        told = [m.data["condition"] for m in r.outbox(0) if m.topic == "alert"]
        assert r.outbox_head() == head
    assert told[-1] == "no_data"
