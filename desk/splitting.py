"""A call that hangs on the wrong ticket is taken off: onto another one, or onto one of its own.

What was said and when stays; both tickets tell in their history who moved it and why. Their
states stay as they are: a call is evidence about a ticket, not a step of its work.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerts.errors import Conflict, MissingDetail, UnknownContact, UnknownTicket, WrongRole
from alerts.ledger import FINAL_STATES, Ledger, Transaction
from alerts.opening import incident_data, main_of, ticket_data
from alerts.places import Asset, Places, places_of
from alerts.roles import Actor, Role, may_see
from alerts.settings import DeskSettings
from desk.intake import open_own
from grid.clock import Clock
from grid.network import Network
from grid.records import Contact, Incident, Ticket
from storage.desk_records import Step
from storage.desk_text import plain

CALLS_MAX: Final = 100_000
_ROLES: Final[tuple[Role, ...]] = ("clerk", "dispatcher")


class SplitDesk:
    """Moves calls between the tickets of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        *,
        places: Places | None = None,
        settings: DeskSettings | None = None,
    ) -> None:
        self.ledger, self.network, self.clock = ledger, network, clock
        self.places = places or places_of(network)
        self.settings = settings or DeskSettings()

    def split(
        self, ticket_id: int, contact_id: int, actor: Actor, reason: str, number: str = ""
    ) -> Ticket:
        """Take a call off a ticket, onto the one with `number` or, without, a new one; that one.

        The call that opened a ticket stays with it. Raises DeskError; then nothing has changed.
        """
        reason, number = plain(reason).strip(), number.strip()
        if actor.role not in _ROLES:
            raise WrongRole("contact", "move a call", "移动来电", actor.role, _ROLES)
        if not reason:
            raise MissingDetail("reason", "Say why it is not about this.", "请填写移出的原因。")
        with self.ledger.transaction() as tx:
            old = tx.ticket(ticket_id)
            if old is None or not may_see(old.work, actor.role):
                raise UnknownTicket(ticket_id)
            calls = tx.contacts(incident_id=old.incident_id, limit=CALLS_MAX)
            call = next((c for c in calls if c.id == contact_id), None)
            if call is None:
                raise UnknownContact(contact_id)
            if old.episode == f"contact:{call.channel}:{call.external_id}":
                raise Conflict(
                    f"This call opened ticket {old.number}; merge or cancel the ticket instead.",
                    f"工单{old.number}由此来电生成，请改为并单或作废。",
                    old,
                )
            to = self._onto(tx, call, old, number, actor, reason) if number else None
            self._off(tx, old, [c for c in calls if c.id != call.id])
            to = to or self._own(tx, call, old, actor)
            now_us = self.clock.now_us()
            given = {"contact": call.external_id, "to": to.number}
            kept = replace(old, contacts=len(calls) - 1)
            self._step(tx, kept, "call_off", actor, now_us, f"{reason} → {to.number}", given)
        return to

    def _onto(
        self, tx: Transaction, call: Contact, old: Ticket, number: str, actor: Actor, reason: str
    ) -> Ticket:
        to = main_of(tx, tx.ticket_numbered(number))
        if to is None or not may_see(to.work, actor.role):
            raise UnknownTicket(number)
        if to.incident_id == old.incident_id:
            raise Conflict(
                f"The call hangs on {to.number} already.", f"该来电已在工单{to.number}中。", to
            )
        if to.state in FINAL_STATES:
            raise Conflict(
                f"Ticket {to.number} is done; give the call a ticket of its own.",
                f"工单{to.number}已办结，请为该来电另开工单。",
                to,
            )
        incident = tx.incident(to.incident_id)
        assert incident is not None, "a ticket has its incident"
        tx.put_contact(replace(call, incident_id=incident.id, ticket_id=to.id))
        calls = tx.contacts(incident_id=incident.id, limit=CALLS_MAX)
        self._recount(tx, incident, calls)
        given = {"contact": call.external_id, "from": old.number}
        told = f"{reason} ← {old.number}"
        now_us = self.clock.now_us()
        return self._step(
            tx, replace(to, contacts=len(calls)), "call_on", actor, now_us, told, given
        )

    def _own(self, tx: Transaction, call: Contact, old: Ticket, actor: Actor) -> Ticket:
        points = self.network.usage_points_of_account.get(call.account or "", ())
        here: Asset | None = ("usage_point", points[0].id) if points else None
        taken = tx.incidents(assets=[here], incident_class="supply") if here else []
        if taken:
            known = tx.open_tickets([taken[0].id]).get(taken[0].id)
            raise Conflict(
                "There is a ticket about this customer's own supply already"
                f"{f' ({known.number})' if known else ''}; name its number.",
                f"该户已有工单{known.number if known else ''}，请填写其编号。",
                known,
            )
        _, _, made, _ = open_own(tx, call, here, self.places, self.settings, actor)
        assert made is not None, "the call has opened no ticket before"
        return made

    def _off(self, tx: Transaction, old: Ticket, left: Sequence[Contact]) -> None:
        incident = tx.incident(old.incident_id)
        assert incident is not None, "a ticket has its incident"
        self._recount(tx, incident, left)

    def _recount(self, tx: Transaction, incident: Incident, calls: Sequence[Contact]) -> None:
        changed = replace(
            incident,
            contacts=len(calls),
            first_contact_us=min((c.time_us for c in calls), default=None),
            version=incident.version + 1,
        )
        tx.put_incident(changed)
        now_us = self.clock.now_us()
        tx.publish("incident", str(incident.id), now_us, incident_data(changed, "contact"))

    def _step(
        self,
        tx: Transaction,
        new: Ticket,
        action: str,
        actor: Actor,
        now_us: int,
        reason: str,
        data: dict[str, str],
    ) -> Ticket:
        step = Step(
            new.id, 0, action, new.state, new.state, actor.name, actor.role, now_us, reason, data
        )
        made = tx.change_ticket(new, new.version, step)
        assert made is not None, "the writers' lock is ours"
        tx.publish("ticket", str(made.id), now_us, ticket_data(made, action))
        return made
