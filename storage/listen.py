"""Wait for NOTIFY on a connection of its own.

psycopg's `notifies()` holds the connection's lock while it waits, so a connection that listens
cannot do anything else: it never comes from the pool.
"""

from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from storage.database import Database, unavailable


class Listener:
    """A LISTEN on one channel; one thread waits, `close` may be called from another."""

    def __init__(self, database: Database, channel: str) -> None:
        self.channel = channel
        self._connection = database.connect(autocommit=True)
        self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    def wait(self, timeout_s: float) -> list[str]:
        """Payloads that have come, [] after `timeout_s` without one.

        Raises DatabaseUnavailable when the connection is lost: open a new listener then, and
        read what was missed from the table (a notice is a hint, never the data).
        """
        try:
            first = [n.payload for n in self._connection.notifies(timeout=timeout_s, stop_after=1)]
            if first:
                first += [n.payload for n in self._connection.notifies(timeout=0)]
            return first
        except (psycopg.OperationalError, psycopg.InterfaceError) as e:
            raise unavailable(e) from e

    def close(self) -> None:
        """Give the connection back to the system."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def listen(database: Database, channel: str) -> Listener:
    """Start listening; notices sent after this call returns are not missed."""
    return Listener(database, channel)
