"""Notices to customers and to other systems, on every ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.announce import Receiver, announce
from alerts.apply import apply_events
from alerts.errors import Conflict, MissingDetail, WrongRole
from alerts.handling import AlertDesk
from alerts.ledger import Ledger
from alerts.notice_words import render
from alerts.notices import NoticeDesk, TextOvertaken, UnknownDraft, draft_notices
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.counter import Counter
from grid.records import AlertEvent, Contact
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

CHIEF = Actor("赵值班", "operator")
T1, U1 = ("transformer", "T1"), ("usage_point", "T1-B1-1")
T2 = ("transformer", "T2")
OUTAGE = raised("outage", T1)
NIGHT = 15 * 60  # minutes after START, which is at 08:00
OUTAGE_AT_NIGHT = raised("outage", T1, NIGHT * MINUTE)  # one of its customers is on life support
DARK_AT_NIGHT = raised("outage", ("transformer", "T2"), NIGHT * MINUTE)
OPS = Receiver("ops", "webhook:ops", severity="P2")


class Office:
    """An outage at T1 with what people do about it, at stated minutes."""

    def __init__(self, ledger: Ledger, outage: AlertEvent = OUTAGE) -> None:
        self.ledger, self.clock = ledger, StandingClock(START)
        self.tickets = TicketDesk(ledger, town(), self.clock)
        self.notices = NoticeDesk(ledger, town(), self.clock)
        self.feed(outage)

    def feed(self, *events: AlertEvent) -> None:
        apply_events(list(events), self.ledger, town())

    def at(self, minute: int, action: str, **details: object) -> None:
        self.clock.us = START + minute * MINUTE
        with self.ledger.reading() as r:
            ticket = next(t for t in r.tickets(states=None) if t.asset == "T1")
        self.tickets.perform(action, ticket.id, CHIEF, ticket.version, **details)

    def merge(self, part: tuple[str, str], main: tuple[str, str]) -> None:
        with self.ledger.reading() as r:
            tickets = {(t.asset_kind, t.asset): t for t in r.tickets(states=None)}
        self.tickets.merge(tickets[part].id, CHIEF, tickets[part].version, tickets[main].number)

    def drafted(self, minute: int) -> list[str]:
        self.clock.us = START + minute * MINUTE
        return [d.trigger for d in draft_notices(self.ledger, town(), self.clock.us)]

    def approve_all(self) -> dict[str, int]:
        return {d.trigger: self.notices.approve(d.id, CHIEF) for d in self.notices.drafts()}


class NoticesContract:
    """Subclasses give a `ledger` fixture."""

    # -- to customers ----------------------------------------------------------------------

    def test_each_trigger_is_drafted_once(self, ledger: Ledger) -> None:
        office = Office(ledger)

        assert office.drafted(1) == ["power_out"]
        assert office.drafted(2) == []
        office.at(5, "dispatch", estimated_us=START + 3 * HOUR)
        assert office.drafted(6) == ["inform_dispatched", "initial_etr"]
        office.at(30, "estimate", estimated_us=START + 3 * HOUR + 10 * MINUTE)
        assert office.drafted(31) == []
        office.approve_all()
        office.at(60, "estimate", estimated_us=START + 5 * HOUR)
        assert office.drafted(61) == ["etr_change"]

    def test_customers_hear_of_an_outage_that_a_known_defect_has_ended_in(
        self, ledger: Ledger
    ) -> None:
        winding = raised("transformer_winding", T1, at=-2 * DAY)
        apply_events([winding], ledger, town())
        clock = StandingClock(START - DAY)
        assert draft_notices(ledger, town(), clock.us) == []

        office = Office(ledger)

        assert office.drafted(1) == ["power_out"]
        (draft,) = office.notices.drafts()
        assert "since 01 Mar 08:00" in draft.text
        assert draft.recipients == 6

    def test_nothing_is_sent_before_somebody_has_read_it(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        (draft,) = office.notices.drafts()

        before = self.told(ledger, "power_out")
        shown, people = office.notices.preview(draft.id)
        count = office.notices.approve(draft.id, CHIEF, text_zh="中山路停电，正在抢修。")

        assert (before, count, len(people), shown.recipients) == (set(), 6, 6, 6)
        assert len(self.told(ledger, "power_out")) == 6
        with ledger.reading() as r:
            kept = r.draft(draft.id)
        assert kept is not None
        assert (kept.state, kept.decided_by, kept.text_zh) == (
            "approved",
            "赵值班",
            "中山路停电，正在抢修。",
        )

    @staticmethod
    def told(ledger: Ledger, trigger: str) -> set[str]:
        with ledger.reading() as r:
            incidents = r.incidents(open_only=False, incident_class="supply")
            return set().union(*(r.told(f"incident:{i.id}", trigger) for i in incidents))

    def test_the_text_names_place_and_time_in_both_languages(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        (draft,) = office.notices.drafts()

        assert draft.text_zh.startswith("中山路1号自3月1日08:00起停电")
        assert "since 01 Mar 08:00" in draft.text

    def test_what_a_customer_was_told_is_found_by_the_customer(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        (draft,) = office.notices.drafts()
        office.notices.approve(draft.id, CHIEF)

        with ledger.reading() as r:
            (told,) = r.notices_to("account:A11")
            assert r.notices_to("account:nobody") == []
        assert (told.trigger, told.text) == ("power_out", draft.text_zh)
        assert told.state in ("waiting", "withheld")

    def test_a_decision_is_made_once(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        (draft,) = office.notices.drafts()
        office.notices.withdraw(draft.id, CHIEF)

        with pytest.raises(Conflict, match="赵值班"):
            office.notices.approve(draft.id, CHIEF)
        assert self.told(ledger, "power_out") == set()

    def test_clerks_do_not_send_and_an_unknown_draft_is_named(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        (draft,) = office.notices.drafts()

        with pytest.raises(WrongRole):
            office.notices.approve(draft.id, Actor("x", "clerk"))
        with pytest.raises(UnknownDraft, match="987654"):
            office.notices.preview(987654)

    def test_whoever_was_told_of_the_beginning_is_told_of_the_end(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        office.approve_all()
        for minute, action in ((2, "dispatch"), (3, "arrive"), (4, "restore")):
            office.at(minute, action)
        office.feed(after(OUTAGE, "cleared", 60 * MINUTE))

        assert office.drafted(61) == ["power_restored"]
        assert office.approve_all() == {"power_restored": 6}

    def test_nobody_is_told_of_an_end_whose_beginning_was_not_told(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        for minute, action in ((2, "dispatch"), (3, "arrive"), (4, "restore"), (5, "verify")):
            office.at(minute, action)

        assert office.drafted(6) == []
        assert office.notices.drafts() == []  # the one nobody had decided on was withdrawn

    # -- what has been overtaken -------------------------------------------------------------

    def test_a_text_about_an_outage_is_not_sent_once_the_readings_are_normal(
        self, ledger: Ledger
    ) -> None:
        """The crew has not reported anything: the meters alone tell that supply is back."""
        office = Office(ledger)
        office.drafted(1)
        (draft,) = office.notices.drafts()
        office.feed(after(OUTAGE, "cleared", 60 * MINUTE))
        office.clock.us = START + 70 * MINUTE
        waiting = office.notices.changed([draft])

        with pytest.raises(TextOvertaken, match="nothing was sent") as refused:
            office.notices.approve(draft.id, CHIEF, text="Power is out.")

        assert "09:00起已恢复供电" in refused.value.chinese
        assert "has been back since 09:00" in waiting[draft.id].text
        assert refused.value.offered == ()  # nobody has been told of the beginning
        assert self.told(ledger, "power_out") == set()
        with ledger.reading() as r:
            (gone,) = r.drafts(open_only=False)
        assert (gone.state, gone.decided_by) == ("withdrawn", "system")
        ((why, why_zh),) = office.notices.reasons([gone]).values()
        assert "09:00" in why and "09:00" in why_zh

    def test_whoever_was_told_of_the_beginning_is_offered_the_end_instead(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger)
        office.drafted(1)
        office.approve_all()
        office.at(5, "dispatch", estimated_us=START + 3 * HOUR)
        office.drafted(6)
        estimate = next(d for d in office.notices.drafts() if d.trigger == "initial_etr")
        office.feed(after(OUTAGE, "cleared", 60 * MINUTE))
        office.clock.us = START + 70 * MINUTE

        with pytest.raises(TextOvertaken) as refused:
            office.notices.approve(estimate.id, CHIEF)

        assert ["power_restored"] == [d.trigger for d in refused.value.offered]
        assert {"power_restored": 6} == office.approve_all()
        assert self.told(ledger, "initial_etr") == set()

    def test_what_waits_is_withdrawn_by_itself_and_drafted_again_when_power_fails_again(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger)
        office.drafted(1)
        office.feed(after(OUTAGE, "cleared", 60 * MINUTE))

        assert office.drafted(61) == []
        assert office.notices.drafts() == []
        office.feed(raised("outage", T1, 90 * MINUTE))
        assert office.drafted(95) == ["power_out"]
        assert {"power_out": 6} == office.approve_all()

    def test_an_estimate_that_was_changed_before_it_was_told_is_told_once_and_as_it_is_now(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger)
        office.at(5, "dispatch", estimated_us=START + 3 * HOUR)
        office.drafted(6)
        before = next(d for d in office.notices.drafts() if d.trigger == "initial_etr")
        office.at(60, "estimate", estimated_us=START + 5 * HOUR)

        with pytest.raises(TextOvertaken, match="estimate has changed; it is now: by 01 Mar 13:00"):
            office.notices.approve(before.id, CHIEF)

        (now,) = (d for d in office.notices.drafts() if d.trigger == "initial_etr")
        assert "13:00" in now.text and "13:00" in now.text_zh

    def test_no_crew_is_said_to_be_on_its_way_that_was_called_back(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.at(5, "dispatch")
        office.drafted(6)
        office.at(7, "send_back", reason="wrong unit")

        assert office.drafted(8) == []
        assert ["power_out"] == [d.trigger for d in office.notices.drafts()]
        office.at(9, "dispatch")
        assert office.drafted(10) == ["inform_dispatched"]

    def test_nobody_is_told_that_power_is_back_where_it_has_failed_again(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger)
        office.drafted(1)
        office.approve_all()
        office.feed(after(OUTAGE, "cleared", 60 * MINUTE))
        office.drafted(61)
        (back,) = office.notices.drafts()
        office.feed(raised("outage", T1, 62 * MINUTE))
        office.clock.us = START + 65 * MINUTE

        with pytest.raises(TextOvertaken, match="failed again"):
            office.notices.approve(back.id, CHIEF)

        assert self.told(ledger, "power_restored") == set()

    def test_an_approved_text_that_waits_for_the_morning_is_withdrawn_once_power_is_back(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger, DARK_AT_NIGHT)
        office.drafted(NIGHT)
        assert {"power_out": 6} == office.approve_all()
        assert office.drafted(NIGHT + 1) == []
        assert len(self.told(ledger, "power_out")) == 6
        office.feed(after(DARK_AT_NIGHT, "cleared", 4 * HOUR))

        assert office.drafted(NIGHT + 4 * 60) == []  # nobody was told of the beginning

        assert self.told(ledger, "power_out") == set()
        with ledger.reading() as r:
            (gone,) = r.drafts(open_only=False)
            (story,) = r.notices_to("account:A18")
        assert (gone.state, gone.decided_by, story.state) == ("withdrawn", "system", "withdrawn")
        assert "has been back since" in office.notices.reasons([gone])[gone.id][0]

    def test_only_who_was_told_at_night_hears_in_the_morning_that_power_is_back(
        self, ledger: Ledger
    ) -> None:
        """Life support is told at once, everybody else would have been in the morning."""
        office, urgent = Office(ledger, OUTAGE_AT_NIGHT), {"account:A11"}
        office.drafted(NIGHT)
        assert {"power_out": 6} == office.approve_all()
        office.feed(after(OUTAGE_AT_NIGHT, "cleared", 4 * HOUR))

        assert office.drafted(NIGHT + 4 * 60) == ["power_restored"]

        assert urgent == self.told(ledger, "power_out")
        (back,) = office.notices.drafts()
        _, people = office.notices.preview(back.id)
        assert urgent == {f"account:{c.account}" for c in people}
        assert back.recipients == 1

    def test_an_approved_text_in_a_persons_words_waits_through_the_night_unharmed(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger, OUTAGE_AT_NIGHT)
        office.drafted(NIGHT)
        (draft,) = office.notices.drafts()
        office.notices.approve(draft.id, CHIEF, text="Dark.", text_zh="停电了，正在抢修。")

        assert office.drafted(NIGHT + 8 * 60) == []

        assert len(self.told(ledger, "power_out")) == 6

    def test_an_estimate_that_changes_at_night_is_told_in_the_morning_as_it_is_then(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger, OUTAGE_AT_NIGHT)
        office.at(NIGHT, "dispatch", estimated_us=START + 18 * HOUR)
        office.drafted(NIGHT)
        office.approve_all()
        office.at(NIGHT + 60, "estimate", estimated_us=START + 27 * HOUR)

        assert office.drafted(NIGHT + 61) == ["initial_etr"]

        assert {"account:A11"} == self.told(ledger, "initial_etr")  # told at once
        (now,) = office.notices.drafts()
        assert "11:00" in now.text and now.recipients == 6

    def test_an_estimate_is_drafted_again_where_only_the_place_was_corrected(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger)
        office.at(5, "dispatch", estimated_us=START + 3 * HOUR)
        office.drafted(6)
        self.move(ledger, T2)

        assert office.drafted(7) == ["power_out", "inform_dispatched", "initial_etr"]

    @staticmethod
    def move(ledger: Ledger, to: tuple[str, str]) -> None:
        with ledger.transaction() as tx:
            (incident,) = tx.incidents(incident_class="supply")
            tx.put_incident(replace(incident, asset_kind=to[0], asset=to[1]))

    # -- what people have merged -------------------------------------------------------------

    def test_customers_of_an_outage_that_was_merged_in_are_told_with_the_main_one(
        self, ledger: Ledger
    ) -> None:
        """Told of the beginning on their own ticket, they hear of the end on the main one."""
        office, later = Office(ledger), raised("outage", T2, 3 * HOUR)
        office.feed(later)
        assert ["power_out", "power_out"] == office.drafted(181)
        for draft in office.notices.drafts():
            assert 6 == office.notices.approve(draft.id, CHIEF)
        office.merge(T2, T1)

        office.at(185, "dispatch", estimated_us=START + 6 * HOUR)
        assert ["inform_dispatched", "initial_etr"] == office.drafted(186)
        (_, estimate) = office.notices.drafts()
        office.approve_all()
        office.feed(after(OUTAGE, "cleared", 4 * HOUR))
        assert office.drafted(241) == []  # the other place is dark
        office.feed(after(later, "cleared", 5 * HOUR))

        assert ["power_restored"] == office.drafted(301)
        assert estimate.recipients == 12
        assert estimate.text.startswith("中山路1号 and 中山路2号: ")
        assert estimate.text_zh.startswith("中山路1号、中山路2号预计")
        assert {"power_restored": 12} == office.approve_all()

    def test_a_text_that_waited_when_its_outage_was_merged_goes_with_the_main_one(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger, raised("outage", T2, NIGHT * MINUTE))
        office.drafted(NIGHT)
        assert {"power_out": 6} == office.approve_all()
        office.feed(raised("outage", T1, (NIGHT + 2) * MINUTE))
        office.merge(T2, T1)

        assert ["power_out"] == office.drafted(NIGHT + 10)
        assert len(self.told(ledger, "power_out")) == 6  # it is still true
        for asset, at in ((T2, NIGHT), (T1, NIGHT + 2)):
            office.feed(after(raised("outage", asset, at * MINUTE), "cleared", 60 * MINUTE))
        office.drafted(NIGHT + 90)

        assert self.told(ledger, "power_out") == set()

    def test_customers_of_an_outage_that_was_merged_into_its_cause_are_told(
        self, ledger: Ledger
    ) -> None:
        office = Office(ledger, raised("joint_resistance", ("usage_point", "T1-B1-1")))
        office.feed(raised("outage", T2, 10 * MINUTE))
        office.drafted(11)
        office.merge(T2, ("usage_point", "T1-B1-1"))

        assert ["power_out"] == office.drafted(12)

        (draft,) = office.notices.drafts()
        assert draft.text.startswith("中山路2号: the supply has failed since 01 Mar 08:10")
        assert draft.recipients == 6

    def test_whoever_is_still_dark_is_not_told_that_the_light_is_back(self, ledger: Ledger) -> None:
        office = Office(ledger)
        office.drafted(1)
        office.approve_all()
        office.feed(raised("outage", U1, 10 * MINUTE))
        for minute, action in ((12, "dispatch"), (13, "arrive"), (14, "restore"), (15, "verify")):
            office.at(minute, action)
        office.feed(after(OUTAGE, "cleared", 60 * MINUTE))
        office.drafted(61)
        (draft,) = office.notices.drafts()

        _, people = office.notices.preview(draft.id)
        assert sorted(c.account for c in people) == ["A12", "A13", "A14", "A15", "A16"]

    def test_a_caller_is_told_as_well_and_once(self, ledger: Ledger) -> None:
        office = Office(ledger)
        counter = Counter(ledger, town(), office.clock)
        for i in range(3):
            counter.report(Contact("phone", f"c{i}", START, account="A11"))
        office.drafted(1)

        assert office.approve_all() == {"power_out": 6}

    def test_a_template_with_a_missing_field_is_named(self) -> None:
        with pytest.raises(MissingDetail) as refused:
            render("back by {until}", {"place": "T1"})
        assert refused.value.field == "until"

    # -- to other systems ------------------------------------------------------------------

    def test_a_receiver_is_told_once_of_beginning_and_end(self, ledger: Ledger) -> None:
        apply_events([OUTAGE], ledger, town())
        first = announce(ledger, [OPS], START + MINUTE)
        again = announce(ledger, [OPS], START + MINUTE)
        AlertDesk(ledger, StandingClock(START)).acknowledge(OUTAGE.alert_id, CHIEF)
        seen = announce(ledger, [OPS], START + 2 * MINUTE)
        apply_events([after(OUTAGE, "cleared", HOUR)], ledger, town())
        end = announce(ledger, [OPS], START + HOUR)

        assert (first, again, seen, end) == (1, 0, 0, 1)

    def test_what_was_muted_is_told_neither_at_its_beginning_nor_at_its_end(
        self, ledger: Ledger
    ) -> None:
        below = raised("comms_failure", U1, MINUTE)
        every = replace(OPS, severity="P4", tickets_only=False)
        apply_events([OUTAGE, below], ledger, town())
        begun = announce(ledger, [every], START + MINUTE)
        apply_events([after(below, "cleared", HOUR)], ledger, town())
        ended = announce(ledger, [every], START + HOUR)

        assert (begun, ended) == (1, 0)

    def test_a_graver_severity_is_told_again(self, ledger: Ledger) -> None:
        first = raised("transformer_overload", T1)
        apply_events([first], ledger, town())
        announce(ledger, [OPS], START)
        apply_events([after(first, "worsened", HOUR, severity="P1")], ledger, town())

        assert announce(ledger, [OPS], START + HOUR) == 1

    def test_the_loss_of_supply_that_a_ticket_has_ended_in_is_told(self, ledger: Ledger) -> None:
        joint = raised("hot_terminal", U1, at=-HOUR)
        apply_events([joint], ledger, town())
        announce(ledger, [OPS], START)
        outage, again = raised("outage", U1), raised("phase_loss", U1, at=MINUTE)
        apply_events([outage, again], ledger, town())

        told = announce(ledger, [OPS], START + MINUTE)
        apply_events([after(outage, "cleared", HOUR)], ledger, town())
        ended = announce(ledger, [OPS], START + HOUR)

        assert (told, ended) == (1, 1), "of the loss, once, and of its end"

    def test_a_receiver_is_told_only_what_it_asked_for(self, ledger: Ledger) -> None:
        events = [OUTAGE, raised("energy_loss", ("transformer", "T2"))]
        apply_events(events, ledger, town())
        named = Receiver("audit", "webhook:audit", faults=frozenset({"energy_loss"}))
        grave = Receiver("grave", "webhook:grave", severity="P1")

        assert announce(ledger, [named, grave], START) == 2
