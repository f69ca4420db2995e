"""Contacts, what people did, notices and the outbox, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from alerts.ledger import FINAL_STATES
from alerts.memory_feed import FeedMemory
from grid.records import (
    Channel,
    Contact,
    OutboxMessage,
)
from storage.desk_records import Draft, HumanInput, Notice, ToldNotice


class Memory(FeedMemory):
    """All that `alerts.ledger.Transaction` asks."""

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

    def human_inputs(
        self,
        *,
        subject: str | None = None,
        kinds: Sequence[str] | None = None,
        limit: int = 500,
    ) -> list[HumanInput]:
        rows = [
            h
            for h in self.human_rows.values()
            if (subject is None or h.subject == subject) and (kinds is None or h.kind in kinds)
        ]
        return rows[-limit:]

    def add_human_input(self, given: HumanInput) -> HumanInput:
        made = replace(given, id=len(self.human_rows) + 1)
        self.human_rows[made.id] = made
        return made

    # -- notices ---------------------------------------------------------------------------

    def drafts(
        self, *, open_only: bool = True, incident_id: int | None = None, since_us: int = 0
    ) -> list[Draft]:
        return [
            d
            for d in self.draft_rows.values()
            if (not open_only or d.state == "draft")
            and (incident_id is None or d.incident_id == incident_id)
            and d.created_us >= since_us
        ]

    def draft(self, draft_id: int) -> Draft | None:
        return self.draft_rows.get(draft_id)

    def add_draft(self, draft: Draft) -> Draft | None:
        key = (draft.incident_id, draft.trigger, draft.milestone)
        if key in self.draft_keys:
            return None
        made = replace(draft, id=len(self.draft_rows) + 1)
        self.draft_rows[made.id] = made
        self.draft_keys[key] = made.id
        return made

    def put_draft(self, draft: Draft) -> None:
        self.draft_rows[draft.id] = draft

    def told(self, subject: str, trigger: str) -> set[str]:
        return {
            k[1]
            for k in self.notice_rows
            if (k[0], k[2]) == (subject, trigger) and k not in self.withdrawn_rows
        }

    def waiting_notices(self, now_us: int) -> set[tuple[str, str, str]]:
        return {
            (n.subject, n.trigger, n.milestone)
            for k, n in self.notice_rows.items()
            if n.not_before_us > now_us and k not in self.withdrawn_rows
        }

    def withdraw_notices(
        self, subject: str, trigger: str, milestone: str, now_us: int, why: str
    ) -> int:
        keys = [
            k
            for k, n in self.notice_rows.items()
            if (n.subject, n.trigger, n.milestone) == (subject, trigger, milestone)
            and n.not_before_us > now_us
            and k not in self.withdrawn_rows
        ]
        for key in keys:
            self.withdrawn_rows[key] = why
        return len(keys)

    def notices_to(self, recipient: str, limit: int = 100) -> list[ToldNotice]:
        def state(n: Notice) -> Literal["waiting", "withdrawn"]:
            key = (n.subject, n.recipient, n.trigger, n.milestone)
            return "withdrawn" if key in self.withdrawn_rows else "waiting"

        mine = [n for n in reversed(self.notice_rows.values()) if n.recipient == recipient]
        found = [
            ToldNotice(
                n.subject,
                n.trigger,
                n.channel,
                str(n.payload.get("text", "")),
                n.created_us,
                state(n),
            )
            for n in mine
        ]
        return sorted(found, key=lambda n: -n.created_us)[:limit]

    def add_notices(self, notices: Sequence[Notice]) -> int:
        new = 0
        for n in notices:
            key = (n.subject, n.recipient, n.trigger, n.milestone)
            if key not in self.notice_rows:
                self.notice_rows[key] = n
                new += 1
        return new

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
            "lines": self.feed(limit=0).lines_all,
            "lines_without_inspection": self.feed(without_work="inspection", limit=0).lines_all,
        }
