"""Records of `grid.records` to database rows and back, by the names of their fields."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import orjson
from psycopg import sql
from psycopg.types.json import Jsonb

from grid.records import Alert, AlertEvent, Contact, Incident, Ticket
from storage.desk_records import evidence_from_json, evidence_to_json, finding_from_json

ALERT: Final = tuple(f.name for f in fields(Alert))
INCIDENT: Final = tuple(f.name for f in fields(Incident))
TICKET: Final = tuple(f.name for f in fields(Ticket))
CONTACT: Final = tuple(f.name for f in fields(Contact))

# The database gives these; everything else is written as it is.
GIVEN: Final = ("id",)


def dump(value: Any) -> str:
    """JSON as PostgreSQL takes it; what JSON cannot carry is an error here, not there."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def json(value: Any) -> Jsonb:
    """A value for a jsonb column."""
    return Jsonb(value, dumps=dump)


def columns(names: tuple[str, ...]) -> sql.Composed:
    """`a, b, c`."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def values(names: tuple[str, ...]) -> sql.Composed:
    """`%(a)s, %(b)s, %(c)s`."""
    return sql.SQL(", ").join(map(sql.Placeholder, names))


def updates(names: tuple[str, ...]) -> sql.Composed:
    """`a = %(a)s, b = %(b)s`."""
    pairs = [
        sql.SQL("{} = {}").format(sql.Identifier(n), sql.Placeholder(n))
        for n in names
        if n not in GIVEN
    ]
    return sql.SQL(", ").join(pairs)


def row_of(record: Alert | Incident | Ticket | Contact) -> dict[str, Any]:
    """A record as parameters by name."""
    row = {f.name: getattr(record, f.name) for f in fields(record)}
    if isinstance(record, Alert):
        row["devices"] = list(record.devices)
        row["evidence"] = json(evidence_to_json(record.evidence))
    return row


def alert_of(row: Mapping[str, Any]) -> Alert:
    """The alert of a row."""
    made = dict(row)
    made["devices"] = tuple(made["devices"])
    made["evidence"] = evidence_from_json(made["evidence"])
    return Alert(**made)


def event_of(row: Mapping[str, Any]) -> AlertEvent:
    """The alert event of a row."""
    return AlertEvent(
        row["event_id"],
        row["alert_id"],
        row["change"],
        finding_from_json(row["finding"]),
        row["raised_us"],
    )
