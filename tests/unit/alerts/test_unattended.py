"""Tickets of a dataset, where nobody closes any."""

from collections.abc import Sequence

from alerts.lines import alert_lines
from alerts.memory import MemoryLedger
from alerts.unattended import UnattendedDesk
from grid.records import AlertEvent
from tests.unit.alerts.town import DAY, HOUR, after, raised, town

T1 = ("transformer", "T1")
U1 = ("usage_point", "T1-B1-1")


def tickets(*batches: Sequence[AlertEvent]) -> list[str]:
    """The faults that got a ticket, in order."""
    ledger = MemoryLedger()
    desk = UnattendedDesk(ledger, town())
    for events in batches:
        desk.take(events)
    return [line["fault"] for line in alert_lines(ledger) if line["ticket"]]


def test_supply_lost_days_after_it_came_back_is_another_ticket() -> None:
    outage = raised("outage", T1)
    back = after(outage, "cleared", HOUR)

    assert tickets([outage, back], [raised("phase_loss", T1, 5 * DAY)]) == ["outage", "phase_loss"]
    assert tickets([outage, back], [raised("phase_loss", T1, 20 * HOUR)]) == ["outage"]


def test_a_defect_that_comes_back_within_a_month_is_the_same() -> None:
    joint = raised("joint_resistance", U1)
    quiet = after(joint, "cleared", 2 * DAY)

    assert tickets([joint], [quiet], [raised("joint_resistance", U1, 25 * DAY)]) == [
        "joint_resistance"
    ]
    assert (
        tickets([joint], [quiet], [raised("joint_resistance", U1, 33 * DAY)])
        == ["joint_resistance"] * 2
    )


def test_a_joint_still_open_keeps_the_outage_it_ended_in() -> None:
    joint, outage = raised("joint_resistance", U1), raised("outage", U1, DAY)
    back = after(outage, "cleared", DAY + HOUR)

    again = raised("outage", U1, 4 * DAY)

    assert len(tickets([joint], [outage], [back], [again])) == 1


def test_what_outlasts_its_cause_stands_up() -> None:
    outage, low = raised("outage", T1), raised("under_voltage", U1, HOUR // 2)
    back = after(outage, "cleared", HOUR)

    later = raised("joint_resistance", ("usage_point", "T2-B1-1"), 6 * HOUR)

    assert tickets([outage, low, back]) == ["outage"]
    assert tickets([outage, low, back], [later]) == ["outage", "under_voltage", "joint_resistance"]
