"""From the grouping that should be to the rows that are: incidents, tickets, mutes in step.

`alerts.incidents.group` says which alerts are one cause; here the open incidents are brought to
it with the least change: the oldest incident of a cause goes on, others are merged into it, their
tickets become sub-tickets, and what nobody has touched can be taken apart again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from alerts import incidents as rules
from alerts.incidents import Cluster, Member, Standing
from alerts.ledger import Transaction
from alerts.opening import alert_data, incident_data, merged_by_hand
from alerts.places import Places
from alerts.settings import DeskSettings
from alerts.ticket_keeping import TicketKeeping
from grid.records import Alert, Incident
from storage.desk_records import Move, Mute, altered


class Reconciler(TicketKeeping):
    """The open incidents of one writing transaction."""

    def __init__(
        self,
        tx: Transaction,
        places: Places,
        settings: DeskSettings,
        rows: Sequence[Incident],
    ) -> None:
        """`rows` : the open incidents that may be touched (`OpenIncidents.near`)"""
        super().__init__(tx, places, settings)
        chosen = [i.id for i in rows]
        alerts, tickets = tx.alerts_of(chosen), tx.open_tickets(chosen)
        held = tx.merged_by_people([t.id for t in tickets.values()])
        for i in rows:
            ticket = tickets.get(i.id)
            own = alerts.get(i.id, ())
            if ticket is not None and ticket.id in held:
                merged = merged_by_hand(tx, ticket.id)
                self.standing[i.id] = Standing.with_merged(i, own, ticket, merged, places)
            else:
                self.standing[i.id] = Standing(i, own, ticket)

    def take(
        self,
        fresh: Iterable[Alert],
        changed: Mapping[str, Alert],
        again: Collection[str] = (),
        out: Iterable[Alert] = (),
    ) -> None:
        """Bring everything in step with new alerts and with changed ones (by id).

        `again` : incidents with one of these alerts are gone over even if nothing has changed;
        `out` : alerts that leave their incident and are placed anew
        """
        before = dict(self.standing)
        for id_, s in before.items():
            if any(a.id in changed for a in s.alerts):
                now = tuple(changed.get(a.id, a) for a in s.alerts)
                self.standing[id_] = replace(s, alerts=now)
        new = list(fresh)
        for alert in out:
            if alert.incident_id in self.standing:
                self._detach(alert)
            new.append(replace(alert, incident_id=None, version=alert.version + 1))
        known = [a.id for s in self.standing.values() for a in s.alerts]
        self._mutes = dict(self.tx.mutes([*known, *(a.id for a in new)]))
        apart = self.tx.released([*known, *(a.id for a in new)])
        announced = {
            i for i, mutes in self._mutes.items() if any(m.kind == "maintenance" for m in mutes)
        }
        members = [
            m
            for s in self.standing.values()
            for m in rules.members_of(s, self.places, apart, announced)
        ]
        members += [
            rules.member(a, released=apart.get(a.id, frozenset()), apart=a.id in announced)
            for a in new
        ]
        clusters = rules.group(members, self.places)
        homes = self._homes(clusters)
        self._settle(clusters, homes, before, set(again))

    # -- which incident a cause goes on with -------------------------------------------------

    def _homes(self, clusters: list[Cluster]) -> list[list[Standing]]:
        """For each cluster the open incidents that are it, the one that goes on first."""
        claimed: dict[int, int] = {}
        for index, cluster in enumerate(clusters):
            for m in cluster.own:  # oldest first: an incident follows its first alert
                s = self.standing.get(m.incident_id or 0)
                if s is None or not rules.same_cause(m.incident_class, s.incident.incident_class):
                    continue
                if m.alert is None or s.incident.id not in claimed:
                    claimed[s.incident.id] = index
        homes: list[list[Standing]] = [[] for _ in clusters]
        for incident_id, index in claimed.items():
            homes[index].append(self.standing[incident_id])
        for index, found in enumerate(homes):
            places = {self.places.node(m.asset) for m in clusters[index].own}
            top = min(places, key=lambda n: (self.places.depth(n), n))
            found.sort(key=lambda s: self._order(s, top))
        return homes

    def _order(self, s: Standing, top: tuple[str, str]) -> tuple[bool, bool, bool, int, int]:
        """What people work on goes on; then what stands at the cause; then what was first."""
        at_top = self.places.node(s.asset) == top
        return not s.touched, not at_top, s.ticket is None, s.incident.opened_us, s.incident.id

    # -- rows ------------------------------------------------------------------------------

    def _settle(
        self,
        clusters: list[Cluster],
        homes: list[list[Standing]],
        before: dict[int, Standing],
        again: set[str],
    ) -> None:
        kept = {h[0].incident.id for h in homes if h}
        kept |= {s.incident.id for h in homes for s in h if s.touched}
        gone = {i: s for i, s in self.standing.items() if i not in kept}
        for s in gone.values():
            self._end(s, "merged")
        into: dict[int, int] = {}  # ended incident -> the one that it turned out to be
        main_of: dict[int, int] = {}
        waiting = []
        for index, (cluster, home) in enumerate(zip(clusters, homes, strict=True)):
            if home:
                main_of[index] = home[0].incident.id
                into.update({s.incident.id: main_of[index] for s in home if s.incident.id in gone})
            else:
                waiting.append(index)
                for m in cluster.own:
                    if m.alert is not None and m.incident_id in self.standing:
                        self._detach(m.alert)
        for index, main_id in main_of.items():
            self._attach(clusters[index].own, homes[index], main_id, own=True)
        self._relocate(before)  # a place may become free for a cause of its own
        self.tx.expect(incidents=len(waiting), tickets=len(waiting))
        for index in waiting:
            main_of[index] = self._new(clusters[index])
            self._attach(clusters[index].own, [], main_of[index], own=True)
        for index, main_id in main_of.items():
            explained = clusters[index].explained
            self._attach(explained, homes[index], main_id, own=False)
            for m in explained:
                if m.incident_id in gone:
                    into.setdefault(m.incident_id, main_id)
        for old_id, main_id in into.items():
            self._hand_contacts(gone[old_id], main_id)
        affected = [
            i
            for i, s in self.standing.items()
            if s != before.get(i) or any(a.id in again for a in s.alerts)
        ]
        without = [self.standing[i] for i in affected if self.standing[i].ticket is None]
        self._ask(a.id for s in without for a in s.own)
        self.tx.expect(tickets=sum(self._deserves_ticket(s) for s in without))
        for incident_id in sorted(affected):
            self._refresh(incident_id, before.get(incident_id))
        for old_id, main_id in sorted(into.items()):
            self._merge_ticket(gone[old_id], main_id)

    def _end(self, s: Standing, change: str) -> None:
        incident = s.incident
        ended_us = max((a.known_us for a in s.alerts), default=incident.known_us)
        closed = replace(incident, closed_us=ended_us, version=incident.version + 1)
        self.tx.put_incident(closed)
        self._publish(closed, change)
        del self.standing[incident.id]

    def _relocate(self, before: dict[int, Standing]) -> None:
        """Move incidents to where their alerts now name the cause, as far as places are free."""
        moving = {i for i, s in self.standing.items() if s != before.get(i)}
        while moving:
            moved = set()
            for incident_id in sorted(moving):
                s = self.standing[incident_id]
                there = rules.summarise(s, self.places)
                if _key(there) == _key(s.incident):
                    moved.add(incident_id)
                elif not self._taken(there):
                    self.tx.put_incident(there)
                    self.standing[incident_id] = replace(s, incident=there)
                    moved.add(incident_id)
            if not moved:
                return
            moving -= moved

    def _new(self, cluster: Cluster) -> int:
        told = [m for m in cluster.own if m.alert is not None]
        first = next((m for m in told if m.incident_class == "supply"), told[0])
        alert = first.alert
        assert alert is not None
        made = self.tx.add_incident(
            Incident(
                id=0,
                incident_class=first.incident_class,
                fault=alert.fault,
                asset_kind=alert.asset_kind,
                asset=alert.asset,
                severity=alert.severity,
                opened_us=alert.raised_us,
                known_us=alert.known_us,
                stage="confirmed",
                customers=alert.customers,
            )
        )
        self.standing[made.id] = Standing(made, ())
        return made.id

    def _attach(
        self, members: list[Member], home: list[Standing], main_id: int, *, own: bool
    ) -> None:
        """Let every alert of a cause point at its incident, muted if it only follows from it."""
        stay = {s.incident.id for s in home if s.touched}
        for m in members:
            if m.alert is None:
                continue
            target = m.incident_id if own and m.incident_id in stay else main_id
            assert target is not None
            alert = m.alert
            if alert.incident_id != target:
                if alert.incident_id in self.standing:
                    self._detach(alert)
                version = alert.version + (alert.incident_id is not None)
                alert = altered(alert, incident_id=target, ticket=False, version=version)
                self.tx.put_alert(alert)
                s = self.standing[target]
                self.standing[target] = replace(s, alerts=(*s.alerts, alert))
            self._mute_upstream(alert, None if own else self.standing[target].incident)

    def _detach(self, alert: Alert) -> None:
        s = self.standing[alert.incident_id or 0]
        rest = tuple(a for a in s.alerts if a.id != alert.id)
        self.standing[s.incident.id] = replace(s, alerts=rest)

    def _mute_upstream(self, alert: Alert, cause: Incident | None) -> None:
        ref = str(cause.id) if cause else ""
        held = self._mutes.get(alert.id, ())
        stale = [m for m in held if m.kind == "upstream" and m.ref != ref]
        for mute in stale:
            self.tx.end_mutes(kind="upstream", ref=mute.ref, alert_id=alert.id)
        kept = [m for m in held if m not in stale]
        if cause and not any(m.kind == "upstream" for m in kept):
            reason = f"{cause.fault} at {cause.asset}"
            kept.append(Mute(alert.id, "upstream", ref, alert.raised_us, None, reason))
            self.tx.put_mute(kept[-1])
        self._mutes[alert.id] = tuple(kept)

    def _hand_contacts(self, old: Standing, main_id: int) -> None:
        if not old.incident.contacts:
            return
        main = self.standing[main_id]
        self.tx.attach_contacts(
            old.incident.id, main_id, main.ticket.id if main.ticket is not None else None
        )
        calls = [main.incident.first_contact_us, old.incident.first_contact_us]
        incident = replace(
            main.incident,
            contacts=main.incident.contacts + old.incident.contacts,
            first_contact_us=min((t for t in calls if t is not None), default=None),
        )
        self.standing[main_id] = replace(main, incident=incident)

    # -- one incident ----------------------------------------------------------------------

    def _refresh(self, incident_id: int, before: Standing | None) -> None:
        s = self.standing[incident_id]
        incident = rules.summarise(s, self.places)
        if _key(incident) != _key(s.incident) and self._taken(incident):
            # Two crews already work on what seems one cause: both stay what and where they are.
            cls = s.incident.incident_class
            incident = replace(
                incident, asset_kind=s.asset[0], asset=s.asset[1], incident_class=cls
            )
        place = (incident.asset_kind, incident.asset)
        if before is None or incident != before.incident:
            if before is not None:
                incident = altered(incident, version=s.incident.version + 1)
            if incident != s.incident:
                self.tx.put_incident(incident)
            moved = before is not None and place != before.asset
            if before is not None and moved:
                why = "the cause was located again"
                self.tx.add_move(Move(incident.id, incident.known_us, *before.asset, *place, why))
            self._publish(incident, "moved" if moved else "opened" if not before else "changed")
        s = replace(s, incident=incident)
        s = replace(s, ticket=self._ticket(s, before))
        s = self._flag(s)
        self.standing[incident_id] = s
        if s.ticket is None and s.over:
            self._end(s, "closed")

    def _taken(self, incident: Incident) -> bool:
        here = (incident.asset_kind, incident.asset)
        found = self.tx.incidents(assets=[here], incident_class=incident.incident_class)
        return any(i.id != incident.id for i in found)

    def _flag(self, s: Standing) -> Standing:
        """Exactly one alert of a cause bears the ticket."""
        first = rules.primary(s.own, s.asset)
        alerts = []
        for alert in s.alerts:
            flag = s.ticket is not None and first is not None and alert.id == first.id
            if alert.ticket != flag:
                alert = altered(alert, ticket=flag)
                self.tx.put_alert(alert)
            alerts.append(alert)
        return replace(s, alerts=tuple(alerts))

    def _publish(self, incident: Incident, change: str) -> None:
        data = incident_data(incident, change)
        self.tx.publish("incident", str(incident.id), incident.known_us, data)


def _key(incident: Incident) -> tuple[str, str, str]:
    """What only one open incident can be."""
    return incident.asset_kind, incident.asset, incident.incident_class


def publish_alert(tx: Transaction, alert: Alert) -> None:
    """Tell the live stream what has become of an alert."""
    tx.publish("alert", alert.id, alert.known_us, alert_data(alert))
