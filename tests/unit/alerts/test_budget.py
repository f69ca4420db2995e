"""One knob: the day's tickets of a team, the rest a ranked watch list, hazards outside."""

import random
from dataclasses import replace
from itertools import pairwise

from alerts.apply import apply_events
from alerts.budget import BELOW_LIMIT, OVER_BUDGET, BudgetSettings
from alerts.episodes import Book
from alerts.memory import MemoryLedger
from alerts.settings import AlertSettings, Hold
from grid.records import NOT_ENOUGH, WATCH_LIST, AlertEvent, Finding
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, finding, town

ONE_A_DAY = BudgetSettings(tickets_a_day=1.0)
POINTS = [(f"T{t}-B{b}-{i}", t) for t in (1, 2) for b in (1, 2) for i in (1, 2, 3)]


def book(budget: BudgetSettings = ONE_A_DAY) -> Book:
    return Book(town(), AlertSettings(holds={}, hold=Hold(0, HOUR)), budget)


def held(events: list[AlertEvent]) -> list[object]:
    return [e.finding.evidence.numbers.get(WATCH_LIST) for e in events]


def trouble(fault: str, area: str = "T1", at: int = 0, **more: object) -> Finding:
    return finding(fault, ("transformer", area), at, **more)  # type: ignore[arg-type]


def test_what_is_over_the_days_budget_waits_on_the_watch_list() -> None:
    events = book().judge([trouble("unbalance"), trouble("under_voltage", at=HOUR)])

    assert held(events) == [None, OVER_BUDGET]


def test_each_team_has_its_own_budget() -> None:
    events = book().judge([trouble("unbalance", "T1"), trouble("unbalance", "T2")])

    assert held(events) == [None, None]


def test_a_hazard_stands_outside_the_budget() -> None:
    events = book().judge([trouble("unbalance"), trouble("neutral_broken", at=HOUR)])

    assert held(events) == [None, None]


def test_alerts_of_one_cause_cost_one_ticket() -> None:
    given = [trouble("over_voltage"), finding("over_voltage", ("branch", "T1-B1"), HOUR)]

    events = book().judge(given)

    assert held(events) == [None, None]


def test_the_next_day_takes_the_highest_score_of_those_that_wait() -> None:
    b = book()
    b.judge(
        [
            trouble("unbalance"),
            trouble("under_voltage", at=HOUR, score=1.3),
            trouble("insulation_leakage", at=HOUR, score=4.0),
        ]
    )

    events = b.judge([], START + DAY + HOUR)

    assert [(e.change, e.finding.fault, e.finding.tick_us) for e in events] == [
        ("updated", "insulation_leakage", START + DAY)
    ]
    assert held(events) == [None]


def test_less_than_one_ticket_a_day_saves_up() -> None:
    b = book(BudgetSettings(tickets_a_day=0.5))
    b.judge([trouble("unbalance"), trouble("under_voltage", at=HOUR)])

    first, second = b.judge([], START + DAY), b.judge([], START + 2 * DAY)

    assert ([], ["updated"]) == (first, [e.change for e in second])


def test_a_score_below_its_calibrated_limit_gets_its_ticket_when_it_has_grown() -> None:
    b = book(BudgetSettings(limits={("unbalance", "unbalance"): 2.0}))

    given = [trouble("unbalance", at=i * HOUR, score=s) for i, s in enumerate((1.2, 1.7, 2.1))]
    events = b.judge(given)

    assert [e.change for e in events] == ["raised", "updated"]
    assert held(events) == [BELOW_LIMIT, None]


def test_an_alert_on_the_watch_list_opens_no_ticket_until_it_is_let_in() -> None:
    b, ledger = book(), MemoryLedger()
    first = b.judge([trouble("unbalance"), trouble("under_voltage", at=HOUR)])
    apply_events(first, ledger, town())
    with ledger.reading() as reading:
        before = {t.fault for t in reading.tickets()}

    apply_events(b.judge([], START + DAY), ledger, town())

    with ledger.reading() as reading:
        after = {t.fault for t in reading.tickets()}
    assert ({"unbalance"}, {"unbalance", "under_voltage"}) == (before, after)


def test_slicing_and_restoring_change_nothing() -> None:
    """The same findings in any slices, and through a snapshot, give the same events."""
    rng = random.Random(7)
    faults = ("unbalance", "under_voltage", "insulation_leakage", "transformer_overload")
    ticks = sorted(rng.randrange(6 * 96) for _ in range(150))
    given = [
        finding(
            rng.choice(faults),
            ("usage_point", rng.choice(POINTS)[0]),
            tick * 15 * MINUTE,
            rng.uniform(0.2, 4.0),
        )
        for tick in ticks
    ]
    whole = book().judge(given, START + 9 * DAY)
    b, pieces = book(), []
    cuts = sorted({0, len(given), *(rng.randrange(len(given)) for _ in range(12))})

    for low, high in pairwise(cuts):
        pieces += b.judge(given[low:high])
        again = book()
        again.restore(b.snapshot())
        b = again
    pieces += b.judge([], START + 9 * DAY)

    assert whole == pieces
    assert OVER_BUDGET in held(whole)


def doubtful(f: Finding) -> Finding:
    return replace(f, evidence=replace(f.evidence, numbers={WATCH_LIST: NOT_ENOUGH}))


def test_what_a_detector_cannot_tell_waits_until_it_can() -> None:
    """Also where nothing else is held back; and a danger is told at once."""
    b = book(BudgetSettings())
    unsure = [doubtful(trouble("neutral_loose", at=h * HOUR)) for h in (0, 1)]
    danger = doubtful(trouble("neutral_broken", "T2", at=2 * HOUR))

    events = b.judge([*unsure, danger, trouble("neutral_loose", at=3 * HOUR)])

    assert [(e.change, e.finding.fault, h) for e, h in zip(events, held(events), strict=True)] == [
        ("raised", "neutral_loose", NOT_ENOUGH),
        ("raised", "neutral_broken", None),
        ("updated", "neutral_loose", None),
    ]


def test_what_a_detector_can_tell_at_last_waits_for_a_budget_by_its_own_score() -> None:
    b = book()
    doubted = [trouble("unbalance"), doubtful(trouble("neutral_loose", at=HOUR, score=9.0))]
    sure = trouble("neutral_loose", at=2 * HOUR, score=9.0)
    more = trouble("under_voltage", at=3 * HOUR, score=3.0)

    events = b.judge([*doubted, sure, more], START + DAY)

    assert [(e.finding.fault, h) for e, h in zip(events, held(events), strict=True)][1:] == [
        ("neutral_loose", NOT_ENOUGH),
        ("neutral_loose", OVER_BUDGET),
        ("under_voltage", OVER_BUDGET),
        ("neutral_loose", None),
    ]
