"""`/api/v1`: the same desk as the pages, for programs. Answers JSON, refuses with one sentence."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError, MissingDetail
from alerts.settings import AHEAD_MAX_US
from alerts.states import ACTIONS, STATES
from grid.quantities import INDEX
from grid.records import Alert, Channel, Contact, ContactKind, Incident, Ticket, TicketState
from storage.desk_text import plain
from web.charts import POINTS_MAX, SPANS, alert_chart, device_chart, span_of
from web.forms import whole
from web.pages.tickets import details_of, status_of
from web.site import Site
from web.viewer import viewer_of

LIST_MAX = 1_000


class ContactIn(BaseModel):
    """A call or message as another system hands it in."""

    model_config = ConfigDict(extra="forbid", str_max_length=2_000)

    channel: Channel
    external_id: str = Field(min_length=1, max_length=128)
    time: datetime | None = None
    kind: ContactKind = "fault"
    account: str | None = Field(None, max_length=64)
    phone: str = Field("", max_length=40)
    text: str = ""
    open_ticket: bool | None = None


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
        "team": ticket.team,
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


def register(app: FastAPI, site: Site) -> None:
    def limit_of(request: Request) -> int:
        return min(max(whole(request.query_params.get("limit"), 500), 1), LIST_MAX)

    @app.get("/api/v1/alerts")
    def alerts(request: Request) -> Response:
        open_only = request.query_params.get("open") in ("1", "true")
        rows = site.board.feed(
            role=viewer_of(request).role, open_only=open_only, limit=limit_of(request)
        )
        return JSONResponse({"items": [alert_json(x.alert, x.opens_ticket) for x in rows]})

    @app.get("/api/v1/alerts/{alert_id}")
    def alert(request: Request, alert_id: str) -> Response:
        page = site.board.alert(alert_id, viewer_of(request).role)
        if page is None:
            raise HTTPException(404, "no_alert")
        row = page.row
        body = alert_json(row.alert, row.opens_ticket)
        body["ticket_of_cause"] = ticket_json(row.ticket) if row.ticket else None
        body["incident_of_cause"] = incident_json(row.incident)
        return JSONResponse(body)

    @app.get("/api/v1/alerts/{alert_id}/chart")
    def chart(request: Request, alert_id: str) -> Response:
        page = site.board.alert(alert_id, viewer_of(request).role)
        if page is None:
            raise HTTPException(404, "no_alert")
        q = request.query_params
        reader = site.render.reader(site.render.language(request))
        try:
            given = [_us(q, name, reader.now_us) for name in ("from", "to")]
        except MissingDetail as e:
            return refusal(request, site, e)
        start_us, end_us = span_of(page.row.alert, reader.now_us, q.get("span"), *given)
        return JSONResponse(
            alert_chart(
                site.readings,
                site.network,
                page.row.alert,
                start_us,
                end_us,
                reader.zone,
                site.settings.country,
                reader.t,
            )
        )

    @app.post("/api/v1/alerts/{alert_id}/ack")
    async def acknowledge(request: Request, alert_id: str) -> Response:
        given = await _object(request)
        viewer = viewer_of(request)

        def act() -> Response:
            try:
                note = plain(str(given.get("note", "")), 2_000)
                changed = site.alerts.acknowledge(alert_id, viewer.actor, note=note)
            except DeskError as e:
                return refusal(request, site, e)
            return JSONResponse(alert_json(changed, changed.ticket))

        return await run_in_threadpool(act)

    @app.get("/api/v1/tickets")
    def tickets(request: Request) -> Response:
        asked = request.query_params.get("state")
        states: tuple[TicketState, ...] = tuple(STATES)
        if asked:
            states = tuple(s for s in STATES if s in asked.split(","))
        rows = site.board.tickets(
            role=viewer_of(request).role, states=states, limit=limit_of(request)
        )
        return JSONResponse({"items": [ticket_json(x.ticket) for x in rows]})

    @app.get("/api/v1/tickets/{ticket_id}")
    def ticket(request: Request, ticket_id: int) -> Response:
        page = site.board.ticket(ticket_id, viewer_of(request).role)
        if page is None:
            raise HTTPException(404, "no_ticket")
        body = ticket_json(page.ticket)
        body["allowed"] = list(page.allowed)
        body["incident_of_cause"] = incident_json(page.incident)
        body["alerts"] = [a.id for a in page.alerts]
        return JSONResponse(body)

    @app.post("/api/v1/tickets/{ticket_id}/{action}")
    async def act_on_ticket(request: Request, ticket_id: int, action: str) -> Response:
        if action not in ACTIONS:
            raise HTTPException(404, "no_action")
        given = await _object(request)
        viewer = viewer_of(request)
        version = request.headers.get("if-match", "").strip('"') or str(given.get("version", ""))

        def act() -> Response:
            try:
                details = details_of(action, given, site)
                changed = site.tickets.perform(
                    action, ticket_id, viewer.actor, whole(version), **details
                )
            except DeskError as e:
                return refusal(request, site, e)
            return JSONResponse(ticket_json(changed))

        return await run_in_threadpool(act)

    @app.post("/api/v1/contacts")
    def contacts(request: Request, given: ContactIn) -> Response:
        viewer = viewer_of(request)
        at = given.time or datetime.fromtimestamp(site.clock.now_us() / 1e6, UTC)
        if at.tzinfo is None:
            raise HTTPException(422, "no_zone")
        contact = Contact(
            channel=given.channel,
            external_id=given.external_id,
            time_us=int(at.timestamp() * 1e6),
            kind=given.kind,
            account=given.account or site.account_of_phone(given.phone),
            phone=given.phone,
            text=given.text,
            taken_by=viewer.actor.name,
        )
        try:
            outcome = site.counter.report(contact, viewer.actor, given.open_ticket)
        except DeskError as e:
            return refusal(request, site, e)
        answer = outcome.answer
        return JSONResponse(
            {
                "contact": outcome.contact.id,
                "known": outcome.known,
                "created": outcome.created,
                "repeated": outcome.repeated,
                "incident": incident_json(outcome.incident),
                "ticket": ticket_json(outcome.ticket) if outcome.ticket else None,
                "sentence": answer.sentence if answer else "",
                "sentence_zh": answer.sentence_zh if answer else "",
            },
            200 if outcome.repeated else 201,
        )

    @app.get("/api/v1/series")
    def series(request: Request) -> Response:
        """One device: `quantities=v_a,v_b` as columns, or without them the panels of its page."""
        q = request.query_params
        device = q.get("device", "")
        if device not in site.network.device_index:
            raise HTTPException(404, "no_device")
        now = site.clock.now_us()
        try:
            start_us, end_us = (_us(q, name, now) for name in ("from", "to"))
        except MissingDetail as e:
            return refusal(request, site, e)
        end_us = now if end_us is None else end_us
        if start_us is None:
            start_us = end_us - SPANS.get(q.get("span", ""), 86_400) * 1_000_000
        if start_us >= end_us:
            raise HTTPException(422, "bad_span")
        reader = site.render.reader(site.render.language(request))
        if not q.get("quantities"):
            return JSONResponse(
                device_chart(
                    site.readings, site.network, device, start_us, end_us, reader.zone, reader.t
                )
            )
        names = [n for n in q["quantities"].split(",") if n in INDEX][:32]
        if not names:
            raise HTTPException(422, "no_quantity")
        most = min(max(whole(q.get("max_points"), POINTS_MAX), 2), POINTS_MAX)
        found = site.readings.series(device, names, start_us, end_us, most)
        return JSONResponse(
            {
                "device": device,
                "step_s": found.step_s,
                "time_us": found.time.tolist(),
                "values": {
                    name: dict(
                        zip(("min", "mean", "max"), (_plain(v) for v in bounds), strict=True)
                    )
                    for name, bounds in found.values.items()
                },
            }
        )


def _plain(values: Any) -> list[float | None]:
    """JSON knows no NaN: what was not reported is null."""
    return [None if v != v else round(v, 3) for v in values.tolist()]


def _us(query: Mapping[str, str], name: str, now_us: int) -> int | None:
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
            f"“{name}”应为1970年之后、一年之内的时间(UTC微秒数或RFC 3339格式)。",
        )
    return time_us


async def _object(request: Request) -> dict[str, Any]:
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
