"""What each action makes of a ticket, after the table has said that it may happen.

One function an action: it checks what was given with it, changes what hangs on the ticket
(incident, alerts, contacts) in the same transaction and returns the ticket as it should be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from alerts.errors import Conflict, MissingDetail, UnknownTicket
from alerts.incidents import Standing
from alerts.ledger import FINAL_STATES, Transaction
from alerts.opening import facts_for, incident_data, merged_by_hand, ticket_data
from alerts.places import places_of
from alerts.roles import SYSTEM, Actor, may_see
from alerts.settings import AHEAD_MAX_US, DeskSettings
from alerts.states import CAUSES, HOLD_REASONS, STATES, VERDICTS, Action, causes_for
from grid.network import Network
from grid.records import Incident, Ticket, TicketState
from storage.desk_records import Step, altered
from storage.desk_text import plain

Details = dict[str, Any]
PRIORITY_MAX: Final = 99_999


@dataclass(frozen=True, slots=True)
class Moment:
    """Where an action happens: its transaction, who acts, when (site time)."""

    tx: Transaction
    network: Network
    actor: Actor
    now_us: int
    settings: DeskSettings


@dataclass(frozen=True, slots=True)
class Change:
    """What an action makes of a ticket, and what its step remembers."""

    ticket: Ticket
    reason: str = ""
    data: Details | None = None


def effect(action: str, at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    """Do what is particular to an action.

    Raises MissingDetail, UnknownTicket or Conflict; the caller's transaction is then undone.
    """
    return _WORK.get(action, _plain)(at, ticket, rule, _kept(details))


Work = Callable[[Moment, Ticket, Action, Details], Change]


def _kept(details: Details) -> Details:
    """What was given, as text that can be kept and whole numbers; nothing else says anything."""
    kept: Details = {}
    for field, value in details.items():
        if value is not None and not isinstance(value, str | int):
            raise MissingDetail(
                field,
                f"Give '{field}' as a text or a whole number.",
                f"“{field}”应为文字或整数。",
            )
        kept[field] = plain(value) if isinstance(value, str) else value
    return kept


def _text(details: Details, field: str, english: str, chinese: str) -> str:
    value = str(details.get(field) or "").strip()
    if not value:
        raise MissingDetail(field, english, chinese)
    return value


def _reason(details: Details) -> str:
    return _text(details, "reason", "Say why in a few words.", "请填写原因。")


def _remark(details: Details) -> str:
    return str(details.get("note") or details.get("reason") or "").strip()


def _to(ticket: Ticket, rule: Action) -> Ticket:
    return ticket if rule.to_state is None else replace(ticket, state=rule.to_state)


def _plain(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    return Change(_to(ticket, rule), _remark(details))


def _take(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    return Change(replace(_to(ticket, rule), assignee=at.actor.name), _remark(details))


def _note(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    return Change(ticket, _text(details, "text", "Write the note first.", "请填写备注内容。"))


def _dispatch(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    area = at.network.transformer_of(ticket.asset_kind, ticket.asset)
    own = area.team if area else None
    to = details.get("team") or ticket.team or own
    known = {t.id for t in at.network.teams}
    data: Details = {"team": str(to)}
    changed = _to(ticket, rule)
    if area and area.manager and to == area.manager:  # 台区经理: goes alone, for the area's team
        data = {"team": own or to, "manager": to}
        changed = replace(changed, assignee=to)
    elif not to or (known and to not in known):
        choices = (*sorted(known), *([area.manager] if area and area.manager else []))
        raise MissingDetail(
            "team",
            f"Name the team to dispatch to: {', '.join(choices) or 'any name'}.",
            f"请选择派往的班组：{'、'.join(choices) or '填写班组名称'}。",
            choices,
        )
    changed = replace(changed, team=str(data["team"]))
    estimated_us = details.get("estimated_us")
    if estimated_us is not None:
        until_us = _future(at, estimated_us)
        changed = replace(changed, estimated_restoration_us=until_us, estimated_latest_us=None)
    return Change(changed, _remark(details), data)


def _assign(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    crew = _text(details, "crew", "Name the crew or person.", "请填写班组人员。")
    return Change(replace(_to(ticket, rule), assignee=crew), _remark(details), {"crew": crew})


def _send_back(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    return Change(replace(_to(ticket, rule), assignee=None), _reason(details))


def _hold(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    code = str(details.get("reason") or "")
    if code not in HOLD_REASONS:
        names = ", ".join(HOLD_REASONS)
        raise MissingDetail(
            "reason",
            f"Choose why it is put on hold: {names}.",
            f"请选择挂起原因：{'、'.join(r[1] for r in HOLD_REASONS.values())}。",
            tuple(HOLD_REASONS),
        )
    data = {"reason": code, "pauses_clock": HOLD_REASONS[code][2]}
    note = str(details.get("note") or "").strip()
    return Change(_to(ticket, rule), note or code, data)


def _state_before(tx: Transaction, ticket: Ticket, action: str) -> TicketState:
    for step in reversed(tx.steps(ticket.id)):
        if step.action == action and step.from_state is not None:
            return step.from_state
    return "assessing"


def _resume(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    return Change(replace(ticket, state=_state_before(at.tx, ticket, "hold")), _remark(details))


def _close(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    verdict, cause = details.get("verdict"), details.get("cause_code")
    if verdict not in VERDICTS:
        raise MissingDetail(
            "verdict",
            f"Choose a verdict: {', '.join(VERDICTS)}.",
            f"请选择结论：{'、'.join(zh for _, zh in VERDICTS.values())}。",
            tuple(VERDICTS),
        )
    fitting = causes_for(verdict)
    if cause not in fitting:
        raise MissingDetail(
            "cause_code",
            f"Choose a cause that fits the verdict: {', '.join(fitting)}.",
            f"请选择与结论相符的原因：{'、'.join(CAUSES[c].name_zh for c in fitting)}。",
            fitting,
        )
    now_us = at.now_us
    done = replace(_to(ticket, rule), verdict=verdict, cause_code=cause, closed_us=now_us)
    _close_incident(at.tx, ticket, now_us)
    return Change(done, _remark(details), {"verdict": verdict, "cause_code": cause})


def _cancel(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    now_us = at.now_us
    reason = _reason(details)
    _close_incident(at.tx, ticket, now_us)
    gone = replace(_to(ticket, rule), verdict="no_fault", closed_us=now_us)
    return Change(gone, reason, {"verdict": "no_fault"})


def _close_incident(tx: Transaction, ticket: Ticket, now_us: int) -> None:
    incident = tx.incident(ticket.incident_id)
    if incident is not None and incident.closed_us is None:
        tx.put_incident(replace(incident, closed_us=now_us, version=incident.version + 1))
        _publish_incident(tx, incident, "closed", now_us)


def _publish_incident(tx: Transaction, incident: Incident, change: str, now_us: int) -> None:
    tx.publish("incident", str(incident.id), now_us, incident_data(incident, change))


def _reopen(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    reason = _reason(details)
    _open_incident_again(at.tx, ticket, at.now_us)
    again = replace(_to(ticket, rule), verdict=None, cause_code=None, closed_us=None)
    return Change(again, reason, {"verdict_before": ticket.verdict})


def _open_incident_again(tx: Transaction, ticket: Ticket, now_us: int) -> None:
    incident = tx.incident(ticket.incident_id)
    assert incident is not None, f"ticket {ticket.number} has lost its incident"
    here = (incident.asset_kind, incident.asset)
    other = tx.open_tickets([incident.id]).get(incident.id)
    if other is None:
        for found in tx.incidents(assets=[here], incident_class=incident.incident_class):
            other = tx.open_tickets([found.id]).get(found.id)
            if found.id != incident.id:
                break
    if other is not None and other.id != ticket.id:
        raise Conflict(
            f"Ticket {other.number} is open for the same cause; go on there.",
            f"同一故障已有工单{other.number}，请在该工单上处理。",
            other,
        )
    if incident.closed_us is not None:
        tx.put_incident(replace(incident, closed_us=None, version=incident.version + 1))
        _publish_incident(tx, incident, "reopened", now_us)


def _merge(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    number = _text(details, "target_number", "Name the main ticket.", "请填写主单编号。")
    target = at.tx.ticket_numbered(number)
    if target is None or not may_see(target.work, at.actor.role):
        raise UnknownTicket(number)
    if target.id == ticket.id or target.state in FINAL_STATES:
        state = STATES[target.state]
        raise Conflict(
            f"Ticket {target.number} is {state.name}; choose another open ticket as the main one.",
            f"工单{target.number}为“{state.name_zh}”，请选择另一张未办结的主单。",
            target,
        )
    if "inspection" in (ticket.work, target.work) and ticket.work != target.work:
        # The calls of customers would follow to where the counter may not look.
        raise Conflict(
            f"Ticket {target.number} is other work than {ticket.number}: inspections stay apart.",
            f"工单{target.number}与{ticket.number}类别不同，稽查工单不与其他工单合并。",
            target,
        )
    now_us = at.now_us
    own, main = at.tx.incident(ticket.incident_id), at.tx.incident(target.incident_id)
    assert own is not None and main is not None
    alerts = at.tx.alerts_of([own.id]).get(own.id, ())
    contacts = at.tx.contacts(incident_id=own.id, limit=100_000)
    for alert in alerts:
        moved = replace(alert, incident_id=main.id, ticket=False, version=alert.version + 1)
        at.tx.put_alert(moved)
    at.tx.attach_contacts(own.id, main.id, target.id)
    calls = [t for t in (own.first_contact_us, main.first_contact_us) if t is not None]
    merged_main = replace(
        main,
        contacts=main.contacts + own.contacts,
        first_contact_us=min(calls, default=None),
        version=main.version + 1,
    )
    at.tx.put_incident(merged_main)
    at.tx.put_incident(replace(own, closed_us=now_us, contacts=0, version=own.version + 1))
    _publish_incident(at.tx, own, "merged", now_us)
    before = (*merged_by_hand(at.tx, target.id), *merged_by_hand(at.tx, ticket.id))
    _keep_main_in_step(at, target, merged_main, (*before, ticket))
    data = {
        "target": target.number,
        "alerts": [[a.id, a.ticket] for a in alerts],
        "contacts": [[c.channel, c.external_id] for c in contacts],
        "first_contact_us": own.first_contact_us,
    }
    merged = replace(_to(ticket, rule), merged_into=target.id, closed_us=now_us)
    return Change(merged, _remark(details) or f"→ {target.number}", data)


def _unmerge(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    step = next((s for s in reversed(at.tx.steps(ticket.id)) if s.action == "merge"), None)
    assert step is not None and step.from_state is not None, "a merged ticket has its merge step"
    now_us = at.now_us
    main_ticket = at.tx.ticket(ticket.merged_into or 0)
    main = at.tx.incident(main_ticket.incident_id) if main_ticket else None
    _open_incident_again(at.tx, ticket, now_us)
    own = at.tx.incident(ticket.incident_id)
    assert own is not None
    flags = {str(i): bool(flag) for i, flag in step.data.get("alerts", ())}
    for alert in at.tx.alerts_by_id(list(flags)).values():
        back = replace(alert, incident_id=own.id, ticket=flags[alert.id], version=alert.version + 1)
        at.tx.put_alert(back)
        at.tx.end_mutes(kind="upstream", ref=str(main.id if main else 0), alert_id=alert.id)
    count = 0
    for channel, external_id in step.data.get("contacts", ()):
        contact = at.tx.contact(channel, external_id)
        if contact is not None:
            at.tx.put_contact(replace(contact, incident_id=own.id, ticket_id=ticket.id))
            count += 1
    at.tx.put_incident(
        replace(
            own,
            contacts=count,
            first_contact_us=step.data.get("first_contact_us"),
            version=own.version + 1,
        )
    )
    if main is not None and count:
        left = at.tx.contacts(incident_id=main.id, limit=100_000)
        first_us = min((c.time_us for c in left), default=None)
        lighter = replace(main, contacts=len(left), first_contact_us=first_us)
        at.tx.put_incident(replace(lighter, version=main.version + 1))
        main = at.tx.incident(main.id)
    if main is not None and main_ticket is not None and main_ticket.state not in FINAL_STATES:
        gone = {ticket.id, *(t.id for t in merged_by_hand(at.tx, ticket.id))}
        left_in = [t for t in merged_by_hand(at.tx, main_ticket.id) if t.id not in gone]
        _keep_main_in_step(at, main_ticket, main, left_in)
    back_ticket = replace(ticket, state=step.from_state, merged_into=None, closed_us=None)
    return Change(back_ticket, _remark(details))


def _keep_main_in_step(
    at: Moment, ticket: Ticket, incident: Incident, merged: Sequence[Ticket]
) -> None:
    """A main ticket as the whole makes it, when a part was merged into it or taken out again: its
    customers, its severity, its rank (a person's stays) and so its place in the queue."""
    alerts, places = at.tx.alerts_of([incident.id]).get(incident.id, ()), places_of(at.network)
    whole = Standing.with_merged(incident, alerts, ticket, merged, places)
    facts = facts_for(at.tx, ticket, whole, places, at.settings)
    changed = altered(ticket, **facts, contacts=incident.contacts)
    if changed == ticket:
        return
    action = "worsened" if changed.severity < ticket.severity else "updated"  # "P1" < "P2"
    why = f"{changed.fault} {changed.asset}"
    state, by = ticket.state, SYSTEM
    step = Step(ticket.id, 0, action, state, state, by.name, by.role, at.now_us, why)
    made = at.tx.change_ticket(changed, ticket.version, step)
    assert made is not None, "the writers' lock is ours"
    at.tx.publish("ticket", str(made.id), at.now_us, ticket_data(made, action))


def _prioritise(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    value = details.get("priority")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= PRIORITY_MAX:
        raise MissingDetail(
            "priority",
            f"Give the priority as a whole number from 0 to {PRIORITY_MAX}; larger comes first.",
            f"优先级应为0至{PRIORITY_MAX}的整数，越大越先处理。",
        )
    reason = _reason(details)
    data = {"computed": ticket.priority, "priority": value}
    changed = replace(ticket, priority=value, priority_reason=reason, priority_reason_zh=reason)
    return Change(changed, reason, data)


def _future(at: Moment, value: object) -> int:
    whole = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if not at.now_us < whole <= at.now_us + AHEAD_MAX_US:
        raise MissingDetail(
            "estimated_us",
            "Give a time after now and within a year for the expected restoration.",
            "预计恢复时间应晚于现在，且在一年之内。",
        )
    return whole


def _estimate(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    value = _future(at, details.get("estimated_us"))
    latest_us = details.get("latest_us")
    if latest_us is not None and _future(at, latest_us) < value:
        raise MissingDetail(
            "latest_us",
            "The later end of the range comes after its beginning.",
            "预计恢复时间范围的终点应晚于起点。",
        )
    data = {
        "estimated_us": value,
        "latest_us": latest_us,
        "before_us": ticket.estimated_restoration_us,
    }
    changed = replace(ticket, estimated_restoration_us=value, estimated_latest_us=latest_us)
    return Change(changed, _remark(details), data)


def _hand_over(at: Moment, ticket: Ticket, rule: Action, details: Details) -> Change:
    to = _text(details, "to", "Name the person who takes over.", "请填写接手人。")
    return Change(replace(ticket, assignee=to), _remark(details), {"to": to})


_WORK: Final[dict[str, Work]] = {
    "take": _take,
    "note": _note,
    "dispatch": _dispatch,
    "assign": _assign,
    "send_back": _send_back,
    "hold": _hold,
    "resume": _resume,
    "close": _close,
    "cancel": _cancel,
    "reopen": _reopen,
    "merge": _merge,
    "unmerge": _unmerge,
    "prioritise": _prioritise,
    "estimate": _estimate,
    "hand_over": _hand_over,
}
