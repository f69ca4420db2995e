"""Findings become episodes: one raise, news only when there is some, one end."""

import json
import random
from dataclasses import replace

import pytest

from alerts.episodes import Book, alert_id
from alerts.settings import AlertSettings, Hold
from grid.errors import BadInput
from grid.records import AlertEvent, Finding
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, finding, town

SHORT = AlertSettings(holds={}, hold=Hold(raise_us=0, clear_us=HOUR))


def book(settings: AlertSettings = SHORT) -> Book:
    return Book(town(), settings)


def changes(events: list[AlertEvent]) -> list[str]:
    return [e.change for e in events]


def test_a_condition_that_lasts_is_raised_once() -> None:
    events = book().judge([finding(at=i * 15 * MINUTE) for i in range(40)])

    assert changes(events) == ["raised"]


def test_the_id_names_detector_fault_asset_and_tick_of_the_first_raise() -> None:
    event = book().judge([finding(at=HOUR)])[0]

    expected = alert_id("neutral_loose", "neutral_loose", "transformer", "T1", START + HOUR)
    assert event.alert_id == expected
    assert event.raised_us == START + HOUR


def test_a_score_between_clearing_level_and_limit_neither_raises_nor_ends() -> None:
    given = [finding(at=0, score=0.9), finding(at=HOUR), finding(at=2 * HOUR, score=0.9)]

    events = book().judge(given, START + 9 * DAY)

    assert changes(events) == ["raised"]


def test_an_episode_ends_when_the_condition_has_stayed_away_for_the_hold() -> None:
    b = book()
    b.judge([finding(at=0), finding(at=HOUR, score=0.1)])

    early = b.judge([], START + 2 * HOUR - 1)
    late = b.judge([], START + 2 * HOUR)

    assert early == []
    assert changes(late) == ["cleared"]
    assert late[0].finding.tick_us == START + 2 * HOUR
    assert b.open == 0


def test_a_condition_that_returns_within_the_hold_is_the_same_episode() -> None:
    given = [finding(at=0), finding(at=HOUR, score=0.1), finding(at=HOUR + 30 * MINUTE)]

    events = book().judge(given, START + 9 * DAY)

    assert changes(events) == ["raised"]


def test_a_condition_that_returns_after_the_hold_is_a_new_episode() -> None:
    given = [finding(at=0), finding(at=HOUR, score=0.1), finding(at=5 * HOUR)]

    events = book().judge(given)

    assert changes(events) == ["raised", "cleared", "raised"]
    assert events[0].alert_id == events[1].alert_id != events[2].alert_id


def test_supply_that_is_back_ends_an_outage_at_once() -> None:
    given = [finding("outage", at=0), finding("outage", at=MINUTE, score=0.0)]

    events = Book(town()).judge(given)

    assert changes(events) == ["raised", "cleared"]
    assert events[1].finding.severity == "P1"


def test_a_kind_with_a_raise_hold_is_raised_only_when_it_lasts() -> None:
    settings = AlertSettings(holds={}, hold=Hold(raise_us=HOUR, clear_us=0))
    blip = [finding(at=0), finding(at=15 * MINUTE, score=0.1)]
    lasting = [finding(at=2 * HOUR + i * 15 * MINUTE) for i in range(5)]

    events = book(settings).judge([*blip, *lasting])

    assert changes(events) == ["raised"]
    assert events[0].raised_us == START + 3 * HOUR


def test_a_higher_severity_is_news_at_once() -> None:
    given = [finding(at=0, severity="P2"), finding(at=15 * MINUTE, severity="P1")]

    assert changes(book().judge(given)) == ["raised", "worsened"]


def test_growth_is_news_only_when_it_is_large_and_not_more_often_than_set() -> None:
    scores = [1.0, 1.4, 1.6, 1.7, 1.8, 2.0]
    given = [finding(at=i * 30 * MINUTE, score=s) for i, s in enumerate(scores)]

    events = book().judge(given)

    assert changes(events) == ["raised", "updated"]
    assert events[1].finding.score == 1.6


def test_an_alert_that_comes_and_goes_is_marked_as_flapping_and_kept_as_one() -> None:
    given: list[Finding] = []
    for i in range(12):
        given += [finding(at=i * 3 * HOUR), finding(at=i * 3 * HOUR + HOUR, score=0.1)]

    events = book().judge(given, START + 5 * DAY)

    marked = [e for e in events if "flapping_since_us" in e.finding.evidence.numbers]
    assert changes(events).count("raised") == SHORT.flaps
    assert marked[0].finding.evidence.numbers["flapping_since_us"] == START
    assert changes(events)[-1] == "cleared"


@pytest.mark.parametrize("seed", range(5))
def test_any_slicing_and_a_restart_at_any_place_give_the_same_events(seed: int) -> None:
    """The result is a function of event time, never of batching."""
    rng = random.Random(seed)
    given = [
        finding(fault, asset, at=tick * 15 * MINUTE, score=rng.choice([0.1, 0.9, 1.1, 3.0]))
        for tick in range(300)
        for fault, asset in (
            ("neutral_loose", ("transformer", "T1")),
            ("outage", ("transformer", "T2")),
            ("under_voltage", ("usage_point", "T1-B1-1")),
        )
    ]
    end = START + 10 * DAY
    settings = AlertSettings(holds={}, hold=Hold(clear_us=20 * MINUTE), flap_quiet_us=HOUR)
    expected = book(settings).judge(given, end)

    sliced: list[AlertEvent] = []
    b = book(settings)
    at = 0
    while at < len(given):
        step = rng.randint(1, 40)
        sliced += b.judge(given[at : at + step], given[min(at + step, len(given)) - 1].tick_us - 1)
        at += step
        again = book(settings)
        again.restore(b.snapshot())
        b = again
    sliced += b.judge([], end)

    assert sliced == expected
    assert len(expected) > 20


def test_numbers_that_json_cannot_carry_do_not_stop_an_alert() -> None:
    f = finding(score=float("inf"))
    evidence = replace(f.evidence, numbers={"growth": float("nan"), "limit": 2.0})

    b = book()
    events = b.judge([replace(f, evidence=evidence)])
    json.loads(b.snapshot(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    assert events[0].finding.evidence.numbers == {"growth": None, "limit": 2.0}


def test_a_snapshot_of_another_format_is_refused_with_the_fix() -> None:
    with pytest.raises(BadInput, match="forewatt rebuild"):
        book().restore(b'{"format": 99}')


def test_an_unknown_fault_kind_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="gremlins"):
        book().judge([replace(finding(), fault="gremlins")])
