"""The MQTT collector against a real broker: nothing acknowledged that is not in the journal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from forewatt.services import PrivateServices
from grid.clock import SimulatedClock
from ingest.journal import SqliteJournal
from ingest.payloads import PayloadDecoder
from tests.integration.ingest.rig import (
    FussyJournal,
    entries,
    mqtt_collector,
    network_of,
    publish,
    publisher,
    rows,
    running,
    source_of,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.services


@pytest.fixture
def journal(tmp_path: Path) -> FussyJournal:
    return FussyJournal(tmp_path / "journal")


def reading(device: str, t_ms: int, **values: float) -> tuple[str, dict[str, Any]]:
    return f"forewatt/v1/{device}/readings", {"t": t_ms, **(values or {"v_a": 230.0})}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def own(request: pytest.FixtureRequest) -> str:
    """A device name of this test alone, since the session's broker is shared."""
    return f"D-{abs(hash(request.node.name)) % 10**9}"


def topics(device: str) -> tuple[str, ...]:
    return tuple(f"forewatt/v1/{device}/{form}" for form in ("readings", "batch", "events"))


def test_readings_batches_and_events_reach_the_journal_and_are_acknowledged(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    d, t = own(request), now_ms()
    source = source_of(mqtt_url, topics=topics(d))
    collector, metrics = mqtt_collector(source, journal, network_of(d, "A", "B"))
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        publish(
            client,
            [
                reading(d, t),
                (f"forewatt/v1/{d}/batch", {"t": t, "device": ["A", "B"], "v_a": [1, 2]}),
                (f"forewatt/v1/{d}/events", {"t": t, "event": "last_gasp"}),
            ],
        )
        wait_for(lambda: len(rows(journal)) == 4)

    assert [(d, t), ("A", t), ("B", t), (d, t)] == rows(journal)
    assert (3, 3, 1) == (metrics.messages, metrics.readings, metrics.events)
    again, metrics = mqtt_collector(source, journal, network_of(d, "A", "B"))
    with running(again):
        wait_for(lambda: metrics.ticks >= 1)
    assert 0 == metrics.messages  # all were acknowledged: nothing is delivered again


def test_what_was_sent_while_no_collector_ran_is_collected_before_the_first_tick(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    """A tick says "nothing older is coming": it must stand behind the whole backlog."""
    d, t = own(request), now_ms()
    source = source_of(mqtt_url, topics=topics(d))
    first, metrics = mqtt_collector(source, journal, network_of(d))
    with running(first):
        wait_for(lambda: metrics.connected)
    with publisher(mqtt_url) as client:
        publish(client, [reading(d, t - i) for i in range(3000)])

    second, metrics = mqtt_collector(source, journal, network_of(d), batch_messages=100)
    with running(second):
        wait_for(lambda: metrics.ticks >= 1, 20)

    records = [e.record for e in entries(journal)]
    first_tick = next(i for i, r in enumerate(records) if r.ticks)
    assert 3000 == sum(len(r.batch) for r in records[:first_tick])
    assert {(d, t - i) for i in range(3000)} == set(rows(journal))
    assert records[first_tick].ticks[0].up_to_us >= t * 1000


def test_poison_is_quarantined_and_its_neighbours_are_stored(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    d, t = own(request), now_ms()
    topic = f"forewatt/v1/{d}/readings"
    poison: list[tuple[str, Any]] = [
        (topic, b"{"),
        (topic, b""),
        (topic, b"\xff\x00"),
        (topic, b'{"t":1,"v_a":NaN}'),
        (topic, b"[" * 5000),
        (topic, {"t": t + 10**7, "v_a": 1}),
        (topic, {"t": t, "volt": 1}),
        (topic, b" " * (1 << 20) + b"{}"),
    ]
    messages = []
    for i, bad in enumerate(poison):
        messages += [reading(d, t - i), bad]
    collector, metrics = mqtt_collector(
        source_of(mqtt_url, topics=topics(d)), journal, network_of(d)
    )
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        publish(client, messages)
        wait_for(lambda: metrics.messages == len(messages))

    assert [(d, t - i) for i in range(len(poison))] == rows(journal)
    kinds = {"not_json": 4, "other": 2, "future_time": 1, "unknown_quantity": 1, "too_large": 1}
    del kinds["other"]
    quarantined = [q for e in entries(journal) for q in e.record.quarantined]
    assert len(poison) == len(quarantined) == metrics.quarantined.total()
    assert all(q.reason and q.source == f"mqtt {topic}" for q in quarantined)
    for kind in ("future_time", "unknown_quantity", "too_large"):
        assert 1 == metrics.quarantined[kind]


def test_large_messages_are_taken_in_small_batches(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    """Forty messages of a megabyte: memory is bounded by bytes, not only by their number."""
    d, t = own(request), now_ms()
    collector, metrics = mqtt_collector(
        source_of(mqtt_url, topics=topics(d)), journal, network_of(d), batch_messages=1000
    )
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        filler = b" " * ((1 << 20) - 60)
        publish(
            client,
            [
                (f"forewatt/v1/{d}/readings", b'{"t":%d,"v_a":1%s}' % (t - i, filler))
                for i in range(40)
            ],
        )
        wait_for(lambda: metrics.messages == 40, 30)

    assert [(d, t - i) for i in range(40)] == rows(journal)
    assert 5 <= sum(1 for e in entries(journal) if len(e.record.batch))


def test_large_messages_are_read_on_without_waiting_for_more(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    """A collector with little to do rests for the linger, here an hour; this is not little."""
    d, t = own(request), now_ms()
    source = source_of(mqtt_url, topics=topics(d))
    collector, metrics = mqtt_collector(
        source, journal, network_of(d), batch_messages=40, linger_ms=3_600_000, quiet_s=3_600
    )
    many = [{"t": t - i, "v_a": 230.0} for i in range(12_000)]  # 300 a message, 11 KB
    with running(collector) as stop, publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        publish(client, [(f"forewatt/v1/{d}/readings", many[i::40]) for i in range(40)])
        wait_for(lambda: metrics.messages == 40, 60, "all without resting")
        stop.set()
        publish(client, [reading(d, t + 1)])  # it wakes for this, and sees that it is to stop

    assert set(rows(journal)) >= {(d, t - i) for i in range(12_000)}


def test_a_full_disk_is_held_without_acknowledging_and_without_loss(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    d, t = own(request), now_ms()
    source = source_of(mqtt_url, topics=topics(d), receive_maximum=50)
    collector, metrics = mqtt_collector(
        source, journal, network_of(d), batch_messages=20, retry_s=0.1
    )
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        journal.full.set()
        publish(client, [reading(d, t - i) for i in range(500)])
        wait_for(lambda: journal.refused >= 3)
        held = (metrics.holding, metrics.trouble, metrics.ack_age_s() > 0, rows(journal))
        journal.full.clear()
        wait_for(lambda: len(rows(journal)) == 500)

    assert [(d, t - i) for i in range(500)] == rows(journal)
    assert (True, "the disk of the test is full", True, []) == held
    assert (False, 0.0) == (metrics.holding, metrics.ack_age_s())
    assert 1 == metrics.connections  # the connection stood all the time


def test_a_journal_at_its_limit_stops_the_acknowledgements_until_it_is_trimmed(
    mqtt_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Nobody reads it, as while the database is away: it fills up, then the broker holds."""
    d, t = own(request), now_ms()
    journal = SqliteJournal(tmp_path / "journal", max_bytes=100_000)
    source = source_of(mqtt_url, topics=topics(d), receive_maximum=100)
    collector, metrics = mqtt_collector(
        source, journal, network_of(d), batch_messages=50, retry_s=0.05
    )
    taken: list[int] = []
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        publish(client, [reading(d, t - i) for i in range(5_000)])
        wait_for(lambda: metrics.holding)
        held = (journal.sizes()["live"] < 300_000, metrics.trouble, metrics.ack_age_s() > 0)
        while len(taken) < 5_000:
            wait_for(lambda: rows(journal))
            last = journal.head()
            taken += [
                us
                for e in entries(journal)
                if e.offset <= last
                for us in e.record.batch.time.tolist()
            ]
            journal.trim(last + 1)
    journal.close()

    assert (True, True) == (held[0], held[2])
    assert "has reached its limit of 100,000 bytes" in held[1]
    assert [(t - i) * 1000 for i in range(5_000)] == taken


def test_a_collector_that_dies_while_holding_leaves_all_to_its_successor(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest
) -> None:
    d, t = own(request), now_ms()
    source = source_of(mqtt_url, topics=topics(d))
    first, metrics = mqtt_collector(source, journal, network_of(d), retry_s=0.05)
    with running(first), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        journal.full.set()
        publish(client, [reading(d, t - i) for i in range(200)])
        wait_for(lambda: journal.refused >= 2)
    assert [] == rows(journal)
    journal.full.clear()

    second, metrics = mqtt_collector(source, journal, network_of(d))
    with running(second):
        wait_for(lambda: len(rows(journal)) == 200)

    assert {(d, t - i) for i in range(200)} == set(rows(journal))


def test_a_fault_of_ours_in_one_message_neither_stops_nor_repeats(
    mqtt_url: str,
    journal: FussyJournal,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    d, t = own(request), now_ms()
    right = PayloadDecoder.add

    def wrong(self: PayloadDecoder, topic: str, payload: bytes, received_us: int) -> None:
        if b"trigger" in payload:
            raise ZeroDivisionError("a bug")
        right(self, topic, payload, received_us)

    monkeypatch.setattr(PayloadDecoder, "add", wrong)
    collector, metrics = mqtt_collector(
        source_of(mqtt_url, topics=topics(d)), journal, network_of(d)
    )
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        bad = (f"forewatt/v1/{d}/readings", b'{"trigger":1}')
        publish(client, [reading(d, t), reading(d, t - 1), bad, reading(d, t - 2)])
        wait_for(lambda: metrics.messages == 4)

    assert [(d, t), (d, t - 1), (d, t - 2)] == rows(journal)
    (kept,) = [q for e in entries(journal) for q in e.record.quarantined]
    assert "Forewatt failed on it: ZeroDivisionError: a bug" in kept.reason
    assert 1 == metrics.errors


def test_ticks_follow_the_clock_and_stand_still_with_it(
    mqtt_url: str, journal: FussyJournal, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    start_us = 1_700_000_000_000_000
    clock = SimulatedClock.create(tmp_path / "clock.json", start_us)
    d = own(request)
    collector, metrics = mqtt_collector(
        source_of(mqtt_url, topics=topics(d)),
        journal,
        network_of(d),
        clock,
        tick_s=0.05,
        quiet_s=0.05,
        settle_s=0.1,
    )
    with running(collector):
        wait_for(lambda: metrics.ticks == 1)
        connected_at = time.monotonic()
        wait_for(lambda: time.monotonic() - connected_at > 0.5)
        assert 1 == metrics.ticks
        clock.run(0.0, start_us + 900_000_000)
        wait_for(lambda: metrics.ticks == 2)

    ticks = [t for e in entries(journal) for t in e.record.ticks]
    assert [start_us, start_us + 900_000_000] == [t.up_to_us for t in ticks]
    assert {collector.name} == {t.source for t in ticks}


def test_the_collector_comes_back_after_the_broker_does(
    broker: PrivateServices, journal: FussyJournal
) -> None:
    t = now_ms()
    collector, metrics = mqtt_collector(source_of(broker.mqtt_url), journal, network_of("M1"))
    with running(collector):
        wait_for(lambda: metrics.connected)
        broker.stop_broker()
        wait_for(lambda: not metrics.connected)
        assert metrics.trouble
        broker.start_broker()
        wait_for(lambda: metrics.connected, 30)
        with publisher(broker.mqtt_url) as client:
            publish(client, [reading("M1", t)])
        wait_for(lambda: rows(journal) == [("M1", t)])

    assert (2, 0, "") == (metrics.connections, metrics.sessions_lost, metrics.trouble)


def test_late_acknowledgements_never_reach_the_messages_of_a_new_connection(
    broker: PrivateServices, journal: FussyJournal
) -> None:
    """After a broker lost its memory, packet ids start again at 1: an old ack would drop data."""
    t = now_ms()
    source = source_of(broker.mqtt_url)
    collector, metrics = mqtt_collector(source, journal, network_of("M1"), retry_s=0.05)
    with running(collector):
        wait_for(lambda: metrics.connected)
        journal.full.set()
        with publisher(broker.mqtt_url) as client:
            publish(client, [reading("M1", t - i) for i in range(10)])
        wait_for(lambda: journal.refused >= 1)
        broker.kill_broker()
        wait_for(lambda: not metrics.connected, 20)
        broker.start_broker()
        journal.full.clear()
        wait_for(lambda: metrics.connected, 30)
        wait_for(lambda: len(rows(journal)) == 10)
        journal.full.set()
        with publisher(broker.mqtt_url) as client:
            publish(client, [reading("M1", t + i) for i in range(1, 11)])
        refused = journal.refused
        wait_for(lambda: journal.refused > refused)
    journal.full.clear()

    second, metrics = mqtt_collector(source, journal, network_of("M1"))
    with running(second):
        wait_for(lambda: len(set(rows(journal))) == 20)

    assert {("M1", t + i) for i in range(-9, 11)} == set(rows(journal))


def test_two_collectors_with_one_client_id_say_so(
    mqtt_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source = source_of(mqtt_url, topics=topics(own(request)))
    one, metrics = mqtt_collector(source, SqliteJournal(tmp_path / "a"), network_of())
    two, _ = mqtt_collector(source, SqliteJournal(tmp_path / "b"), network_of())
    with running(one):
        wait_for(lambda: metrics.connected)
        with running(two):
            wait_for(lambda: "evict each other" in metrics.trouble)


def test_a_broker_that_is_not_there_is_named_and_tried_again(tmp_path: Path) -> None:
    collector, metrics = mqtt_collector(
        source_of("mqtt://127.0.0.1:1"), SqliteJournal(tmp_path / "j"), network_of()
    )
    with running(collector):
        wait_for(lambda: metrics.trouble)

    assert "cannot connect: Connection refused" == metrics.trouble
    assert not metrics.connected
