"""Interruptions as customers had them; indices computed by hand; frequent outages."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from alerts.places import Places
from desk.counter import Counter
from desk.outages import (
    check_planned,
    frequency,
    frequent_customers,
    indices,
    interruptions,
    of_customers,
    read_interruptions,
)
from grid.network import PlannedWork
from grid.records import Alert, AlertEvent
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

T1, B1 = ("transformer", "T1"), ("branch", "T1-B1")
U1, T2 = ("usage_point", "T1-B1-1"), ("transformer", "T2")


def outage(place: tuple[str, str], start: int, end: int) -> list[AlertEvent]:
    first = raised("outage", place, start)
    return [first, after(first, "cleared", end)]


def ledger_of(*events: AlertEvent, planned: list[PlannedWork] | None = None) -> MemoryLedger:
    ledger = MemoryLedger()
    apply_events(events, ledger, town(planned or []))
    return ledger


def test_the_indices_equal_those_computed_by_hand() -> None:
    """12 customers, three events in the period.

    T1 (6 customers) dark for 60 min, of which branch B2's 3 customers only 20 min longer in their
    own alert (partial restoration): 3 x 60 + 3 x 80 = 420 customer-minutes, 6 sustained.
    T2 (6 customers) dark for 2 min: momentary, 6.
    T1-B1-1 (1 customer) dark for 30 min: 30 customer-minutes, 1 sustained.
    SAIDI = 450 / 12, SAIFI = 7 / 12, CAIDI = 450 / 7, MAIFI = 6 / 12.
    """
    ledger = ledger_of(
        *outage(T1, 0, 60 * MINUTE),
        *outage(("branch", "T1-B2"), 10 * MINUTE, 80 * MINUTE),
        *outage(T2, 5 * HOUR, 5 * HOUR + 2 * MINUTE),
        *outage(U1, 10 * HOUR, 10 * HOUR + 30 * MINUTE),
    )
    places = Places(town())
    found = read_interruptions(ledger, START, START + DAY)
    by_customer = of_customers(found, places, START + DAY)

    got = indices(by_customer, 12, START, START + DAY)

    assert got.saidi_min == pytest.approx(450 / 12)
    assert got.saifi == pytest.approx(7 / 12)
    assert got.caidi_min == pytest.approx(450 / 7)
    assert got.maifi == pytest.approx(6 / 12)
    assert got.customer_hours == pytest.approx(7.5)


def test_an_interruption_counts_where_it_begins_and_lasts_as_far_as_the_period() -> None:
    ledger = ledger_of(*outage(T1, -HOUR, HOUR))
    by_customer = of_customers(
        read_interruptions(ledger, START, START + DAY), Places(town()), START + DAY
    )

    before = indices(by_customer, 12, START - DAY, START)
    within = indices(by_customer, 12, START, START + DAY)

    assert (before.saifi, within.saifi) == (0.5, 0.0)
    assert (before.saidi_min, within.saidi_min) == (30.0, 30.0)


def test_one_that_lasts_counts_until_now() -> None:
    ledger = ledger_of(raised("outage", T1))
    by_customer = of_customers(
        read_interruptions(ledger, START, START + 2 * HOUR), Places(town()), START + 2 * HOUR
    )

    assert indices(by_customer, 6, START, START + 2 * HOUR).saidi_min == 120.0


def test_an_area_without_customers_has_no_indices() -> None:
    assert indices({}, 0, START, START + DAY).saidi_min == 0.0
    assert indices({}, 12, START, START + DAY).caidi_min is None


def test_planned_and_unplanned_are_counted_apart() -> None:
    work = PlannedWork("transformer", "T1", START, START + 4 * HOUR, "更换配变")
    ledger = ledger_of(*outage(T1, HOUR, 3 * HOUR), *outage(T2, HOUR, 2 * HOUR), planned=[work])
    found = read_interruptions(ledger, START, START + DAY)
    by_customer = of_customers(found, Places(town()), START + DAY)

    planned = indices(by_customer, 12, START, START + DAY, planned=True)
    other = indices(by_customer, 12, START, START + DAY, planned=False)

    assert (planned.saidi_min, other.saidi_min) == (60.0, 30.0)


def test_overlapping_alerts_are_one_interruption() -> None:
    events = [*outage(T1, 0, HOUR), *outage(U1, 30 * MINUTE, 2 * HOUR)]
    by_customer = of_customers(
        interruptions(_alerts(ledger_of(*events)), {}), Places(town()), START + DAY
    )

    assert [(START, START + 2 * HOUR)] == [span for span, _ in by_customer["A11"]]
    assert [(START, START + HOUR)] == [span for span, _ in by_customer["A12"]]


def _alerts(ledger: MemoryLedger) -> list[Alert]:
    with ledger.reading() as r:
        return r.alerts(limit=1000)


def test_at_the_limit_it_warns_and_beyond_it_is_frequent() -> None:
    spans = [((START + i * DAY, START + i * DAY + HOUR), False) for i in range(4)]
    now = START + 10 * DAY

    three = {f.rule.key: f.level for f in frequency(spans[:3], now)}
    four = {f.rule.key: f.level for f in frequency(spans, now)}

    assert three == {"60_days": "warning", "year": None, "planned": None}
    assert four == {"60_days": "exceeded", "year": None, "planned": None}


def test_what_is_momentary_or_long_ago_does_not_make_it_frequent() -> None:
    momentary = [((START + i * DAY, START + i * DAY + MINUTE), False) for i in range(9)]
    long_ago = [((START - 400 * DAY, START - 400 * DAY + HOUR), False)] * 9

    assert {f.level for f in frequency([*momentary, *long_ago], START + 10 * DAY)} == {None}


def _troubled() -> MemoryLedger:
    events = [e for i in range(4) for e in outage(U1, i * DAY, i * DAY + HOUR)]
    more = [e for i in range(3) for e in outage(T2, i * DAY, i * DAY + HOUR)]
    return ledger_of(*events, *more)


def test_the_daily_list_has_the_worst_first() -> None:
    rows = frequent_customers(_troubled(), Places(town()), START + 10 * DAY)

    assert rows[0][0] == "A11"
    assert [f.level for f in rows[0][1]] == ["exceeded"]
    assert [account for account, _ in rows[1:]] == [f"A{i}" for i in range(17, 23)]


def test_a_frequent_customer_is_marked_in_the_answer() -> None:
    counter = Counter(_troubled(), town(), StandingClock(START + 10 * DAY))

    assert [f.level for f in counter.answer("A11").frequent] == ["exceeded"]
    assert counter.answer("A12").frequent == ()


def test_announced_work_is_checked_before_it_is_approved() -> None:
    touched = check_planned(_troubled(), Places(town()), B1, START + 10 * DAY)

    assert [account for account, _ in touched] == ["A11"]
    assert check_planned(_troubled(), Places(town()), T2, START + 10 * DAY)[0][1][0].level == (
        "exceeded"
    )
