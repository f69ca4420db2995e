"""Many writers, shuffled duplicates, crashes: the tables are those of one writer in order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from alerts.apply import apply_events
from alerts.errors import Conflict, ForbiddenTransition, StaleTicket
from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from alerts.places import Places
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.counter import Counter
from grid.network import Device, Feeder, Network, Transformer, UsagePoint
from grid.records import AlertEvent, Channel, Contact
from storage.database import Database
from storage.ledger import PostgresLedger
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, after, raised, town

AREAS = 25
POINTS = 4


def district() -> Network:
    """25 areas of one feeder, four usage points each."""
    areas = [f"T{i}" for i in range(AREAS)]
    points = [f"{a}-{j}" for a in areas for j in range(POINTS)]
    return Network(
        feeders=(Feeder("F1"),),
        transformers=tuple(Transformer(a, "F1") for a in areas),
        usage_points=tuple(UsagePoint(p, p.split("-")[0], account=f"A-{p}") for p in points),
        devices=tuple(Device(f"M-{p}", usage_point=p) for p in points),
    )


def trouble() -> list[AlertEvent]:
    """600 events of 200 alerts, which are 50 causes: in each area an outage with its silent
    meters, and days later a loosening neutral with wild voltages."""
    events: list[AlertEvent] = []
    for i in range(AREAS):
        area = f"T{i}"
        outage = raised("outage", ("transformer", area), i * MINUTE)
        neutral = raised("neutral_loose", ("transformer", area), 100 * HOUR + i * MINUTE)
        below = [
            raised("comms_failure", ("usage_point", f"{area}-{j}"), (i + j) * MINUTE)
            for j in range(3)
        ]
        wild = [
            raised("over_voltage", ("usage_point", f"{area}-{j}"), 100 * HOUR + (i + j) * MINUTE)
            for j in range(3)
        ]
        for first in (outage, neutral, *below, *wild):
            at = first.raised_us - START
            events += [
                first,
                after(first, "updated", at + 20 * MINUTE, score=2.0),
                after(first, "cleared", at + 2 * HOUR, score=0.0),
            ]
    return events


def picture(ledger: Ledger) -> object:
    """All that must be equal, without the ids and numbers that depend on who was first."""
    with ledger.reading() as r:
        incidents = {i.id: i for i in r.incidents(open_only=False, limit=10_000)}
        open_ = [i for i in incidents.values() if i.closed_us is None]
        tickets = r.tickets(limit=10_000)
        alerts = r.alerts(limit=10_000)
        mutes = r.mutes([a.id for a in alerts])
        return (
            sorted(
                (i.incident_class, i.asset, i.fault, i.severity, i.opened_us, i.known_us)
                for i in open_
            ),
            sorted((t.asset, t.fault, t.work, t.priority, t.due_us or 0) for t in tickets),
            sorted(
                (a.id, a.condition, a.score, a.ticket, a.cleared_us or 0, where.asset)
                for a in alerts
                for where in (incidents[a.incident_id or 0],)
            ),
            sorted((i, m.kind) for i, ms in mutes.items() for m in ms),
        )


def one_writer(events: Sequence[AlertEvent], network: Network) -> MemoryLedger:
    ledger, places = MemoryLedger(), Places(network)
    for event in events:
        apply_events([event], ledger, network, places=places)
    return ledger


def test_eight_writers_with_shuffled_duplicates_leave_what_one_writer_leaves(
    ledger: PostgresLedger,
) -> None:
    network, events = district(), trouble()
    in_order = sorted(events, key=lambda e: (e.finding.tick_us, e.event_id))
    expected = picture(one_writer(in_order, network))

    def write(seed: int) -> None:
        mine = random.Random(seed).sample(events, len(events))
        places = Places(network)
        for at in range(0, len(mine), 15):
            apply_events(mine[at : at + 15], ledger, network, places=places)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write, seed) for seed in range(8)]:
            done.result(timeout=100)

    assert expected == picture(ledger)
    with ledger.reading() as r:
        tickets = r.tickets(limit=1000)
    assert 50 == len(tickets)
    assert 50 == len({t.number for t in tickets})


def test_the_whole_log_again_changes_no_row(ledger: PostgresLedger, database: Database) -> None:
    network, events = town(), [raised("neutral_loose"), raised("neutral_broken", at=HOUR)]
    apply_events(events, ledger, network)

    def rows() -> object:
        tables = ("alert", "incident", "ticket", "ticket_transition", "outbox", "alert_event")
        with database.connection() as c:
            return [
                c.execute(
                    f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {t} t".encode()
                ).fetchone()
                for t in tables
            ]

    before = rows()
    for _ in range(3):
        applied = apply_events(events, ledger, network)
        assert (0, 2) == (applied.new, applied.known)
    assert before == rows()


def test_a_drill_has_its_own_tickets_and_leaves_the_live_ones_alone(database: Database) -> None:
    live, drill = PostgresLedger(database, "live-a"), PostgresLedger(database, "drill-a")
    apply_events([raised("neutral_loose")], live, town())
    before = picture(live)

    applied = apply_events([raised("neutral_loose")], drill, town())

    assert 1 == applied.new
    assert before == picture(live) == picture(drill)
    with live.reading() as one, drill.reading() as other:
        assert one.tickets()[0].id != other.tickets()[0].id
        assert other.ticket(one.tickets()[0].id) is None


def test_six_clerks_take_one_ticket_and_one_of_them_has_it(ledger: PostgresLedger) -> None:
    apply_events([raised("neutral_loose")], ledger, town())
    with ledger.reading() as r:
        (ticket,) = r.tickets()
    desk = TicketDesk(ledger, town(), StandingClock())

    def take(i: int) -> str:
        try:
            return desk.take(ticket.id, Actor(f"clerk-{i}", "clerk"), ticket.version).assignee or ""
        except StaleTicket as e:
            return f"lost to {e.ticket.assignee}"

    with ThreadPoolExecutor(6) as pool:
        got = sorted(pool.map(take, range(6)))

    winner = next(g for g in got if not g.startswith("lost"))
    assert [winner, *[f"lost to {winner}"] * 5] == got


@pytest.mark.parametrize("_", range(5))
def test_two_tickets_merged_into_each_other_leave_exactly_one(
    ledger: PostgresLedger, _: int
) -> None:
    events = [raised("neutral_loose"), raised("outage", ("transformer", "T2"))]
    apply_events(events, ledger, town())
    with ledger.reading() as r:
        one, two = r.tickets()
    desk = TicketDesk(ledger, town(), StandingClock())
    chief = Actor("chief", "operator")

    def merge(pair: tuple[int, str]) -> bool:
        try:
            desk.merge(pair[0], chief, 1, pair[1])
        except (Conflict, StaleTicket, ForbiddenTransition):
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(merge, [(one.id, two.number), (two.id, one.number)]))

    assert [False, True] == sorted(done)
    with ledger.reading() as r:
        assert 1 == len(r.tickets())


def test_ten_callers_by_three_channels_are_one_ticket_with_ten_contacts(
    ledger: PostgresLedger,
) -> None:
    network = town()
    apply_events([raised("outage", ("transformer", "T1"))], ledger, network)
    counter = Counter(ledger, network, StandingClock(START + HOUR))
    three: list[Channel] = ["phone", "web", "counter"]
    channels = [three[i % 3] for i in range(10)]
    calls = [
        Contact(channel, f"{channel}-{i}", START + i * MINUTE, account=f"A{11 + i % 6}")
        for i, channel in enumerate(channels)
    ]

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(counter.report, [*calls, *calls]))

    with ledger.reading() as r:
        (ticket,) = r.tickets()
        contacts = r.contacts(ticket_id=ticket.id)
        incident = r.incident(ticket.incident_id)
    assert 10 == len(contacts) == ticket.contacts
    assert incident is not None
    assert (10, START) == (incident.contacts, incident.first_contact_us)
    assert all(o.ticket is not None and o.ticket.id == ticket.id for o in outcomes)
    assert 10 == sum(o.repeated for o in outcomes)


def test_calls_alone_from_one_area_are_one_ticket(ledger: PostgresLedger) -> None:
    """No meter has spoken: six neighbours call at once."""
    network = town()
    counter = Counter(ledger, network, StandingClock(START + HOUR))
    calls = [Contact("phone", f"c{i}", START + i * MINUTE, account=f"A{11 + i}") for i in range(6)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(counter.report, calls))

    with ledger.reading() as r:
        (ticket,) = r.tickets()
        assert 6 == len(r.contacts(ticket_id=ticket.id))
    assert ("transformer", "T1", "received") == (ticket.asset_kind, ticket.asset, ticket.state)


def test_a_writer_killed_at_random_places_leaves_what_an_undisturbed_one_leaves(
    database: Database,
) -> None:
    """Killed before its commit, after it, or in the middle: it starts again a little before the
    place it had reached, as from an older snapshot. Ticket numbers are the same as well."""
    network = town()
    rng = random.Random(7)
    events = sorted(
        (
            e
            for hour in range(0, 60, 3)
            for first in (
                raised("outage", ("transformer", "T1"), hour * HOUR),
                raised("comms_failure", ("usage_point", "T1-B1-1"), hour * HOUR + MINUTE),
                raised(
                    "hot_terminal",
                    ("device", f"M-T2-B1-{hour % 9 // 3 + 1}"),
                    hour * HOUR + 2 * MINUTE,
                ),
            )
            for e in (first, after(first, "cleared", first.raised_us - START + 90 * MINUTE))
        ),
        key=lambda e: (e.finding.tick_us, e.event_id),
    )
    calm, shaken = PostgresLedger(database, "calm"), PostgresLedger(database, "shaken")
    for event in events:
        apply_events([event], calm, network)

    at = kills = 0
    while at < len(events):
        batch = events[at : at + 5]
        if kills < 20 and rng.random() < 0.6:
            kills += 1
            with pytest.raises(RuntimeError), shaken.transaction() as tx:
                tx.new_events(batch)
                raise RuntimeError("kill -9")
            at = max(0, at - rng.randint(0, 12))
        else:
            apply_events(batch, shaken, network)
            at += 5

    assert 20 == kills
    assert picture(calm) == picture(shaken)
    with calm.reading() as one, shaken.reading() as other:
        assert [(t.number, t.episode) for t in one.tickets()] == [
            (t.number, t.episode) for t in other.tickets()
        ]
