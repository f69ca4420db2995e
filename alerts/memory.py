"""A ledger in memory: what `backtest` writes to, and the tests' oracle for the one in PostgreSQL.

Keeps the same promises: a transaction that fails leaves nothing behind, uniqueness is refused
loudly, writers run one after the other. It lives as long as the process and is meant for one
dataset, not for months.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Any, Final, TypeVar, cast

from alerts.ledger import FINAL_STATES, Advance, Asset
from grid.errors import ForewattError
from grid.records import (
    Alert,
    AlertEvent,
    Channel,
    Contact,
    Incident,
    OutboxMessage,
    Ticket,
    TicketState,
)
from storage.desk_records import HumanInput, Move, Mute, Silence, Step, Timer, Waking

K = TypeVar("K")
V = TypeVar("V")

_GONE: Final = object()
CHANGE_ORDER: Final = {"raised": 0, "moved": 1, "worsened": 2, "updated": 3, "cleared": 4}


class NotUnique(ForewattError):
    """A row would stand twice where only one may: the rules above the ledger are at fault."""


class _Table(dict[K, V]):
    """A dict that can take back what was done since `mark`."""

    def __init__(self) -> None:
        super().__init__()
        self._undo: list[tuple[K, Any]] = []

    def __setitem__(self, key: K, value: V) -> None:
        self._undo.append((key, self.get(key, cast(V, _GONE))))
        super().__setitem__(key, value)

    def mark(self) -> None:
        self._undo.clear()

    def take_back(self) -> None:
        for key, value in reversed(self._undo):
            if value is _GONE:
                super().__delitem__(key)
            else:
                super().__setitem__(key, cast(V, value))
        self._undo.clear()


class MemoryLedger:
    """Implements `alerts.ledger.Ledger`; see there."""

    def __init__(self, realm: str = "live") -> None:
        self._realm = realm
        self._lock = RLock()
        self._memory = _Memory()

    @property
    def realm(self) -> str:
        return self._realm

    @contextmanager
    def transaction(self, advance: Advance | None = None) -> Iterator["_Memory"]:
        with self._lock:
            memory = self._memory
            memory.mark()
            try:
                yield memory
                if advance is not None:
                    consumer, journal, offset = advance
                    memory.offsets[consumer, journal] = offset
            except BaseException:
                memory.take_back()
                raise

    @contextmanager
    def reading(self) -> Iterator["_Memory"]:
        with self._lock:
            yield self._memory


class _Memory:
    """The tables and every question to them; implements `alerts.ledger.Transaction`."""

    def __init__(self) -> None:
        self.alert_rows: _Table[str, Alert] = _Table()
        self.event_rows: _Table[str, AlertEvent] = _Table()
        self.events_by_alert: _Table[str, tuple[AlertEvent, ...]] = _Table()
        self.mute_rows: _Table[str, tuple[Mute, ...]] = _Table()
        self.silence_rows: _Table[int, Silence] = _Table()
        self.release_rows: _Table[str, frozenset[int]] = _Table()
        self.incident_rows: _Table[int, Incident] = _Table()
        self.incident_alerts: _Table[int, tuple[str, ...]] = _Table()
        self.open_incidents: _Table[tuple[str, str, str], int | None] = _Table()
        self.move_rows: _Table[int, tuple[Move, ...]] = _Table()
        self.ticket_rows: _Table[int, Ticket] = _Table()
        self.episodes: _Table[str, int] = _Table()
        self.sub_tickets: _Table[int, tuple[int, ...]] = _Table()
        self.incident_tickets: _Table[int, tuple[int, ...]] = _Table()
        self.step_rows: _Table[int, tuple[Step, ...]] = _Table()
        self.timer_rows: _Table[tuple[int, str, int, int], Timer] = _Table()
        self.numbers: _Table[str, int] = _Table()
        self.contact_rows: _Table[int, Contact] = _Table()
        self.contact_keys: _Table[tuple[str, str], int] = _Table()
        self.human_rows: _Table[int, HumanInput] = _Table()
        self.outbox_rows: _Table[int, OutboxMessage] = _Table()
        self.offsets: _Table[tuple[str, str], int] = _Table()
        self._tables = [t for t in vars(self).values() if isinstance(t, _Table)]

    def mark(self) -> None:
        for table in self._tables:
            table.mark()

    def take_back(self) -> None:
        for table in self._tables:
            table.take_back()

    # -- alerts ----------------------------------------------------------------------------

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
        limit: int = 200,
        before: tuple[int, str] | None = None,
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
            and (before is None or (a.raised_us, a.id) < before)
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
        found = self.alerts_of([incident_id]).get(incident_id, ())
        return [a for a in found if all(m.kind != "upstream" for m in self.mute_rows.get(a.id, ()))]

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
        top = [
            a
            for a in self._own_alerts(incident.id)
            if (a.asset_kind, a.asset) == (incident.asset_kind, incident.asset)
        ]
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

    # -- incidents -------------------------------------------------------------------------

    def incident(self, incident_id: int) -> Incident | None:
        return self.incident_rows.get(incident_id)

    def incidents_by_id(self, incident_ids: Sequence[int]) -> Mapping[int, Incident]:
        return {i: self.incident_rows[i] for i in incident_ids if i in self.incident_rows}

    def incidents(
        self,
        *,
        open_only: bool = True,
        assets: Sequence[Asset] | None = None,
        incident_class: str | None = None,
        limit: int = 1000,
    ) -> list[Incident]:
        if open_only:
            rows = [self.incident_rows[i] for i in self.open_incidents.values() if i is not None]
        else:
            rows = list(self.incident_rows.values())
        places = None if assets is None else set(assets)
        kept = [
            i
            for i in rows
            if (places is None or (i.asset_kind, i.asset) in places)
            and (incident_class is None or i.incident_class == incident_class)
        ]
        return sorted(kept, key=lambda i: i.id)[:limit]

    def add_incident(self, incident: Incident) -> Incident:
        made = replace(incident, id=len(self.incident_rows) + 1)
        self._keep(made)
        return made

    def put_incident(self, incident: Incident) -> None:
        old = self.incident_rows[incident.id]
        if old.closed_us is None:
            self.open_incidents[old.asset_kind, old.asset, old.incident_class] = None
        self._keep(incident)

    def _keep(self, incident: Incident) -> None:
        if incident.closed_us is None:
            key = (incident.asset_kind, incident.asset, incident.incident_class)
            if self.open_incidents.get(key) is not None:
                raise NotUnique(
                    f"there is an open {incident.incident_class} incident at "
                    f"{incident.asset_kind} {incident.asset} already; join it."
                )
            self.open_incidents[key] = incident.id
        self.incident_rows[incident.id] = incident

    def moves(self, incident_id: int) -> list[Move]:
        return list(self.move_rows.get(incident_id, ()))

    def add_move(self, move: Move) -> None:
        self.move_rows[move.incident_id] = (*self.move_rows.get(move.incident_id, ()), move)

    # -- tickets ---------------------------------------------------------------------------

    def ticket(self, ticket_id: int) -> Ticket | None:
        return self.ticket_rows.get(ticket_id)

    def ticket_numbered(self, number: str) -> Ticket | None:
        return next((t for t in self.ticket_rows.values() if t.number == number), None)

    def ticket_of_episode(self, episode: str) -> Ticket | None:
        return self.ticket_rows.get(self.episodes.get(episode, 0))

    def tickets_of_episodes(self, episodes: Sequence[str]) -> Mapping[str, Ticket]:
        return {e: self.ticket_rows[self.episodes[e]] for e in episodes if e in self.episodes}

    def tickets_of_incident(self, incident_id: int) -> list[Ticket]:
        rows = [self.ticket_rows[i] for i in self.incident_tickets.get(incident_id, ())]
        return sorted(rows, key=lambda t: (t.state in FINAL_STATES, -t.id))

    def tickets_by_incident(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        found = {i: self.tickets_of_incident(i) for i in incident_ids}
        return {i: rows[0] for i, rows in found.items() if rows}

    def merged_into(self, ticket_id: int) -> list[Ticket]:
        return [self.ticket_rows[i] for i in self.sub_tickets.get(ticket_id, ())]

    def merged_by_people(self, ticket_ids: Sequence[int]) -> set[int]:
        return {
            main
            for main in ticket_ids
            for sub in self.merged_into(main)
            if any(s.action == "merge" and s.role != "system" for s in self.steps(sub.id))
        }

    def open_tickets(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        out = {}
        for incident in incident_ids:
            rows = self.tickets_of_incident(incident)
            if rows and rows[0].state not in FINAL_STATES:
                out[incident] = rows[0]
        return out

    def tickets(
        self,
        *,
        states: Iterable[TicketState] | None = None,
        work: str | None = None,
        without_work: str | None = None,
        team: str | None = None,
        assignee: str | None = None,
        assets: Sequence[Asset] | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> list[Ticket]:
        wanted = None if states is None else set(states)
        places = None if assets is None else set(assets)
        rows = [
            t
            for t in self.ticket_rows.values()
            if (t.state not in FINAL_STATES if wanted is None else t.state in wanted)
            and (work is None or t.work == work)
            and (without_work is None or t.work != without_work)
            and (team is None or t.team == team)
            and (assignee is None or t.assignee == assignee)
            and (places is None or (t.asset_kind, t.asset) in places)
        ]
        never = 2**63 - 1

        def rank(t: Ticket) -> tuple[int, int, int, int]:
            return -t.priority, never if t.due_us is None else t.due_us, t.opened_us, t.id

        return sorted(rows, key=rank)[offset : offset + limit]

    def steps(self, ticket_id: int) -> list[Step]:
        return list(self.step_rows.get(ticket_id, ()))

    def steps_of(self, ticket_ids: Sequence[int]) -> Mapping[int, list[Step]]:
        return {i: list(self.step_rows[i]) for i in ticket_ids if i in self.step_rows}

    def fired(self, ticket_ids: Sequence[int]) -> list[Timer]:
        wanted = set(ticket_ids)
        return [t for t in self.timer_rows.values() if t.ticket_id in wanted]

    def fire(self, timer: Timer) -> bool:
        key = (timer.ticket_id, timer.metric, timer.rung, timer.start_us)
        if key in self.timer_rows:
            return False
        self.timer_rows[key] = timer
        return True

    def add_ticket(self, ticket: Ticket, day: str, step: Step) -> Ticket | None:
        if ticket.episode in self.episodes:
            return None
        if self.open_tickets([ticket.incident_id]):
            raise NotUnique(f"incident {ticket.incident_id} has an open ticket already; join it.")
        count = self.numbers.get(day, 0) + 1
        self.numbers[day] = count
        made = replace(ticket, id=len(self.ticket_rows) + 1, number=f"{day}-{count:04d}")
        self.ticket_rows[made.id] = made
        self.episodes[made.episode] = made.id
        known = self.incident_tickets.get(made.incident_id, ())
        self.incident_tickets[made.incident_id] = (*known, made.id)
        self._add_step(replace(step, ticket_id=made.id, version=made.version))
        return made

    def change_ticket(self, ticket: Ticket, version: int, step: Step) -> Ticket | None:
        old = self.ticket_rows.get(ticket.id)
        if old is None or old.version != version:
            return None
        others = [
            t
            for t in self.tickets_of_incident(ticket.incident_id)
            if t.id != ticket.id and t.state not in FINAL_STATES
        ]
        if others and ticket.state not in FINAL_STATES:
            raise NotUnique(f"incident {ticket.incident_id} has the open ticket {others[0].number}")
        made = replace(ticket, version=version + 1)
        if made.incident_id != old.incident_id:
            rest = [i for i in self.incident_tickets[old.incident_id] if i != made.id]
            self.incident_tickets[old.incident_id] = tuple(rest)
            known = self.incident_tickets.get(made.incident_id, ())
            self.incident_tickets[made.incident_id] = (*known, made.id)
        if made.merged_into != old.merged_into:
            if old.merged_into is not None:
                rest = [i for i in self.sub_tickets[old.merged_into] if i != made.id]
                self.sub_tickets[old.merged_into] = tuple(rest)
            if made.merged_into is not None:
                subs = {*self.sub_tickets.get(made.merged_into, ()), made.id}
                self.sub_tickets[made.merged_into] = tuple(sorted(subs))
        self.ticket_rows[made.id] = made
        self._add_step(replace(step, ticket_id=made.id, version=made.version))
        return made

    def _add_step(self, step: Step) -> None:
        self.step_rows[step.ticket_id] = (*self.step_rows.get(step.ticket_id, ()), step)

    # -- people ----------------------------------------------------------------------------

    def contact(self, channel: Channel, external_id: str) -> Contact | None:
        return self.contact_rows.get(self.contact_keys.get((channel, external_id), 0))

    def contacts(
        self,
        *,
        incident_id: int | None = None,
        ticket_id: int | None = None,
        account: str | None = None,
        limit: int = 500,
    ) -> list[Contact]:
        rows = [
            c
            for c in self.contact_rows.values()
            if (incident_id is None or c.incident_id == incident_id)
            and (ticket_id is None or c.ticket_id == ticket_id)
            and (account is None or c.account == account)
        ]
        return sorted(rows, key=lambda c: (c.time_us, c.id), reverse=True)[:limit]

    def add_contact(self, contact: Contact) -> tuple[Contact, bool]:
        known = self.contact(contact.channel, contact.external_id)
        if known is not None:
            return known, False
        made = replace(contact, id=len(self.contact_rows) + 1)
        self.contact_rows[made.id] = made
        self.contact_keys[made.channel, made.external_id] = made.id
        return made, True

    def put_contact(self, contact: Contact) -> None:
        kept = self.contact_rows[contact.id]
        self.contact_rows[contact.id] = replace(
            kept,
            incident_id=contact.incident_id,
            ticket_id=contact.ticket_id,
            taken_by=contact.taken_by,
        )

    def attach_contacts(self, from_incident: int, to_incident: int, ticket_id: int | None) -> int:
        rows = self.contacts(incident_id=from_incident, limit=2**31)
        for c in rows:
            self.contact_rows[c.id] = replace(c, incident_id=to_incident, ticket_id=ticket_id)
        return len(rows)

    def human_inputs(self, *, subject: str | None = None, limit: int = 500) -> list[HumanInput]:
        rows = [h for h in self.human_rows.values() if subject is None or h.subject == subject]
        return rows[:limit]

    def add_human_input(self, given: HumanInput) -> HumanInput:
        made = replace(given, id=len(self.human_rows) + 1)
        self.human_rows[made.id] = made
        return made

    # -- stream ----------------------------------------------------------------------------

    def publish(self, topic: str, key: str, at_us: int, data: Mapping[str, Any]) -> None:
        seq = len(self.outbox_rows) + 1
        self.outbox_rows[seq] = OutboxMessage(seq, cast(Any, topic), key, at_us, dict(data))

    def outbox(self, after: int, limit: int = 500) -> list[OutboxMessage]:
        last = min(len(self.outbox_rows), after + limit)
        return [self.outbox_rows[seq] for seq in range(max(after, 0) + 1, last + 1)]

    def outbox_head(self) -> int:
        return len(self.outbox_rows)

    def offset(self, consumer: str, journal_uuid: str) -> int:
        return self.offsets.get((consumer, journal_uuid), 0)

    def totals(self) -> Mapping[str, int]:
        waiting = [a for a in self.alerts(open_only=True, limit=2**31) if a.handling == "new"]
        incidents = list(self.incident_rows.values())
        called = [i for i in incidents if i.first_contact_us is not None]
        first = [i for i in called if i.known_us < (i.first_contact_us or 0)]
        contacts = list(self.contact_rows.values())
        with_ticket = [i for i in incidents if self.incident_tickets.get(i.id)]
        return {
            "alerts_open": sum(a.condition != "cleared" for a in self.alert_rows.values()),
            "alerts_unseen": len(waiting),
            "oldest_unseen_us": min((a.known_us for a in waiting), default=0),
            "tickets_open": sum(t.state not in FINAL_STATES for t in self.ticket_rows.values()),
            "contacts": len(contacts),
            "contacts_known": sum(c.incident_id is not None for c in contacts),
            "known_first": len(first),
            "called_first": len(called) - len(first),
            "never_called": sum(i.first_contact_us is None for i in with_ticket),
        }
