"""How a transaction of the ledger runs its statements; its tables are in the files beside.

Alerts and mutes are put together and written in one statement: a whole feeder's alerts would
otherwise be thousands of round trips (measured: 20 s against under one).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from grid.records import (
    Alert,
    Contact,
    Incident,
    Ticket,
)
from storage import ledger_rows as rows
from storage.database import Connection
from storage.desk_records import Draft, Mute
from storage.queries import queries

Asset = tuple[str, str]


class TableView:
    """One transaction on the tables: how its statements are run, and what waits to be written."""

    def __init__(self, connection: Connection, key: int, realm: str) -> None:
        self._connection, self._key, self._realm = connection, key, realm
        self._cursor = connection.cursor(row_factory=dict_row)
        self._queries = queries("ledger")
        self._messages: list[dict[str, Any]] = []
        self._alerts: dict[str, Alert] = {}
        self._mutes: dict[tuple[str, str, str], Mute] = {}

    def _all(
        self, query: str | sql.Composed, given: Sequence[Any] | Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        return self._cursor.execute(query, given).fetchall()

    def _do(self, name: str, given: Sequence[Any] | Mapping[str, Any]) -> int:
        return self._connection.execute(self._queries[name], given).rowcount

    @staticmethod
    def _select(name: str, names: tuple[str, ...]) -> str:
        return select(name, names)

    def _write_alerts(self) -> None:
        """Write the alerts that were put, in one statement; before any question about them."""
        if not self._alerts:
            return
        found = [rows.alert_json(a, self._key) for a in self._alerts.values()]
        self._alerts.clear()
        self._connection.execute(put_alerts(), [rows.dump(found)])

    def _write_mutes(self) -> None:
        if not self._mutes:
            return
        found = [rows.mute_json(m, self._key) for m in self._mutes.values()]
        self._mutes.clear()
        self._do("put_mutes", [rows.dump(found)])

    def _add(
        self, query: str, record: Incident | Ticket | Contact | Draft, names: tuple[str, ...]
    ) -> int:
        given = {"realm": self._key, **rows.row_of(record)}
        found = self._all(insert(query, names), given)
        return int(found[0]["id"]) if found else 0


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
def ticket_list(name: str) -> str:
    named = queries("ledger")
    filters = named.compose("ticket_filters")
    return named.compose(name, columns=rows.columns(rows.TICKET), filters=filters).as_string()


@cache
def add_ticket() -> str:
    """The statement for a new ticket; id and number are the database's to give."""
    names = tuple(n for n in rows.TICKET if n not in ("id", "number"))
    made = queries("ledger").compose(
        "add_ticket", columns=rows.columns(names), values=rows.values(names)
    )
    return made.as_string()


@cache
def put_alerts() -> str:
    made = queries("ledger").compose(
        "put_alerts",
        columns=rows.columns(rows.ALERT),
        updates=rows.excluded(rows.ALERT),
    )
    return made.as_string()


def split(assets: Sequence[Asset] | None) -> dict[str, Any]:
    if assets is None:
        return {"kinds": None, "assets": None}
    return {"kinds": [k for k, _ in assets], "assets": [a for _, a in assets]}
