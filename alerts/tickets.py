"""What people do to tickets: every action checked against the table, compared and set.

An action names the version it was decided on. If somebody was faster, nothing changes and
`StaleTicket` carries the ticket as it is and who was first. Each action appends one step.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from alerts.actions import Change, Moment, effect
from alerts.errors import (
    ForbiddenTransition,
    MissingDetail,
    StaleTicket,
    UnknownTicket,
    WrongRole,
)
from alerts.ledger import Ledger
from alerts.opening import ticket_data
from alerts.roles import SYSTEM, Actor, may_act_on
from alerts.settings import DeskSettings
from alerts.states import ACTIONS, allowed
from grid.clock import Clock
from grid.network import Network
from grid.records import Ticket, Verdict
from storage.desk_records import HumanInput, Step

# The steps at which somebody works by a checklist.
KEEPS_CHECKLIST: Final = frozenset({"take", "dispatch", "arrive", "restore", "close"})


class TicketDesk:
    """The actions of people (and of the machine, as `SYSTEM`) on the tickets of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        *,
        checklist: Callable[[str], tuple[str, int]] | None = None,
        settings: DeskSettings | None = None,
    ) -> None:
        """`checklist` names the (key, version) in use for a fault kind: a ticket's history keeps
        which one was worked by."""
        self.ledger, self.network, self.clock = ledger, network, clock
        self.checklist = checklist
        self.settings = settings or DeskSettings()

    # -- the actions, by name --------------------------------------------------------------

    def take(self, ticket_id: int, actor: Actor, version: int) -> Ticket:
        """受理研判: the actor becomes the one who looks after it."""
        return self.perform("take", ticket_id, actor, version)

    def note(self, ticket_id: int, actor: Actor, version: int, text: str) -> Ticket:
        """A line in the history; also on tickets that are done."""
        return self.perform("note", ticket_id, actor, version, text=text)

    def dispatch(
        self,
        ticket_id: int,
        actor: Actor,
        version: int,
        team: str | None = None,
        estimated_us: int | None = None,
    ) -> Ticket:
        """派单 to a team; None means the one that looks after the area."""
        details = {"team": team, "estimated_us": estimated_us}
        return self.perform("dispatch", ticket_id, actor, version, **details)

    def assign(self, ticket_id: int, actor: Actor, version: int, crew: str) -> Ticket:
        """派工 to a crew or a person of the team."""
        return self.perform("assign", ticket_id, actor, version, crew=crew)

    def accept(self, ticket_id: int, actor: Actor, version: int, note: str = "") -> Ticket:
        """接单, recorded by the crew or on its behalf."""
        return self.perform("accept", ticket_id, actor, version, note=note)

    def arrive(self, ticket_id: int, actor: Actor, version: int, note: str = "") -> Ticket:
        """到场."""
        return self.perform("arrive", ticket_id, actor, version, note=note)

    def restore(self, ticket_id: int, actor: Actor, version: int, note: str = "") -> Ticket:
        """已复电, or 已消缺 for preventive work."""
        return self.perform("restore", ticket_id, actor, version, note=note)

    def verify(self, ticket_id: int, actor: Actor, version: int, note: str = "") -> Ticket:
        """复电已核实."""
        return self.perform("verify", ticket_id, actor, version, note=note)

    def call_back(self, ticket_id: int, actor: Actor, version: int, note: str = "") -> Ticket:
        """待回访: the customers who reported it are to be called."""
        return self.perform("call_back", ticket_id, actor, version, note=note)

    def close(
        self,
        ticket_id: int,
        actor: Actor,
        version: int,
        verdict: Verdict,
        cause_code: str,
        note: str = "",
    ) -> Ticket:
        """归档 with a verdict and its cause; the incident is closed with it."""
        details = {"verdict": verdict, "cause_code": cause_code, "note": note}
        return self.perform("close", ticket_id, actor, version, **details)

    def send_back(self, ticket_id: int, actor: Actor, version: int, reason: str) -> Ticket:
        """退回: the unit cannot do it, it is assessed again."""
        return self.perform("send_back", ticket_id, actor, version, reason=reason)

    def hold(
        self, ticket_id: int, actor: Actor, version: int, reason: str, note: str = ""
    ) -> Ticket:
        """挂起, with a reason of `HOLD_REASONS`."""
        return self.perform("hold", ticket_id, actor, version, reason=reason, note=note)

    def resume(self, ticket_id: int, actor: Actor, version: int) -> Ticket:
        """Back to the state it was held in."""
        return self.perform("resume", ticket_id, actor, version)

    def cancel(self, ticket_id: int, actor: Actor, version: int, reason: str) -> Ticket:
        """作废: opened by mistake; counts as `no_fault` for the detector."""
        return self.perform("cancel", ticket_id, actor, version, reason=reason)

    def merge(self, ticket_id: int, actor: Actor, version: int, target_number: str) -> Ticket:
        """并入主单: the ticket follows another; its contacts and alerts do too."""
        return self.perform("merge", ticket_id, actor, version, target_number=target_number)

    def unmerge(self, ticket_id: int, actor: Actor, version: int) -> Ticket:
        """Undo a merge: state, contacts and alerts are as before."""
        return self.perform("unmerge", ticket_id, actor, version)

    def reopen(self, ticket_id: int, actor: Actor, version: int, reason: str) -> Ticket:
        """Back to 待研判 under the same number."""
        return self.perform("reopen", ticket_id, actor, version, reason=reason)

    def prioritise(
        self, ticket_id: int, actor: Actor, version: int, priority: int, reason: str
    ) -> Ticket:
        """Set the rank by hand; the computed one no longer overwrites it."""
        details = {"priority": priority, "reason": reason}
        return self.perform("prioritise", ticket_id, actor, version, **details)

    def estimate(
        self,
        ticket_id: int,
        actor: Actor,
        version: int,
        estimated_us: int,
        reason: str = "",
        latest_us: int | None = None,
    ) -> Ticket:
        """When supply is expected back, if given as a range; it is what the counter says."""
        details = {"estimated_us": estimated_us, "reason": reason, "latest_us": latest_us}
        return self.perform("estimate", ticket_id, actor, version, **details)

    def hand_over(
        self, ticket_id: int, actor: Actor, version: int, to: str, reason: str = ""
    ) -> Ticket:
        """移交 to another person."""
        return self.perform("hand_over", ticket_id, actor, version, to=to, reason=reason)

    # -- how every action runs -------------------------------------------------------------

    def perform(
        self, action: str, ticket_id: int, actor: Actor, version: int, **details: Any
    ) -> Ticket:
        """Do one action of `alerts.states.ACTIONS` and return the changed ticket.

        Raises UnknownTicket, WrongRole, StaleTicket, ForbiddenTransition, MissingDetail or
        Conflict (in this order of checks); then nothing has changed.
        """
        rule = ACTIONS.get(action)
        if rule is None:
            raise MissingDetail(
                "action",
                f"There is no action '{action}'; use one of: {', '.join(ACTIONS)}.",
                f"没有“{action}”这个操作，可用：{'、'.join(ACTIONS)}。",
                tuple(ACTIONS),
            )
        used = self._checklist(action, ticket_id)
        with self.ledger.transaction() as tx:
            ticket = tx.ticket(ticket_id)
            if ticket is None or not may_act_on(ticket.work, ticket.team, actor):
                raise UnknownTicket(ticket_id)
            if actor.role not in rule.roles:
                raise WrongRole(action, rule.name, rule.name_zh, actor.role, rule.roles)
            if ticket.version != version:
                steps = tx.steps(ticket_id)
                raise StaleTicket(ticket, steps[-1] if steps else None)
            if ticket.state not in rule.from_states:
                raise ForbiddenTransition(ticket, action, allowed(ticket, actor.role))
            at = Moment(tx, self.network, actor, self.clock.now_us(), self.settings)
            change = effect(action, at, ticket, rule, details)
            if used is not None and used[0] == ticket.fault:
                change = replace(change, data={**(change.data or {}), **used[1]})
            return self._save(at, ticket, change, action)

    def _checklist(self, action: str, ticket_id: int) -> tuple[str, dict[str, Any]] | None:
        """(fault, which checklist is in use), read before the writers' lock is taken."""
        if self.checklist is None or action not in KEEPS_CHECKLIST:
            return None
        with self.ledger.reading() as reading:
            ticket = reading.ticket(ticket_id)
        if ticket is None:
            return None
        key, version = self.checklist(ticket.fault)
        return ticket.fault, {"checklist": key, "checklist_version": version}

    @staticmethod
    def _save(at: Moment, old: Ticket, change: Change, action: str) -> Ticket:
        tx, actor, data = at.tx, at.actor, change.data or {}
        step = Step(
            old.id,
            0,
            action,
            old.state,
            change.ticket.state,
            actor.name,
            actor.role,
            at.now_us,
            change.reason,
            data,
        )
        made = tx.change_ticket(change.ticket, old.version, step)
        if made is None:  # a ledger without the writers' lock
            raise StaleTicket(tx.ticket(old.id) or old, None)
        if actor != SYSTEM:
            given = {"version": made.version, "reason": change.reason, **data}
            subject = f"ticket:{made.number}"
            tx.add_human_input(HumanInput(action, subject, actor.name, at.now_us, given))
        tx.publish("ticket", str(made.id), at.now_us, ticket_data(made, action))
        return made
