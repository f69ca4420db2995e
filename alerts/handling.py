"""What people do with an alert: see it, take that back, put it aside until a stated time.

Handling is the people's axis; the condition is the machine's and goes on whatever they do. Worse
is news again: an acknowledged alert that grows worse is new (see `alerts.apply`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from alerts.errors import MissingDetail, UnknownAlert, WrongRole
from alerts.ledger import Ledger
from alerts.reconcile import publish_alert
from alerts.roles import Actor, Role, may_see
from alerts.settings import DAY_US
from grid.clock import Clock
from grid.records import Alert
from storage.desk_records import HumanInput
from storage.desk_text import plain

# A shelf without an end, or with one too far away, is where alerts are forgotten.
SHELF_DAYS_MAX: Final = 7
Handle = Callable[[Alert, int], Alert]  # the alert and the time to what it becomes
_SHELVE: Final[tuple[Role, ...]] = ("operator", "dispatcher", "engineer", "admin", "supervisor")
_SEE: Final[tuple[Role, ...]] = ("clerk", *_SHELVE)


class AlertDesk:
    """The handling of alerts of one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock

    def acknowledge(self, alert_id: str, actor: Actor, note: str = "") -> Alert:
        """Seen: it no longer counts as waiting. Seeing it twice keeps the first name."""
        _permit(actor, "acknowledge", "确认", _SEE)
        note = plain(note)

        def seen(alert: Alert, now_us: int) -> Alert:
            if alert.handling == "acked":
                return alert
            return replace(
                alert,
                handling="acked",
                acked_by=actor.name,
                acked_at_us=now_us,
                ack_note=note,
                shelved_until_us=None,
            )

        return self._change(alert_id, actor, "acknowledge", seen, {"note": note})

    def unacknowledge(self, alert_id: str, actor: Actor) -> Alert:
        """Not seen after all."""
        _permit(actor, "unacknowledge", "取消确认", _SEE)
        return self._change(alert_id, actor, "unacknowledge", _as_new, {})

    def shelve(self, alert_id: str, actor: Actor, until_us: int, reason: str) -> Alert:
        """Put aside until a time at most `SHELF_DAYS_MAX` days on; it comes back by itself."""
        _permit(actor, "shelve", "搁置", _SHELVE)
        now_us = self.clock.now_us()
        if not now_us < until_us <= now_us + SHELF_DAYS_MAX * DAY_US:
            raise MissingDetail(
                "until_us",
                f"Shelve it until a time within the next {SHELF_DAYS_MAX} days.",
                f"搁置的截止时间应在今后{SHELF_DAYS_MAX}天之内。",
            )
        reason = plain(reason)
        if not reason:
            raise MissingDetail("reason", "Say why it is put aside.", "请填写搁置原因。")

        def aside(alert: Alert, now_us: int) -> Alert:
            return replace(
                alert,
                handling="shelved",
                acked_by=actor.name,
                acked_at_us=now_us,
                ack_note=reason,
                shelved_until_us=until_us,
            )

        given = {"until_us": until_us, "reason": reason}
        return self._change(alert_id, actor, "shelve", aside, given)

    def unshelve(self, alert_id: str, actor: Actor) -> Alert:
        """Back before its time."""
        _permit(actor, "unshelve", "取消搁置", _SHELVE)
        return self._change(alert_id, actor, "unshelve", _as_new, {})

    def _change(
        self,
        alert_id: str,
        actor: Actor,
        kind: str,
        change: Callable[[Alert, int], Alert],
        given: dict[str, Any],
    ) -> Alert:
        with self.ledger.transaction() as tx:
            alert = tx.alert(alert_id)
            if alert is None or not may_see(alert.work, actor.role):
                raise UnknownAlert(alert_id)
            now_us = self.clock.now_us()
            made = change(alert, now_us)
            if made == alert:
                return alert
            made = replace(made, version=alert.version + 1)
            tx.put_alert(made)
            tx.add_human_input(HumanInput(kind, f"alert:{alert_id}", actor.name, now_us, given))
            publish_alert(tx, made)
            return made


def _as_new(alert: Alert, now_us: int) -> Alert:
    return replace(
        alert, handling="new", acked_by=None, acked_at_us=None, ack_note="", shelved_until_us=None
    )


def _permit(actor: Actor, name: str, name_zh: str, roles: tuple[Role, ...]) -> None:
    if actor.role not in roles:
        raise WrongRole(name, name, name_zh, actor.role, roles)
