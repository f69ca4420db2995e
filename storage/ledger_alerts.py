"""Alerts, their events, mutes, silences and what becomes of them with time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from grid.faults import SUPPLY_FAULTS
from grid.records import (
    Alert,
    AlertEvent,
)
from storage import ledger_rows as rows
from storage.desk_records import Mute, Silence, Waking
from storage.desk_text import nameable
from storage.ledger_base import (
    Asset,
    TableView,
    split,
)


class AlertTables(TableView):
    """The questions and changes of `alerts.ledger.Transaction` about alerts."""

    def alert(self, alert_id: str) -> Alert | None:
        return self.alerts_by_id([alert_id]).get(alert_id)

    def alerts_by_id(self, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
        known = self._pending.alerts_known
        put = {i: known[i] for i in alert_ids if i in known}
        asked = [i for i in alert_ids if i not in put and nameable(i)]
        query = self._select("alerts_by_id", rows.ALERT)
        found = self._beside(query, [self._key, asked]) if asked else []
        made = {row["id"]: rows.alert_of(row) for row in found}
        # A ticket follows its alert: what is no alert yet has never opened one.
        self._pending.episodes.update((i, False) for i in asked if i not in made)
        return {**made, **put}

    def alerts_of(self, incident_ids: Sequence[int]) -> Mapping[int, tuple[Alert, ...]]:
        if not incident_ids:
            return {}
        out: dict[int, list[Alert]] = {}
        for row in self._all(self._select("alerts_of", rows.ALERT), [list(incident_ids)]):
            out.setdefault(row["incident_id"], []).append(rows.alert_of(row))
        return {i: tuple(alerts) for i, alerts in out.items()}

    def alerts(
        self,
        *,
        open_only: bool = False,
        handling: str | None = None,
        fault: str | None = None,
        assets: Sequence[Asset] | None = None,
        incident_id: int | None = None,
        ticket: bool | None = None,
        limit: int = 200,
        before: tuple[int, str] | None = None,
        during: tuple[int, int] | None = None,
    ) -> list[Alert]:
        given = {
            "realm": self._key,
            "open_only": open_only,
            "handling": handling,
            "fault": fault,
            "incident_id": incident_id,
            "ticket": ticket,
            "before_us": before[0] if before else None,
            "before_id": before[1] if before else None,
            "since_us": during[0] if during else None,
            "until_us": during[1] if during else None,
            "limit": limit,
            **split(assets),
        }
        return [rows.alert_of(r) for r in self._all(self._select("alerts", rows.ALERT), given)]

    def events(self, alert_id: str) -> list[AlertEvent]:
        return self.events_of([alert_id]).get(alert_id, [])

    def events_of(self, alert_ids: Sequence[str]) -> Mapping[str, list[AlertEvent]]:
        out: dict[str, list[AlertEvent]] = {}
        for row in self._beside(self._queries["events_of"], [self._key, list(alert_ids)]):
            out.setdefault(row["alert_id"], []).append(rows.event_of(row))
        return out

    def new_events(self, events: Sequence[AlertEvent]) -> list[AlertEvent]:
        if not events:
            return []
        given = {"realm": self._key, "events": rows.dump([rows.event_json(e) for e in events])}
        new = {r["event_id"] for r in self._beside(self._queries["add_events"], given)}
        out = []
        for event in events:
            if event.event_id in new:
                new.remove(event.event_id)  # the same event twice in a batch is one
                out.append(event)
        return out

    def put_alert(self, alert: Alert) -> None:
        self._pending.alerts[alert.id] = self._pending.alerts_known[alert.id] = alert

    def mutes(self, alert_ids: Sequence[str]) -> Mapping[str, tuple[Mute, ...]]:
        if not alert_ids:
            return {}
        self._write_mutes()
        out: dict[str, list[Mute]] = {}
        for row in self._beside(self._queries["mutes"], [self._key, list(alert_ids)]):
            out.setdefault(row["alert_id"], []).append(Mute(**row))
        return {i: tuple(mutes) for i, mutes in out.items()}

    def released(self, alert_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        if not alert_ids:
            return {}
        found = self._beside(self._queries["released"], [self._key, list(alert_ids)])
        return {row["alert_id"]: frozenset(row["incidents"]) for row in found}

    def release(self, alert_id: str, incident_id: int, at_us: int) -> None:
        self._do("release", [self._key, alert_id, incident_id, at_us])

    def waking(self, now_us: int, grace_us: int) -> list[Waking]:
        given = {
            "realm": self._key,
            "now_us": now_us,
            "before_us": now_us - grace_us,
            "supply": list(SUPPLY_FAULTS),
        }
        return [Waking(**row) for row in self._all(self._queries["waking"], given)]

    def silences(self, since_us: int, until_us: int) -> list[Silence]:
        found = self._beside(self._queries["silences"], [self._key, until_us, since_us])
        return [Silence(**row) for row in found]

    def silence(self, silence_id: int) -> Silence | None:
        if not nameable(silence_id):
            return None
        found = self._all(self._queries["silence"], [self._key, silence_id])
        return Silence(**found[0]) if found else None

    def add_silence(self, silence: Silence) -> Silence:
        s = silence
        given = [self._key, s.kind, s.asset_kind, s.asset, s.fault, s.owner, s.reason]
        made = self._all(self._queries["add_silence"], [*given, s.start_us, s.end_us])
        return replace(silence, id=made[0]["id"])

    def end_silence(self, silence_id: int, end_us: int) -> None:
        self._do("end_silence", {"realm": self._key, "id": silence_id, "end_us": end_us})

    def muted_by(self, kind: str, ref: str) -> list[str]:
        found = self._all(self._queries["muted_by"], [self._key, kind, ref])
        return [row["alert_id"] for row in found]

    def put_mute(self, mute: Mute) -> None:
        self._pending.mutes[mute.alert_id, mute.kind, mute.ref] = mute

    def end_mutes(self, *, kind: str, ref: str, alert_id: str | None = None) -> list[str]:
        given = {"realm": self._key, "kind": kind, "ref": ref, "alert_id": alert_id}
        self._write_mutes()
        found = self._beside(self._queries["end_mutes"], given)
        return sorted(row["alert_id"] for row in found)
