"""What every ledger promises; run over the one in memory and the one in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.apply import apply_events, fold
from alerts.ledger import Ledger
from grid.records import Alert, Contact, Incident, Ticket
from storage.desk_records import HumanInput, Move, Mute, Step
from tests.unit.alerts.town import HOUR, MINUTE, START, after, raised, town

INCIDENT = Incident(0, "neutral", "neutral_loose", "transformer", "T1", "P2", START, START)
STEP = Step(0, 1, "open", None, "assessing", "system", "system", START, "why", {"a": [1, "二"]})
DAY = "20260301"


def some_alert(incident_id: int | None = None, at: int = 0) -> Alert:
    return replace(fold([raised(at=at)]), incident_id=incident_id)


def some_ticket(incident_id: int, episode: str = "e1") -> Ticket:
    return Ticket(
        0,
        "",
        incident_id,
        episode,
        "assessing",
        "preventive",
        "neutral_loose",
        "transformer",
        "T1",
        "P2",
        6,
        START,
    )


def some_contact(external_id: str = "call-1") -> Contact:
    return Contact("phone", external_id, START, account="A11", phone="13900000011", text="停电了")


class LedgerContract:
    """Subclasses give a `ledger` fixture."""

    def test_an_event_is_new_once(self, ledger: Ledger) -> None:
        event, other = raised(), raised(at=HOUR)
        with ledger.transaction() as tx:
            assert tx.new_events([event, event]) == [event]
        with ledger.transaction() as tx:
            assert tx.new_events([event, other]) == [other]
            assert tx.events(event.alert_id) == [event]

    def test_events_come_in_event_time_whatever_the_order_of_storing(self, ledger: Ledger) -> None:
        first = raised()
        end = after(first, "cleared", HOUR)
        worse = after(first, "worsened", MINUTE, severity="P1")
        with ledger.transaction() as tx:
            tx.new_events([end, worse, first])
        with ledger.reading() as r:
            assert r.events_of([first.alert_id]) == {first.alert_id: [first, worse, end]}

    def test_a_transaction_that_fails_leaves_nothing(self, ledger: Ledger) -> None:
        def interrupted() -> None:
            with ledger.transaction() as tx:
                tx.new_events([raised()])
                incident = tx.add_incident(INCIDENT)
                tx.add_ticket(some_ticket(incident.id), DAY, STEP)
                tx.publish("ticket", "1", START, {})
                raise RuntimeError("the power went")

        with pytest.raises(RuntimeError):
            interrupted()

        with ledger.transaction() as tx:
            assert tx.incidents() == []
            assert tx.tickets() == []
            assert tx.outbox(0) == []
            assert tx.new_events([raised()]) != []

    def test_records_come_back_as_they_went(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            incident = tx.add_incident(INCIDENT)
            alert = some_alert(incident.id)
            tx.put_alert(alert)
            ticket = tx.add_ticket(some_ticket(incident.id), DAY, STEP)
            assert ticket is not None
            contact, new = tx.add_contact(some_contact())
            move = Move(incident.id, START, "branch", "B1", "transformer", "T1", "higher")
            tx.add_move(move)
            mute = Mute(alert.id, "upstream", "7", START, None, "outage at T1")
            tx.put_mute(mute)
            given = tx.add_human_input(HumanInput("take", "ticket:1", "王", START, {"v": 1}))
        with ledger.reading() as r:
            assert r.incident(incident.id) == incident
            assert r.alert(alert.id) == alert
            assert r.alerts_of([incident.id]) == {incident.id: (alert,)}
            assert r.ticket(ticket.id) == ticket == r.ticket_numbered(f"{DAY}-0001")
            assert r.ticket_of_episode("e1") == ticket
            assert r.open_tickets([incident.id]) == {incident.id: ticket}
            assert r.incidents_by_id([incident.id, 0]) == {incident.id: incident}
            assert r.tickets_by_incident([incident.id, 0]) == {incident.id: ticket}
            assert r.merged_into(ticket.id) == []
            assert r.steps(ticket.id) == [replace(STEP, ticket_id=ticket.id)]
            assert new
            assert r.contacts() == [contact]
            assert r.moves(incident.id) == [move]
            assert r.mutes([alert.id, "none"]) == {alert.id: (mute,)}
            assert r.human_inputs(subject="ticket:1") == [given]

    def test_a_second_open_incident_of_a_class_at_an_asset_is_refused(self, ledger: Ledger) -> None:
        def twice() -> None:
            with ledger.transaction() as tx:
                tx.add_incident(INCIDENT)
                tx.add_incident(INCIDENT)

        with pytest.raises(Exception, match=r"(?i)unique|already"):
            twice()

    def test_an_asset_is_free_again_when_its_incident_is_closed(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            first = tx.add_incident(INCIDENT)
            tx.put_incident(replace(first, closed_us=START + HOUR))
            second = tx.add_incident(INCIDENT)
            assert [i.id for i in tx.incidents()] == [second.id]
            assert [i.id for i in tx.incidents(open_only=False)] == [first.id, second.id]

    def test_places_change_hands_within_one_transaction(self, ledger: Ledger) -> None:
        """Whatever order the rows are written in, no constraint is violated on the way."""
        with ledger.transaction() as tx:
            a, b, c = (tx.add_incident(replace(INCIDENT, asset=x)) for x in ("A", "B", "C"))
        with ledger.transaction() as tx:
            tx.put_incident(replace(tx.incidents()[2], closed_us=START))
            tx.put_incident(replace(b, asset="C"))
            tx.put_incident(replace(a, asset="B"))
            d = tx.add_incident(replace(INCIDENT, asset="A"))
            tx.put_incident(replace(d, asset="D", customers=9))
            e = tx.add_incident(replace(INCIDENT, asset="A"))
            tx.put_incident(replace(b, asset="C", closed_us=START))
            tx.put_incident(replace(c, asset="C", version=2))
        with ledger.reading() as r:
            rows = [(i.id, i.asset) for i in r.incidents()]
            assert rows == [(a.id, "B"), (c.id, "C"), (d.id, "D"), (e.id, "A")]
            assert [i.customers for i in r.incidents(assets=[("transformer", "D")])] == [9]

    def test_tickets_change_hands_within_one_transaction(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            incident = tx.add_incident(INCIDENT)
            old = tx.add_ticket(some_ticket(incident.id, "e1"), DAY, STEP)
            assert old is not None
            gone = replace(old, state="cancelled", closed_us=START)
            assert tx.change_ticket(gone, 1, replace(STEP, action="cancel"))
            new = tx.add_ticket(some_ticket(incident.id, "e2"), DAY, STEP)
            other = tx.add_incident(replace(INCIDENT, asset="B"))
            main = tx.add_ticket(some_ticket(other.id, "e3"), DAY, STEP)
            assert new is not None
            assert main is not None
            merged = replace(new, state="merged", merged_into=main.id, closed_us=START)
            into = tx.change_ticket(merged, 1, replace(STEP, action="merge"))
            assert into is not None
            assert tx.add_ticket(some_ticket(incident.id, "e1"), DAY, STEP) is None
            assert tx.tickets_of_episodes(["e1", "e2", "e9"]).keys() == {"e1", "e2"}
            back = replace(into, state="assessing", merged_into=None, closed_us=None)
            assert tx.change_ticket(back, 2, replace(STEP, action="unmerge"))
            assert [s.action for s in tx.steps(new.id)] == ["open", "merge", "unmerge"]
        with ledger.reading() as r:
            assert [t.number for t in r.tickets()] == [f"{DAY}-0002", f"{DAY}-0003"]
            assert r.open_tickets([incident.id])[incident.id].version == 3
            assert [s.version for s in r.steps(new.id)] == [1, 2, 3]

    def test_what_has_changed_since_is_told_once(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            first = tx.add_incident(INCIDENT)
            tx.put_incident(replace(tx.add_incident(replace(INCIDENT, asset="B")), closed_us=START))
        with ledger.transaction() as tx:
            seen, open_ = tx.incidents_since(0)
            assert [i.id for i in open_] == [first.id]
            second = tx.add_incident(replace(INCIDENT, asset="C"))
            tx.put_incident(replace(first, closed_us=START))
        with ledger.reading() as r:
            newest, changed = r.incidents_since(seen)
            assert {i.id: i.closed_us for i in changed} == {first.id: START, second.id: None}
            assert r.incidents_since(newest) == (newest, [])
            assert [i.id for i in r.incidents_since(newest + 9)[1]] == [second.id]

    def test_an_episode_opens_one_ticket_for_ever(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            incident = tx.add_incident(INCIDENT)
            ticket = tx.add_ticket(some_ticket(incident.id), DAY, STEP)
            assert ticket is not None
            done = replace(
                ticket, state="closed", verdict="no_fault", cause_code="unknown", closed_us=START
            )
            assert tx.change_ticket(done, 1, replace(STEP, to_state="closed"))
            assert tx.add_ticket(some_ticket(incident.id), DAY, STEP) is None
            other = tx.add_ticket(some_ticket(incident.id, "e2"), DAY, STEP)
            assert other is not None
            assert other.number == f"{DAY}-0002"

    def test_an_incident_has_one_open_ticket(self, ledger: Ledger) -> None:
        def twice() -> None:
            with ledger.transaction() as tx:
                incident = tx.add_incident(INCIDENT)
                tx.add_ticket(some_ticket(incident.id, "e1"), DAY, STEP)
                tx.add_ticket(some_ticket(incident.id, "e2"), DAY, STEP)

        with pytest.raises(Exception, match=r"(?i)unique|already"):
            twice()

    def test_a_change_on_an_old_version_is_refused(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            incident = tx.add_incident(INCIDENT)
            ticket = tx.add_ticket(some_ticket(incident.id), DAY, STEP)
            assert ticket is not None
            take = replace(STEP, action="take")
            taken = tx.change_ticket(replace(ticket, assignee="王"), 1, take)
            assert taken is not None
            assert taken.version == 2
            late = tx.change_ticket(replace(ticket, assignee="李"), 1, take)
            assert late is None
            assert [s.version for s in tx.steps(ticket.id)] == [1, 2]
            now = tx.ticket(ticket.id)
            assert now is not None
            assert now.assignee == "王"

    def test_the_queue_is_ordered_by_priority_then_due_then_age(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            for asset, priority, due in (("A", 1, 9), ("B", 5, 9), ("C", 5, 3), ("D", 1, None)):
                incident = tx.add_incident(replace(INCIDENT, asset=asset))
                ticket = replace(
                    some_ticket(incident.id, asset), asset=asset, priority=priority, due_us=due
                )
                tx.add_ticket(ticket, DAY, STEP)
            assert [t.asset for t in tx.tickets()] == ["C", "B", "A", "D"]
            assert [t.asset for t in tx.tickets(limit=2, offset=1)] == ["B", "A"]
            assert [t.asset for t in tx.tickets(assets=[("transformer", "B")])] == ["B"]
            assert tx.tickets(states=["closed"]) == []
            assert tx.tickets(without_work="preventive") == []

    def test_the_feed_is_newest_first_and_goes_on_where_it_stopped(self, ledger: Ledger) -> None:
        alerts = [some_alert(at=i * HOUR) for i in range(5)]
        with ledger.transaction() as tx:
            for alert in alerts:
                tx.put_alert(alert)
            first = tx.alerts(limit=2)
            rest = tx.alerts(limit=9, before=(first[-1].raised_us, first[-1].id))
        assert [*first, *rest] == alerts[::-1]

    def test_what_ended_unseen_stays_in_the_open_feed_until_its_incident_is_closed(
        self, ledger: Ledger
    ) -> None:
        with ledger.transaction() as tx:
            incident = tx.add_incident(INCIDENT)
            ended = replace(some_alert(incident.id), condition="cleared", cleared_us=START + HOUR)
            tx.put_alert(ended)
            assert tx.alerts(open_only=True) == [ended]
            assert tx.totals()["alerts_unseen"] == 1
            tx.put_incident(replace(incident, closed_us=START + HOUR))
            assert tx.alerts(open_only=True) == []
            assert tx.alerts() == [ended]

    def test_a_contact_is_known_by_channel_and_id(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            first, new = tx.add_contact(some_contact())
            again, new_again = tx.add_contact(replace(some_contact(), text="again"))
            assert (new, new_again) == (True, False)
            assert again == first

    def test_contacts_follow_their_incident(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            one = tx.add_incident(INCIDENT)
            two = tx.add_incident(replace(INCIDENT, asset="T2"))
            for i in range(3):
                tx.add_contact(replace(some_contact(f"c{i}"), incident_id=one.id))
            assert tx.attach_contacts(one.id, two.id, None) == 3
            assert tx.contacts(incident_id=one.id) == []
            assert len(tx.contacts(incident_id=two.id)) == 3

    def test_mutes_end_for_all_or_for_one(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            for alert in ("a", "b", "c"):
                tx.put_mute(Mute(alert, "upstream", "1", START))
                tx.put_mute(Mute(alert, "upstream", "1", START))
            assert tx.end_mutes(kind="upstream", ref="1", alert_id="b") == ["b"]
            assert tx.muted_by("upstream", "1") == ["a", "c"]
            assert tx.end_mutes(kind="upstream", ref="1") == ["a", "c"]
            assert tx.mutes(["a", "b", "c"]) == {}

    def test_the_outbox_numbers_what_was_committed(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            tx.publish("alert", "a", START, {"n": 1})
            tx.publish("ticket", "1", START, {"n": 2})
        with ledger.transaction() as tx:
            tx.publish("alert", "b", START, {"n": 3})
        with ledger.reading() as r:
            assert [m.data["n"] for m in r.outbox(0)] == [1, 2, 3]
            assert [m.key for m in r.outbox(r.outbox(0)[0].seq)] == ["1", "b"]
            assert r.outbox_head() == r.outbox(0)[-1].seq
            assert [m.key for m in r.outbox(0, limit=1)] == ["a"]

    def test_an_offset_is_saved_with_what_followed_from_it(self, ledger: Ledger) -> None:
        consumer = f"watch-{ledger.realm}"
        applied = apply_events([raised()], ledger, town(), advance=(consumer, "uuid-1", 42))

        with ledger.reading() as r:
            assert (r.offset(consumer, "uuid-1"), applied.new) == (42, 1)

    def test_totals_count_who_knew_first(self, ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            for asset, known, called in (("A", 1, 5), ("B", 5, 5), ("C", 1, None)):
                incident = tx.add_incident(
                    replace(INCIDENT, asset=asset, known_us=known, first_contact_us=called)
                )
                tx.add_ticket(some_ticket(incident.id, asset), DAY, STEP)
            totals = tx.totals()
        counted = (totals["known_first"], totals["called_first"], totals["never_called"])
        assert counted == (1, 1, 1)
        assert totals["tickets_open"] == 3
