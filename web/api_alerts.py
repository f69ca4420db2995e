"""`/api/v1/alerts`: the feed, one alert with its reasons, and what people do with it."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from alerts.errors import MissingDetail
from web.api_calls import Body, change, query, writes
from web.api_json import (
    alert_json,
    incident_json,
    instant_us,
    limit_of,
    moment_us,
    refusal,
    ticket_json,
)
from web.charts import alert_chart, span_of
from web.forms import whole
from web.site import Site
from web.viewer import Viewer, viewer_of


class NoteIn(Body):
    """A remark."""

    note: str = Field("", max_length=2_000)


class ShelveIn(Body):
    """Until when, and why."""

    until: datetime
    reason: str = Field("", max_length=2_000)


def register(app: FastAPI, site: Site) -> None:
    @app.get("/api/v1/alerts", **query("open", "fault", "handling", "limit", "before"))
    def alerts(request: Request) -> Response:
        """Alerts, newest first; `before` is `next` of the page above."""
        q = request.query_params
        before = q.get("before", "").partition("~")
        after = site.outbox_head()
        rows = site.board.feed(
            role=viewer_of(request).role,
            open_only=q.get("open") in ("1", "true"),
            fault=q.get("fault") or None,
            handling=q.get("handling") or None,
            limit=limit_of(request),
            before=(whole(before[0]), before[2]) if before[2] else None,
        )
        body: dict[str, Any] = {
            "items": [alert_json(x.alert, x.opens_ticket) for x in rows],
            "after": after,
        }
        if rows:
            body["next"] = f"{rows[-1].alert.raised_us}~{rows[-1].alert.id}"
        return JSONResponse(body)

    @app.get("/api/v1/alerts/{alert_id}")
    def alert(request: Request, alert_id: str) -> Response:
        """One alert with its cause."""
        page = site.board.alert(alert_id, viewer_of(request).role)
        if page is None:
            raise HTTPException(404, "no_alert")
        row = page.row
        body = alert_json(row.alert, row.opens_ticket)
        body["ticket_of_cause"] = ticket_json(row.ticket) if row.ticket else None
        body["incident_of_cause"] = incident_json(row.incident)
        return JSONResponse(body)

    @app.get("/api/v1/alerts/{alert_id}/explain")
    def explain(request: Request, alert_id: str) -> Response:
        """Why there is this alert, why it is muted, what belongs to it, what to do."""
        language = site.render.language(request)
        page = site.board.alert(alert_id, viewer_of(request).role, language)
        if page is None:
            raise HTTPException(404, "no_alert")
        e = page.row.alert.evidence
        chinese = language.startswith("zh")
        return JSONResponse(
            {
                "id": alert_id,
                "rule": e.rule_zh if chinese else e.rule,
                "numbers": dict(e.numbers),
                "limit": e.limit,
                "excluded": list(e.excluded),
                "next_check": e.next_check_zh if chinese else e.next_check,
                "muted": [
                    {"kind": m.kind, "ref": m.ref, "reason": m.reason} for m in page.row.mutes
                ],
                "changes": [x.change for x in page.events],
                "siblings": [a.id for a in site.board.cause(alert_id, viewer_of(request).role)[1:]],
                "incident_of_cause": incident_json(page.row.incident),
                "customers": page.customers,
                "checklist": {"key": page.procedure.key, "version": page.procedure.version},
            }
        )

    @app.get("/api/v1/alerts/{alert_id}/chart")
    def chart(request: Request, alert_id: str) -> Response:
        """The readings behind an alert, ready to draw."""
        page = site.board.alert(alert_id, viewer_of(request).role)
        if page is None:
            raise HTTPException(404, "no_alert")
        q = request.query_params
        reader = site.render.reader(site.render.language(request))
        try:
            given = [moment_us(q, name, reader.now_us) for name in ("from", "to")]
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

    @app.post("/api/v1/alerts/{alert_id}/ack", **writes(NoteIn))
    async def acknowledge(request: Request, alert_id: str) -> Response:
        """Seen."""

        def act(viewer: Viewer, given: NoteIn) -> Any:
            made = site.alerts.acknowledge(alert_id, viewer.actor, note=given.note)
            return alert_json(made, made.ticket)

        return await change(request, site, NoteIn, act)

    @app.post("/api/v1/alerts/{alert_id}/unack", **writes(Body))
    async def unacknowledge(request: Request, alert_id: str) -> Response:
        """Not seen after all."""

        def act(viewer: Viewer, given: Body) -> Any:
            made = site.alerts.unacknowledge(alert_id, viewer.actor)
            return alert_json(made, made.ticket)

        return await change(request, site, Body, act)

    @app.post("/api/v1/alerts/{alert_id}/shelve", **writes(ShelveIn))
    async def shelve(request: Request, alert_id: str) -> Response:
        """Put aside until a time within the next days."""

        def act(viewer: Viewer, given: ShelveIn) -> Any:
            until_us = instant_us(given.until)
            made = site.alerts.shelve(alert_id, viewer.actor, until_us, given.reason)
            return alert_json(made, made.ticket)

        return await change(request, site, ShelveIn, act)

    @app.post("/api/v1/alerts/{alert_id}/unshelve", **writes(Body))
    async def unshelve(request: Request, alert_id: str) -> Response:
        """Back before its time."""

        def act(viewer: Viewer, given: Body) -> Any:
            made = site.alerts.unshelve(alert_id, viewer.actor)
            return alert_json(made, made.ticket)

        return await change(request, site, Body, act)
