"""`/api/v1`: the same desk as the pages, for programs. Answers JSON, refuses with one sentence.

Tickets, contacts and readings here; alerts, the desk's other resources and the reports beside.
"""

from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException

from alerts.errors import MissingDetail
from alerts.states import ACTIONS, STATES
from desk.symptoms import Symptom
from grid.quantities import INDEX
from grid.records import Channel, Contact, ContactKind, TicketState
from web import api_alerts, api_desk, api_reports
from web.api_calls import Body, change, query, writes
from web.api_json import (
    contact_json,
    incident_json,
    instant_us,
    limit_of,
    moment_us,
    refusal,
    step_json,
    ticket_json,
)
from web.charts import POINTS_MAX, SPANS, device_chart
from web.forms import whole
from web.pages.tickets import details_of
from web.policy import COUNTER, PERSONAL_DATA
from web.site import Site
from web.viewer import Viewer, viewer_of


class ContactIn(Body):
    """A call or message as another system hands it in."""

    channel: Channel
    external_id: str = Field(min_length=1, max_length=128)
    time: datetime | None = None
    kind: ContactKind = "fault"
    account: str | None = Field(None, max_length=64)
    phone: str = Field("", max_length=40)
    text: str = Field("", max_length=2_000)
    open_ticket: bool | None = None
    symptom: Symptom | None = None
    clerk: str = Field("", max_length=64)


class ActionIn(Body):
    """What an action needs (`docs/tickets.md`); what it does not know is ignored."""

    model_config = ConfigDict(extra="ignore", str_max_length=4_000)

    version: int | str | None = None
    text: str | None = None
    note: str | None = None
    reason: str | None = None
    team: str | None = None
    crew: str | None = None
    to: str | None = None
    verdict: str | None = None
    cause_code: str | None = None
    target_number: str | None = None
    priority: int | str | None = None
    estimated: str | None = Field(None, description="local time of the site")
    estimated_us: int | None = None
    latest_us: int | None = None


def register(app: FastAPI, site: Site) -> None:
    api_alerts.register(app, site)
    _tickets(app, site)
    _contacts(app, site)
    _series(app, site)
    api_desk.register(app, site)
    api_reports.register(app, site)

    @app.get("/api/v1/openapi.json")
    def openapi() -> Response:
        """This description."""
        ours = [r for r in app.routes if isinstance(r, APIRoute) and r.path.startswith("/api/v1/")]
        made = get_openapi(
            title="Forewatt",
            version="1",
            description=(
                "Send `Authorization: Bearer TOKEN`; `forewatt user add NAME --role ROLE --token` "
                "makes one. "
                "Times are RFC 3339 in UTC; identifiers ending in `_us` are microseconds UTC."
            ),
            routes=ours,
        )
        made["components"] = {
            **made.get("components", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        }
        made["security"] = [{"bearer": []}]
        return JSONResponse(made)


def _tickets(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/tickets", **query("state", "work", "team", "assignee", "limit", "offset"))
    def tickets(request: Request) -> Response:
        """Tickets, most urgent first."""
        q = request.query_params
        asked = q.get("state")
        states: tuple[TicketState, ...] = tuple(STATES)
        if asked:
            states = tuple(s for s in STATES if s in asked.split(","))
        after = site.outbox_head()
        rows = site.board.tickets(
            role=viewer_of(request).role,
            states=states,
            work=q.get("work") or None,
            team=q.get("team") or None,
            assignee=q.get("assignee") or None,
            limit=limit_of(request),
            offset=min(max(whole(q.get("offset")), 0), 10_000_000),
        )
        return JSONResponse({"items": [ticket_json(x.ticket) for x in rows], "after": after})

    @app.get("/api/v1/tickets/{ticket_id}")
    def ticket(request: Request, ticket_id: int) -> Response:
        """One ticket with what may be done to it now."""
        viewer = viewer_of(request)
        page = site.board.ticket(ticket_id, viewer.role, team=viewer.team)
        if page is None:
            raise HTTPException(404, "no_ticket")
        body = ticket_json(page.ticket)
        body["allowed"] = list(page.allowed)
        body["incident_of_cause"] = incident_json(page.incident)
        body["alerts"] = [a.id for a in page.alerts]
        return JSONResponse(body, headers={"etag": f'"{page.ticket.version}"'})

    @app.get("/api/v1/tickets/{ticket_id}/timeline")
    def timeline(request: Request, ticket_id: int) -> Response:
        """Its history, oldest first."""
        viewer = viewer_of(request)
        page = site.board.ticket(ticket_id, viewer.role, team=viewer.team)
        if page is None:
            raise HTTPException(404, "no_ticket")
        with site.ledger.reading() as reading:
            steps = reading.steps(ticket_id)
        items = [step_json(s) for s in steps]
        if not viewer.may(PERSONAL_DATA):
            for item in items:
                if item["action"] == "contact":  # the caller's own words
                    item["reason"] = ""
        return JSONResponse({"items": items})

    @app.post("/api/v1/tickets/{ticket_id}/{action}", **writes(ActionIn, version=True))
    async def act_on_ticket(request: Request, ticket_id: int, action: str) -> Response:
        """take, dispatch, assign, accept, arrive, restore, verify, call_back, close, send_back,
        hold, resume, cancel, merge, unmerge, reopen, prioritise, estimate, hand_over, note."""
        if action not in ACTIONS:
            raise HTTPException(404, "no_action")
        matched = request.headers.get("if-match", "").strip('"')

        def act(viewer: Viewer, given: ActionIn) -> Any:
            version = matched or str(given.version if given.version is not None else "")
            details = details_of(action, given.model_dump(exclude_none=True), site)
            made = site.tickets.perform(action, ticket_id, viewer.actor, whole(version), **details)
            return JSONResponse(ticket_json(made), headers={"etag": f'"{made.version}"'})

        return await change(request, site, ActionIn, act)


def _given_to(site: Site, login: str) -> str | None:
    """The name of the clerk to whom a telephone system gave a call; None if it does not say."""
    if not login:
        return None
    person = site.people.find(login)
    # Given to somebody without the counter's page it would ring nowhere.
    if person is None or not person.active or person.role not in COUNTER:
        raise MissingDetail(
            "clerk",
            f"Nobody at the counter here signs in as '{login}'; name a clerk's login, or leave it "
            "out.",
            f"没有登录名为“{login}”的坐席人员，请填写坐席登录名或留空。",
        )
    return person.display_name or person.login


def _contacts(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/contacts", **query("account", "ticket", "limit"))
    def listed(request: Request) -> Response:
        """Contacts, newest first, of an account or a ticket; who looked is noted."""
        q = request.query_params
        account, ticket_id = q.get("account") or None, whole(q.get("ticket")) or None
        with site.ledger.reading() as reading:
            found = reading.contacts(account=account, ticket_id=ticket_id, limit=limit_of(request))
        subject = account or f"ticket:{ticket_id or 'all'}"
        site.people.audit(viewer_of(request).login, "view_contacts", subject)
        return JSONResponse({"items": [contact_json(c) for c in found]})

    @app.post("/api/v1/contacts", **writes(ContactIn))
    async def contacts(request: Request) -> Response:
        """A call or message: hangs on what is known, opens a ticket for what is not."""

        def act(viewer: Viewer, given: ContactIn) -> Any:
            at_us = site.clock.now_us() if given.time is None else instant_us(given.time)
            ringing = given.channel == "phone"
            contact = Contact(
                channel=given.channel,
                external_id=given.external_id,
                time_us=at_us,
                kind=given.kind,
                account=given.account or site.account_of_phone(given.phone),
                phone=given.phone,
                text=given.text,
                taken_by=_given_to(site, given.clerk) if ringing else viewer.actor.name,
            )
            outcome = site.counter.report(
                contact, viewer.actor, given.open_ticket, given.symptom, ringing
            )
            answer = outcome.answer
            return JSONResponse(
                {
                    "contact": outcome.contact.id,
                    "known": outcome.known,
                    "created": outcome.created,
                    "repeated": outcome.repeated,
                    "incident": incident_json(outcome.incident),
                    "ticket": ticket_json(outcome.ticket) if outcome.ticket else None,
                    "beside": ticket_json(outcome.beside) if outcome.beside else None,
                    "sentence": answer.sentence if answer else "",
                    "sentence_zh": answer.sentence_zh if answer else "",
                },
                200 if outcome.repeated else 201,
            )

        return await change(request, site, ContactIn, act)


def _series(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/series", **query("device", "quantities", "from", "to", "span", "max_points"))
    def series(request: Request) -> Response:
        """One device: `quantities=v_a,v_b` as columns, or without them the panels of its page."""
        q = request.query_params
        device = q.get("device", "")
        if device not in site.network.device_index:
            raise HTTPException(404, "no_device")
        now = site.clock.now_us()
        try:
            start_us, end_us = (moment_us(q, name, now) for name in ("from", "to"))
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
