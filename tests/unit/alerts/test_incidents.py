"""One cause is one incident is one ticket, whatever the order in which its signs arrive."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from alerts.apply import apply_events
from alerts.incidents import EXPLAINS, PRECURSORS
from alerts.lines import alert_lines
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.service import clocks
from alerts.tickets import TicketDesk
from grid.faults import FAULTS
from grid.network import PlannedWork
from grid.records import WATCH_LIST, AlertEvent, Incident, Ticket
from tests.unit.alerts.town import DAY, HOUR, MINUTE, START, StandingClock, after, raised, town

T1 = ("transformer", "T1")
T2 = ("transformer", "T2")
F1 = ("feeder", "F1")
B1 = ("branch", "T1-B1")
U1 = ("usage_point", "T1-B1-1")
U2 = ("usage_point", "T1-B1-2")


def applied(*events: AlertEvent, planned: Sequence[PlannedWork] = ()) -> MemoryLedger:
    """A ledger that was given the events one by one."""
    ledger, network = MemoryLedger(), town(planned)
    for event in events:
        apply_events([event], ledger, network)
    return ledger


def tickets(ledger: MemoryLedger) -> list[Ticket]:
    with ledger.reading() as r:
        return r.tickets()


def incidents(ledger: MemoryLedger) -> list[Incident]:
    with ledger.reading() as r:
        return r.incidents()


def grouping(ledger: MemoryLedger) -> object:
    """What must not depend on order: open incidents, their open tickets, flags and mutes."""
    with ledger.reading() as r:
        open_ = r.incidents()
        held = r.open_tickets([i.id for i in open_])
        names = {i.id: (i.incident_class, i.asset_kind, i.asset) for i in open_}
        alerts = r.alerts(limit=1000)
        muted = r.mutes([a.id for a in alerts])
        return (
            sorted(
                (i.incident_class, i.asset_kind, i.asset, i.fault, i.severity, i.opened_us)
                for i in open_
            ),
            sorted((t.asset, t.fault, t.severity, t.work, t.customers) for t in held.values()),
            sorted((a.id, a.condition, a.ticket, names.get(a.incident_id or 0)) for a in alerts),
            sorted((a, m.kind) for a, mutes in muted.items() for m in mutes),
        )


def test_an_alert_opens_one_incident_and_one_ticket_that_waits_for_a_person() -> None:
    ledger = applied(raised("neutral_loose", T1))

    ticket = tickets(ledger)[0]
    assert [i.asset for i in incidents(ledger)] == ["T1"]
    assert ticket.number == "20260301-0001"
    assert (ticket.state, ticket.work, ticket.severity) == ("assessing", "preventive", "P2")
    assert (ticket.customers, ticket.team, ticket.manager) == (6, "crew-1", "李台区")


def test_the_same_events_again_change_nothing() -> None:
    events = [raised("neutral_loose", T1), raised("outage", T2, at=HOUR)]
    ledger = applied(*events)
    before = (tickets(ledger), incidents(ledger), alert_lines(ledger))

    again = apply_events(events, ledger, town())

    assert (again.new, again.known, again.opened) == (0, 2, ())
    assert (tickets(ledger), incidents(ledger), alert_lines(ledger)) == before


def test_a_broken_neutral_worsens_the_ticket_of_the_loose_one() -> None:
    ledger = applied(raised("neutral_loose", T1), raised("neutral_broken", T1, at=HOUR))

    (ticket,) = tickets(ledger)
    assert (ticket.fault, ticket.severity, ticket.work) == ("neutral_broken", "P1", "repair")
    with ledger.reading() as r:
        assert [s.action for s in r.steps(ticket.id)] == ["open", "worsened"]
    assert [line["ticket"] for line in alert_lines(ledger)] == [True, False]


def test_a_cause_found_further_up_moves_the_incident_and_keeps_the_number() -> None:
    ledger = applied(raised("outage", T1), raised("outage", F1, at=MINUTE))

    (ticket,) = tickets(ledger)
    assert (ticket.number, ticket.asset, ticket.customers) == ("20260301-0001", "F1", 12)
    with ledger.reading() as r:
        (move,) = r.moves(ticket.incident_id)
    assert (move.from_asset, move.to_asset) == ("T1", "F1")
    assert [(x["asset"], x["ticket"]) for x in alert_lines(ledger)] == [("F1", True), ("F1", False)]


def test_two_causes_that_turn_out_to_be_one_become_main_and_merged_ticket() -> None:
    ledger = applied(
        raised("outage", T1), raised("outage", T2, at=MINUTE), raised("outage", F1, at=2 * MINUTE)
    )

    (main,) = tickets(ledger)
    with ledger.reading() as r:
        (merged,) = r.tickets(states=["merged"])
    assert (main.number, main.asset) == ("20260301-0001", "F1")
    assert (merged.number, merged.merged_into) == ("20260301-0002", main.id)
    assert [line["ticket"] for line in alert_lines(ledger)] == [True, False, False]


def test_faults_of_one_class_on_different_lines_of_supply_are_two_tickets() -> None:
    ledger = applied(raised("outage", T1), raised("outage", T2, at=MINUTE))

    assert ["T1", "T2"] == sorted(t.asset for t in tickets(ledger))


def test_two_hot_joints_in_one_area_are_two_repairs() -> None:
    ledger = applied(
        raised("joint_resistance", ("device", "T1-mon")),
        raised("hot_terminal", ("device", "M-T1-B1-1"), at=HOUR),
    )

    assert 2 == len(tickets(ledger))


def test_a_meter_and_its_usage_point_are_one_place() -> None:
    ledger = applied(
        raised("joint_resistance", U1), raised("hot_terminal", ("device", "M-T1-B1-1"), at=HOUR)
    )

    (ticket,) = tickets(ledger)
    assert (ticket.fault, ticket.severity) == ("hot_terminal", "P1")


@pytest.mark.parametrize("fault", ["under_voltage", "unbalance", "neutral_loose", "comms_failure"])
def test_a_loss_of_supply_above_explains_what_the_meters_tell_below(fault: str) -> None:
    ledger = applied(raised("outage", T1), raised(fault, U1, at=MINUTE))

    assert ["outage"] == [t.fault for t in tickets(ledger)]
    with ledger.reading() as r:
        (below,) = r.alerts(fault=fault)
        assert [m.kind for m in r.mutes([below.id])[below.id]] == ["upstream"]


def test_what_was_wrong_before_the_outage_keeps_its_own_ticket() -> None:
    ledger = applied(raised("neutral_loose", U1), raised("outage", T1, at=2 * DAY))

    assert ["neutral_loose", "outage"] == sorted(t.fault for t in tickets(ledger))


def test_what_people_already_work_on_is_not_merged_away() -> None:
    ledger, network = MemoryLedger(), town()
    apply_events([raised("comms_failure", U1)], ledger, network)
    with ledger.transaction() as tx:
        (ticket,) = tx.tickets()
        step = tx.steps(ticket.id)[0]
        gone = replace(ticket, state="on_site")
        assert tx.change_ticket(gone, ticket.version, replace(step, action="arrive"))

    apply_events([raised("outage", T1, at=MINUTE)], ledger, network)

    assert ["comms_failure", "outage"] == sorted(t.fault for t in tickets(ledger))


@pytest.mark.parametrize(
    ("growing", "lost", "asset"),
    [
        ("joint_resistance", "outage", U1),
        ("momentary", "outage", B1),
        ("hot_terminal", "outage", U1),
        ("joint_resistance", "phase_loss", B1),
        ("transformer_winding", "outage", T1),
    ],
)
def test_what_was_growing_and_takes_the_supply_with_it_is_one_repair(
    growing: str, lost: str, asset: tuple[str, str]
) -> None:
    ledger = applied(raised(growing, asset), raised(lost, asset, at=2 * DAY))

    (ticket,) = tickets(ledger)
    (incident,) = incidents(ledger)
    assert (ticket.fault, ticket.severity, ticket.work) == (lost, "P1", "repair")
    assert (ticket.number, ticket.opened_us) == ("20260301-0001", START + 30_000_000)
    assert ticket.due_us == START + 2 * DAY + 30_000_000 + 45 * MINUTE
    assert (incident.incident_class, incident.asset) == ("supply", asset[1])
    assert incident.opened_us == START + 2 * DAY, "customers are told since when it is dark"
    with ledger.reading() as r:
        assert [s.action for s in r.steps(ticket.id)] == ["open", "supply_lost"]
    assert [line["ticket"] for line in alert_lines(ledger)] == [True, False]


@pytest.mark.parametrize("watched", [False, True])
def test_promises_run_from_the_loss_though_the_defect_was_known_without_a_ticket(
    watched: bool,
) -> None:
    """Both come in one batch after an interruption; or the defect stood on the watch list."""
    joint, outage = raised("joint_resistance", U1), raised("outage", U1, at=2 * DAY)
    numbers = {WATCH_LIST: "over the day's budget"} if watched else {}
    evidence = replace(joint.finding.evidence, numbers=numbers)
    joint = replace(joint, finding=replace(joint.finding, evidence=evidence))
    ledger = MemoryLedger()
    for batch in [[joint], [outage]] if watched else [[joint, outage]]:
        apply_events(batch, ledger, town())

    (ticket,) = tickets(ledger)
    with ledger.reading() as r:
        steps = r.steps(ticket.id)
    assert [s.action for s in steps] == ["open", "supply_lost"]
    promised = clocks(ticket, steps, "urban", START + 2 * DAY)
    assert {c.start_us for c in promised} == {START + 2 * DAY + 30_000_000}


def test_a_burnt_terminal_ranks_no_lower_for_having_taken_the_supply_with_it() -> None:
    ledger = applied(raised("hot_terminal", U1))
    before = tickets(ledger)[0].priority

    apply_events([raised("outage", U1, at=DAY)], ledger, town())

    assert tickets(ledger)[0].priority == before


@pytest.mark.parametrize(("days", "count"), [(6, 1), (8, 2)])
def test_a_contact_that_went_quiet_is_not_mended_for_as_long_as_it_may_wait(
    days: int, count: int
) -> None:
    joint = raised("joint_resistance", U1)
    ledger = applied(
        joint, after(joint, "cleared", HOUR), raised("outage", U1, at=HOUR + days * DAY)
    )

    assert count == len(tickets(ledger))


@pytest.mark.parametrize("lost", [T1, B1, U2])
def test_supply_lost_elsewhere_is_a_ticket_of_its_own(lost: tuple[str, str]) -> None:
    ledger = applied(raised("joint_resistance", U1), raised("outage", lost, at=HOUR))

    assert ["joint_resistance", "outage"] == sorted(t.fault for t in tickets(ledger))


def test_a_joint_gets_its_ticket_back_when_the_outage_is_found_further_up() -> None:
    ledger = applied(raised("joint_resistance", U1), raised("outage", U1, at=HOUR))
    (before,) = tickets(ledger)

    apply_events([raised("outage", T1, at=HOUR + MINUTE)], ledger, town())

    now = {t.fault: t for t in tickets(ledger)}
    assert {"joint_resistance": "T1-B1-1", "outage": "T1"} == {f: t.asset for f, t in now.items()}
    assert (now["joint_resistance"].id, now["joint_resistance"].severity) == (before.id, "P2")
    assert {"joint", "supply"} == {i.incident_class for i in incidents(ledger)}


def test_a_loss_that_people_merge_into_a_defects_ticket_does_not_become_its_place() -> None:
    """Customers of the other branch have supply; and who merged it can take it out again."""
    ledger = applied(raised("joint_resistance", T1), raised("outage", B1, at=DAY))
    held = {t.fault: t for t in tickets(ledger)}
    main, lost = held["joint_resistance"], held["outage"]
    desk, chief = TicketDesk(ledger, town(), StandingClock(START + DAY)), Actor("赵", "operator")
    merged = desk.merge(lost.id, chief, lost.version, main.number)

    apply_events([raised("comms_failure", U1, at=DAY + HOUR)], ledger, town())
    during = [(t.fault, t.asset, t.work) for t in tickets(ledger) if t.id == main.id]
    desk.unmerge(lost.id, chief, merged.version)
    apply_events([raised("comms_failure", U2, at=DAY + 2 * HOUR)], ledger, town())

    assert during == [("joint_resistance", "T1", "preventive")]
    after_all = {(t.fault, t.asset) for t in tickets(ledger)}
    assert {("joint_resistance", "T1"), ("outage", "T1-B1")} <= after_all


def test_a_joint_found_only_after_the_supply_was_back_is_work_of_its_own() -> None:
    outage = raised("outage", U1)
    ledger = applied(outage, after(outage, "cleared", HOUR), raised("joint_resistance", U1, at=DAY))

    assert 2 == len(tickets(ledger))


def test_announced_work_at_a_joint_is_not_its_failure() -> None:
    work = PlannedWork("usage_point", U1[1], START + DAY, START + DAY + 4 * HOUR, "处理接头")
    ledger = applied(
        raised("joint_resistance", U1), raised("outage", U1, at=DAY + HOUR), planned=[work]
    )

    (ticket,) = tickets(ledger)
    assert (ticket.fault, ticket.severity) == ("joint_resistance", "P2")


@pytest.mark.parametrize(("state", "count"), [("on_site", 1), ("restored", 2)])
def test_supply_lost_after_the_defect_was_reported_mended_is_new_work(
    state: str, count: int
) -> None:
    ledger, network = MemoryLedger(), town()
    apply_events([raised("joint_resistance", U1)], ledger, network)
    with ledger.transaction() as tx:
        (ticket,) = tx.tickets()
        gone = replace(ticket, state=state)  # type: ignore[arg-type]
        assert tx.change_ticket(gone, ticket.version, replace(tx.steps(ticket.id)[0]))

    apply_events([raised("outage", U1, at=DAY)], ledger, network)

    assert count == len(tickets(ledger))
    assert "outage" in {t.fault for t in tickets(ledger)}


def test_supply_that_is_back_is_noted_though_the_burnt_joint_is_watched_on() -> None:
    outage = raised("outage", U1, at=DAY)
    ledger = applied(
        raised("joint_resistance", U1), outage, after(outage, "cleared", DAY + 2 * HOUR)
    )

    (ticket,) = tickets(ledger)
    with ledger.reading() as r:
        steps = [s.action for s in r.steps(ticket.id)]
    assert steps == ["open", "supply_lost", "condition_cleared"]


def test_announced_work_opens_no_ticket_and_says_why() -> None:
    work = PlannedWork("transformer", "T1", START, START + 4 * HOUR, "更换配变")
    ledger = applied(raised("outage", T1, at=HOUR), planned=[work])

    assert [] == tickets(ledger)
    with ledger.reading() as r:
        (alert,) = r.alerts()
        (mute,) = r.mutes([alert.id])[alert.id]
    assert (mute.kind, mute.reason, alert.ticket) == ("maintenance", "更换配变", False)


@pytest.mark.parametrize(("minutes", "opened"), [(5, 0), (29, 0), (30, 1)])
def test_a_loss_while_announced_work_is_switched_back_opens_no_ticket(
    minutes: int, opened: int
) -> None:
    work = PlannedWork("transformer", "T1", START, START + HOUR, "更换配变")
    late = raised("outage", U1, at=HOUR + minutes * 60_000_000)
    ledger = applied(late, planned=[work])

    assert opened == len(tickets(ledger))


def test_an_outage_outside_the_announced_work_opens_a_ticket() -> None:
    work = PlannedWork("transformer", "T1", START, START + HOUR, "更换配变")
    ledger = applied(raised("outage", T2, at=0), raised("outage", T1, at=2 * HOUR), planned=[work])

    assert 2 == len(tickets(ledger))


def test_unexplained_behaviour_stays_on_the_watch_list() -> None:
    ledger = applied(raised("unknown", U1))

    assert [] == tickets(ledger)
    assert [False] == [line["ticket"] for line in alert_lines(ledger)]


def test_whoever_saw_an_alert_sees_it_anew_when_it_is_worse() -> None:
    first = raised("neutral_loose", T1)
    ledger = applied(first)
    with ledger.transaction() as tx:
        alert = tx.alert(first.alert_id)
        assert alert is not None
        tx.put_alert(replace(alert, handling="acked", acked_by="王"))

    apply_events([after(first, "worsened", HOUR, severity="P1")], ledger, town())

    with ledger.reading() as r:
        now = r.alert(first.alert_id)
    assert now is not None
    assert (now.handling, now.severity) == ("new", "P1")


def test_readings_that_are_normal_again_are_noted_and_the_ticket_stays() -> None:
    first = raised("outage", T1)
    ledger = applied(first, after(first, "cleared", HOUR))

    (ticket,) = tickets(ledger)
    with ledger.reading() as r:
        assert ["open", "condition_cleared"] == [s.action for s in r.steps(ticket.id)]


def test_an_end_that_arrives_before_its_beginning_gives_the_same_state() -> None:
    first = raised("outage", T1)
    end = after(first, "cleared", HOUR)

    assert grouping(applied(first, end)) == grouping(applied(end, first))


CASES = {
    "downstream before upstream": [
        raised("outage", U1),
        raised("outage", U2, at=MINUTE),
        raised("outage", T1, at=2 * MINUTE),
        raised("comms_failure", U1, at=3 * MINUTE),
    ],
    "two areas, one feeder": [
        raised("outage", T1),
        raised("outage", T2),
        raised("comms_failure", T2, at=-MINUTE),
        raised("outage", F1, at=MINUTE),
    ],
    "neutral and what it brings": [
        raised("neutral_loose", B1),
        raised("neutral_broken", B1, at=HOUR),
        raised("over_voltage", U1, at=HOUR),
        raised("under_voltage", U2, at=HOUR + MINUTE),
    ],
    "a joint that burns off": [
        raised("joint_resistance", U1, at=-DAY),
        raised("momentary", B1, at=-2 * HOUR),
        raised("outage", U1),
        raised("comms_failure", U1, at=MINUTE),
    ],
    "a joint below a larger outage": [
        raised("hot_terminal", U1, at=-DAY),
        raised("outage", U1),
        raised("outage", T1, at=MINUTE),
    ],
    "nothing to do with each other": [
        raised("outage", T1),
        raised("transformer_thermal", T2),
        raised("hot_terminal", ("device", "M-T2-B1-1")),
        raised("meter_health", ("device", "M-T2-B1-2")),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_grouping_is_the_same_in_any_order_of_arrival(case: str) -> None:
    events = CASES[case]
    orders = [applied(*order) for order in itertools.permutations(events)]

    expected = grouping(orders[0])
    assert all(grouping(other) == expected for other in orders)


@pytest.mark.parametrize("seed", range(60))
def test_a_night_of_trouble_groups_alike_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    places = [F1, T1, T2, B1, U1, U2, ("usage_point", "T2-B2-3"), ("device", "T1-mon")]
    faults = ["outage", "comms_failure", "under_voltage", "neutral_loose", "joint_resistance"]
    faults += ["transformer_winding"] if seed % 2 else []
    chosen = {(rng.choice(faults), rng.choice(places)): rng.randint(0, 400) for _ in range(9)}
    events = [raised(f, p, at=m * MINUTE) for (f, p), m in chosen.items()]
    lengths = [rng.choice([0, 30, 300]) for _ in events]
    for e, minutes in zip(list(events), lengths, strict=True):
        if minutes:
            events.append(after(e, "cleared", e.raised_us - START + minutes * MINUTE))
    ordered = sorted(events, key=lambda e: e.finding.tick_us)
    shuffled = rng.sample(events, len(events))

    assert grouping(applied(*ordered)) == grouping(applied(*shuffled))


def test_what_a_class_explains_is_a_class_of_the_catalogue() -> None:
    classes = {f.incident_class for f in FAULTS.values()}
    assert set().union(EXPLAINS, *EXPLAINS.values()) <= classes


def test_what_ends_in_a_loss_of_supply_is_never_explained_by_one() -> None:
    assert PRECURSORS <= {f.incident_class for f in FAULTS.values()}
    assert not PRECURSORS & set().union(*EXPLAINS.values())
