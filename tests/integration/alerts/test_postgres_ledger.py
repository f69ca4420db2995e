"""The ledger in PostgreSQL keeps the ledger's promises, and those that only a server can keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest

from alerts.ledger import Ledger
from grid.records import OutboxMessage
from storage.database import Database
from storage.desk_records import HumanInput
from storage.errors import JournalMismatch
from storage.ledger import PostgresLedger
from tests.contract.alerts.ledger_contract import DAY, INCIDENT, STEP, LedgerContract, some_ticket
from tests.unit.alerts.town import START, raised
from tests.waiting import wait_for


class TestPostgresLedger(LedgerContract):
    """See `LedgerContract`; the fixture `ledger` is this folder's."""


def test_both_ledgers_have_the_protocol(ledger: PostgresLedger) -> None:
    given: Ledger = ledger

    assert given.realm.startswith("test-")


def test_another_journal_under_the_same_consumer_is_refused(ledger: PostgresLedger) -> None:
    with ledger.transaction(("watch-a", "uuid-1", 5)):
        pass

    with pytest.raises(JournalMismatch, match="uuid-1"), ledger.transaction(("watch-a", "u2", 6)):
        pass


def test_an_offset_never_moves_back(ledger: PostgresLedger) -> None:
    for offset in (7, 3):
        with ledger.transaction(("watch-b", "uuid-1", offset)):
            pass

    with ledger.reading() as r:
        assert 7 == r.offset("watch-b", "uuid-1")


def test_a_reader_misses_nothing_under_concurrent_writers(ledger: PostgresLedger) -> None:
    """Sequence order is commit order: `seq > last` is enough (a plain sequence loses some)."""
    writers, each = 6, 25

    def write(writer: int) -> None:
        for i in range(each):
            with ledger.transaction() as tx:
                tx.publish("alert", f"{writer}-{i}", START, {})

    seen: list[str] = []
    last = 0
    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(write, w) for w in range(writers)]
        while len(seen) < writers * each:
            got = ledger.wait_outbox(last, 5.0, limit=7)
            assert got, f"only {len(seen)} messages came"
            seen += [m.key for m in got]
            last = got[-1].seq
        for done in running:
            done.result(timeout=30)

    assert sorted(seen) == sorted(f"{w}-{i}" for w in range(writers) for i in range(each))


def test_whoever_waits_is_woken_by_the_commit(ledger: PostgresLedger) -> None:
    waiting = Event()

    def wait() -> list[OutboxMessage]:
        waiting.set()
        return ledger.wait_outbox(0, 20.0)

    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(wait)
        assert waiting.wait(5.0)
        with ledger.transaction() as tx:
            tx.publish("ticket", "1", START, {})
        assert ["1"] == [m.key for m in got.result(timeout=10.0)]


def test_waiting_ends_without_a_message_at_its_deadline(ledger: PostgresLedger) -> None:
    assert [] == ledger.wait_outbox(0, 0.05)


def test_a_closed_ledger_lets_those_who_wait_go(database: Database) -> None:
    made = PostgresLedger(database, "closing")
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(made.wait_outbox, 0, 60.0)
        wait_for(lambda: made._stream._thread is not None)
        made.close()
        assert [] == got.result(timeout=10.0)


def test_old_messages_are_forgotten(ledger: PostgresLedger) -> None:
    with ledger.transaction() as tx:
        tx.publish("alert", "a", START, {})

    assert 0 == ledger.trim_outbox(3600)
    assert 1 == ledger.trim_outbox(0)
    with ledger.reading() as r:
        assert (1, []) == (r.outbox_head(), r.outbox(0))


def test_history_cannot_be_rewritten(database: Database, ledger: PostgresLedger) -> None:
    with ledger.transaction() as tx:
        tx.new_events([raised()])
        incident = tx.add_incident(INCIDENT)
        tx.add_ticket(some_ticket(incident.id), DAY, STEP)
        tx.add_human_input(HumanInput("note", "ticket:1", "王", START))

    for statement in (
        "UPDATE ticket_transition SET actor = 'nobody'",
        "DELETE FROM ticket_transition",
        "UPDATE human_input SET actor = 'nobody'",
        "DELETE FROM human_input",
        "UPDATE alert_event SET change = 'cleared'",
    ):
        with pytest.raises(psycopg.errors.RaiseException), database.connection() as c:
            c.execute(statement.encode())
