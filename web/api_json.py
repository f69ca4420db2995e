"""Records as the API writes them, and refusals as it says them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from alerts.errors import DeskError, MissingDetail
from alerts.settings import AHEAD_MAX_US
from desk.customer_timeline import StoryEntry
from grid.records import Alert, Contact, Incident, Ticket
from storage.desk_records import HumanInput, Silence, Step
from web.forms import whole
from web.refusals import status_of
from web.site import Site

LIST_MAX = 1_000


def iso(us: int | None) -> str | None:
    """RFC 3339 in UTC; a time beyond the calendar as it is kept.

    >>> iso(1_772_323_200_000_000), iso(2**63 - 1)
    ('2026-03-01T00:00:00Z', '9223372036854775807 us')
    """
    if us is None:
        return None
    try:
        return datetime.fromtimestamp(us / 1e6, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{us} us"


def alert_json(alert: Alert, opens_ticket: bool) -> dict[str, Any]:
    """The fields of contracts.md section 4, and the handling by people."""
    e = alert.evidence
    return {
        "id": alert.id,
        "fault": alert.fault,
        "asset_kind": alert.asset_kind,
        "asset": alert.asset,
        "severity": alert.severity,
        "raised": iso(alert.raised_us),
        "known": iso(alert.known_us),
        "cleared": iso(alert.cleared_us),
        "score": alert.score,
        "devices": list(alert.devices),
        "ticket": opens_ticket,
        "work": alert.work,
        "horizon_h": alert.horizon_h,
        "evidence": {
            "rule": e.rule,
            "rule_zh": e.rule_zh,
            "numbers": dict(e.numbers),
            "limit": e.limit,
            "window": [iso(w) for w in e.window],
            "peers": list(e.peers),
            "excluded": list(e.excluded),
        },
        "condition": alert.condition,
        "handling": alert.handling,
        "acked_by": alert.acked_by,
        "ack_note": alert.ack_note,
        "incident": alert.incident_id,
        "customers": alert.customers,
        "version": alert.version,
    }


def ticket_json(ticket: Ticket) -> dict[str, Any]:
    """A ticket without anything about customers but their number."""
    return {
        "id": ticket.id,
        "number": ticket.number,
        "state": ticket.state,
        "work": ticket.work,
        "fault": ticket.fault,
        "asset_kind": ticket.asset_kind,
        "asset": ticket.asset,
        "severity": ticket.severity,
        "customers": ticket.customers,
        "contacts": ticket.contacts,
        "opened": iso(ticket.opened_us),
        "closed": iso(ticket.closed_us),
        "due": iso(ticket.due_us),
        "estimated_restoration": iso(ticket.estimated_restoration_us),
        "estimated_latest": iso(ticket.estimated_latest_us),
        "team": ticket.team,
        "manager": ticket.manager,
        "assignee": ticket.assignee,
        "priority": ticket.priority,
        "priority_reason": ticket.priority_reason,
        "incident": ticket.incident_id,
        "episode": ticket.episode,
        "verdict": ticket.verdict,
        "cause_code": ticket.cause_code,
        "merged_into": ticket.merged_into,
        "version": ticket.version,
    }


def incident_json(incident: Incident | None) -> dict[str, Any] | None:
    """What is known about the cause."""
    if incident is None:
        return None
    return {
        "id": incident.id,
        "fault": incident.fault,
        "asset_kind": incident.asset_kind,
        "asset": incident.asset,
        "severity": incident.severity,
        "stage": incident.stage,
        "opened": iso(incident.opened_us),
        "known": iso(incident.known_us),
        "first_contact": iso(incident.first_contact_us),
        "contacts": incident.contacts,
        "customers": incident.customers,
        "located_by": incident.located_by,
        "version": incident.version,
    }


def refusal(request: Request, site: Site, error: DeskError) -> Response:
    """One sentence, and what a program needs to decide what next."""
    body: dict[str, Any] = {
        "error": type(error).__name__,
        "detail": error.text(site.render.language(request)),
    }
    for name in ("allowed", "choices", "roles"):
        if hasattr(error, name):
            body[name] = list(getattr(error, name))
    ticket = getattr(error, "ticket", None)
    if isinstance(ticket, Ticket):
        body["ticket"] = ticket_json(ticket)
    return JSONResponse(body, status_of(error))


def moment_us(query: Mapping[str, str], name: str, now_us: int) -> int | None:
    """A time of a query: microseconds UTC, or RFC 3339; MissingDetail when it is neither or lies
    where no reading can lie."""
    given = query.get(name)
    if not given:
        return None
    try:
        if given.lstrip("-").isdecimal():
            time_us = int(given)
        else:
            at = datetime.fromisoformat(given)
            time_us = int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1e6)
    except (ValueError, OverflowError):
        time_us = -1
    if not 0 <= time_us <= now_us + AHEAD_MAX_US:
        raise MissingDetail(
            name,
            f"Give '{name}' as microseconds UTC or RFC 3339, between 1970 and a year from now.",
            f"“{name}”应为1970年之后、一年之内的时间（UTC微秒数或RFC 3339格式）。",
        )
    return time_us


async def object_of(request: Request) -> dict[str, Any]:
    """The JSON object of a change; an empty body is an empty object."""
    if not await request.body():
        return {}
    try:
        given = await request.json()
    except (ValueError, RecursionError) as e:
        raise HTTPException(422, "bad_json") from e
    if not isinstance(given, dict):
        raise HTTPException(422, "bad_json")
    return given


def contact_json(contact: Contact) -> dict[str, Any]:
    """A contact, for those who may see who called."""
    return {
        "id": contact.id,
        "channel": contact.channel,
        "external_id": contact.external_id,
        "time": iso(contact.time_us),
        "kind": contact.kind,
        "account": contact.account,
        "phone": contact.phone,
        "text": contact.text,
        "incident": contact.incident_id,
        "ticket": contact.ticket_id,
        "taken_by": contact.taken_by,
    }


def step_json(step: Step) -> dict[str, Any]:
    """One line of a ticket's history."""
    return {
        "version": step.version,
        "action": step.action,
        "from": step.from_state,
        "to": step.to_state,
        "actor": step.actor,
        "role": step.role,
        "at": iso(step.at_us),
        "reason": step.reason,
        "data": dict(step.data),
    }


def silence_json(silence: Silence) -> dict[str, Any]:
    """A silence or announced work."""
    return {
        "id": silence.id,
        "kind": silence.kind,
        "asset_kind": silence.asset_kind,
        "asset": silence.asset,
        "fault": silence.fault,
        "owner": silence.owner,
        "reason": silence.reason,
        "start": iso(silence.start_us),
        "end": iso(silence.end_us),
    }


def input_json(given: HumanInput) -> dict[str, Any]:
    """What a person did or said."""
    return {
        "id": given.id,
        "kind": given.kind,
        "subject": given.subject,
        "actor": given.actor,
        "at": iso(given.at_us),
        "data": dict(given.data),
    }


def story_json(entry: StoryEntry) -> dict[str, Any]:
    """One line of a customer's story."""
    return {
        "at": iso(entry.at_us),
        "kind": entry.kind,
        "text": entry.text,
        "text_zh": entry.text_zh,
        "said": entry.said,
        "ticket": entry.number,
    }


def instant_us(at: datetime) -> int:
    """A moment with its zone, microseconds UTC."""
    if at.tzinfo is None:
        raise HTTPException(422, "no_zone")
    return int(at.timestamp() * 1e6)


def limit_of(request: Request) -> int:
    """How many lines a list may have."""
    return min(max(whole(request.query_params.get("limit"), 500), 1), LIST_MAX)
