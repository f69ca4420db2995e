"""The feed, folded by cause in the database: what is read does not grow with what is open."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from psycopg import sql

from grid.faults import Severity
from grid.records import Alert, Incident
from storage import ledger_rows as rows
from storage.desk_records import LostSupply
from storage.feed_lines import (
    ALERTS_MAX,
    LINES_MAX,
    Beside,
    Feed,
    FeedLine,
    LineName,
    Rank,
    split_keys,
)
from storage.ledger_base import Asset, TableView
from storage.queries import queries


class FeedTables(TableView):
    """The questions of `alerts.ledger.Reading` about the feed."""

    def feed(
        self,
        *,
        open_only: bool = True,
        without_work: str | None = None,
        only: Sequence[str] | None = None,
        start: Rank | None = None,
        limit: int = LINES_MAX,
    ) -> Feed:
        given = {
            **self._asked(without_work, only),
            "cleared": start.cleared if start else None,
            "seen": start.seen if start else None,
            "severity": start.severity if start else None,
            "raised_us": start.raised_us if start else None,
            "key": start.key if start else None,
            "limit": limit,
        }
        found = self._all(_folded("feed", open_only, only is not None), given)
        lines = [_line_of(row) for row in found if row["line_key"] is not None]
        return Feed(lines, found[0]["lines_all"], int(found[0]["alerts_all"]))

    def line_names(
        self, *, open_only: bool = True, without_work: str | None = None
    ) -> list[LineName]:
        query = _folded("line_names", open_only, only=False)
        found = self._all(query, self._asked(without_work, None))
        return [LineName(**{**row, "devices": tuple(row["devices"])}) for row in found]

    def line_places(
        self, *, open_only: bool = True, without_work: str | None = None
    ) -> Mapping[Asset, int]:
        query = _folded("line_places", open_only, only=False)
        found = self._all(query, self._asked(without_work, None))
        return {(row["asset_kind"], row["asset"]): row["lines"] for row in found}

    def worst_open(self, *, without_work: str | None = None) -> Mapping[Asset, Severity]:
        found = self._all(self._queries["worst_open"], self._asked(without_work, None))
        return {(row["asset_kind"], row["asset"]): row["severity"] for row in found}

    def lost_supply(self, since_us: int) -> list[LostSupply]:
        given = {"realm": self._key, "since_us": since_us}
        return [LostSupply(**row) for row in self._all(self._queries["lost_supply"], given)]

    def beside(self, alert: Alert, *, without_work: str | None = None, limit: int = 12) -> Beside:
        if alert.incident_id is None:
            return Beside()
        given = {
            "incident_id": alert.incident_id,
            "id": alert.id,
            "without_work": without_work,
            "limit": limit,
        }
        found = self._all(self._select("beside", rows.ALERT), given)
        counted = {name: found[0][name] for name in ("others", "others_unseen")}
        first = [_alert_of(row) for row in found if row["id"] is not None]
        return Beside(counted["others"], counted["others_unseen"], tuple(first))

    def first_known_us(self, incident_id: int) -> int | None:
        found = self._all(self._queries["first_known"], [incident_id])
        known: int | None = found[0]["known_us"]
        return known

    def most_called(self, since_us: int, without_faults: Collection[str]) -> Incident | None:
        given = {
            "realm": self._key,
            "since_us": since_us,
            "without_faults": list(without_faults),
        }
        found = self._all(self._select("most_called", rows.INCIDENT), given)
        return Incident(**found[0]) if found else None

    def _asked(self, without_work: str | None, only: Sequence[str] | None) -> dict[str, Any]:
        incidents, alone = split_keys(only or ())
        return {
            "realm": self._key,
            "without_work": without_work,
            "incidents": incidents,
            "alone": alone,
            "alerts_max": ALERTS_MAX,
        }


@cache
def _folded(name: str, open_only: bool, only: bool) -> str:
    """A question about lines: of all alerts (the newest) or what is open, of all lines or some."""
    named = queries("ledger")
    names = (("feed_open", open_only), ("feed_only", only))
    parts = [sql.SQL(named[part]) for part, asked in names if asked]
    which = sql.SQL(" AND ").join(parts) if parts else sql.SQL("TRUE")
    newest = sql.SQL("" if parts else named["feed_newest"])
    alerts = named.compose("line_alerts", which=which, newest=newest)
    columns = rows.columns(rows.ALERT)
    return named.compose(name, alerts=alerts, columns=columns).as_string()


def _alert_of(row: Mapping[str, Any]) -> Alert:
    return rows.alert_of({name: row[name] for name in rows.ALERT})


def _line_of(row: Mapping[str, Any]) -> FeedLine:
    return FeedLine(
        row["line_key"],
        _alert_of(row),
        row["line_alerts"],
        row["line_devices"],
        row["line_unseen"],
        row["line_cleared"],
        row["line_no_data"],
        row["line_severity"],
        row["line_raised_us"],
    )
