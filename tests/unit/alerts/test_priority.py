"""Which ticket comes first: criterion by criterion, with its reason in words."""

from __future__ import annotations

from alerts.priority import prioritise
from alerts.service import due
from alerts.settings import DAY_US, HOUR_US, MINUTE_US
from grid.network import Customer

HOME = Customer("A1")
VENTILATOR = Customer("A2", flags=frozenset({"life_support"}))
HOSPITAL = Customer("A3", category="hospital")


def value(
    fault: str, severity: str, customers: list[Customer], horizon: float | None = None
) -> int:
    return prioritise(fault, severity, customers, horizon).value  # type: ignore[arg-type]


def test_each_criterion_decides_before_all_that_follow() -> None:
    ordered = [
        value("neutral_broken", "P1", [HOME]),  # danger
        value("outage", "P1", [VENTILATOR]),  # supply lost, life support
        value("outage", "P1", [HOSPITAL, *[HOME] * 300]),  # critical
        value("outage", "P1", [HOME] * 300),  # many
        value("outage", "P1", [HOME]),
        value("neutral_loose", "P2", [VENTILATOR] * 9, 1.0),  # early warning
        value("neutral_loose", "P2", [HOME], 12.0),
        value("neutral_loose", "P2", [HOME], 100.0),
        value("unbalance", "P3", [VENTILATOR] * 500),
        value("comms_failure", "P4", [VENTILATOR] * 500),
    ]

    assert sorted(ordered, reverse=True) == ordered
    assert len(set(ordered)) == len(ordered)


def test_the_reason_names_what_decided_in_both_languages() -> None:
    rank = prioritise("outage", "P1", [VENTILATOR, HOSPITAL, HOME])

    assert rank.reason == "supply lost; 1 on life support; 1 critical; 3 customers"
    assert rank.reason_zh == "已停电，生命支持客户1户，重要客户1户，影响3户"


def test_a_repair_is_due_when_the_crew_has_promised_to_arrive() -> None:
    assert due("repair", "P1", "urban", 0) == 45 * MINUTE_US
    assert due("repair", "P1", "remote", 0, level="regulation") == 240 * MINUTE_US
    assert due("repair", "P1", "somewhere", 0) == 45 * MINUTE_US


def test_preventive_work_is_due_in_half_of_the_time_that_is_left() -> None:
    assert due("preventive", "P2", "urban", 0, horizon_h=48) == 24 * HOUR_US
    assert due("preventive", "P2", "urban", 0, horizon_h=2) == 4 * HOUR_US
    assert due("preventive", "P2", "urban", 0, horizon_h=9999) == 7 * DAY_US
    assert due("preventive", "P2", "urban", 0) == 7 * DAY_US
