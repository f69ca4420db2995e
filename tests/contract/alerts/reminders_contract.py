"""Reminders, on every ledger: each rung once, only for tickets that still wait."""

from __future__ import annotations

from alerts.apply import apply_events
from alerts.ledger import Ledger
from alerts.reminders import remind
from alerts.roles import Actor
from alerts.settings import DeskSettings
from alerts.tickets import TicketDesk
from grid.network import Feeder, Network, Transformer
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, raised, town

CHIEF = Actor("赵值班", "operator")


def told(ledger: Ledger, minute: int) -> list[tuple[str, int]]:
    reminders = remind(ledger, town(), START + minute * MINUTE)
    return sorted((r.metric, r.rung) for r in reminders)


STORM_INCIDENTS = DeskSettings().storm_incidents


class RemindersContract:
    """Subclasses give a `ledger` fixture."""

    def test_each_rung_is_told_once_and_in_its_time(self, ledger: Ledger) -> None:
        apply_events([raised("outage", ("transformer", "T1"))], ledger, town())

        assert told(ledger, 5) == []
        assert told(ledger, 6) == [("dispatch", 50)]
        assert told(ledger, 6) == []
        assert told(ledger, 9) == [("dispatch", 80)]
        assert told(ledger, 11) == [("dispatch", 100)]
        assert told(ledger, 24) == [("arrive", 50), ("dispatch", 150)]

    def test_after_a_long_silence_only_the_highest_rung_is_told(self, ledger: Ledger) -> None:
        apply_events([raised("outage", ("transformer", "T1"))], ledger, town())

        assert told(ledger, 600) == [("arrive", 150), ("dispatch", 150)]
        assert told(ledger, 601) == []

    def test_a_step_that_was_made_is_not_asked_for(self, ledger: Ledger) -> None:
        apply_events([raised("outage", ("transformer", "T1"))], ledger, town())
        with ledger.reading() as r:
            (ticket,) = r.tickets()
        desk = TicketDesk(ledger, town(), StandingClock(START + 4 * MINUTE))
        desk.dispatch(ticket.id, CHIEF, ticket.version)

        assert told(ledger, 30) == [("arrive", 50)]

    def test_nobody_is_reminded_of_what_is_done_or_paused(self, ledger: Ledger) -> None:
        events = [raised("outage", ("transformer", t)) for t in ("T1", "T2")]
        apply_events(events, ledger, town())
        with ledger.reading() as r:
            one, two = r.tickets()
        desk = TicketDesk(ledger, town(), StandingClock(START + MINUTE))
        desk.close(one.id, CHIEF, one.version, "confirmed_fault", "weather")
        desk.hold(two.id, CHIEF, two.version, "customer_absent")

        assert told(ledger, 999) == []

    def test_a_reminder_names_whom_it_is_for_and_goes_to_the_stream(self, ledger: Ledger) -> None:
        apply_events([raised("outage", ("transformer", "T1"))], ledger, town())
        (first,) = remind(ledger, town(), START + 6 * MINUTE)
        with ledger.reading() as r:
            last = r.outbox(r.outbox_head() - 1)[0]

        assert first.to == ("owner",)
        assert (last.topic, last.data["kind"], last.data["rung"]) == ("notice", "reminder", 50)
        assert "还剩4分钟" in first.text_zh

    def test_in_a_storm_only_broken_promises_are_told(self, ledger: Ledger) -> None:
        areas = [f"S{i}" for i in range(STORM_INCIDENTS)]
        network = Network(
            feeders=tuple(Feeder(f"F{a}") for a in areas),
            transformers=tuple(Transformer(a, f"F{a}") for a in areas),
        )
        apply_events([raised("outage", ("transformer", a)) for a in areas], ledger, network)

        assert remind(ledger, network, START + 9 * MINUTE) == []
        assert len(remind(ledger, network, START + 12 * MINUTE)) == STORM_INCIDENTS
        assert len(remind(ledger, network, START + 2 * HOUR)) == 2 * STORM_INCIDENTS
