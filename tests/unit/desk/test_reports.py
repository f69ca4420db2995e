"""Bottlenecks, broken promises, repeated faults, trust in detectors; the notice of an outage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.outage_notice import outage_notice
from desk.reports import Report, report, to_csv
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

CHIEF = Actor("赵值班", "operator")
T1, T2 = ("transformer", "T1"), ("transformer", "T2")


class Month:
    """Tickets of a month, acted on at stated minutes."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START)
        self.desk = TicketDesk(self.ledger, town(), self.clock)

    def fault(self, kind: str, place: tuple[str, str], minute: int, minutes: int = 30) -> None:
        first = raised(kind, place, minute * MINUTE)
        apply_events([first], self.ledger, town())
        end = after(first, "cleared", (minute + minutes) * MINUTE)
        apply_events([end], self.ledger, town())

    def at(self, minute: int, action: str, id_: int, **details: Any) -> None:
        self.clock.us = START + minute * MINUTE
        with self.ledger.reading() as r:
            ticket = r.ticket(id_)
        assert ticket is not None
        self.desk.perform(action, id_, CHIEF, ticket.version, **details)

    def close(self, minute: int, id_: int, verdict: str = "confirmed_fault") -> None:
        cause = {"no_fault": "unknown", "duplicate": "duplicate"}.get(verdict, "weather")
        self.at(minute, "close", id_, verdict=verdict, cause_code=cause)

    def report(self, hidden: str | None = "inspection") -> Report:
        return report(self.ledger, town(), START, START + 30 * DAY, hidden_work=hidden)


def test_time_in_each_state_shows_where_tickets_wait() -> None:
    month = Month()
    for i, waited in enumerate((60, 120, 600)):
        month.fault("outage", T1, i * 2000)
        month.at(i * 2000 + waited, "dispatch", i + 1)
        month.close(i * 2000 + waited + 30, i + 1)

    rows = {(r.team, r.state): r for r in month.report().times}

    waiting = rows["crew-1", "assessing"]
    assert waiting.count == 3
    assert waiting.p50_h == pytest.approx(2.0 - 0.5 / 60)
    assert waiting.p90_h == pytest.approx(2.0 + 0.8 * 8 - 0.5 / 60)
    assert waiting.open_h == 0
    assert rows["crew-1", "dispatched"].p50_h == pytest.approx(0.5)


def test_a_ticket_that_still_waits_shows_how_long() -> None:
    month = Month()
    month.fault("outage", T1, 0)

    (row,) = month.report().times
    assert row.open_h == pytest.approx(30 * 24 - 0.5 / 60)


def test_a_broken_promise_comes_with_the_reason_that_was_noted() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.at(5, "dispatch", 1)
    month.at(65, "arrive", 1)
    month.at(70, "note", 1, text="道路积水，绕行")

    (breach,) = month.report().breaches[:1]
    assert (breach.metric, breach.reason) == ("restore", "")
    late = next(b for b in month.report().breaches if b.metric == "arrive")
    assert late.late_min == pytest.approx(19.5)
    assert late.reason == "道路积水，绕行"


def test_what_comes_back_at_one_place_is_named() -> None:
    month = Month()
    for i in range(3):
        month.fault("outage", T1, i * 2000)
        month.close(i * 2000 + 60, i + 1)
    month.fault("outage", T2, 0)

    (row,) = month.report().repeated
    assert (row.fault, row.asset, row.count) == ("outage", "T1", 3)


def test_verdicts_say_how_far_a_detector_can_be_trusted() -> None:
    month = Month()
    for i, verdict in enumerate(("confirmed_fault", "confirmed_fault", "no_fault", "duplicate")):
        month.fault("outage", T1, i * 2000)
        month.close(i * 2000 + 60, i + 1, verdict)
    month.fault("comms_failure", T2, 0)

    rows = {d.detector: d for d in month.report().detectors}
    assert set(rows) == {"outage"}
    assert (rows["outage"].true, rows["outage"].false) == (2, 1)
    assert rows["outage"].precision == pytest.approx(2 / 3)


def test_what_a_cause_explains_is_no_verdict_about_its_detector() -> None:
    month = Month()
    apply_events(
        [raised("outage", T1), raised("comms_failure", ("usage_point", "T1-B1-1"), MINUTE)],
        month.ledger,
        town(),
    )
    month.close(60, 1)

    assert [d.detector for d in month.report().detectors] == ["outage"]


def test_the_same_verdict_twice_counts_once() -> None:
    month = Month()
    month.fault("outage", T1, 0)
    month.close(60, 1)
    month.at(61, "reopen", 1, reason="again")
    month.close(62, 1)

    assert [(d.true, d.false) for d in month.report().detectors] == [(1, 0)]
    assert month.report().verdicts == {"confirmed_fault": 1}
    assert month.report().causes == {"weather": 1}


def test_inspections_are_left_out_unless_asked_for() -> None:
    month = Month()
    month.fault("energy_loss", T1, 0)

    assert (month.report().tickets, month.report(hidden=None).tickets) == (0, 1)


def test_an_empty_month_is_an_empty_report() -> None:
    empty = Month().report()

    assert (empty.tickets, empty.times, empty.breaches, empty.detectors) == (0, [], [], [])


@dataclass(frozen=True)
class Row:
    name: str
    value: float | None


def test_a_table_as_csv_cannot_run_in_a_spreadsheet() -> None:
    text = to_csv([Row("=cmd()", 1.5), Row("a,b", None), Row("-3", -2.0)])

    assert text == 'name,value\r\n\'=cmd(),1.500\r\n"a,b",\r\n-3,-2.000\r\n'
    assert to_csv([]) == ""


def test_the_notice_of_an_outage_has_what_its_office_asks_for() -> None:
    month = Month()
    apply_events([raised("outage", T1)], month.ledger, town())
    now = START + 2 * HOUR
    month.clock.us = now
    month.at(120, "estimate", 1, estimated_us=now + HOUR)

    chinese = outage_notice(month.ledger, town(), 1, now)
    english = outage_notice(month.ledger, town(), 1, now, language="en")

    assert chinese is not None
    assert english is not None
    assert chinese.splitlines() == [
        "工单：20260301-0001（停电）",
        "线路：城东线；开关：S1",
        "停电台区：中山路1号配变",
        "影响客户：6户，其中重要及敏感客户1户",
        "停电时间：08:00；停电时户数：12.0",
        "预计恢复供电：11:00",
        "答复口径：该停电我们已知悉并正在处理，无需重复报修。",
    ]
    assert english.isascii() is False  # names stay as they are
    assert len(english.splitlines()) == 7


def test_the_notice_of_an_outage_counts_what_was_merged_in_and_speaks_one_language() -> None:
    month = Month()
    plain = town()
    first, second = plain.transformers
    named = (replace(first, name="枫林街台区 / Fenglin Street"), second)
    network = replace(plain, transformers=named)
    apply_events([raised("outage", T1)], month.ledger, plain)
    apply_events([raised("outage", T2, 3 * HOUR)], month.ledger, plain)
    month.at(190, "merge", 2, target_number="20260301-0001")

    chinese = outage_notice(month.ledger, network, 1, START + 4 * HOUR)
    english = outage_notice(month.ledger, network, 1, START + 4 * HOUR, language="en")

    assert chinese is not None and english is not None
    assert "停电台区：枫林街台区、中山路2号配变" in chinese
    assert "影响客户：12户" in chinese and "停电时户数：29.9" in chinese  # 6 for 4 h, 6 since known
    assert "Areas: Fenglin Street, 中山路2号配变" in english


def test_there_is_no_outage_notice_for_what_is_no_outage() -> None:
    month = Month()
    month.fault("neutral_loose", T1, 0)

    assert outage_notice(month.ledger, town(), 1, START) is None
    assert outage_notice(month.ledger, town(), 99, START) is None
