"""A call belongs to the clerk it was given to, else to the first who takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from alerts.errors import Conflict, UnknownContact
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from desk.calls import RINGS_S, CallDesk, ringing
from grid.clock import SimulatedClock
from grid.records import Contact
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock

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
    now, longest = START + HOUR, round(RINGS_S * 1e6)
    found = [
        replace(CALL, id=1, external_id="new", time_us=now),
        replace(CALL, id=2, external_id="first", time_us=now - MINUTE),
        replace(CALL, id=3, external_id="taken", taken_by="李柜员", time_us=now),
        replace(CALL, id=4, external_id="gone", time_us=now - longest - 1),
        replace(CALL, id=5, channel="web", external_id="web", time_us=now),
        replace(CALL, id=6, external_id="a clock that is wrong", time_us=now + DAY),
    ]

    assert ["first", "new"] == [c.external_id for c in ringing(found, StandingClock(now))]


@pytest.mark.parametrize(
    ("speed", "site_min", "rings"), [(60.0, 590, 1), (60.0, 610, 0), (1.0, 9, 1), (0.0, 9, 1)]
)
def test_a_call_rings_as_long_for_the_people_at_the_desks_however_fast_the_site_lives(
    speed: float, site_min: int, rings: int, tmp_path: Path
) -> None:
    clock = SimulatedClock.create(tmp_path / "clock.json", START + site_min * MINUTE, speed)

    assert rings == len(ringing([replace(CALL, id=1)], clock))


def test_only_a_telephone_call_is_taken() -> None:
    calls, made = desk(replace(CALL, channel="web"))

    with pytest.raises(UnknownContact):
        calls.take(made.id, LI)
