"""Alerts, their events, mutes, silences, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from alerts.ledger import Asset
from alerts.memory_tables import MemoryTables
from grid.faults import SUPPLY_FAULTS
from grid.records import (
    Alert,
    AlertEvent,
)
from storage.desk_records import Mute, Silence, Waking

CHANGE_ORDER: Final = {"raised": 0, "moved": 1, "worsened": 2, "updated": 3, "cleared": 4}


class AlertMemory(MemoryTables):
    """What `alerts.ledger.Transaction` asks about alerts."""

    def alert(self, alert_id: str) -> Alert | None:
        return self.alert_rows.get(alert_id)

    def alerts_by_id(self, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
        return {i: self.alert_rows[i] for i in alert_ids if i in self.alert_rows}

    def alerts_of(self, incident_ids: Sequence[int]) -> Mapping[int, tuple[Alert, ...]]:
        out = {}
        for incident in incident_ids:
            rows = [self.alert_rows[a] for a in self.incident_alerts.get(incident, ())]
            mine = [a for a in rows if a.incident_id == incident]
            if mine:
                out[incident] = tuple(sorted(mine, key=lambda a: (a.raised_us, a.id)))
        return out

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
        places = None if assets is None else set(assets)
        rows = [
            a
            for a in self.alert_rows.values()
            if (not open_only or a.condition != "cleared" or self._unseen(a))
            and (handling is None or a.handling == handling)
            and (fault is None or a.fault == fault)
            and (places is None or (a.asset_kind, a.asset) in places)
            and (incident_id is None or a.incident_id == incident_id)
            and (ticket is None or a.ticket == ticket)
            and (before is None or (a.raised_us, a.id) < before)
            and (during is None or a.raised_us < during[1])
            and (during is None or a.cleared_us is None or a.cleared_us > during[0])
        ]
        return sorted(rows, key=lambda a: (a.raised_us, a.id), reverse=True)[:limit]

    def _unseen(self, alert: Alert) -> bool:
        incident = self.incident_rows.get(alert.incident_id or 0)
        return alert.handling == "new" and (incident is None or incident.closed_us is None)

    def events(self, alert_id: str) -> list[AlertEvent]:
        rows = self.events_by_alert.get(alert_id, ())
        return sorted(rows, key=lambda e: (e.finding.tick_us, CHANGE_ORDER[e.change]))

    def events_of(self, alert_ids: Sequence[str]) -> Mapping[str, list[AlertEvent]]:
        return {i: self.events(i) for i in alert_ids if i in self.events_by_alert}

    def new_events(self, events: Sequence[AlertEvent]) -> list[AlertEvent]:
        fresh = []
        for event in events:
            if event.event_id not in self.event_rows:
                self.event_rows[event.event_id] = event
                known = self.events_by_alert.get(event.alert_id, ())
                self.events_by_alert[event.alert_id] = (*known, event)
                fresh.append(event)
        return fresh

    def put_alert(self, alert: Alert) -> None:
        self.alert_rows[alert.id] = alert
        if alert.incident_id is not None:
            members = self.incident_alerts.get(alert.incident_id, ())
            if alert.id not in members:
                self.incident_alerts[alert.incident_id] = (*members, alert.id)

    def mutes(self, alert_ids: Sequence[str]) -> Mapping[str, tuple[Mute, ...]]:
        return {i: self.mute_rows[i] for i in alert_ids if self.mute_rows.get(i)}

    def released(self, alert_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        return {i: self.release_rows[i] for i in alert_ids if i in self.release_rows}

    def release(self, alert_id: str, incident_id: int, at_us: int) -> None:
        known = self.release_rows.get(alert_id, frozenset())
        self.release_rows[alert_id] = known | {incident_id}

    def waking(self, now_us: int, grace_us: int) -> list[Waking]:
        out = []
        for a in self.alert_rows.values():
            if a.shelved_until_us is not None and a.shelved_until_us <= now_us:
                out.append(Waking(a.id, "shelf", "", ""))
            if a.condition == "cleared":
                continue
            upstream = None
            for m in self.mute_rows.get(a.id, ()):
                if m.kind == "upstream":
                    upstream = m
                elif m.end_us is not None and m.end_us <= now_us and m.kind != "flapping":
                    out.append(Waking(a.id, "mute", m.kind, m.ref))
            if upstream is not None:
                ended_us = self._quiet_since(int(upstream.ref))
                if ended_us is not None and ended_us <= now_us - grace_us:
                    out.append(Waking(a.id, "left", "upstream", upstream.ref))
            elif self._outlasts(a, now_us - grace_us):
                out.append(Waking(a.id, "nested", "", str(a.incident_id)))
        return sorted(out, key=lambda w: (w.alert_id, w.why, w.ref))

    def _own_alerts(self, incident_id: int) -> list[Alert]:
        """Its alerts that nothing explains; of a loss of supply not the joint that grew there."""
        found = self.alerts_of([incident_id]).get(incident_id, ())
        lost = self.incident_rows[incident_id].incident_class == "supply"
        return [
            a
            for a in found
            if all(m.kind != "upstream" for m in self.mute_rows.get(a.id, ()))
            and (not lost or a.fault in SUPPLY_FAULTS)
        ]

    def _quiet_since(self, incident_id: int) -> int | None:
        """When an incident was closed, or the last of its own alerts ended."""
        incident = self.incident_rows[incident_id]
        if incident.closed_us is not None:
            return incident.closed_us
        ends = [a.cleared_us for a in self._own_alerts(incident_id)]
        known = [e for e in ends if e is not None]
        return max(known) if known and len(known) == len(ends) else None

    def _outlasts(self, alert: Alert, before_us: int) -> bool:
        incident = self.incident_rows.get(alert.incident_id or 0)
        if incident is None or incident.closed_us is not None:
            return False
        own = self._own_alerts(incident.id)
        if all(a.id != alert.id for a in own):
            return False
        top = [a for a in own if (a.asset_kind, a.asset) == (incident.asset_kind, incident.asset)]
        ends = [a.cleared_us for a in top if a.cleared_us is not None]
        return (
            (alert.asset_kind, alert.asset) != (incident.asset_kind, incident.asset)
            and bool(top)
            and len(ends) == len(top)
            and max(ends) <= before_us
        )

    def silences(self, since_us: int, until_us: int) -> list[Silence]:
        rows = [
            s for s in self.silence_rows.values() if s.start_us <= until_us and s.end_us >= since_us
        ]
        return sorted(rows, key=lambda s: (s.end_us, s.id))

    def silence(self, silence_id: int) -> Silence | None:
        return self.silence_rows.get(silence_id)

    def add_silence(self, silence: Silence) -> Silence:
        made = replace(silence, id=len(self.silence_rows) + 1)
        self.silence_rows[made.id] = made
        return made

    def end_silence(self, silence_id: int, end_us: int) -> None:
        ended = replace(self.silence_rows[silence_id], end_us=end_us)
        self.silence_rows[silence_id] = ended
        for alert_id in self.muted_by(ended.kind, ended.ref):
            for mute in self.mute_rows[alert_id]:
                if (mute.kind, mute.ref) == (ended.kind, ended.ref):
                    self.put_mute(replace(mute, end_us=end_us))

    def muted_by(self, kind: str, ref: str) -> list[str]:
        return sorted(
            i
            for i, mutes in self.mute_rows.items()
            if any((m.kind, m.ref) == (kind, ref) for m in mutes)
        )

    def put_mute(self, mute: Mute) -> None:
        rows = self.mute_rows.get(mute.alert_id, ())
        rest = tuple(m for m in rows if (m.kind, m.ref) != (mute.kind, mute.ref))
        both = sorted((*rest, mute), key=lambda m: (m.start_us, m.kind, m.ref))
        self.mute_rows[mute.alert_id] = tuple(both)

    def end_mutes(self, *, kind: str, ref: str, alert_id: str | None = None) -> list[str]:
        ids = [i for i in self.muted_by(kind, ref) if alert_id is None or i == alert_id]
        for i in ids:
            rest = [m for m in self.mute_rows[i] if (m.kind, m.ref) != (kind, ref)]
            self.mute_rows[i] = tuple(rest)
        return ids
