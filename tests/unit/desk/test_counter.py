"""The counter: found, answered, and many calls about one problem are one ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from alerts.apply import apply_events
from alerts.errors import UnknownAccount
from alerts.memory import MemoryLedger
from alerts.notice_words import TEMPLATES
from alerts.roles import Actor
from alerts.states import STATES
from alerts.tickets import TicketDesk
from desk.board import Board
from desk.counter import Counter
from desk.symptoms import Symptom
from grid.network import Network, PlannedWork
from grid.records import AlertEvent, Contact, Ticket, TicketState
from storage.desk_records import LastSeen, Step, SwitchState
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

T1 = ("transformer", "T1")
NOW = START + HOUR
U1 = ("usage_point", "T1-B1-1")
CLERK = Actor("王芳", "clerk")
ALIVE = LastSeen(read_us=NOW - 5 * MINUTE, volts=231.0)


class Meters:
    """What each meter told last, as the test sets it."""

    def __init__(self, **seen: LastSeen) -> None:
        self.seen = {name.replace("_", "-"): last for name, last in seen.items()}

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        return {d: self.seen[d] for d in devices if d in self.seen}

    def switches(self, devices: Sequence[str]) -> Mapping[str, SwitchState]:
        return {}

    def last_seen_at(self, devices: Sequence[str], at_us: int) -> Mapping[str, LastSeen]:
        return self.last_seen(devices)

    def power_words(self, devices: Sequence[str], since_us: int) -> Mapping[str, LastSeen]:
        return self.last_seen(devices)


def counter(*events: AlertEvent, network: Network | None = None, **seen: LastSeen) -> Counter:
    network = network or town()
    ledger = MemoryLedger()
    apply_events(events, ledger, network)
    return Counter(ledger, network, StandingClock(NOW), Meters(**seen))


def call(account: str | None = "A11", number: int = 1, **more: object) -> Contact:
    made = Contact("phone", f"call-{number}", NOW, account=account, text="家里没电")
    return replace(made, **more)  # type: ignore[arg-type]


def tickets(desk: Counter) -> list[Ticket]:
    with desk.ledger.reading() as r:
        return r.tickets()


# -- answers ---------------------------------------------------------------------------------


def test_a_caller_in_a_known_outage_is_told_that_it_is_known() -> None:
    answer = counter(raised("outage", T1)).answer("A11")

    assert (answer.supply, answer.script, answer.own_meter) == ("off", "known", False)
    assert answer.ticket is not None
    assert answer.sentence.startswith("Your area has been without power since 08:00")
    assert answer.sentence_zh.startswith("您所在区域自08:00起停电")


def test_your_meter_is_said_only_on_evidence_of_the_own_meter() -> None:
    gasped = LastSeen(read_us=START - MINUTE, volts=230.0, lost_us=START + MINUTE)
    outage = raised("outage", T1)

    own = counter(outage, M_T1_B1_1=gasped).answer("A11")
    other = counter(outage, M_T1_B1_1=gasped).answer("A12")

    assert (own.own_meter, own.since_us) == (True, START + MINUTE)
    assert "Your meter has been without power since 08:01" in own.sentence
    assert (other.own_meter, "Your meter" in other.sentence) == (False, False)


def test_a_meter_that_has_power_again_says_so_inside_a_known_outage() -> None:
    back = LastSeen(read_us=NOW - MINUTE, volts=229.0, back_us=NOW - 10 * MINUTE)
    answer = counter(raised("outage", T1), M_T1_B1_1=back).answer("A11")

    assert (answer.supply, answer.since_us) == ("on", NOW - 10 * MINUTE)
    assert "power again" in answer.sentence
    assert "恢复供电" in answer.sentence_zh


def test_a_meter_that_came_back_is_not_called_off_because_one_reading_is_missing() -> None:
    """The ticket stays open for hours after the meters are back; readings get lost meanwhile."""
    back = LastSeen(read_us=NOW, volts=229.0, back_us=START + 10 * MINUTE)
    desk = counter(raised("outage", T1), M_T1_B1_1=back)
    desk.clock = StandingClock(START + 3 * HOUR)

    answer = desk.answer("A11")

    assert (answer.supply, answer.script) == ("unknown", "known")
    assert "had it back since" in answer.sentence
    assert "恢复过供电" in answer.sentence_zh


def test_a_broken_neutral_comes_with_what_the_customer_must_do() -> None:
    answer = counter(raised("neutral_broken", T1)).answer("A11")

    assert "main switch" in answer.sentence
    assert "总开关" in answer.sentence_zh


def test_a_live_meter_and_one_call_means_look_inside_the_home() -> None:
    desk = counter(M_T1_B1_1=ALIVE)
    answer = desk.answer("A11")
    outcome = desk.report(call())

    assert (answer.script, answer.supply) == ("in_home", "on")
    assert "08:55" in answer.sentence
    assert (outcome.ticket, outcome.created, tickets(desk)) == (None, False, [])


def test_a_second_caller_of_the_area_with_a_live_meter_opens_a_ticket() -> None:
    desk = counter(M_T1_B1_1=ALIVE, M_T1_B1_2=ALIVE)
    desk.report(call("A11", 1))

    assert desk.report(call("A12", 2)).created


def test_a_reading_older_than_an_interval_does_not_answer_the_caller() -> None:
    stale = replace(ALIVE, read_us=NOW - 30 * MINUTE)

    assert counter(M_T1_B1_1=stale).answer("A11").supply == "unknown"


def test_a_meter_without_voltage_is_off() -> None:
    dark = LastSeen(read_us=NOW - MINUTE, volts=3.0)

    assert counter(M_T1_B1_1=dark).answer("A11").supply == "off"


def test_supply_off_for_arrears_means_the_arrears_script_and_no_ticket() -> None:
    network = town()
    owing = replace(network.customers[0], supply_status="arrears_off")
    network = replace(network, customers=(owing, *network.customers[1:]))
    desk = counter(network=network)

    outcome = desk.report(call())

    assert outcome.answer is not None
    assert outcome.answer.script == "arrears"
    assert "欠费" in outcome.answer.sentence_zh
    assert tickets(desk) == []


def test_a_relay_open_on_a_live_meter_means_the_arrears_script() -> None:
    cut = replace(ALIVE, relay_open_us=NOW - 9 * HOUR)

    assert counter(M_T1_B1_1=cut).answer("A11").script == "arrears"


def test_announced_work_is_told_with_its_reason_and_end() -> None:
    work = PlannedWork("transformer", "T1", START, START + 4 * HOUR, "更换配变")
    desk = counter(network=town([work]))

    outcome = desk.report(call())

    assert outcome.answer is not None
    assert outcome.answer.script == "planned"
    assert "更换配变" in outcome.answer.sentence_zh
    assert "12:00" in outcome.answer.sentence_zh
    assert tickets(desk) == []


def test_an_estimate_is_part_of_the_sentence() -> None:
    desk = counter(raised("outage", T1))
    office = TicketDesk(desk.ledger, desk.network, StandingClock(NOW))
    (ticket,) = tickets(desk)
    office.estimate(ticket.id, Actor("x", "operator"), ticket.version, NOW + 2 * HOUR)

    answer = desk.answer("A11")

    assert answer.estimated_us == NOW + 2 * HOUR
    assert "by 11:00" in answer.sentence
    assert "预计11:00前恢复" in answer.sentence_zh


def test_a_joint_that_has_burnt_off_is_told_as_an_outage_since_it_burnt_off() -> None:
    u1 = ("usage_point", "T1-B1-1")
    joint, outage = raised("joint_resistance", u1, at=-2 * DAY), raised("outage", u1)
    answer = counter(joint, outage).answer("A11")

    assert (answer.supply, answer.script) == ("off", "known")
    assert answer.sentence.startswith("Your area has been without power since 08:00")
    assert answer.ticket is not None
    assert answer.ticket.opened_us == START - 2 * DAY + 30_000_000


def test_a_growing_fault_is_told_as_a_fault_not_as_an_outage() -> None:
    answer = counter(raised("neutral_loose", T1)).answer("A11")

    assert (answer.script, answer.supply) == ("known", "unknown")
    assert "中性线接触不良" in answer.sentence_zh


@pytest.mark.parametrize("fault", ["energy_loss", "comms_failure", "meter_health"])
def test_inspections_and_the_measuring_itself_are_not_told(fault: str) -> None:
    answer = counter(raised(fault, T1)).answer("A11")

    assert (answer.incident, answer.ticket, answer.script) == (None, None, "unclear")


def test_an_outage_elsewhere_is_not_this_callers() -> None:
    assert counter(raised("outage", T1)).answer("A17").incident is None


def test_an_unknown_account_is_refused_before_anything_is_stored() -> None:
    desk = counter()
    with pytest.raises(UnknownAccount, match="A999"):
        desk.answer("A999")
    with pytest.raises(UnknownAccount):
        desk.report(call("A999"))
    with desk.ledger.reading() as r:
        assert r.contacts() == []


# -- reports ---------------------------------------------------------------------------------


def test_second_report_of_the_same_outage_joins_the_open_ticket() -> None:
    """A caller and a web form about one transformer are one problem."""
    desk = counter(raised("outage", T1))

    first = desk.report(call("A11"), CLERK)
    second = desk.report(Contact("web", "form-1", NOW + MINUTE, account="A15"))

    assert first.ticket is not None
    assert second.ticket is not None
    assert first.ticket.id == second.ticket.id
    assert (first.known, second.known, second.created) == (True, True, False)
    assert (second.ticket.contacts, first.contact.taken_by) == (2, "王芳")


def test_the_same_contact_twice_is_one_contact() -> None:
    desk = counter(raised("outage", T1))

    desk.report(call())
    again = desk.report(call(text="said differently"))

    assert again.repeated
    assert again.contact.text == "家里没电"
    with desk.ledger.reading() as r:
        assert len(r.contacts()) == 1
        assert r.tickets()[0].contacts == 1


def test_what_nothing_explains_opens_a_ticket_that_waits_to_be_accepted() -> None:
    desk = counter()
    outcome = desk.report(call(), CLERK)

    assert outcome.created
    assert outcome.ticket is not None
    assert (outcome.ticket.state, outcome.ticket.contacts) == ("received", 1)
    assert (outcome.ticket.asset, outcome.ticket.customers) == ("T1-B1-1", 1)
    assert outcome.contact.ticket_id == outcome.ticket.id


def test_callers_of_one_branch_move_the_report_up_and_keep_the_number() -> None:
    desk = counter()
    first = desk.report(call("A11", 1))
    desk.report(call("A12", 2))
    third = desk.report(call("A14", 3))

    assert first.ticket is not None
    assert third.ticket is not None
    assert third.ticket.number == first.ticket.number
    assert (third.ticket.asset_kind, third.ticket.asset) == ("transformer", "T1")
    assert third.ticket.contacts == 3
    with desk.ledger.reading() as r:
        moves = [m.to_asset for m in r.moves(third.ticket.incident_id)]
    assert moves == ["T1-B1", "T1"]


def test_callers_whose_neighbours_have_supply_are_not_moved_up() -> None:
    """Two dark homes on different branches, everybody else's meter lives: no area is out."""
    lives = LastSeen(NOW - MINUTE, 229.0)
    desk = counter(M_T1_B1_2=lives, M_T1_B1_3=lives, M_T1_B2_2=lives, M_T1_B2_3=lives)
    desk.report(call("A11", 1))
    desk.report(call("A14", 2))

    assert sorted(t.asset for t in tickets(desk)) == ["T1-B1-1", "T1-B2-1"]


def test_two_callers_of_different_areas_are_two_tickets() -> None:
    desk = counter()
    desk.report(call("A11", 1))
    desk.report(call("A17", 2))

    assert len(tickets(desk)) == 2


def test_what_meters_tell_later_joins_the_ticket_that_a_caller_opened() -> None:
    desk = counter()
    outcome = desk.report(call("A11", 1))
    apply_events([raised("outage", T1, HOUR + 5 * MINUTE)], desk.ledger, desk.network)

    (ticket,) = tickets(desk)
    assert outcome.ticket is not None
    assert (ticket.number, ticket.asset, ticket.state) == (outcome.ticket.number, "T1", "received")
    with desk.ledger.reading() as r:
        (alert,) = r.alerts()
        incident = r.incident(ticket.incident_id)
    assert alert.ticket
    assert incident is not None
    assert (incident.stage, incident.known_us, incident.contacts) == ("confirmed", NOW, 1)


def test_calls_stay_with_the_cause_when_it_is_found_further_up() -> None:
    desk = counter(raised("outage", ("branch", "T1-B1")), raised("outage", ("branch", "T1-B2")))
    desk.report(call("A11", 1))
    desk.report(call("A14", 2))

    apply_events([raised("outage", T1, MINUTE)], desk.ledger, desk.network)

    (ticket,) = tickets(desk)
    assert (ticket.asset, ticket.contacts) == ("T1", 2)
    with desk.ledger.reading() as r:
        assert len(r.contacts(ticket_id=ticket.id)) == 2


@pytest.mark.parametrize("kind", ["enquiry", "complaint", "opinion", "application"])
def test_what_is_no_fault_opens_no_repair(kind: str) -> None:
    desk = counter()
    outcome = desk.report(call(kind=kind))

    assert outcome.ticket is None
    with desk.ledger.reading() as r:
        assert [c.kind for c in r.contacts(account="A11")] == [kind]


def test_a_clerk_can_insist_on_a_ticket_or_leave_it() -> None:
    live = counter(M_T1_B1_1=ALIVE)
    assert live.report(call(), CLERK, open_ticket=True).created

    quiet = counter()
    assert quiet.report(call(), CLERK, open_ticket=False).ticket is None


def test_a_caller_without_an_account_is_taken_and_waits() -> None:
    desk = counter()
    outcome = desk.report(call(None))

    assert outcome.created
    assert outcome.answer is None


def test_earlier_contacts_of_the_account_are_part_of_the_answer() -> None:
    desk = counter()
    desk.report(call("A11", 1, kind="enquiry"))

    assert [c.external_id for c in desk.answer("A11").contacts] == ["call-1"]


def test_every_contact_is_told_to_the_stream() -> None:
    desk = counter(raised("outage", T1))
    desk.report(call())

    with desk.ledger.reading() as r:
        (told,) = [m for m in r.outbox(0) if m.topic == "contact"]
    assert (told.data["known"], told.data["account"]) == (True, "A11")


def test_a_ringing_enquiry_is_told_to_the_stream() -> None:
    desk = counter()
    desk.report(call(kind="enquiry"), CLERK, ringing=True)

    with desk.ledger.reading() as r:
        (told,) = [m for m in r.outbox(0) if m.topic == "contact"]
    assert (told.data["kind"], told.data["known"]) == ("enquiry", False)


def test_a_rank_that_a_person_has_set_stays_when_callers_move_the_report_up() -> None:
    desk = counter()
    first = desk.report(call("A11", 1)).ticket
    assert first is not None
    ranks = TicketDesk(desk.ledger, desk.network, StandingClock(NOW))
    ranks.prioritise(first.id, Actor("赵值班", "operator"), first.version, 123, "last of all")

    moved = desk.report(call("A12", 2)).ticket

    assert moved is not None
    assert (moved.asset, moved.priority, moved.priority_reason) == ("T1-B1", 123, "last of all")


def test_a_restored_ticket_is_said_to_be_done() -> None:
    first = raised("outage", T1)
    desk = counter(first)
    office = TicketDesk(desk.ledger, desk.network, StandingClock(NOW))
    chief = Actor("x", "operator")
    for action in ("dispatch", "accept", "restore"):
        office.perform(action, 1, chief, tickets(desk)[0].version)
    apply_events([after(first, "cleared", HOUR)], desk.ledger, desk.network)

    assert "现场已处理完毕" in desk.answer("A11").sentence_zh


@pytest.mark.parametrize("fault", ["outage", "neutral_loose", "neutral_broken", "under_voltage"])
@pytest.mark.parametrize("state", STATES)
def test_customers_hear_the_formal_words(fault: str, state: TicketState) -> None:
    """恢复供电, never 复电; 中性线, not 零线."""
    desk = counter(raised(fault, T1))
    with desk.ledger.transaction() as tx:
        (ticket,) = tx.tickets()
        if not STATES[state].final:
            step = Step(ticket.id, 0, "set-up", None, state, "test", "system", START)
            later = NOW + HOUR
            tx.change_ticket(
                replace(ticket, state=state, estimated_restoration_us=later), ticket.version, step
            )

    said = desk.answer("A11").sentence_zh + "".join(zh for _, zh in TEMPLATES.values())

    assert "复电" not in said
    assert "零线" not in said


# -- what is reported decides, where a defect is known -------------------------------------------

JOINT = raised("joint_resistance", U1, at=-2 * DAY)


@pytest.mark.parametrize(
    ("text", "symptom"),
    [
        ("家里没电", None),
        ("The power is out", None),
        ("", "no_light"),
        ("墙里冒烟", None),
        ("", "danger"),
    ],
)
def test_supply_lost_where_a_defect_was_growing_is_a_ticket_of_its_own_linked_to_the_known_one(
    text: str, symptom: Symptom | None
) -> None:
    """Preventive work may wait for days; a customer in the dark may not."""
    desk = counter(JOINT)
    (known,) = tickets(desk)

    told = desk.report(call(text=text), CLERK, symptom=symptom)

    assert told.ticket is not None and told.beside is not None
    assert (told.created, told.known, told.beside.id) == (True, False, known.id)
    assert (told.ticket.severity, told.ticket.work) == ("P1", "repair")
    with desk.ledger.reading() as r:
        new, old = r.steps(told.ticket.id)[-1], r.steps(known.id)[-1]
    assert (new.action, new.reason) == ("linked", known.number)
    assert (old.action, old.reason) == ("linked", told.ticket.number)
    page = Board(desk.ledger, desk.network).ticket(known.id, "clerk")
    assert page is not None and [told.ticket.id] == [t.id for t in page.linked]


@pytest.mark.parametrize(
    ("text", "symptom"),
    [
        ("灯忽明忽暗", None),
        ("The lights are dim", None),
        ("插座没电，其他房间都正常", None),
        ("家里没电", "part"),
        ("please call me back", None),
    ],
)
def test_what_a_known_defect_explains_joins_its_ticket(text: str, symptom: Symptom | None) -> None:
    desk = counter(JOINT)

    told = desk.report(call(text=text), CLERK, symptom=symptom)

    assert (told.known, told.created, told.beside) == (True, False, None)
    assert 1 == len(tickets(desk))


def test_the_next_caller_in_the_dark_joins_the_ticket_of_the_first() -> None:
    desk = counter(JOINT)
    first = desk.report(call(), CLERK)

    again = desk.report(call(number=2), CLERK)

    assert again.ticket is not None and first.ticket is not None
    assert (again.ticket.id, again.created, 2) == (first.ticket.id, False, len(tickets(desk)))


def test_a_defect_that_does_not_fail_opens_nothing_while_the_callers_own_meter_has_supply() -> None:
    low = raised("under_voltage", T1, at=-DAY)

    alive = counter(low, M_T1_B1_1=ALIVE).report(call(), CLERK)
    silent = counter(low).report(call(), CLERK)
    burnt = counter(JOINT, M_T1_B1_1=ALIVE).report(call(), CLERK)

    assert (False, True, True) == (alive.created, silent.created, burnt.created)


@pytest.mark.parametrize("fault", ["neutral_broken", "outage"])
def test_what_is_urgent_already_takes_every_call(fault: str) -> None:
    desk = counter(raised(fault, T1, at=-HOUR))

    told = desk.report(call(text="墙里冒烟，家里没电"), CLERK)

    assert (told.known, told.created) == (True, False)


def test_a_smell_of_burning_is_what_a_loose_neutral_does_to_lamps() -> None:
    told = counter(raised("neutral_loose", T1, at=-HOUR)).report(
        call(text="灯泡特别亮，还有股焦味"), CLERK
    )

    assert (told.known, told.created) == (True, False)


def test_the_clerks_word_that_no_ticket_is_to_be_opened_holds() -> None:
    told = counter(JOINT).report(call(), CLERK, open_ticket=False)

    assert (told.known, told.created) == (True, False)


def test_where_meters_confirm_the_loss_the_two_are_one_ticket() -> None:
    desk = counter(JOINT)
    desk.report(call(), CLERK)

    apply_events([raised("outage", U1, at=HOUR)], desk.ledger, desk.network)

    (one,) = tickets(desk)
    assert (one.fault, one.severity, one.work) == ("outage", "P1", "repair")


@pytest.mark.parametrize("minutes", [-30, 30])
def test_a_defect_found_where_supply_is_said_to_be_lost_makes_that_no_less_urgent(
    minutes: int,
) -> None:
    desk = counter()
    desk.report(call(), CLERK)
    joint = raised("joint_resistance", U1, at=NOW - START + minutes * MINUTE)

    apply_events([joint], desk.ledger, desk.network)

    told = {t.fault: (t.severity, t.work) for t in tickets(desk)}
    assert told == {"outage": ("P1", "repair"), "joint_resistance": ("P2", "preventive")}


def test_a_report_that_a_defect_is_merged_into_stays_a_loss_of_supply_until_meters_say_more() -> (
    None
):
    desk = counter()
    reported = desk.report(call(), CLERK).ticket
    apply_events([raised("joint_resistance", U1, at=HOUR)], desk.ledger, desk.network)
    (joint,) = (t for t in tickets(desk) if t.fault == "joint_resistance")
    assert reported is not None
    hands = TicketDesk(desk.ledger, desk.network, StandingClock(NOW))
    hands.merge(joint.id, Actor("赵值班", "operator"), joint.version, reported.number)

    apply_events([raised("comms_failure", U1, at=NOW - START)], desk.ledger, desk.network)

    with desk.ledger.reading() as r:
        main = r.ticket(reported.id)
        assert main is not None
        incident = r.incident(main.incident_id)
    assert incident is not None
    assert (main.fault, main.severity, main.work) == ("outage", "P1", "repair")
    assert (incident.incident_class, incident.opened_us) == ("supply", NOW)


def test_a_clerk_who_wants_a_ticket_beside_a_known_defect_gets_one_whatever_the_symptom() -> None:
    told = counter(JOINT).report(call(), CLERK, open_ticket=True, symptom="flicker")

    assert told.created and told.beside is not None
