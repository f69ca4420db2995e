"""The ledger in PostgreSQL: alerts, incidents, tickets, contacts, outbox of one realm.

Implements `alerts.ledger.Ledger` by structure (rooms import inwards, so it is not named here).
Writers take the realm's advisory lock; "once only" is a constraint of the tables.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from grid.records import (
    OutboxMessage,
)
from storage.database import Connection, Database
from storage.errors import JournalMismatch
from storage.ledger_alerts import AlertTables
from storage.ledger_feed import FeedTables
from storage.ledger_people import PeopleTables
from storage.ledger_stream import OutboxStream
from storage.ledger_tickets import TicketTables
from storage.queries import queries
from storage.realms import realm_id


class Rows(AlertTables, FeedTables, TicketTables, PeopleTables):
    """One transaction's view of the tables; implements `alerts.ledger.Transaction`."""


class PostgresLedger:
    """One realm's ledger; see `alerts.ledger.Ledger`. Safe to share between threads."""

    def __init__(self, database: Database, realm: str = "live") -> None:
        self._database, self._realm = database, realm
        self._key: int | None = None
        self._stream = OutboxStream(database)

    @property
    def realm(self) -> str:
        return self._realm

    def _realm_key(self) -> int:
        if self._key is None:
            with self._database.connection() as connection:
                self._key = realm_id(connection, self._realm)
        return self._key

    @contextmanager
    def transaction(self, advance: tuple[str, str, int] | None = None) -> Iterator[Rows]:
        """A writing transaction; waits for the realm's other writers, at most the lock timeout.

        Raises DatabaseUnavailable (nothing was committed), JournalMismatch if `advance` names
        another journal than the consumer has been reading.
        """
        key = self._realm_key()
        with self._database.connection() as connection:
            connection.execute(queries("ledger")["lock"], [key])
            made = Rows(connection, key, self._realm)
            if advance is not None:
                _advance(connection, *advance)
            yield made
            made.send()

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """A consistent snapshot that waits for nobody."""
        key = self._realm_key()
        with self._database.connection() as connection:
            connection.execute(queries("ledger")["snapshot"])
            yield Rows(connection, key, self._realm)

    def wait_outbox(self, after: int, timeout_s: float, limit: int = 500) -> list[OutboxMessage]:
        """Messages with seq > `after`; waits for the first one, [] after `timeout_s`."""

        def read() -> list[OutboxMessage]:
            with self.reading() as reading:
                return reading.outbox(after, limit)

        return self._stream.wait(read, timeout_s)

    def trim_outbox(self, older_than_s: float) -> int:
        """Forget messages older than that; a page that was away longer starts from a snapshot."""
        key = self._realm_key()
        with self._database.connection() as connection:
            given = [key, older_than_s]
            return connection.execute(queries("ledger")["trim_outbox"], given).rowcount

    def close(self) -> None:
        """Stop listening; the database stays open, it is the caller's."""
        self._stream.close()


def _advance(connection: Connection, consumer: str, journal: str, offset: int) -> None:
    named = queries("readings")
    connection.execute(named["add_consumer"], [consumer, journal])
    row = connection.execute(named["consumer"], [consumer]).fetchone()
    assert row is not None, "the consumer was just added"
    if row[0] != journal:
        raise JournalMismatch(
            f"consumer {consumer!r} has read journal {row[0]}, but the journal at hand is "
            f"{journal}. Give back the journal folder it had; if that is lost, forget the "
            f"position (DELETE FROM consumer WHERE name = '{consumer}') to begin with the new one."
        )
    if offset > row[1]:  # a batch that is judged again after a restart moves nothing back
        connection.execute(named["move_consumer"], [offset, consumer])
