"""People see alerts, take that back, and put them aside with an end."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import MissingDetail, UnknownAlert, WrongRole
from alerts.handling import AlertDesk
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from tests.unit.alerts.town import DAY, HOUR, START, StandingClock, raised, town

CHIEF = Actor("赵值班", "operator")
EVENT = raised("neutral_loose")


@pytest.fixture
def desk() -> AlertDesk:
    ledger = MemoryLedger()
    apply_events([EVENT], ledger, town())
    return AlertDesk(ledger, StandingClock(START + HOUR))


def test_seeing_an_alert_keeps_who_when_and_why(desk: AlertDesk) -> None:
    seen = desk.acknowledge(EVENT.alert_id, CHIEF, "已通知台区经理")

    assert (seen.handling, seen.acked_by, seen.acked_at_us) == ("acked", "赵值班", START + HOUR)
    assert seen.ack_note == "已通知台区经理"
    assert seen.version == 2


def test_seeing_it_twice_keeps_the_first_name(desk: AlertDesk) -> None:
    desk.acknowledge(EVENT.alert_id, CHIEF)
    again = desk.acknowledge(EVENT.alert_id, Actor("李明", "clerk"))

    assert (again.acked_by, again.version) == ("赵值班", 2)


def test_what_was_seen_can_be_unseen(desk: AlertDesk) -> None:
    desk.acknowledge(EVENT.alert_id, CHIEF, "note")
    back = desk.unacknowledge(EVENT.alert_id, CHIEF)

    assert (back.handling, back.acked_by, back.ack_note) == ("new", None, "")


def test_a_shelf_has_an_end_and_a_reason(desk: AlertDesk) -> None:
    put = desk.shelve(EVENT.alert_id, CHIEF, START + DAY, "等待备件")

    assert (put.handling, put.shelved_until_us, put.ack_note) == (
        "shelved",
        START + DAY,
        "等待备件",
    )
    assert desk.unshelve(EVENT.alert_id, CHIEF).handling == "new"


@pytest.mark.parametrize("until", [START, START + HOUR, START + 9 * DAY])
def test_a_shelf_without_a_near_end_is_refused(desk: AlertDesk, until: int) -> None:
    with pytest.raises(MissingDetail):
        desk.shelve(EVENT.alert_id, CHIEF, until, "later")


def test_a_shelf_without_a_reason_is_refused(desk: AlertDesk) -> None:
    with pytest.raises(MissingDetail):
        desk.shelve(EVENT.alert_id, CHIEF, START + DAY, "  ")


def test_reading_along_is_not_handling(desk: AlertDesk) -> None:
    with pytest.raises(WrongRole):
        desk.acknowledge(EVENT.alert_id, Actor("x", "read_only"))
    with pytest.raises(WrongRole):
        desk.shelve(EVENT.alert_id, Actor("x", "clerk"), START + DAY, "later")


def test_an_unknown_alert_and_a_hidden_one_look_the_same(desk: AlertDesk) -> None:
    hidden = raised("energy_loss", ("transformer", "T2"))
    apply_events([hidden], desk.ledger, town())

    for alert_id in ("nothing", hidden.alert_id):
        with pytest.raises(UnknownAlert):
            desk.acknowledge(alert_id, Actor("x", "clerk"))


def test_handling_is_told_to_the_stream_and_kept_as_input(desk: AlertDesk) -> None:
    desk.acknowledge(EVENT.alert_id, CHIEF)

    with desk.ledger.reading() as r:
        last = r.outbox(r.outbox_head() - 1)[0]
        (given,) = r.human_inputs(subject=f"alert:{EVENT.alert_id}")
    assert (last.topic, last.data["handling"]) == ("alert", "acked")
    assert (given.kind, given.actor) == ("acknowledge", "赵值班")
