"""Who may do what: the roles of a site and the one restricted queue.

A role is a person's place in the work, not a rank. The machine acts as `system`, a customer with
a status link as `customer`.
"""

from dataclasses import dataclass
from typing import Final, Literal

from grid.faults import Work

Role = Literal[
    "read_only",
    "operator",
    "clerk",
    "dispatcher",
    "engineer",
    "admin",
    "supervisor",
    "crew",
    "customer",
    "system",
]

ROLE_NAMES: Final[dict[Role, tuple[str, str]]] = {
    "read_only": ("read only", "只读"),
    "operator": ("operator", "值班员"),
    "clerk": ("clerk", "综合柜员"),
    "dispatcher": ("dispatcher", "调度员"),
    "engineer": ("engineer", "工程师"),
    "admin": ("administrator", "管理员"),
    "supervisor": ("supervisor", "班长"),
    "crew": ("repair crew", "抢修人员"),
    "customer": ("customer", "客户"),
    "system": ("system", "系统"),
}

# Inspection (稽查) concerns energy that somebody may have taken: those who speak with customers
# must not be able to give it away, not even by accident.
INSPECTION_ROLES: Final[frozenset[Role]] = frozenset(
    {"operator", "dispatcher", "engineer", "admin", "supervisor", "system"}
)


@dataclass(frozen=True, slots=True)
class Actor:
    """The person (or the machine) that does something; `name` stands in the history.

    team : of a crew, whose own team's tickets are all there are for it; None for others
    """

    name: str
    role: Role
    team: str | None = None


SYSTEM: Final = Actor("system", "system")


def may_see(work: Work | str, role: Role | str) -> bool:
    """Whether a role is shown work of this kind.

    >>> may_see("inspection", "clerk"), may_see("repair", "clerk")
    (False, True)
    """
    return work != "inspection" or role in INSPECTION_ROLES


def may_act_on(work: Work | str, team: str | None, actor: Actor) -> bool:
    """Whether a ticket exists at all for somebody: inspection not for those who speak with
    customers, other teams' tickets not for a crew.

    >>> may_act_on("repair", "crew-1", Actor("李师傅", "crew", "crew-2"))
    False
    """
    return may_see(work, actor.role) and (actor.role != "crew" or actor.team == team)
