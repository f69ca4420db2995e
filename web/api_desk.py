"""The desk's other resources: incidents, search, silences, notices, storms, read-now, knowledge."""

from datetime import datetime
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.roles import may_see
from desk.counter import mask_name, mask_phone
from desk.locate import Picture
from desk.search import Hit
from grid.faults import FAULTS
from storage.desk_records import Draft
from web.api_calls import Body, change, query, writes
from web.api_json import incident_json, iso, refusal, silence_json, story_json, ticket_json
from web.forms import whole
from web.site import Site
from web.viewer import Viewer, viewer_of

HITS_MAX = 50


class PlaceIn(Body):
    """Where an incident is, and why."""

    asset_kind: str = Field(max_length=32)
    asset: str = Field(max_length=200)
    reason: str = Field("", max_length=2_000)
    version: int | None = None


class ReadNowIn(Body):
    """Meters to be read now."""

    devices: list[str] = Field(max_length=50)


class SilenceIn(Body):
    """What to silence or announce; owner is who asks, the end is mandatory."""

    kind: Literal["silence", "maintenance"] = "silence"
    asset_kind: str = Field(max_length=32)
    asset: str = Field(max_length=200)
    fault: str | None = Field(None, max_length=64)
    start: datetime | None = None
    end: datetime
    reason: str = Field("", max_length=2_000)


class ApproveIn(Body):
    """A notice as it is, or corrected."""

    text: str | None = Field(None, max_length=2_000)
    text_zh: str | None = Field(None, max_length=2_000)


class StormIn(Body):
    """Why and until when."""

    reason: str = Field("", max_length=2_000)
    until: datetime


class AreaEstimateIn(Body):
    """One estimate for all open outages below an asset."""

    asset_kind: str = Field(max_length=32)
    asset: str = Field(max_length=200)
    earliest: datetime
    latest: datetime
    reason: str = Field("", max_length=2_000)


def us_of(at: datetime) -> int:
    """Microseconds UTC; a time without zone is refused."""
    if at.tzinfo is None:
        raise HTTPException(422, "no_zone")
    return int(at.timestamp() * 1e6)


def register(app: FastAPI, site: Site) -> None:
    _incidents(app, site)
    _search(app, site)
    _silences(app, site)
    _notices(app, site)
    _storms(app, site)


def picture_json(picture: Picture) -> dict[str, Any]:
    """What speaks for an incident."""
    return {
        "incident": incident_json(picture.incident),
        "signs": dict(picture.signs),
        "faults": [{"asset_kind": k, "asset": a} for k, a in picture.faults],
        "candidates": [
            {
                "asset_kind": c.asset[0],
                "asset": c.asset[1],
                "odds": round(c.odds, 4),
                "signs": dict(c.signs),
            }
            for c in picture.candidates
        ],
        "suspects": [
            {
                "device": s.device,
                "recorded": {"asset_kind": s.recorded[0], "asset": s.recorded[1]},
                "says": s.says,
                "perhaps": s.perhaps and {"asset_kind": s.perhaps[0], "asset": s.perhaps[1]},
            }
            for s in picture.suspects
        ],
        "silent": list(picture.silent),
        "closed": [{"asset_kind": k, "asset": a} for k, a in picture.closed],
    }


def _incidents(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/incidents", **query("open", "limit"))
    def incidents(request: Request) -> Response:
        """Incidents, oldest first; `open=0` shows the ended ones as well."""
        q, role = request.query_params, viewer_of(request).role
        most = min(max(whole(q.get("limit"), 500), 1), 1_000)
        with site.ledger.reading() as reading:
            found = reading.incidents(open_only=q.get("open") != "0", limit=most)
        seen = [i for i in found if may_see(FAULTS[i.fault].work, role)]
        return JSONResponse({"items": [incident_json(i) for i in seen]})

    def pictured(request: Request, incident_id: int) -> Picture | Response:
        try:
            return site.locate.picture(incident_id, viewer_of(request).role)
        except DeskError as e:
            return refusal(request, site, e)

    @app.get("/api/v1/incidents/{incident_id}")
    def incident(request: Request, incident_id: int) -> Response:
        """One incident with its ticket and where it was thought to be."""
        found = pictured(request, incident_id)
        if isinstance(found, Response):
            return found
        with site.ledger.reading() as reading:
            ticket = reading.tickets_by_incident([incident_id]).get(incident_id)
            moves = reading.moves(incident_id)
        body = incident_json(found.incident) or {}
        body["ticket_of_cause"] = ticket_json(ticket) if ticket else None
        body["moves"] = [
            {"at": iso(m.at_us), "from": m.from_asset, "to": m.to_asset, "reason": m.reason}
            for m in moves
        ]
        return JSONResponse(body, headers={"etag": f'"{found.incident.version}"'})

    @app.get("/api/v1/incidents/{incident_id}/evidence")
    def evidence(request: Request, incident_id: int) -> Response:
        """Signs, suspects of wrong records, meters worth asking."""
        found = pictured(request, incident_id)
        return found if isinstance(found, Response) else JSONResponse(picture_json(found))

    @app.get("/api/v1/incidents/{incident_id}/candidates")
    def candidates(request: Request, incident_id: int) -> Response:
        """Where it may be, with the odds."""
        found = pictured(request, incident_id)
        if isinstance(found, Response):
            return found
        return JSONResponse({"items": picture_json(found)["candidates"]})

    @app.post("/api/v1/incidents/{incident_id}/place", **writes(PlaceIn, version=True))
    async def place(request: Request, incident_id: int) -> Response:
        """Confirm or move: a person says where it is, the ticket keeps its number."""
        matched = request.headers.get("if-match", "").strip('"')

        def act(viewer: Viewer, given: PlaceIn) -> Any:
            version = whole(matched, -1) if matched else given.version
            asset = (given.asset_kind, given.asset)
            made = site.locate.place(incident_id, asset, viewer.actor, given.reason, version)
            return incident_json(made)

        return await change(request, site, PlaceIn, act)

    @app.post("/api/v1/incidents/{incident_id}/read-now", **writes(ReadNowIn))
    async def read_now(request: Request, incident_id: int) -> Response:
        """召测: ask some of its meters now; 404 where no head-end is configured."""
        reader = site.read_now
        if reader is None:
            raise HTTPException(404, "no_head_end")

        def act(viewer: Viewer, given: ReadNowIn) -> Any:
            answers = reader.ask(given.devices, viewer.actor, incident_id=incident_id)
            site.people.audit(viewer.login, "read_now", f"incident:{incident_id}")
            return {
                "items": [
                    {"device": d, "answered": a.answered, "time": a.time, "v": a.volts}
                    for d, a in answers.items()
                ]
            }

        return await change(request, site, ReadNowIn, act)


def _search(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/search", **query("q", "limit"))
    def search(request: Request) -> Response:
        """Accounts, names, phone tails, addresses, meters, ticket numbers; names and phones are
        masked."""
        q = request.query_params
        most = min(max(whole(q.get("limit"), 20), 1), HITS_MAX)
        return JSONResponse(
            {"items": [_hit(h) for h in site.counter.find(q.get("q", "")[:200], most)]}
        )

    @app.get("/api/v1/customers/{account}/timeline", **query("limit"))
    def story(request: Request, account: str) -> Response:
        """All that has been with this customer, newest first."""
        viewer = viewer_of(request)
        most = min(max(whole(request.query_params.get("limit"), 100), 1), HITS_MAX)
        try:
            found = site.counter.timeline(account, viewer.role, most)
        except DeskError as e:
            return refusal(request, site, e)
        site.people.audit(viewer.login, "view_customer", account)
        return JSONResponse({"items": [story_json(e) for e in found]})

    @app.get("/api/v1/customers/{account}/answer")
    def answer(request: Request, account: str) -> Response:
        """What to tell this caller: supply, incident, sentence, steps."""
        try:
            found = site.counter.answer(account)
        except DeskError as e:
            return refusal(request, site, e)
        site.people.audit(viewer_of(request).login, "view_customer", account)
        return JSONResponse(
            {
                "account": account,
                "supply": found.supply,
                "since": iso(found.since_us),
                "seen": iso(found.seen_us),
                "own_meter": found.own_meter,
                "script": found.script,
                "sentence": found.sentence,
                "sentence_zh": found.sentence_zh,
                "steps": [{"en": en, "zh": zh} for en, zh in found.steps],
                "incident": incident_json(found.incident),
                "ticket": ticket_json(found.ticket) if found.ticket else None,
                "estimated": iso(found.estimated_us),
                "frequent": [
                    {"rule": f.rule.key, "count": f.count, "level": f.level} for f in found.frequent
                ],
            }
        )


def _hit(hit: Hit) -> dict[str, Any]:
    c = hit.customer
    return {
        "kind": hit.kind,
        "by": hit.by,
        "account": hit.account,
        "ticket": hit.ticket_id,
        "number": hit.number,
        "name": mask_name(c.name) if c else None,
        "phone": mask_phone(c.phone) if c else None,
        "address": c.address if c else None,
    }


def _silences(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/silences")
    def silences(request: Request) -> Response:
        """What is silenced or announced now, the first to end first."""
        return JSONResponse({"items": [silence_json(s) for s in site.silences.active()]})

    @app.post("/api/v1/silences", **writes(SilenceIn))
    async def silence(request: Request) -> Response:
        """Silence (tell nobody) or announce (open no ticket) until a stated end."""

        def act(viewer: Viewer, given: SilenceIn) -> Any:
            made = site.silences.add(
                given.kind,
                (given.asset_kind, given.asset),
                us_of(given.end),
                given.reason,
                viewer.actor,
                fault=given.fault,
                start_us=None if given.start is None else us_of(given.start),
            )
            return silence_json(made)

        return await change(request, site, SilenceIn, act, 201)

    @app.post("/api/v1/silences/{silence_id}/end", **writes(Body))
    async def end(request: Request, silence_id: int) -> Response:
        """End it now."""

        def act(viewer: Viewer, given: Body) -> Any:
            return silence_json(site.silences.end(silence_id, viewer.actor))

        return await change(request, site, Body, act)


def draft_json(draft: Draft) -> dict[str, Any]:
    """A notice to customers before it is sent."""
    return {
        "id": draft.id,
        "incident": draft.incident_id,
        "trigger": draft.trigger,
        "text": draft.text,
        "text_zh": draft.text_zh,
        "recipients": draft.recipients,
        "state": draft.state,
        "created": iso(draft.created_us),
        "decided_by": draft.decided_by,
    }


def _notices(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/notices")
    def notices(request: Request) -> Response:
        """Notices to customers that wait for a person's word."""
        return JSONResponse({"items": [draft_json(d) for d in site.notices.drafts()]})

    @app.get("/api/v1/notices/{draft_id}")
    def notice(request: Request, draft_id: int) -> Response:
        """One of them, with how many would get it."""
        try:
            draft, people = site.notices.preview(draft_id)
        except DeskError as e:
            return refusal(request, site, e)
        return JSONResponse({**draft_json(draft), "recipients": len(people)})

    @app.post("/api/v1/notices/{draft_id}/approve", **writes(ApproveIn))
    async def approve(request: Request, draft_id: int) -> Response:
        """Send it."""

        def act(viewer: Viewer, given: ApproveIn) -> Any:
            count = site.notices.approve(
                draft_id, viewer.actor, text=given.text, text_zh=given.text_zh
            )
            return {"id": draft_id, "sent": count}

        return await change(request, site, ApproveIn, act)

    @app.post("/api/v1/notices/{draft_id}/withdraw", **writes(Body))
    async def withdraw(request: Request, draft_id: int) -> Response:
        """Do not send it."""

        def act(viewer: Viewer, given: Body) -> Any:
            return draft_json(site.notices.withdraw(draft_id, viewer.actor))

        return await change(request, site, Body, act)


def _storms(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/storm")
    def storm(request: Request) -> Response:
        """The declared storm, if there is one."""
        found = site.storm.state()
        if found is None:
            return JSONResponse({"declared": False})
        return JSONResponse(
            {
                "declared": True,
                "by": found.declared_by,
                "reason": found.reason,
                "start": iso(found.start_us),
                "until": iso(found.until_us),
            }
        )

    @app.post("/api/v1/storm", **writes(StormIn))
    async def declare(request: Request) -> Response:
        """Storm mode, until a stated end."""

        def act(viewer: Viewer, given: StormIn) -> Any:
            made = site.storm.declare(viewer.actor, given.reason, us_of(given.until))
            return {"declared": True, "by": made.declared_by, "until": iso(made.until_us)}

        return await change(request, site, StormIn, act)

    @app.post("/api/v1/storm/end", **writes(Body))
    async def end(request: Request) -> Response:
        """It is over."""

        def act(viewer: Viewer, given: Body) -> Any:
            site.storm.end(viewer.actor)
            return {"declared": False}

        return await change(request, site, Body, act)

    @app.post("/api/v1/storm/estimate", **writes(AreaEstimateIn))
    async def estimate(request: Request) -> Response:
        """One estimate for every open outage below an asset."""

        def act(viewer: Viewer, given: AreaEstimateIn) -> Any:
            made = site.storm.estimate_area(
                (given.asset_kind, given.asset),
                us_of(given.earliest),
                us_of(given.latest),
                viewer.actor,
                given.reason,
            )
            return {"items": [ticket_json(t) for t in made]}

        return await change(request, site, AreaEstimateIn, act)
