"""Silences and announced work, on every ledger."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.apply import apply_events
from alerts.errors import MissingDetail, WrongRole
from alerts.ledger import Ledger
from alerts.roles import Actor
from alerts.settle import settle
from alerts.silences import SilenceDesk, UnknownSilence
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

CHIEF = Actor("赵值班", "operator")
T1, U1, T2 = ("transformer", "T1"), ("usage_point", "T1-B1-1"), ("transformer", "T2")


def kinds(ledger: Ledger) -> dict[str, list[str]]:
    with ledger.reading() as r:
        alerts = r.alerts(limit=100)
        mutes = r.mutes([a.id for a in alerts])
    return {a.asset: [m.kind for m in mutes.get(a.id, ())] for a in alerts}


def numbers(ledger: Ledger) -> list[str]:
    with ledger.reading() as r:
        return [t.asset for t in r.tickets()]


class SilencesContract:
    """Subclasses give a `ledger` fixture."""

    def test_a_silence_mutes_what_is_open_and_what_comes_and_opens_tickets_all_the_same(
        self, ledger: Ledger
    ) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START + HOUR))
        apply_events([raised("under_voltage", U1)], ledger, town())

        desk.add("silence", T1, START + DAY, "已知问题", CHIEF)
        late = [raised("hot_terminal", ("device", "M-T1-B2-1"), 2 * HOUR), raised("outage", T2)]
        apply_events(late, ledger, town())

        assert kinds(ledger) == {"T1-B1-1": ["silence"], "M-T1-B2-1": ["silence"], "T2": []}
        assert len(numbers(ledger)) == 3

    def test_a_silence_for_one_fault_leaves_the_others(self, ledger: Ledger) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        desk.add("silence", T1, START + DAY, "换表", CHIEF, fault="meter_health")

        other = raised("transformer_thermal", T1, HOUR)
        events = [raised("meter_health", ("device", "M-T1-B1-1"), HOUR), other]
        apply_events(events, ledger, town())

        assert kinds(ledger) == {"M-T1-B1-1": ["silence"], "T1": []}

    def test_announced_work_opens_no_ticket_until_it_is_outlasted(self, ledger: Ledger) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        desk.add("maintenance", T1, START + 4 * HOUR, "更换配变", CHIEF)
        apply_events([raised("outage", T1, HOUR)], ledger, town())

        before = numbers(ledger)
        settle(ledger, town(), START + 4 * HOUR)

        assert (before, numbers(ledger)) == ([], ["T1"])

    def test_ending_it_early_brings_back_what_lasts(self, ledger: Ledger) -> None:
        clock = StandingClock(START)
        desk = SilenceDesk(ledger, town(), clock)
        made = desk.add("maintenance", T1, START + 4 * HOUR, "更换配变", CHIEF)
        first = raised("outage", T1, HOUR)
        apply_events([first], ledger, town())
        clock.us = START + 2 * HOUR

        ended = desk.end(made.id, CHIEF)
        again = desk.end(made.id, CHIEF)
        settle(ledger, town(), clock.us)

        assert (ended.end_us, again.end_us) == (clock.us, clock.us)
        assert numbers(ledger) == ["T1"]
        assert desk.active() == []

    def test_what_happens_after_its_end_is_not_muted(self, ledger: Ledger) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        desk.add("maintenance", T1, START + HOUR, "短时工作", CHIEF)
        apply_events([raised("outage", T1, HOUR)], ledger, town())

        assert (kinds(ledger), numbers(ledger)) == ({"T1": []}, ["T1"])

    def test_what_begins_later_mutes_only_from_then(self, ledger: Ledger) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        desk.add("silence", T1, START + DAY, "later", CHIEF, start_us=START + HOUR)
        first = raised("outage", T1)
        apply_events([first, after(first, "updated", 2 * HOUR)], ledger, town())

        assert kinds(ledger) == {"T1": []}
        assert desk.active() == []

    def test_the_list_has_the_first_to_end_first(self, ledger: Ledger) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        for days in (3, 1, 2):
            desk.add("silence", T1, START + days * DAY, f"{days}", CHIEF)

        assert [s.reason for s in desk.active()] == ["1", "2", "3"]
        assert {s.owner for s in desk.active()} == {"赵值班"}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"asset": ("transformer", "T9")},
            {"end_us": START},
            {"end_us": START - MINUTE},
            {"end_us": START + 8 * DAY},
            {"reason": "  "},
            {"fault": "gremlins"},
        ],
    )
    def test_without_place_end_or_reason_it_is_refused(
        self, ledger: Ledger, wrong: dict[str, Any]
    ) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        given: dict[str, Any] = {"asset": T1, "end_us": START + DAY, "reason": "why", **wrong}

        with pytest.raises(MissingDetail):
            desk.add("silence", actor=CHIEF, **given)
        assert desk.active() == []

    def test_clerks_do_not_silence_and_an_unknown_one_is_named(self, ledger: Ledger) -> None:
        desk = SilenceDesk(ledger, town(), StandingClock(START))
        with pytest.raises(WrongRole):
            desk.add("silence", T1, START + DAY, "why", Actor("x", "clerk"))
        with pytest.raises(WrongRole):
            desk.end(1, Actor("x", "clerk"))
        with pytest.raises(UnknownSilence, match="987654"):
            desk.end(987654, CHIEF)
