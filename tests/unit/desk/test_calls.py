"""A call belongs to the clerk it was given to, else to the first who takes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.errors import Conflict, UnknownContact
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from desk.calls import RINGS_US, CallDesk, ringing
from grid.records import Contact
from tests.unit.alerts.town import MINUTE, START, StandingClock

LI, WANG = Actor("李柜员", "clerk"), Actor("王芳", "clerk")
CALL = Contact("phone", "c1", START, account="A11")


def desk(call: Contact = CALL) -> tuple[CallDesk, Contact]:
    ledger = MemoryLedger()
    with ledger.transaction() as tx:
        made, _ = tx.add_contact(call)
    return CallDesk(ledger, StandingClock(START)), made


def test_the_first_who_takes_a_call_has_it_and_the_next_is_told_who() -> None:
    calls, made = desk()

    taken = calls.take(made.id, LI)
    again = calls.take(made.id, LI)

    assert (taken.taken_by, again) == ("李柜员", taken)
    with pytest.raises(Conflict, match="李柜员 has taken this call") as refused:
        calls.take(made.id, WANG)
    assert refused.value.chinese == "该来电已由李柜员接听。"


def test_whoever_takes_a_call_is_told_to_the_stream_once() -> None:
    calls, made = desk()
    calls.take(made.id, LI)
    calls.take(made.id, LI)

    with calls.ledger.reading() as r:
        assert ["李柜员"] == [m.data["taken_by"] for m in r.outbox(0) if m.topic == "contact"]


def test_a_call_given_to_somebody_cannot_be_taken_and_an_unknown_one_is_named() -> None:
    calls, made = desk(replace(CALL, taken_by="王芳"))

    with pytest.raises(Conflict, match="王芳"):
        calls.take(made.id, LI)
    with pytest.raises(UnknownContact, match="77"):
        calls.take(77, LI)


def test_what_rings_is_a_recent_call_that_nobody_has_taken_the_longest_waiting_first() -> None:
    now = START + RINGS_US
    found = [
        replace(CALL, id=1, external_id="new", time_us=now),
        replace(CALL, id=2, external_id="first", time_us=now - MINUTE),
        replace(CALL, id=3, external_id="taken", taken_by="李柜员", time_us=now),
        replace(CALL, id=4, external_id="gone", time_us=now - RINGS_US - 1),
        replace(CALL, id=5, channel="web", external_id="web", time_us=now),
    ]

    assert ["first", "new"] == [c.external_id for c in ringing(found, now)]
