"""Contacts, what people did, notices, and the outbox that the live stream reads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, cast

from psycopg import sql

from grid.records import (
    Channel,
    Contact,
    OutboxMessage,
)
from storage import ledger_rows as rows
from storage.desk_records import Draft, HumanInput, Notice, ToldNotice
from storage.desk_text import nameable
from storage.ledger_base import (
    TableView,
    select,
    update,
)
from storage.queries import queries

Topic = Literal["alert", "incident", "ticket", "contact", "notice", "health"]


class PeopleTables(TableView):
    """The questions and changes of `alerts.ledger.Transaction` about people and the stream."""

    def contact(self, channel: Channel, external_id: str) -> Contact | None:
        if not nameable(external_id):
            return None
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

    def human_inputs(
        self,
        *,
        subject: str | None = None,
        kinds: Sequence[str] | None = None,
        limit: int = 500,
    ) -> list[HumanInput]:
        named = None if kinds is None else list(kinds)
        given = {"realm": self._key, "subject": subject, "kinds": named, "limit": limit}
        return [HumanInput(**row) for row in self._all(self._queries["human_inputs"], given)]

    def add_human_input(self, given: HumanInput) -> HumanInput:
        g = given
        values = [self._key, g.kind, g.subject, g.actor, g.at_us, rows.json(dict(g.data))]
        found = self._all(self._queries["add_human_input"], values)
        return replace(given, id=found[0]["id"])

    # -- notices ---------------------------------------------------------------------------

    def drafts(
        self, *, open_only: bool = True, incident_id: int | None = None, since_us: int = 0
    ) -> list[Draft]:
        given = {
            "realm": self._key,
            "open_only": open_only,
            "incident_id": incident_id,
            "since_us": since_us,
        }
        return [Draft(**row) for row in self._all(select("drafts", rows.DRAFT), given)]

    def draft(self, draft_id: int) -> Draft | None:
        if not nameable(draft_id):
            return None
        found = self._all(select("draft", rows.DRAFT), [self._key, draft_id])
        return Draft(**found[0]) if found else None

    def add_draft(self, draft: Draft) -> Draft | None:
        made = self._add("add_draft", draft, rows.DRAFT)
        return replace(draft, id=made) if made else None

    def put_draft(self, draft: Draft) -> None:
        query = update("put_draft", rows.DRAFT)
        self._write()
        self._connection.execute(query, {"realm": self._key, **rows.row_of(draft)})

    def told(self, subject: str, trigger: str) -> set[str]:
        found = self._all(self._queries["told"], [self._key, subject, trigger])
        return {row["recipient"] for row in found}

    def waiting_notices(self, now_us: int) -> set[tuple[str, str, str]]:
        given = {"realm": self._key, "drill": self._realm != "live", "now_us": now_us}
        found = self._all(self._queries["waiting_notices"], given)
        return {(row["subject"], row["trigger"], row["milestone"]) for row in found}

    def withdraw_notices(
        self, subject: str, trigger: str, milestone: str, now_us: int, why: str
    ) -> int:
        given = {
            "realm": self._key,
            "subject": subject,
            "trigger": trigger,
            "milestone": milestone,
            "now_us": now_us,
            "why": why,
        }
        return self._do("withdraw_notices", given)

    def notices_to(self, recipient: str, limit: int = 100) -> list[ToldNotice]:
        if not nameable(recipient):
            return []
        given = [self._key, recipient, limit]
        return [ToldNotice(**row) for row in self._all(self._queries["notices_to"], given)]

    def add_notices(self, notices: Sequence[Notice]) -> int:
        state = "waiting" if self._realm == "live" else "withheld"
        given = {"realm": self._key, "state": state, "notices": rows.dump(list(notices))}
        return self._do("add_notices", given)

    # -- stream ----------------------------------------------------------------------------

    def publish(self, topic: str, key: str, at_us: int, data: Mapping[str, Any]) -> None:
        self._messages.append({"topic": topic, "key": key, "at_us": at_us, "data": dict(data)})

    def send(self) -> None:
        """Write what was put and published, each in one statement and all of them in one go,
        before the commit."""
        if not self._pending.any and not self._messages:
            return
        with self._connection.pipeline():
            self._write()
            if self._messages:
                found = [{"seq": n, **m} for n, m in enumerate(self._messages, 1)]
                given = {"realm": self._key, "count": len(found), "messages": rows.dump(found)}
                self._connection.execute(self._queries["publish"], given)
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
        self._write()
        row = self._connection.execute(_totals(), {"realm": self._key}).fetchone()
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
            "lines",
            "lines_without_inspection",
        )
        return dict(zip(names, map(int, row), strict=True))


@cache
def _totals() -> str:
    named = queries("ledger")
    return named.compose("totals", open=sql.SQL(named["feed_open"])).as_string()
