"""The ticket of an incident, kept in step with it: opened, brought up to date, merged, revived.

What the machine does to a ticket is a step like any other, by `system`, with its reason; a rank
that a person has set and a state that people have reached stay as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alerts.incidents import Standing
from alerts.ledger import FINAL_STATES, Transaction
from alerts.opening import facts_for, facts_of, open_ticket, ticket_data
from alerts.places import Places
from alerts.roles import SYSTEM
from alerts.settings import DeskSettings
from grid.faults import FAULTS
from grid.records import WATCH_LIST, Ticket
from storage.desk_records import Mute, Step, altered


class TicketKeeping:
    """The tickets of the open incidents of one writing transaction.

    standing : those incidents by id; opened : tickets that are new; `_mutes` : why their alerts
    are muted
    """

    def __init__(self, tx: Transaction, places: Places, settings: DeskSettings) -> None:
        self.tx, self.places, self.settings = tx, places, settings
        self.standing: dict[int, Standing] = {}
        self.opened: dict[int, Ticket] = {}
        self._mutes: dict[str, tuple[Mute, ...]] = {}
        self._asked: set[str] = set()
        self._episodes: dict[str, Ticket] = {}

    def _ticket(self, s: Standing, before: Standing | None) -> Ticket | None:
        if s.ticket is not None:
            return self._keep_in_step(s, s.ticket, before)
        if not self._deserves_ticket(s):
            return None
        held = self._held([a.id for a in s.own])
        ticket = self._revived(s, held) or open_ticket(
            self.tx, s, self.places, self.settings, held=held
        )
        if ticket is None:
            return None
        self.opened[ticket.id] = ticket
        self._episodes[ticket.episode] = ticket
        ticket = self._note_loss(s, ticket)
        quiet_us = s.quiet_since_us
        if quiet_us is not None:
            return self._step(ticket, ticket, "condition_cleared", quiet_us, "")
        return ticket

    def _note_loss(self, s: Standing, ticket: Ticket) -> Ticket:
        """Say in a ticket that is new when what had been growing failed: the promises run from
        then, though it had been known for days (watched only, or in the same batch)."""
        lost_us = min((a.known_us for a in s.leading), default=ticket.opened_us)
        grown = len(s.leading) < len(s.own) and lost_us > ticket.opened_us
        if not grown or any(step.action == "supply_lost" for step in self.tx.steps(ticket.id)):
            return ticket
        reason = f"{ticket.fault} {ticket.asset}"
        return self._step(ticket, ticket, "supply_lost", lost_us, reason)

    def _ask(self, episodes: Iterable[str]) -> None:
        """Learn in one question which tickets these alerts have opened; a busy minute has
        hundreds of them."""
        new = [e for e in dict.fromkeys(episodes) if e not in self._asked]
        if new:
            self._asked.update(new)
            self._episodes.update(self.tx.tickets_of_episodes(new))

    def _held(self, episodes: Sequence[str]) -> dict[str, Ticket]:
        """The tickets that some alerts have opened, as they are now."""
        self._ask(episodes)
        return {e: self._episodes[e] for e in episodes if e in self._episodes}

    def _deserves_ticket(self, s: Standing) -> bool:
        own = [
            a
            for a in s.own
            if a.fault not in self.settings.watch_only and WATCH_LIST not in a.evidence.numbers
        ]
        return any(all(m.kind != "maintenance" for m in self._mutes.get(a.id, ())) for a in own)

    def _revived(self, s: Standing, held: Mapping[str, Ticket]) -> Ticket | None:
        """The ticket that one of its alerts had opened and the machine had merged: when what
        seemed one cause turns out to be two, the sub-ticket is a ticket again."""
        for alert in s.own:
            old = held.get(alert.id)
            if old is None or old.state != "merged":
                continue
            last = self.tx.steps(old.id)[-1]
            if last.actor != SYSTEM.name:
                continue  # people merged it: theirs to undo
            facts = facts_of(s, self.places, self.settings)
            back = replace(
                old,
                state=last.from_state or "assessing",
                incident_id=s.incident.id,
                merged_into=None,
                closed_us=None,
                contacts=s.incident.contacts,
                **facts,
            )
            return self._step(old, back, "unmerge", alert.known_us, "a cause of its own")
        return None

    def _keep_in_step(self, s: Standing, ticket: Ticket, before: Standing | None) -> Ticket:
        facts = facts_for(self.tx, ticket, s, self.places, self.settings)
        changed = altered(ticket, **facts, contacts=s.incident.contacts)
        at_us = max((a.known_us for a in s.own), default=ticket.opened_us)
        if changed != ticket:
            action = "updated"
            if _loses_supply(ticket.fault, changed.fault):
                action = "supply_lost"
            elif changed.severity < ticket.severity:  # "P1" < "P2"
                action = "worsened"
            elif (changed.asset_kind, changed.asset) != (ticket.asset_kind, ticket.asset):
                action = "moved"
            ticket = self._step(ticket, changed, action, at_us, f"{changed.fault} {changed.asset}")
        quiet_us = s.quiet_since_us
        was_quiet_us = before.quiet_since_us if before is not None else None
        if quiet_us is not None and was_quiet_us is None:
            ticket = self._step(ticket, ticket, "condition_cleared", quiet_us, "")
            if ticket.state == "restored":
                verified = replace(ticket, state="verified")
                ticket = self._step(ticket, verified, "verify", quiet_us, "the meters confirm it")
        elif quiet_us is None and was_quiet_us is not None:
            ticket = self._step(ticket, ticket, "condition_returned", at_us, "")
        return ticket

    def _merge_ticket(self, old: Standing, main_id: int) -> None:
        ticket = old.ticket
        if ticket is None or ticket.state in FINAL_STATES:
            return
        main = self.standing.get(main_id)
        ended_us = max((a.known_us for a in old.alerts), default=ticket.opened_us)
        if main is None or main.ticket is None:
            gone = replace(ticket, state="cancelled", verdict="planned_work", closed_us=ended_us)
            self._step(ticket, gone, "cancel", ended_us, "explained by announced work")
            return
        called = old.incident.contacts > 0
        now = self.tx.contacts(ticket_id=main.ticket.id, limit=100_000) if called else ()
        data = {  # what `unmerge` gives back
            "target": main.ticket.number,
            "alerts": [[a.id, a.ticket] for a in old.alerts],
            "contacts": [[c.channel, c.external_id] for c in now],
            "first_contact_us": old.incident.first_contact_us,
        }
        merged = replace(ticket, state="merged", merged_into=main.ticket.id, closed_us=ended_us)
        self._step(ticket, merged, "merge", ended_us, f"same cause as {main.ticket.number}", data)

    def _step(
        self,
        old: Ticket,
        new: Ticket,
        action: str,
        at_us: int,
        reason: str,
        data: dict[str, Any] | None = None,
    ) -> Ticket:
        step = Step(
            old.id,
            0,
            action,
            old.state,
            new.state,
            SYSTEM.name,
            SYSTEM.role,
            at_us,
            reason,
            data or {},
        )
        made = self.tx.change_ticket(new, old.version, step)
        # The writers' lock is ours, so nobody can have been faster.
        assert made is not None, f"ticket {old.number} changed inside the transaction"
        self.tx.publish("ticket", str(made.id), at_us, ticket_data(made, action))
        if made.id in self.opened:
            self.opened[made.id] = made
        if made.episode in self._episodes:
            self._episodes[made.episode] = made
        return made


def _loses_supply(before: str, now: str) -> bool:
    """Whether what was growing has ended in a loss of supply."""
    return FAULTS[now].incident_class == "supply" != FAULTS[before].incident_class
