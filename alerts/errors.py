"""What can go wrong when a person acts on the ledger: each error is one sentence and the fix.

The page shows `.text(language)`; `str(error)` is the English one.
"""

from collections.abc import Sequence

from alerts.roles import ROLE_NAMES, Role
from alerts.states import ACTIONS, STATES
from grid.errors import ForewattError
from grid.records import Ticket
from storage.desk_records import Step


class DeskError(ForewattError):
    """An action at the desk that changes nothing; says why and what to do instead."""

    def __init__(self, english: str, chinese: str) -> None:
        super().__init__(english)
        self.chinese = chinese

    def text(self, language: str) -> str:
        """The message in `zh-CN` or `en`."""
        return self.chinese if language.startswith("zh") else str(self)


class NotFound(DeskError):
    """Nothing in this realm bears that key."""

    def __init__(self, what: str, what_zh: str, key: object) -> None:
        self.key = key
        super().__init__(
            f"There is no {what} {key}; search for it by number, account or address.",
            f"没有找到{what_zh}{key}，请按编号、户号或地址查询。",
        )


class UnknownTicket(NotFound):
    """No ticket bears that id or number."""

    def __init__(self, key: object) -> None:
        super().__init__("ticket", "工单", key)


class UnknownAlert(NotFound):
    """No alert bears that id."""

    def __init__(self, key: object) -> None:
        super().__init__("alert", "告警", key)


class UnknownContact(NotFound):
    """No contact bears that channel and id."""

    def __init__(self, key: object) -> None:
        super().__init__("contact", "来电记录", key)


class UnknownAccount(NotFound):
    """No customer has that account."""

    def __init__(self, key: object) -> None:
        super().__init__("account", "户号", key)


class StaleTicket(DeskError):
    """Somebody else was faster: the ticket is no longer at the version that was acted on.

    Attributes
    ----------
    ticket : the ticket as it is now
    last : the step that came in between, or None if it has none newer
    """

    def __init__(self, ticket: Ticket, last: Step | None) -> None:
        self.ticket, self.last = ticket, last
        state = STATES[ticket.state]
        who = last.actor if last else "-"
        did = ACTIONS[last.action] if last and last.action in ACTIONS else None
        super().__init__(
            f"Ticket {ticket.number} was changed meanwhile by {who}"
            f"{f' ({did.name})' if did else ''}: it is now {state.name}; "
            f"reload it and decide again.",
            f"工单{ticket.number}刚被{who}{f'“{did.name_zh}”' if did else '更新'}，"
            f"现为“{state.name_zh}”，请刷新后再操作。",
        )


class ForbiddenTransition(DeskError):
    """The ticket's state does not allow this action.

    Attributes
    ----------
    ticket : as it is now
    action : what was asked for
    allowed : actions that this role may take now
    """

    def __init__(self, ticket: Ticket, action: str, allowed: Sequence[str]) -> None:
        self.ticket, self.action, self.allowed = ticket, action, tuple(allowed)
        state, asked = STATES[ticket.state], ACTIONS[action]
        can = ", ".join(ACTIONS[a].name for a in allowed) or "nothing"
        can_zh = "、".join(ACTIONS[a].name_zh for a in allowed) or "无"
        super().__init__(
            f"Ticket {ticket.number} is {state.name}, so it cannot be changed by "
            f"'{asked.name}'; possible now: {can}.",
            f"工单{ticket.number}为“{state.name_zh}”，不能“{asked.name_zh}”；现在可以：{can_zh}。",
        )


class WrongRole(DeskError):
    """The person's role may not do this."""

    def __init__(self, action: str, name: str, name_zh: str, role: Role, roles: Sequence[Role]):
        self.action, self.role, self.roles = action, role, tuple(roles)
        who = ", ".join(ROLE_NAMES[r][0] for r in roles)
        who_zh = "、".join(ROLE_NAMES[r][1] for r in roles)
        super().__init__(
            f"'{name}' is not open to the role {ROLE_NAMES[role][0]}; ask one of: {who}.",
            f"{ROLE_NAMES[role][1]}不能“{name_zh}”，请联系：{who_zh}。",
        )


class MissingDetail(DeskError):
    """An action needs something that was not given, or that it does not know.

    Attributes
    ----------
    field : what is missing (`verdict`, `cause_code`, `reason`, `team`...)
    choices : the possible values, empty when free
    """

    def __init__(self, field: str, english: str, chinese: str, choices: Sequence[str] = ()) -> None:
        self.field, self.choices = field, tuple(choices)
        super().__init__(english, chinese)


class Conflict(DeskError):
    """Another open ticket is about the same cause.

    Attributes
    ----------
    ticket : the other one, None where there is none to name
    """

    def __init__(self, english: str, chinese: str, ticket: Ticket | None = None) -> None:
        self.ticket = ticket
        super().__init__(english, chinese)
