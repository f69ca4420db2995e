"""How a transaction of the ledger runs its statements; its tables are in the files beside.

What a transaction puts is gathered in memory and written in one statement a table: before the
next question about those tables, else before the commit. A busy second makes a thousand tickets;
one statement each took two thirds of the time (benchmarks/README.md, finding to ticket). Whether
a change is allowed can be answered here, because the realm's other writers wait for our lock:
what this transaction has read stays as it was read.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from grid.records import Contact
from storage import ledger_rows as rows
from storage.database import Connection
from storage.desk_records import Draft
from storage.ledger_pending import Pending
from storage.queries import queries

Asset = tuple[str, str]


class TableView:
    """One transaction on the tables: how its statements are run, and what waits to be written."""

    def __init__(self, connection: Connection, key: int, realm: str) -> None:
        self._connection, self._key, self._realm = connection, key, realm
        self._cursor = connection.cursor(row_factory=dict_row)
        self._queries = queries("ledger")
        self._messages: list[dict[str, Any]] = []
        self._pending = Pending()

    def _all(
        self, query: str | sql.Composed, given: Sequence[Any] | Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The rows of a question, which sees everything that was put before."""
        self._write()
        return self._beside(query, given)

    def _beside(
        self, query: str | sql.Composed, given: Sequence[Any] | Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The rows of a question about tables for which nothing waits to be written."""
        return self._cursor.execute(query, given).fetchall()

    def _do(self, name: str, given: Sequence[Any] | Mapping[str, Any]) -> int:
        self._write()
        return self._connection.execute(self._queries[name], given).rowcount

    def _write(self) -> None:
        """Write what waits, in an order that every constraint allows (see `Pending`)."""
        waiting = self._pending
        if not waiting.any:
            return
        moves, steps = self._queries["add_moves"], self._queries["add_steps"]
        self._rows(put_rows("put_incidents", rows.INCIDENT), waiting.incidents_changed.values())
        self._rows(select("add_incidents", rows.INCIDENT), waiting.incidents_new.values())
        self._rows(moves, waiting.moves)
        self._rows(self._queries["put_days"], waiting.days_to_write())
        self._rows(select("add_tickets", rows.TICKET), waiting.tickets_new.values())
        self._rows(put_rows("put_tickets", rows.TICKET), waiting.tickets_changed.values())
        self._rows(steps, waiting.steps)
        self._rows(put_alerts(), waiting.alerts.values())
        self._write_mutes()
        waiting.written()

    def _write_mutes(self) -> None:
        self._rows(self._queries["put_mutes"], self._pending.mutes.values())
        self._pending.mutes.clear()

    def _rows(self, query: str, found: Collection[Any]) -> None:
        if found:
            given = {"realm": self._key, "rows": rows.dump(list(found))}
            self._connection.execute(query, given)

    def _add(self, query: str, record: Contact | Draft, names: tuple[str, ...]) -> int:
        given = {"realm": self._key, **rows.row_of(record)}
        found = self._all(insert(query, names), given)
        return int(found[0]["id"]) if found else 0

    @staticmethod
    def _select(name: str, names: tuple[str, ...]) -> str:
        return select(name, names)


# Composed once: putting a statement together costs more than many of them take to run.


@cache
def select(name: str, names: tuple[str, ...]) -> str:
    return queries("ledger").compose(name, columns=rows.columns(names)).as_string()


@cache
def insert(name: str, names: tuple[str, ...]) -> str:
    free = tuple(n for n in names if n not in rows.GIVEN)
    made = queries("ledger").compose(name, columns=rows.columns(free), values=rows.values(free))
    return made.as_string()


@cache
def update(name: str, names: tuple[str, ...]) -> str:
    return queries("ledger").compose(name, updates=rows.updates(names)).as_string()


@cache
def put_rows(name: str, names: tuple[str, ...]) -> str:
    """Replace rows given as one JSON array."""
    return queries("ledger").compose(name, updates=rows.taken_from("n", names)).as_string()


@cache
def put_alerts() -> str:
    made = queries("ledger").compose(
        "put_alerts",
        columns=rows.columns(rows.ALERT),
        updates=rows.taken_from("excluded", rows.ALERT),
    )
    return made.as_string()


@cache
def ticket_list(name: str) -> str:
    named = queries("ledger")
    filters = named.compose("ticket_filters")
    return named.compose(name, columns=rows.columns(rows.TICKET), filters=filters).as_string()


def split(assets: Sequence[Asset] | None) -> dict[str, Any]:
    if assets is None:
        return {"kinds": None, "assets": None}
    return {"kinds": [k for k, _ in assets], "assets": [a for _, a in assets]}
