"""The ledger in PostgreSQL: alerts, incidents, tickets, contacts, outbox of one realm.

Implements `alerts.ledger.Ledger` by structure (rooms import inwards, so it is not named here).
Writers take the realm's advisory lock; "once only" is a constraint of the tables.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, Literal, cast

from psycopg import sql
from psycopg.rows import dict_row

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
from storage import ledger_rows as rows
from storage.database import Connection, Database
from storage.desk_records import HumanInput, Move, Mute, Silence, Step, Timer, Waking
from storage.errors import JournalMismatch
from storage.ledger_stream import OutboxStream
from storage.queries import queries
from storage.realms import realm_id

Asset = tuple[str, str]
Topic = Literal["alert", "incident", "ticket", "contact", "notice", "health"]


class PostgresLedger:
    """One realm's ledger; see `alerts.ledger.Ledger`. Safe to share between threads."""

    def __init__(self, database: Database, realm: str = "live") -> None:
        self._database, self._realm = database, realm
        self._key: int | None = None
        self._stream = OutboxStream(database)

    @property
    def realm(self) -> str:
        return self._realm

    def _realm_key(self) -> int:
        if self._key is None:
            with self._database.connection() as connection:
                self._key = realm_id(connection, self._realm)
        return self._key

    @contextmanager
    def transaction(self, advance: tuple[str, str, int] | None = None) -> Iterator["Rows"]:
        """A writing transaction; waits for the realm's other writers, at most the lock timeout.

        Raises DatabaseUnavailable (nothing was committed), JournalMismatch if `advance` names
        another journal than the consumer has been reading.
        """
        key = self._realm_key()
        with self._database.connection() as connection:
            connection.execute(queries("ledger")["lock"], [key])
            made = Rows(connection, key, self._realm)
            if advance is not None:
                _advance(connection, *advance)
            yield made
            made.send()

    @contextmanager
    def reading(self) -> Iterator["Rows"]:
        """A consistent snapshot that waits for nobody."""
        key = self._realm_key()
        with self._database.connection() as connection:
            connection.execute(queries("ledger")["snapshot"])
            yield Rows(connection, key, self._realm)

    def wait_outbox(self, after: int, timeout_s: float, limit: int = 500) -> list[OutboxMessage]:
        """Messages with seq > `after`; waits for the first one, [] after `timeout_s`."""

        def read() -> list[OutboxMessage]:
            with self.reading() as reading:
                return reading.outbox(after, limit)

        return self._stream.wait(read, timeout_s)

    def trim_outbox(self, older_than_s: float) -> int:
        """Forget messages older than that; a page that was away longer starts from a snapshot."""
        key = self._realm_key()
        with self._database.connection() as connection:
            given = [key, older_than_s]
            return connection.execute(queries("ledger")["trim_outbox"], given).rowcount

    def close(self) -> None:
        """Stop listening; the database stays open, it is the caller's."""
        self._stream.close()


def _advance(connection: Connection, consumer: str, journal: str, offset: int) -> None:
    named = queries("readings")
    connection.execute(named["add_consumer"], [consumer, journal])
    row = connection.execute(named["consumer"], [consumer]).fetchone()
    assert row is not None, "the consumer was just added"
    if row[0] != journal:
        raise JournalMismatch(
            f"consumer {consumer!r} has read journal {row[0]}, but the journal at hand is "
            f"{journal}. Give back the journal folder it had; if that is lost, forget the "
            f"position (DELETE FROM consumer WHERE name = '{consumer}') to begin with the new one."
        )
    if offset > row[1]:  # a batch that is judged again after a restart moves nothing back
        connection.execute(named["move_consumer"], [offset, consumer])


class Rows:
    """One transaction's view of the tables; implements `alerts.ledger.Transaction`."""

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
        return _select(name, names)

    def _write_alerts(self) -> None:
        """Write the alerts that were put, in one statement; before any question about them."""
        if not self._alerts:
            return
        found = [rows.alert_json(a, self._key) for a in self._alerts.values()]
        self._alerts.clear()
        self._connection.execute(_put_alerts(), [rows.dump(found)])

    def _write_mutes(self) -> None:
        if not self._mutes:
            return
        found = [rows.mute_json(m, self._key) for m in self._mutes.values()]
        self._mutes.clear()
        self._do("put_mutes", [rows.dump(found)])

    # -- alerts ----------------------------------------------------------------------------

    def alert(self, alert_id: str) -> Alert | None:
        return self.alerts_by_id([alert_id]).get(alert_id)

    def alerts_by_id(self, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
        put = {i: self._alerts[i] for i in alert_ids if i in self._alerts}
        asked = [i for i in alert_ids if i not in put]
        query = self._select("alerts_by_id", rows.ALERT)
        found = self._all(query, [self._key, asked]) if asked else []
        return {**{row["id"]: rows.alert_of(row) for row in found}, **put}

    def alerts_of(self, incident_ids: Sequence[int]) -> Mapping[int, tuple[Alert, ...]]:
        if not incident_ids:
            return {}
        self._write_alerts()
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
        limit: int = 200,
        before: tuple[int, str] | None = None,
    ) -> list[Alert]:
        given = {
            "realm": self._key,
            "open_only": open_only,
            "handling": handling,
            "fault": fault,
            "incident_id": incident_id,
            "before_us": before[0] if before else None,
            "before_id": before[1] if before else None,
            "limit": limit,
            **_split(assets),
        }
        self._write_alerts()
        return [rows.alert_of(r) for r in self._all(self._select("alerts", rows.ALERT), given)]

    def events(self, alert_id: str) -> list[AlertEvent]:
        return self.events_of([alert_id]).get(alert_id, [])

    def events_of(self, alert_ids: Sequence[str]) -> Mapping[str, list[AlertEvent]]:
        out: dict[str, list[AlertEvent]] = {}
        for row in self._all(self._queries["events_of"], [self._key, list(alert_ids)]):
            out.setdefault(row["alert_id"], []).append(rows.event_of(row))
        return out

    def new_events(self, events: Sequence[AlertEvent]) -> list[AlertEvent]:
        if not events:
            return []
        given = {"realm": self._key, "events": rows.dump([rows.event_json(e) for e in events])}
        new = {r["event_id"] for r in self._all(self._queries["add_events"], given)}
        out = []
        for event in events:
            if event.event_id in new:
                new.remove(event.event_id)  # the same event twice in a batch is one
                out.append(event)
        return out

    def put_alert(self, alert: Alert) -> None:
        self._alerts[alert.id] = alert

    def mutes(self, alert_ids: Sequence[str]) -> Mapping[str, tuple[Mute, ...]]:
        if not alert_ids:
            return {}
        self._write_mutes()
        out: dict[str, list[Mute]] = {}
        for row in self._all(self._queries["mutes"], [self._key, list(alert_ids)]):
            out.setdefault(row["alert_id"], []).append(Mute(**row))
        return {i: tuple(mutes) for i, mutes in out.items()}

    def released(self, alert_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        if not alert_ids:
            return {}
        found = self._all(self._queries["released"], [self._key, list(alert_ids)])
        return {row["alert_id"]: frozenset(row["incidents"]) for row in found}

    def release(self, alert_id: str, incident_id: int, at_us: int) -> None:
        self._do("release", [self._key, alert_id, incident_id, at_us])

    def waking(self, now_us: int, grace_us: int) -> list[Waking]:
        self._write_alerts()
        self._write_mutes()
        given = {"realm": self._key, "now_us": now_us, "before_us": now_us - grace_us}
        return [Waking(**row) for row in self._all(self._queries["waking"], given)]

    def silences(self, since_us: int, until_us: int) -> list[Silence]:
        found = self._all(self._queries["silences"], [self._key, until_us, since_us])
        return [Silence(**row) for row in found]

    def silence(self, silence_id: int) -> Silence | None:
        found = self._all(self._queries["silence"], [self._key, silence_id])
        return Silence(**found[0]) if found else None

    def add_silence(self, silence: Silence) -> Silence:
        s = silence
        given = [self._key, s.kind, s.asset_kind, s.asset, s.fault, s.owner, s.reason]
        made = self._all(self._queries["add_silence"], [*given, s.start_us, s.end_us])
        return replace(silence, id=made[0]["id"])

    def end_silence(self, silence_id: int, end_us: int) -> None:
        self._write_mutes()
        self._do("end_silence", {"realm": self._key, "id": silence_id, "end_us": end_us})

    def muted_by(self, kind: str, ref: str) -> list[str]:
        self._write_mutes()
        found = self._all(self._queries["muted_by"], [self._key, kind, ref])
        return [row["alert_id"] for row in found]

    def put_mute(self, mute: Mute) -> None:
        self._mutes[mute.alert_id, mute.kind, mute.ref] = mute

    def end_mutes(self, *, kind: str, ref: str, alert_id: str | None = None) -> list[str]:
        given = {"realm": self._key, "kind": kind, "ref": ref, "alert_id": alert_id}
        self._write_mutes()
        found = self._all(self._queries["end_mutes"], given)
        return sorted(row["alert_id"] for row in found)

    # -- incidents -------------------------------------------------------------------------

    def incident(self, incident_id: int) -> Incident | None:
        found = self._all(self._select("incident", rows.INCIDENT), [self._key, incident_id])
        return Incident(**found[0]) if found else None

    def incidents_by_id(self, incident_ids: Sequence[int]) -> Mapping[int, Incident]:
        if not incident_ids:
            return {}
        query = self._select("incidents_by_id", rows.INCIDENT)
        found = self._all(query, [self._key, list(incident_ids)])
        return {row["id"]: Incident(**row) for row in found}

    def incidents(
        self,
        *,
        open_only: bool = True,
        assets: Sequence[Asset] | None = None,
        incident_class: str | None = None,
        limit: int = 1000,
    ) -> list[Incident]:
        given = {
            "realm": self._key,
            "open_only": open_only,
            "incident_class": incident_class,
            "limit": limit,
            **_split(assets),
        }
        found = self._all(self._select("incidents", rows.INCIDENT), given)
        return [Incident(**row) for row in found]

    def add_incident(self, incident: Incident) -> Incident:
        return replace(incident, id=self._add("add_incident", incident, rows.INCIDENT))

    def put_incident(self, incident: Incident) -> None:
        query = _update("put_incident", rows.INCIDENT)
        self._connection.execute(query, {"realm": self._key, **rows.row_of(incident)})

    def _add(self, query: str, record: Incident | Ticket | Contact, names: tuple[str, ...]) -> int:
        given = {"realm": self._key, **rows.row_of(record)}
        found = self._all(_insert(query, names), given)
        return int(found[0]["id"]) if found else 0

    def moves(self, incident_id: int) -> list[Move]:
        return [Move(**row) for row in self._all(self._queries["moves"], [incident_id])]

    def add_move(self, move: Move) -> None:
        m = move
        given = [
            m.incident_id,
            m.at_us,
            m.from_kind,
            m.from_asset,
            m.to_kind,
            m.to_asset,
            m.reason,
        ]
        self._do("add_move", given)

    # -- tickets ---------------------------------------------------------------------------

    def _ticket(
        self, *, id: int | None = None, number: str | None = None, episode: str | None = None
    ) -> Ticket | None:
        given = {"realm": self._key, "id": id, "number": number, "episode": episode}
        found = self._all(self._select("ticket", rows.TICKET), given)
        return Ticket(**found[0]) if found else None

    def ticket(self, ticket_id: int) -> Ticket | None:
        return self._ticket(id=ticket_id)

    def ticket_numbered(self, number: str) -> Ticket | None:
        return self._ticket(number=number)

    def ticket_of_episode(self, episode: str) -> Ticket | None:
        return self._ticket(episode=episode)

    def tickets_of_incident(self, incident_id: int) -> list[Ticket]:
        found = self._all(self._select("tickets_of", rows.TICKET), [incident_id])
        return [Ticket(**row) for row in found]

    def tickets_by_incident(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        if not incident_ids:
            return {}
        query = self._select("tickets_by_incident", rows.TICKET)
        found = self._all(query, [list(incident_ids)])
        return {row["incident_id"]: Ticket(**row) for row in found}

    def merged_into(self, ticket_id: int) -> list[Ticket]:
        found = self._all(self._select("merged_into", rows.TICKET), [ticket_id])
        return [Ticket(**row) for row in found]

    def merged_by_people(self, ticket_ids: Sequence[int]) -> set[int]:
        if not ticket_ids:
            return set()
        found = self._all(self._queries["merged_by_people"], [list(ticket_ids)])
        return {row["merged_into"] for row in found}

    def tickets_of_episodes(self, episodes: Sequence[str]) -> Mapping[str, Ticket]:
        if not episodes:
            return {}
        query = self._select("tickets_of_episodes", rows.TICKET)
        found = self._all(query, [self._key, list(episodes)])
        return {row["episode"]: Ticket(**row) for row in found}

    def open_tickets(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        if not incident_ids:
            return {}
        found = self._all(self._select("open_tickets", rows.TICKET), [list(incident_ids)])
        return {row["incident_id"]: Ticket(**row) for row in found}

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
        given = {
            "realm": self._key,
            "states": None if states is None else list(states),
            "work": work,
            "without_work": without_work,
            "team": team,
            "assignee": assignee,
            "limit": limit,
            "offset": offset,
            **_split(assets),
        }
        query = _tickets("tickets_open" if states is None else "tickets_in")
        return [Ticket(**row) for row in self._all(query, given)]

    def steps(self, ticket_id: int) -> list[Step]:
        return [Step(**row) for row in self._all(self._queries["steps"], [ticket_id])]

    def steps_of(self, ticket_ids: Sequence[int]) -> Mapping[int, list[Step]]:
        out: dict[int, list[Step]] = {}
        if ticket_ids:
            for row in self._all(self._queries["steps_of"], [list(ticket_ids)]):
                out.setdefault(row["ticket_id"], []).append(Step(**row))
        return out

    def fired(self, ticket_ids: Sequence[int]) -> list[Timer]:
        if not ticket_ids:
            return []
        return [Timer(**row) for row in self._all(self._queries["fired"], [list(ticket_ids)])]

    def fire(self, timer: Timer) -> bool:
        t = timer
        return self._do("fire", [t.ticket_id, t.metric, t.rung, t.start_us, t.fired_us]) == 1

    def add_ticket(self, ticket: Ticket, day: str, step: Step) -> Ticket | None:
        if self.ticket_of_episode(ticket.episode) is not None:
            return None
        number = self._all(self._queries["next_number"], [self._key, day])[0]["last"]
        ticket = replace(ticket, number=f"{day}-{number:04d}")
        made = replace(ticket, id=self._add("add_ticket", ticket, rows.TICKET))
        self._add_step(replace(step, ticket_id=made.id, version=made.version))
        return made

    def change_ticket(self, ticket: Ticket, version: int, step: Step) -> Ticket | None:
        made = replace(ticket, version=version + 1)
        query = _update("change_ticket", rows.TICKET)
        given = {"realm": self._key, "old_version": version, **rows.row_of(made)}
        if not self._all(query, given):
            return None
        self._add_step(replace(step, ticket_id=made.id, version=made.version))
        return made

    def _add_step(self, step: Step) -> None:
        s = step
        given = [s.ticket_id, s.version, s.action, s.from_state, s.to_state, s.actor, s.role]
        self._do("add_step", [*given, s.at_us, s.reason, rows.json(dict(s.data))])

    # -- people ----------------------------------------------------------------------------

    def contact(self, channel: Channel, external_id: str) -> Contact | None:
        query = self._select("contact", rows.CONTACT)
        found = self._all(query, [self._key, channel, external_id])
        return Contact(**found[0]) if found else None

    def contacts(
        self,
        *,
        incident_id: int | None = None,
        ticket_id: int | None = None,
        account: str | None = None,
        limit: int = 500,
    ) -> list[Contact]:
        given = {
            "realm": self._key,
            "incident_id": incident_id,
            "ticket_id": ticket_id,
            "account": account,
            "limit": limit,
        }
        found = self._all(self._select("contacts", rows.CONTACT), given)
        return [Contact(**row) for row in found]

    def add_contact(self, contact: Contact) -> tuple[Contact, bool]:
        made = self._add("add_contact", contact, rows.CONTACT)
        if made:
            return replace(contact, id=made), True
        known = self.contact(contact.channel, contact.external_id)
        assert known is not None, "its channel and id are taken"
        return known, False

    def put_contact(self, contact: Contact) -> None:
        c = contact
        given = [c.incident_id, c.ticket_id, c.taken_by, self._key, c.id]
        self._do("put_contact", given)

    def attach_contacts(self, from_incident: int, to_incident: int, ticket_id: int | None) -> int:
        return self._do("attach_contacts", [to_incident, ticket_id, self._key, from_incident])

    def human_inputs(self, *, subject: str | None = None, limit: int = 500) -> list[HumanInput]:
        given = {"realm": self._key, "subject": subject, "limit": limit}
        return [HumanInput(**row) for row in self._all(self._queries["human_inputs"], given)]

    def add_human_input(self, given: HumanInput) -> HumanInput:
        g = given
        values = [self._key, g.kind, g.subject, g.actor, g.at_us, rows.json(dict(g.data))]
        found = self._all(self._queries["add_human_input"], values)
        return replace(given, id=found[0]["id"])

    # -- stream ----------------------------------------------------------------------------

    def publish(self, topic: str, key: str, at_us: int, data: Mapping[str, Any]) -> None:
        self._messages.append({"topic": topic, "key": key, "at_us": at_us, "data": dict(data)})

    def send(self) -> None:
        """Write what was put and published, each in one statement, before the commit."""
        self._write_alerts()
        self._write_mutes()
        if not self._messages:
            return
        given = {"realm": self._key, "count": len(self._messages)}
        last = self._all(self._queries["take_seqs"], given)[0]["seq"]
        first = last - len(self._messages) + 1
        numbered = [{"seq": seq, **m} for seq, m in enumerate(self._messages, first)]
        self._do("publish", {"realm": self._key, "messages": rows.dump(numbered)})
        self._connection.execute(self._queries["notify"], [self._realm])
        self._messages.clear()

    def outbox(self, after: int, limit: int = 500) -> list[OutboxMessage]:
        found = self._all(self._queries["outbox"], [self._key, after, limit])
        return [OutboxMessage(**{**row, "topic": cast(Topic, row["topic"])}) for row in found]

    def outbox_head(self) -> int:
        found = self._all(self._queries["outbox_head"], [self._key])
        return int(found[0]["seq"]) if found else 0

    def offset(self, consumer: str, journal_uuid: str) -> int:
        query = "SELECT position FROM consumer WHERE name = %s AND journal = %s"
        found = self._all(query, [consumer, journal_uuid])
        return int(found[0]["position"]) if found else 0

    def totals(self) -> Mapping[str, int]:
        self._write_alerts()
        row = self._connection.execute(self._queries["totals"], {"realm": self._key}).fetchone()
        assert row is not None, "an aggregate has one row"
        names = (
            "alerts_open",
            "alerts_unseen",
            "oldest_unseen_us",
            "tickets_open",
            "contacts",
            "contacts_known",
            "known_first",
            "called_first",
            "never_called",
        )
        return dict(zip(names, map(int, row), strict=True))


# Composed once: putting a statement together costs more than many of them take to run.


@cache
def _select(name: str, names: tuple[str, ...]) -> str:
    return queries("ledger").compose(name, columns=rows.columns(names)).as_string()


@cache
def _insert(name: str, names: tuple[str, ...]) -> str:
    free = tuple(n for n in names if n not in rows.GIVEN)
    made = queries("ledger").compose(name, columns=rows.columns(free), values=rows.values(free))
    return made.as_string()


@cache
def _update(name: str, names: tuple[str, ...]) -> str:
    return queries("ledger").compose(name, updates=rows.updates(names)).as_string()


@cache
def _tickets(name: str) -> str:
    named = queries("ledger")
    filters = named.compose("ticket_filters")
    return named.compose(name, columns=rows.columns(rows.TICKET), filters=filters).as_string()


@cache
def _put_alerts() -> str:
    made = queries("ledger").compose(
        "put_alerts",
        columns=rows.columns(rows.ALERT),
        updates=rows.excluded(rows.ALERT),
    )
    return made.as_string()


def _split(assets: Sequence[Asset] | None) -> dict[str, Any]:
    if assets is None:
        return {"kinds": None, "assets": None}
    return {"kinds": [k for k, _ in assets], "assets": [a for _, a in assets]}
