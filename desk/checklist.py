"""The checklist of one ticket as it is ticked off: what, when, by whom, in which version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from alerts.errors import Conflict, MissingDetail, UnknownTicket, WrongRole
from alerts.ledger import FINAL_STATES, Ledger, Reading
from alerts.roles import Actor, Role, may_act_on
from desk.knowledge import KnowledgeDesk
from desk.procedures import PARTS
from grid.clock import Clock
from storage.desk_records import HumanInput, Step

_ROLES: Final[tuple[Role, ...]] = (
    "clerk",
    "operator",
    "dispatcher",
    "engineer",
    "supervisor",
    "admin",
    "crew",
)


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of a checklist that was done; `version` is that of the checklist."""

    part: str
    index: int
    version: int
    actor: str
    at_us: int


class ChecklistDesk:
    """Ticks on the tickets of one ledger; `knowledge` names the lists in use."""

    def __init__(self, ledger: Ledger, knowledge: KnowledgeDesk, clock: Clock) -> None:
        self.ledger, self.knowledge, self.clock = ledger, knowledge, clock

    def tick(
        self, ticket_id: int, actor: Actor, part: str, index: int, *, done: bool = True
    ) -> list[Tick]:
        """Tick a line off, or take that back; what is ticked now."""
        if actor.role not in _ROLES:
            raise WrongRole("tick", "tick off", "勾选", actor.role, _ROLES)
        with self.ledger.reading() as reading:
            ticket = reading.ticket(ticket_id)
        if ticket is None or not may_act_on(ticket.work, ticket.team, actor):
            raise UnknownTicket(ticket_id)
        used = self.knowledge.procedure(ticket.fault, "zh-CN")
        if part not in PARTS or not 0 <= index < len(getattr(used, part)):
            raise MissingDetail(
                "index", "The checklist has no such line.", "检查表中没有这一项。", PARTS
            )
        with self.ledger.transaction() as tx:
            now = tx.ticket(ticket_id)
            if now is None or now.state in FINAL_STATES:
                raise Conflict(
                    f"Ticket {ticket.number} is done; its checklist stays as it is.",
                    f"工单{ticket.number}已办结，检查表不再更改。",
                    now,
                )
            given = {"part": part, "index": index, "version": used.version, "done": done}
            subject, now_us = f"ticket:{ticket.number}", self.clock.now_us()
            tx.add_human_input(HumanInput("tick", subject, actor.name, now_us, given))
            return ticked(tx, ticket.number)


def ticked(reading: Reading, number: str) -> list[Tick]:
    """The lines of a ticket's checklist that are ticked, in the order of the list."""
    found: dict[tuple[str, int], Tick] = {}
    said = reading.human_inputs(subject=f"ticket:{number}", kinds=("tick",), limit=10_000)
    for row in said:
        d = row.data
        place = (str(d["part"]), int(d["index"]))
        if d["done"]:
            found[place] = Tick(*place, int(d["version"]), row.actor, row.at_us)
        else:
            found.pop(place, None)
    return sorted(found.values(), key=lambda t: (PARTS.index(t.part), t.index))


def used_version(steps: Sequence[Step]) -> tuple[str, int] | None:
    """(key, version) of the checklist that was worked by last; None before anybody did."""
    for step in reversed(steps):
        if "checklist" in step.data:
            return str(step.data["checklist"]), int(step.data["checklist_version"])
    return None
