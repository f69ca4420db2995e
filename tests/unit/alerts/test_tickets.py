"""The life of a ticket: every action at every state for every role, compared and set."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from alerts.apply import apply_events
from alerts.errors import (
    Conflict,
    DeskError,
    ForbiddenTransition,
    MissingDetail,
    StaleTicket,
    UnknownTicket,
    WrongRole,
)
from alerts.memory import MemoryLedger
from alerts.roles import INSPECTION_ROLES, ROLE_NAMES, SYSTEM, Actor, Role
from alerts.states import (
    ACTIONS,
    CAUSES,
    HOLD_REASONS,
    OPEN_STATES,
    STATES,
    VERDICTS,
    allowed,
    causes_for,
    state_name,
)
from alerts.tickets import TicketDesk
from grid.faults import Work
from grid.records import Contact, Ticket, TicketState
from storage.desk_records import Step
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, after, raised, town

CLERK = Actor("王芳", "clerk")
CHIEF = Actor("赵值班", "operator")
DETAILS: dict[str, dict[str, Any]] = {
    "note": {"text": "客户说灯忽明忽暗"},
    "dispatch": {"team": "crew-1"},
    "assign": {"crew": "李师傅"},
    "close": {"verdict": "confirmed_fault", "cause_code": "loose_connection"},
    "send_back": {"reason": "不属本班组"},
    "hold": {"reason": "material"},
    "cancel": {"reason": "误报"},
    "merge": {"target_number": "20260301-0002"},
    "reopen": {"reason": "又停电了"},
    "prioritise": {"priority": 90_000, "reason": "领导关注"},
    "estimate": {"estimated_us": START + 9 * HOUR},
    "hand_over": {"to": "李四"},
}
_STEP = Step(0, 0, "set-up", None, "assessing", "test", "system", START)


class Office:
    """Two open tickets: the first at T1, the second at T2."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.clock = StandingClock(START + HOUR)
        self.network = town()
        self.desk = TicketDesk(self.ledger, self.network, self.clock)
        events = [raised("neutral_loose"), raised("outage", ("transformer", "T2"), MINUTE)]
        apply_events(events, self.ledger, self.network)

    def ticket(self, id_: int = 1) -> Ticket:
        with self.ledger.reading() as r:
            found = r.ticket(id_)
        assert found is not None
        return found

    def put(self, state: TicketState, work: Work | None = None) -> Ticket:
        """Bring the first ticket into a state by the shortest way, whatever the table says."""
        ticket = self.ticket()
        wanted = replace(
            ticket,
            state=state,
            work=work or ticket.work,
            merged_into=2 if state == "merged" else None,
            closed_us=START if STATES[state].final else None,
            verdict="no_fault" if state in ("closed", "cancelled") else None,
            cause_code="unknown" if state == "closed" else None,
        )
        action = "merge" if state == "merged" else "hold" if state == "on_hold" else "set-up"
        step = replace(_STEP, action=action, from_state="on_site", to_state=state, actor="王芳")
        with self.ledger.transaction() as tx:
            made = tx.change_ticket(wanted, ticket.version, step)
            incident = tx.incident(ticket.incident_id)
            assert made is not None
            assert incident is not None
            if STATES[state].final:
                tx.put_incident(replace(incident, closed_us=START))
        return made

    def steps(self, id_: int = 1) -> list[str]:
        with self.ledger.reading() as r:
            return [s.action for s in r.steps(id_)]

    def everything(self) -> object:
        """All rows, to prove that nothing has changed."""
        with self.ledger.reading() as r:
            return (
                r.ticket(1),
                r.ticket(2),
                r.incidents(open_only=False),
                r.steps(1),
                r.alerts(),
                r.human_inputs(),
                r.outbox_head(),
            )


def actor(role: Role) -> Actor:
    """Somebody of a role; the crew is that of the first ticket."""
    return Actor("x", role, "crew-1" if role == "crew" else None)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.mark.parametrize(
    ("state", "action"), list(itertools.product(STATES, ACTIONS)), ids=lambda x: str(x)
)
def test_every_action_at_every_state_for_every_role_does_what_the_table_says(
    state: TicketState, action: str
) -> None:
    for role in ROLE_NAMES:
        office = Office()
        ticket = office.put(state)
        before = office.everything()
        rule = ACTIONS[action]

        if role not in rule.roles:
            expected: type[DeskError] | None = WrongRole
        elif state not in rule.from_states:
            expected = ForbiddenTransition
        else:
            expected = None
        details = DETAILS.get(action, {})
        if expected is not None:
            with pytest.raises(expected):
                office.desk.perform(action, 1, actor(role), ticket.version, **details)
            assert office.everything() == before
        else:
            made = office.desk.perform(action, 1, actor(role), ticket.version, **details)
            to = "on_site" if action in ("resume", "unmerge") else rule.to_state or state
            assert (made.state, made.version) == (to, ticket.version + 1)
            assert office.steps()[-1] == action
        assert (action in allowed(ticket, role)) == (expected is None)


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_inspection_work_does_not_exist_for_those_who_speak_with_customers(
    office: Office, role: Role
) -> None:
    ticket = office.put("assessing", work="inspection")

    if role in INSPECTION_ROLES - {"system"}:
        assert office.desk.take(1, Actor("x", role), ticket.version).assignee == "x"
    else:
        assert allowed(ticket, role) == () or role == "system"
        with pytest.raises((UnknownTicket, WrongRole)):
            office.desk.take(1, Actor("x", role), ticket.version)


def test_a_repair_runs_from_assessment_to_the_archive(office: Office) -> None:
    desk, chief = office.desk, CHIEF
    way: list[TicketState] = []
    for action in ("take", "dispatch", "assign", "accept", "arrive", "restore", "verify"):
        ticket = office.ticket()
        way.append(desk.perform(action, 1, chief, ticket.version, **DETAILS.get(action, {})).state)
    desk.call_back(1, CLERK, office.ticket().version)
    closed = desk.close(
        1, CLERK, office.ticket().version, "confirmed_precursor", "loose_connection", "已紧固"
    )

    assert way == [
        "assessing",
        "dispatched",
        "assigned",
        "accepted",
        "on_site",
        "restored",
        "verified",
    ]
    assert (closed.state, closed.verdict) == ("closed", "confirmed_precursor")
    assert closed.closed_us == START + HOUR
    with office.ledger.reading() as r:
        incident = r.incident(closed.incident_id)
    assert incident is not None
    assert incident.closed_us == START + HOUR


def test_whoever_comes_second_is_told_who_was_first(office: Office) -> None:
    version = office.ticket().version
    office.desk.take(1, CLERK, version)

    with pytest.raises(StaleTicket) as refused:
        office.desk.take(1, Actor("李明", "clerk"), version)

    assert refused.value.ticket.assignee == "王芳"
    assert refused.value.last is not None
    assert refused.value.last.actor == "王芳"
    assert "王芳" in str(refused.value)
    assert "王芳" in refused.value.text("zh-CN")


def test_a_forbidden_step_says_what_is_possible(office: Office) -> None:
    with pytest.raises(ForbiddenTransition) as refused:
        office.desk.arrive(1, CHIEF, office.ticket().version)

    assert "dispatch" in refused.value.allowed
    assert "arrive" not in refused.value.allowed
    assert "派单" in refused.value.text("zh-CN")


@pytest.mark.parametrize(
    ("verdict", "cause"),
    [("", "loose_connection"), ("guilty", "loose_connection"), ("confirmed_fault", "")],
)
def test_closing_needs_a_verdict_and_a_cause(office: Office, verdict: Any, cause: str) -> None:
    with pytest.raises(MissingDetail) as refused:
        office.desk.close(1, CLERK, office.ticket().version, verdict, cause)

    assert refused.value.choices
    assert office.ticket().state == "assessing"


def test_a_cause_has_to_fit_its_verdict(office: Office) -> None:
    with pytest.raises(MissingDetail) as refused:
        office.desk.close(1, CLERK, office.ticket().version, "no_fault", "broken_conductor")

    assert refused.value.choices == causes_for("no_fault")


def test_a_verdict_is_given_once(office: Office) -> None:
    ticket = office.desk.close(1, CLERK, 1, "confirmed_fault", "weather")

    with pytest.raises(ForbiddenTransition):
        office.desk.close(1, CLERK, ticket.version, "no_fault", "unknown")
    assert office.ticket().verdict == "confirmed_fault"


def test_a_closed_ticket_stays_closed_when_its_events_come_again(office: Office) -> None:
    office.desk.close(1, CLERK, 1, "confirmed_fault", "weather")

    apply_events([raised("neutral_loose")], office.ledger, office.network)

    assert office.ticket().state == "closed"
    with office.ledger.reading() as r:
        assert [t.id for t in r.tickets()] == [2]


def test_a_new_episode_after_closing_is_a_new_ticket(office: Office) -> None:
    first = raised("neutral_loose")
    apply_events([after(first, "cleared", HOUR)], office.ledger, office.network)
    office.desk.close(1, CLERK, office.ticket().version, "confirmed_fault", "weather")

    apply_events([raised("neutral_loose", at=9 * HOUR)], office.ledger, office.network)

    with office.ledger.reading() as r:
        assert [t.id for t in r.tickets(states=["assessing"], work="preventive")] == [3]


def test_dispatch_goes_to_the_areas_own_team_unless_another_is_named(office: Office) -> None:
    own = office.desk.dispatch(1, CHIEF, 1)
    other = office.desk.dispatch(2, CHIEF, 1, team="crew-1")

    assert (own.team, other.team) == ("crew-1", "crew-1")


def test_dispatch_to_a_team_that_does_not_exist_names_those_that_do(office: Office) -> None:
    with pytest.raises(MissingDetail) as refused:
        office.desk.dispatch(1, CHIEF, 1, team="crew-9")

    assert refused.value.choices == ("crew-1", "crew-2", "李台区")


def test_a_hold_needs_a_known_reason_and_comes_back_to_where_it_was(office: Office) -> None:
    office.desk.dispatch(1, CHIEF, 1)
    with pytest.raises(MissingDetail):
        office.desk.hold(1, CHIEF, 2, "tired")

    held = office.desk.hold(1, CHIEF, 2, "customer_absent")
    back = office.desk.resume(1, CHIEF, held.version)

    assert (held.state, back.state) == ("on_hold", "dispatched")
    with office.ledger.reading() as r:
        assert r.steps(1)[-2].data["pauses_clock"] is True


def test_cancelling_counts_as_no_fault_for_the_detector(office: Office) -> None:
    gone = office.desk.cancel(1, CHIEF, 1, "误报")

    assert (gone.state, gone.verdict) == ("cancelled", "no_fault")


def test_merge_and_unmerge_give_back_everything(office: Office) -> None:
    with office.ledger.transaction() as tx:
        ticket = tx.ticket(1)
        assert ticket is not None
        incident = tx.incident(ticket.incident_id)
        assert incident is not None
        contact = Contact("phone", "c1", START, account="A11", incident_id=incident.id, ticket_id=1)
        tx.add_contact(contact)
        tx.put_incident(replace(incident, contacts=1, first_contact_us=START))
    with office.ledger.reading() as r:
        alerts_before = r.alerts()

    merged = office.desk.merge(1, CHIEF, 1, "20260301-0002")
    with office.ledger.reading() as r:
        together = r.contacts(ticket_id=2)
        main = r.incident(office.ticket(2).incident_id)
        assert [a.ticket for a in r.alerts(incident_id=main.id if main else 0)].count(True) == 1
    back = office.desk.unmerge(1, CHIEF, merged.version)

    assert (merged.state, merged.merged_into) == ("merged", 2)
    assert [c.external_id for c in together] == ["c1"]
    assert main is not None
    assert (main.contacts, main.first_contact_us) == (1, START)
    assert (back.state, back.merged_into, back.closed_us) == ("assessing", None, None)
    with office.ledger.reading() as r:
        assert [replace(a, version=1) for a in r.alerts()] == alerts_before
        assert [c.ticket_id for c in r.contacts()] == [1]
        own, main = r.incident(back.incident_id), r.incident(office.ticket(2).incident_id)
        assert own is not None
        assert main is not None
        assert (own.contacts, own.closed_us, main.contacts) == (1, None, 0)


def test_a_main_ticket_is_ranked_as_the_merged_whole_and_as_before_once_it_is_taken_out(
    office: Office,
) -> None:
    """A loosening neutral with an outage merged into it is a loss of supply with both's people."""
    alone, outage = office.ticket(1), office.ticket(2)

    merged = office.desk.merge(2, CHIEF, 1, alone.number)
    whole = office.ticket(1)
    with office.ledger.reading() as r:
        (step,) = [s for s in r.steps(1) if s.action == "worsened"]
    office.desk.unmerge(2, CHIEF, merged.version)
    again = office.ticket(1)

    assert (alone.severity, whole.severity) == ("P2", "P1")
    assert whole.customers == alone.customers + outage.customers
    assert whole.priority > max(alone.priority, outage.priority - 1)
    assert whole.priority_reason.startswith("supply lost") and "已停电" in whole.priority_reason_zh
    assert (whole.fault, whole.asset, whole.work) == (alone.fault, alone.asset, alone.work)
    assert whole.due_us == min(t for t in (alone.due_us, outage.due_us) if t is not None)
    assert (step.actor, step.version) == (SYSTEM.name, whole.version)
    assert replace(again, version=alone.version) == alone


def test_the_merged_whole_stays_ranked_when_the_machine_hears_more(office: Office) -> None:
    office.desk.merge(2, CHIEF, 1, office.ticket(1).number)
    whole = office.ticket(1)

    more = raised("neutral_loose", ("usage_point", "T1-B1-1"), 2 * MINUTE)
    apply_events([more], office.ledger, office.network)

    now = office.ticket(1)
    assert (whole.customers, whole.priority, whole.severity) == (
        now.customers,
        now.priority,
        now.severity,
    )


def test_merging_leaves_a_rank_that_a_person_has_set(office: Office) -> None:
    held = office.desk.prioritise(1, CHIEF, 1, 123, "last of all")

    office.desk.merge(2, CHIEF, 1, held.number)

    whole = office.ticket(1)
    assert (whole.priority, whole.priority_reason) == (123, "last of all")
    assert whole.customers > held.customers


def test_what_was_merged_before_follows_into_the_next_main_ticket(office: Office) -> None:
    third = raised("joint_resistance", ("usage_point", "T1-B1-1"), 3 * MINUTE)
    apply_events([third], office.ledger, office.network)
    office.desk.merge(2, CHIEF, 1, office.ticket(1).number)
    both = office.ticket(1)

    office.desk.merge(1, CHIEF, both.version, office.ticket(3).number)

    main = office.ticket(3)
    assert (main.severity, main.customers, both.customers) == ("P1", 12, 12)


def test_what_people_have_merged_the_machine_does_not_take_apart(office: Office) -> None:
    office.desk.merge(1, CHIEF, 1, "20260301-0002")

    more = raised("outage", ("usage_point", "T2-B1-1"), 2 * MINUTE)
    end = after(raised("neutral_loose"), "cleared", HOUR)
    apply_events([more, end], office.ledger, office.network)

    with office.ledger.reading() as r:
        assert [t.id for t in r.tickets()] == [2]
        assert {a.incident_id for a in r.alerts()} == {office.ticket(2).incident_id}
        assert r.merged_by_people([1, 2]) == {2}


def test_a_ticket_is_not_merged_into_itself_or_into_one_that_is_done(office: Office) -> None:
    with pytest.raises(Conflict):
        office.desk.merge(1, CHIEF, 1, "20260301-0001")
    office.desk.close(2, CLERK, 1, "confirmed_fault", "weather")
    with pytest.raises(Conflict) as refused:
        office.desk.merge(1, CHIEF, 1, "20260301-0002")
    assert refused.value.ticket is not None
    assert refused.value.ticket.id == 2


def test_cross_merging_leaves_exactly_one_main_ticket(office: Office) -> None:
    office.desk.merge(1, CHIEF, 1, "20260301-0002")

    with pytest.raises(StaleTicket):  # the whole has been ranked anew
        office.desk.merge(2, CHIEF, 1, "20260301-0001")
    with pytest.raises(Conflict):
        office.desk.merge(2, CHIEF, office.ticket(2).version, "20260301-0001")


def test_reopening_is_refused_while_another_ticket_is_open_for_the_cause(office: Office) -> None:
    first = raised("neutral_loose")
    closed = office.desk.close(1, CLERK, 1, "confirmed_fault", "weather")
    cleared = after(first, "cleared", HOUR)
    later = raised("neutral_loose", at=9 * HOUR)
    apply_events([cleared, later], office.ledger, office.network)

    with pytest.raises(Conflict) as refused:
        office.desk.reopen(1, CHIEF, closed.version, "又来了")

    assert refused.value.ticket is not None
    assert refused.value.ticket.id == 3


def test_a_rank_given_by_hand_outlives_what_the_machine_computes(office: Office) -> None:
    office.desk.prioritise(1, CHIEF, 1, 77_777, "领导关注")

    worse = raised("neutral_broken", at=HOUR)
    apply_events([worse], office.ledger, office.network)

    ticket = office.ticket()
    assert (ticket.severity, ticket.priority, ticket.priority_reason) == ("P1", 77_777, "领导关注")


@pytest.mark.parametrize("value", [-1, 100_000, "1", 1.5, True, None])
def test_a_rank_is_a_whole_number_in_range(office: Office, value: Any) -> None:
    with pytest.raises(MissingDetail):
        office.desk.prioritise(1, CHIEF, 1, value, "why")


@pytest.mark.parametrize("value", [START, START + HOUR, "soon", None, True])
def test_restoration_is_expected_after_now(office: Office, value: Any) -> None:
    with pytest.raises(MissingDetail):
        office.desk.estimate(1, CHIEF, 1, value)


def test_meters_that_report_again_verify_a_restoration(office: Office) -> None:
    outage = raised("outage", ("transformer", "T2"), MINUTE)
    for action in ("dispatch", "arrive", "restore"):
        office.desk.perform(action, 2, CHIEF, office.ticket(2).version)

    apply_events([after(outage, "cleared", 2 * HOUR)], office.ledger, office.network)

    assert office.ticket(2).state == "verified"
    assert office.steps(2)[-2:] == ["condition_cleared", "verify"]


def test_an_unknown_ticket_and_an_unknown_action_are_named(office: Office) -> None:
    with pytest.raises(UnknownTicket, match="99"):
        office.desk.take(99, CLERK, 1)
    with pytest.raises(MissingDetail, match="dance"):
        office.desk.perform("dance", 1, CLERK, 1)


def test_what_people_do_is_kept_as_their_input_and_told_to_the_stream(office: Office) -> None:
    with office.ledger.reading() as r:
        head = r.outbox_head()

    office.desk.take(1, CLERK, 1)
    with office.ledger.reading() as r:
        (given,) = r.human_inputs(subject="ticket:20260301-0001")
        (told,) = r.outbox(head)
    assert (given.kind, given.actor) == ("take", "王芳")
    assert (told.topic, told.data["action"], told.data["version"]) == ("ticket", "take", 2)


def test_the_table_is_complete_and_speaks_both_languages() -> None:
    assert set(DETAILS) >= {name for name, a in ACTIONS.items() if a.needs}
    assert all(set(a.from_states) <= set(STATES) for a in ACTIONS.values())
    assert all(a.to_state is None or a.to_state in STATES for a in ACTIONS.values())
    assert all(causes_for(verdict) for verdict in VERDICTS)
    assert all(set(c.verdicts) <= set(VERDICTS) for c in CAUSES.values())
    assert all(len(r) == 3 for r in HOLD_REASONS.values())
    words = [
        *((s.name, s.name_zh) for s in STATES.values()),
        *((a.name, a.name_zh) for a in ACTIONS.values()),
        *((c.name, c.name_zh) for c in CAUSES.values()),
    ]
    assert all(name.isascii() and not name_zh.isascii() for name, name_zh in words)


def test_every_open_state_has_a_way_out_for_an_operator() -> None:
    office = Office()
    for state in OPEN_STATES:
        ticket = replace(office.ticket(), state=state)
        moves = [a for a in allowed(ticket, "operator") if ACTIONS[a].to_state not in (None, state)]
        assert moves or state == "on_hold"
    assert SYSTEM.role == "system"


def test_preventive_work_removes_a_defect_rather_than_restoring_supply() -> None:
    assert state_name("restored") == ("restored", "已复电")
    assert state_name("restored", "preventive") == ("defect removed", "已消缺")


def test_dispatch_may_go_to_the_areas_own_manager(office: Office) -> None:
    ticket = office.ticket()

    made = office.desk.dispatch(
        1, CHIEF, ticket.version, team="李台区", estimated_us=START + 9 * HOUR
    )

    assert (made.state, made.team, made.assignee) == ("dispatched", "crew-1", "李台区")
    assert made.estimated_restoration_us == START + 9 * HOUR
