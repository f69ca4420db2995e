"""The network in the database, with its history: saved as differences, loaded as it is or was."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from grid.network import (
    Alias,
    Customer,
    Device,
    Feeder,
    Network,
    PlannedWork,
    Section,
    Team,
    Transformer,
    UsagePoint,
)
from storage.database import Connection, Database, patient
from storage.queries import queries
from storage.times import moment

# Table, the class of its rows, and where they stand in `Network`.
_TABLES: tuple[tuple[str, type[Any], str], ...] = (
    ("feeder", Feeder, "feeders"),
    ("section", Section, "sections"),
    ("transformer", Transformer, "transformers"),
    ("usage_point", UsagePoint, "usage_points"),
    ("device", Device, "devices"),
    ("customer", Customer, "customers"),
    ("planned_work", PlannedWork, "planned"),
    ("team", Team, "teams"),
    ("alias", Alias, "aliases"),
)
_WHOLE = frozenset({"unit", "start_us", "end_us"})


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """Rows that began and ended with a save; both 0 when nothing was different."""

    added: int
    ended: int


def save_network(
    database: Database, network: Network, *, at_us: int | None = None
) -> NetworkChange:
    """Make `network` the present one, valid from `at_us` (site time; None: now), in one commit.

    Rows that stay the same keep their history; nothing is deleted.
    """
    at = datetime.now(UTC) if at_us is None else moment(at_us)
    added = ended = 0
    with database.connection() as connection:
        connection.execute(queries("network")["lock"])
        for table, kind, attribute in _TABLES:
            more, fewer = _save_table(connection, table, kind, getattr(network, attribute), at)
            added += more
            ended += fewer
    return NetworkChange(added, ended)


def load_stored_network(database: Database, *, at_us: int | None = None) -> Network:
    """The present network, or the one of site time `at_us`; empty when none was saved."""
    at = None if at_us is None else moment(at_us)
    parts: dict[str, tuple[Any, ...]] = {}
    with database.connection() as connection:
        for table, kind, attribute in _TABLES:
            statement = queries("network").compose(
                "rows", table=sql.Identifier(table), columns=_columns(kind)
            )
            names = [f.name for f in fields(kind)]
            parts[attribute] = tuple(
                kind(**{n: _from_column(n, v) for n, v in zip(names, row, strict=True)})
                for row in connection.execute(statement, {"at": at})
            )
    return Network(**parts)


def _save_table(
    connection: Connection, table: str, kind: type[Any], rows: Sequence[Any], at: datetime
) -> tuple[int, int]:
    named = queries("network")
    parts = {
        "table": sql.Identifier(table),
        "incoming": sql.Identifier(f"incoming_{table}"),
        "columns": _columns(kind),
    }
    connection.execute(named.compose("incoming", **parts))
    statement = named.compose("copy", **parts)
    with patient(connection), connection.cursor() as cursor, cursor.copy(statement) as copy:
        seen: set[str] = set()
        for place, row in enumerate(rows):
            values = [_to_column(f.name, getattr(row, f.name)) for f in fields(kind)]
            digest = hashlib.sha256(repr(values).encode()).hexdigest()[:32]
            if digest not in seen:
                seen.add(digest)
                copy.write_row([*values, place, digest, at])
    ended = connection.execute(named.compose("end_rows", **parts), {"at": at}).rowcount
    added = connection.execute(named.compose("add_rows", **parts)).rowcount
    connection.execute(named.compose("order_rows", **parts))
    return added, ended


def _columns(kind: type[Any]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(f.name) for f in fields(kind))


def _to_column(name: str, value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, int) and name not in _WHOLE:
        return float(value)  # 60 and 60.0 are the same row
    return value


def _from_column(name: str, value: Any) -> Any:
    return frozenset(value) if name == "flags" else value
