"""What follows from time alone, on every ledger: shelves, mutes and causes come to their end."""

from __future__ import annotations

from alerts.apply import apply_events
from alerts.handling import AlertDesk
from alerts.ledger import Ledger
from alerts.roles import Actor
from alerts.settle import GRACE_US, settle
from alerts.tickets import TicketDesk
from grid.network import Network, PlannedWork
from grid.records import AlertEvent, Ticket
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

T1, U1 = ("transformer", "T1"), ("usage_point", "T1-B1-1")
CHIEF = Actor("赵值班", "operator")
WORK = PlannedWork("transformer", "T1", START, START + 4 * HOUR, "更换配变")


def tickets(ledger: Ledger) -> list[Ticket]:
    with ledger.reading() as r:
        return r.tickets()


def feed(ledger: Ledger, *events: AlertEvent, network: Network | None = None) -> None:
    for event in events:
        apply_events([event], ledger, network or town())


class SettleContract:
    """Subclasses give a `ledger` fixture."""

    def test_nothing_is_due_when_nothing_waits(self, ledger: Ledger) -> None:
        feed(ledger, raised("outage", T1), raised("comms_failure", U1, MINUTE))

        assert settle(ledger, town(), START + 99 * DAY).woken == {}

    def test_a_shelf_ends_at_its_time(self, ledger: Ledger) -> None:
        event = raised("neutral_loose", T1)
        feed(ledger, event)
        AlertDesk(ledger, StandingClock(START)).shelve(event.alert_id, CHIEF, START + DAY, "later")

        early = settle(ledger, town(), START + DAY - 1)
        late = settle(ledger, town(), START + DAY)

        assert (early.woken, late.woken) == ({}, {"shelf": 1})
        with ledger.reading() as r:
            alert = r.alert(event.alert_id)
        assert alert is not None
        assert (alert.handling, alert.shelved_until_us) == ("new", None)
        assert settle(ledger, town(), START + 2 * DAY).woken == {}

    def test_a_condition_that_survives_announced_work_opens_its_ticket(
        self, ledger: Ledger
    ) -> None:
        network = town([WORK])
        feed(ledger, raised("outage", T1, HOUR), network=network)
        assert tickets(ledger) == []

        assert settle(ledger, network, WORK.explains_until_us - 1).woken == {}
        settled = settle(ledger, network, WORK.explains_until_us)

        (ticket,) = tickets(ledger)
        assert [t.id for t in settled.opened] == [ticket.id]
        with ledger.reading() as r:
            assert [s.action for s in r.steps(ticket.id)] == ["open", "survived"]
            assert [a.ticket for a in r.alerts()] == [True]
        assert settle(ledger, network, START + 5 * HOUR).woken == {}

    def test_a_condition_that_ended_within_announced_work_opens_none(self, ledger: Ledger) -> None:
        network = town([WORK])
        outage = raised("outage", T1, HOUR)
        feed(ledger, outage, after(outage, "cleared", 3 * HOUR), network=network)

        assert settle(ledger, network, START + 9 * HOUR).woken == {}
        assert tickets(ledger) == []

    def test_what_outlasts_the_cause_that_explained_it_gets_a_ticket(self, ledger: Ledger) -> None:
        outage = raised("outage", T1)
        feed(ledger, outage, raised("neutral_loose", U1, MINUTE))
        feed(ledger, after(outage, "cleared", 2 * HOUR))

        early = settle(ledger, town(), START + 2 * HOUR + GRACE_US - 1)
        late = settle(ledger, town(), START + 2 * HOUR + GRACE_US)

        assert (early.woken, late.woken) == ({}, {"left": 1})
        assert sorted(t.fault for t in tickets(ledger)) == ["neutral_loose", "outage"]
        with ledger.reading() as r:
            main = next(t for t in r.tickets() if t.fault == "outage")
            assert r.steps(main.id)[-1].action == "nested"
            assert r.muted_by("upstream", str(main.incident_id)) == []

    def test_what_is_still_silent_when_the_ticket_is_closed_stands_up(self, ledger: Ledger) -> None:
        feed(ledger, raised("outage", T1), raised("comms_failure", U1, MINUTE))
        clock = StandingClock(START + 3 * HOUR)
        (ticket,) = tickets(ledger)
        TicketDesk(ledger, town(), clock).close(
            ticket.id, CHIEF, ticket.version, "confirmed_fault", "weather"
        )

        settle(ledger, town(), START + 3 * HOUR + GRACE_US)

        assert [t.fault for t in tickets(ledger)] == ["comms_failure"]

    def test_a_part_that_stays_dark_after_restoration_is_a_nested_incident(
        self, ledger: Ledger
    ) -> None:
        outage = raised("outage", T1)
        feed(ledger, outage, raised("outage", U1, 90 * MINUTE))
        (main,) = tickets(ledger)
        feed(ledger, after(outage, "cleared", 2 * HOUR))

        settled = settle(ledger, town(), START + 2 * HOUR + GRACE_US)

        assert settled.woken == {"nested": 1}
        by_asset = {t.asset: t for t in tickets(ledger)}
        assert set(by_asset) == {"T1", "T1-B1-1"}
        assert by_asset["T1"].id == main.id
        assert by_asset["T1-B1-1"].customers == 1
        with ledger.reading() as r:
            actions = [s.action for s in r.steps(main.id)]
        assert actions[-2:] == ["nested", "condition_cleared"]
        assert settle(ledger, town(), START + 9 * HOUR).woken == {}

    def test_a_joint_that_has_burnt_off_holds_nothing_back(self, ledger: Ledger) -> None:
        """The branch is back; one of its customers is not, another's meter is silent."""
        b1, u2 = ("branch", "T1-B1"), ("usage_point", "T1-B1-2")
        outage = raised("outage", b1, HOUR)
        feed(ledger, raised("joint_resistance", b1), outage)
        feed(ledger, raised("outage", U1, HOUR), raised("comms_failure", u2, 70 * MINUTE))
        (main,) = tickets(ledger)
        assert (main.fault, main.asset) == ("outage", "T1-B1")
        feed(ledger, after(outage, "cleared", 2 * HOUR))

        settled = settle(ledger, town(), START + 2 * HOUR + GRACE_US)

        assert settled.woken == {"nested": 1}
        assert {t.asset: t.fault for t in tickets(ledger)} == {
            "T1-B1": "outage",
            "T1-B1-1": "outage",
        }
        late = settle(ledger, town(), START + 3 * HOUR + GRACE_US)
        assert late.woken == {"left": 1}
        assert {t.asset: t.fault for t in tickets(ledger)} == {
            "T1-B1": "outage",
            "T1-B1-1": "outage",
            "T1-B1-2": "comms_failure",
        }

    def test_a_new_outage_explains_again_what_an_old_one_had_let_go(self, ledger: Ledger) -> None:
        outage = raised("outage", T1)
        comms = raised("comms_failure", U1, MINUTE)
        feed(ledger, outage, comms, after(outage, "cleared", 2 * HOUR))
        settle(ledger, town(), START + 4 * HOUR)
        feed(ledger, after(comms, "cleared", 5 * HOUR))
        clock = StandingClock(START + 6 * HOUR)
        for ticket in tickets(ledger):
            TicketDesk(ledger, town(), clock).close(
                ticket.id, CHIEF, ticket.version, "confirmed_fault", "weather"
            )

        feed(ledger, raised("outage", T1, 9 * HOUR), raised("comms_failure", U1, 9 * HOUR + MINUTE))

        assert [t.fault for t in tickets(ledger)] == ["outage"]
