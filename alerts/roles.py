"""Who may do what: the roles of a site and the one restricted queue.

A role is a person's place in the work, not a rank. The machine acts as `system`, a customer with
a status link as `customer`.
"""

from dataclasses import dataclass
from typing import Final, Literal

from grid.faults import Work

Role = Literal[
    "read_only", "operator", "clerk", "dispatcher", "engineer", "admin", "customer", "system"
]

ROLE_NAMES: Final[dict[Role, tuple[str, str]]] = {
    "read_only": ("read only", "只读"),
    "operator": ("operator", "值班员"),
    "clerk": ("clerk", "综合柜员"),
    "dispatcher": ("dispatcher", "调度员"),
    "engineer": ("engineer", "工程师"),
    "admin": ("administrator", "管理员"),
    "customer": ("customer", "客户"),
    "system": ("system", "系统"),
}

# Inspection (稽查) concerns energy that somebody may have taken: those who speak with customers
# must not be able to give it away, not even by accident.
INSPECTION_ROLES: Final[frozenset[Role]] = frozenset(
    {"operator", "dispatcher", "engineer", "admin", "system"}
)


@dataclass(frozen=True, slots=True)
class Actor:
    """The person (or the machine) that does something; `name` stands in the history."""

    name: str
    role: Role


SYSTEM: Final = Actor("system", "system")


def may_see(work: Work | str, role: Role | str) -> bool:
    """Whether a role is shown work of this kind.

    >>> may_see("inspection", "clerk"), may_see("repair", "clerk")
    (False, True)
    """
    return work != "inspection" or role in INSPECTION_ROLES
