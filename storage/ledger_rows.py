"""Records of `grid.records` to database rows and back, by the names of their fields."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import orjson
from psycopg import sql
from psycopg.types.json import Jsonb

from grid.records import Alert, AlertEvent, Contact, Incident, Ticket
from storage.desk_records import (
    Draft,
    evidence_from_json,
    finding_from_json,
)

ALERT: Final = tuple(f.name for f in fields(Alert))
INCIDENT: Final = tuple(f.name for f in fields(Incident))
TICKET: Final = tuple(f.name for f in fields(Ticket))
DRAFT: Final = tuple(f.name for f in fields(Draft))
CONTACT: Final = tuple(f.name for f in fields(Contact))

# The database gives these; everything else is written as it is.
GIVEN: Final = ("id",)


def dump(value: Any) -> str:
    """JSON as PostgreSQL takes it, records by the names of their fields; what is not finite is
    null, and what JSON cannot carry is an error here, not there."""
    return orjson.dumps(value, default=_plainer, option=orjson.OPT_NON_STR_KEYS).decode()


def _plainer(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")


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


def row_of(record: Incident | Ticket | Contact | Draft) -> dict[str, Any]:
    """A record as parameters by name."""
    return {f.name: getattr(record, f.name) for f in fields(record)}


def taken_from(source: str, names: tuple[str, ...]) -> sql.Composed:
    """`a = source.a, b = source.b`."""
    pairs = [
        sql.SQL("{0} = {1}.{0}").format(sql.Identifier(n), sql.Identifier(source))
        for n in names
        if n not in GIVEN
    ]
    return sql.SQL(", ").join(pairs)


def event_json(event: AlertEvent) -> dict[str, Any]:
    """An alert event as a JSON row."""
    return {
        "event_id": event.event_id,
        "alert_id": event.alert_id,
        "change": event.change,
        "tick_us": event.finding.tick_us,
        "raised_us": event.raised_us,
        "finding": event.finding,
    }


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
