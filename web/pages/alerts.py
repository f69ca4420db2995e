"""The operator's screen: the feed folded by cause, and one alert with its reasons."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from grid.records import Alert
from web import policy
from web.charts import SPANS
from web.diagram import one_line
from web.feed import group_key
from web.forms import form_of, see
from web.names import place
from web.site import Site
from web.viewer import Viewer, viewer_of

log = logging.getLogger(__name__)


def alert_values(site: Site, request: Request, alert_id: str) -> dict[str, Any]:
    """Everything the alert's pane shows; HTTPException 404 when it is not there for this role."""
    viewer = viewer_of(request)
    language = site.render.language(request)
    page = site.board.alert(alert_id, viewer.role, language)
    if page is None:
        raise HTTPException(404, "no_alert")
    t = site.render.reader(language).t
    alert = page.row.alert
    drawing = one_line(
        site.network,
        alert.asset_kind,
        alert.asset,
        site.worst_states(site.feed(viewer.role)),
        frozenset(s.device for s in site.readings.silent()),
    )
    span = request.query_params.get("span", "")
    return {
        "page": page,
        "alert": alert,
        "place": place(t, site.network, alert.asset_kind, alert.asset),
        "drawing": drawing,
        "span": span if span in SPANS else "",
        "spans": list(SPANS),
        "may_handle": viewer.may(policy.HANDLE),
        "may_names": viewer.may(policy.PERSONAL_DATA),
        "may_measure": viewer.may(policy.MEASURE),
        "line": group_key(alert),
        "unseen": sum(a.handling == "new" for a in (alert, *page.siblings)),
        "known_before_s": known_before_s(page.row.incident),
    }


def known_before_s(incident: Any) -> float | None:
    """How long before the first contact the cause was known; None if nobody has called yet."""
    if incident is None or incident.first_contact_us is None:
        return None
    return float(incident.first_contact_us - incident.known_us) / 1e6


def register(app: FastAPI, site: Site) -> None:
    def whole_page(
        request: Request, viewer: Viewer, alert_id: str | None, problem: str = "", status: int = 200
    ) -> Response:
        after = site.outbox_head()
        open_only = request.query_params.get("show") != "all"
        groups = site.feed(viewer.role, open_only)
        chosen = alert_id or (groups[0].main.alert.id if groups else None)
        detail = title = None
        line = next((g.key for g in groups if g.main.alert.id == chosen), None)
        try:
            if chosen:
                found = {**alert_values(site, request, chosen), "problem": problem}
                line, title = found["line"], found["alert"]
                detail = site.render.text(request, "_alert.html", found)
        except Exception:
            # Asked for, it may fail aloud; chosen by us, it must not take the feed with it.
            if alert_id:
                raise
            log.exception("alert %s cannot be shown beside the feed", chosen)
        values: dict[str, Any] = {
            "after": after,
            "groups": groups,
            "open_only": open_only,
            "selected": line,
            "direct": alert_id is not None,
            "title_alert": title if alert_id else None,
            "detail": detail,
            **site.figures(),
        }
        return site.render.page(request, "feed.html", values, status=status)

    def of_the_cause(alert_id: str, viewer: Viewer) -> list[Alert]:
        """The alert and those folded with it: a line of the feed is handled as one."""
        page = site.board.alert(alert_id, viewer.role)
        if page is None:
            raise HTTPException(404, "no_alert")
        return [page.row.alert, *page.siblings]

    @app.get("/")
    def feed(request: Request) -> Response:
        return whole_page(request, viewer_of(request), None)

    @app.get("/feed")
    def feed_part(request: Request) -> Response:
        """The list alone, for a page that has been away for too long."""
        viewer = viewer_of(request)
        after = site.outbox_head()
        values = {"groups": site.feed(viewer.role), "selected": None, "after": after}
        return site.render.page(request, "_feed_list.html", values)

    @app.get("/alerts/{alert_id}")
    def alert(request: Request, alert_id: str) -> Response:
        if request.headers.get("hx-request") == "true":
            values = {**alert_values(site, request, alert_id), "problem": ""}
            return site.render.page(request, "_alert.html", values)
        return whole_page(request, viewer_of(request), alert_id)

    @app.post("/alerts/{alert_id}/ack")
    async def acknowledge(request: Request, alert_id: str) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> Response:
            problem, status = "", 200
            try:
                for one in of_the_cause(alert_id, viewer):
                    if form["undo"] and one.handling == "acked":
                        site.alerts.unacknowledge(one.id, viewer.actor)
                    elif not form["undo"] and one.handling == "new":
                        site.alerts.acknowledge(one.id, viewer.actor, note=form["note"])
            except DeskError as e:
                problem, status = e.text(site.render.language(request)), 422
            if request.headers.get("hx-request") == "true":
                values = {**alert_values(site, request, alert_id), "problem": problem}
                return site.render.page(request, "_alert.html", values)
            if problem:
                return whole_page(request, viewer, alert_id, problem, status)
            return see(f"/alerts/{alert_id}")

        return await run_in_threadpool(act)
