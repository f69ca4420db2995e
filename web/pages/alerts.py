"""The operator's screen: the feed folded by cause, and one alert with its reasons."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.roles import Role
from alerts.settings import DAY_US, HOUR_US
from desk.board import LineRow, Lines, hidden_work
from desk.locate import Picture
from grid.records import Alert, Incident
from storage.desk_text import plain
from storage.feed_lines import LINES_MAX, LineName, line_key, rank_of
from web import policy
from web.charts import SPANS
from web.diagram import one_line
from web.feed import found_in
from web.forms import form_of, see, whole
from web.i18n import Words
from web.names import own_name, place
from web.refusals import status_of
from web.site import Site
from web.viewer import Viewer, viewer_of

WANTED_MAX: Final = 64
FOUND_MAX: Final = 12
TOLD_US: Final = 7 * DAY_US  # so long after its end an outage is asked about wrong records
SHELF_HOURS: Final = (1, 4, 12, 24, 72, 168)

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
        site.states(viewer.role),
        frozenset(s.device for s in site.readings.silent()),
        site.supply_now(),
    )
    span = request.query_params.get("span", "")
    articles, similar = site.known_of(alert.fault, viewer.role)
    return {
        "articles": articles[:3],
        "similar": similar[:3],
        "page": page,
        "alert": alert,
        "place": place(t, site.network, alert.asset_kind, alert.asset),
        "drawing": drawing,
        "span": span if span in SPANS else "",
        "spans": list(SPANS),
        "may_handle": viewer.may(policy.HANDLE),
        "may_names": viewer.may(policy.PERSONAL_DATA),
        "may_measure": viewer.may(policy.MEASURE),
        "line": line_key(alert),
        "unseen": int(alert.handling == "new") + page.beside.unseen,
        "picture": picture_of(site, page.row.incident, viewer),
        "may_locate": viewer.may(policy.HANDLE),
        "shelf_ends": [(h, site.clock.now_us() + h * HOUR_US) for h in SHELF_HOURS],
        "undo": "",
        "known_before_s": known_before_s(page.row.incident),
    }


def picture_of(site: Site, incident: Incident | None, viewer: Viewer) -> Picture | None:
    """Where an outage may be, with odds, and meters that disagree with the records, these also
    after its end; None where there is nothing to choose between or to mend."""
    if incident is None or incident.incident_class != "supply":
        return None
    if (incident.closed_us or site.clock.now_us()) < site.clock.now_us() - TOLD_US:
        return None
    found = site.locate.picture(incident.id, viewer.role)
    return found if found.candidates or found.suspects else None


def lines_of(site: Site, request: Request, open_only: bool, wanted: str) -> Lines:
    """The lines that the page shows; of those that somebody looks for, exact names first."""
    role = viewer_of(request).role
    if not wanted:
        return site.board.lines(role=role, open_only=open_only)
    with site.ledger.reading() as reading:
        names = reading.line_names(open_only=open_only, without_work=hidden_work(role))
    t = site.render.reader(site.render.language(request)).t
    found = found_in(names, wanted, lambda name: names_of(site, t, name))
    rows: list[LineRow] = []
    alerts = 0
    for keys in filter(None, found):
        lines = site.board.lines(role=role, open_only=open_only, only=keys)
        rows += lines.rows
        alerts += lines.alerts_all
    return Lines(rows[:LINES_MAX], sum(map(len, found)), alerts)


def storm_of(site: Site, role: Role, open_only: bool, lines: Lines) -> dict[str, Any] | None:
    """More causes than a person can read: how many, and on which feeders most of them are."""
    if lines.lines_all <= LINES_MAX:
        return None
    return {
        "alerts": lines.alerts_all,
        "causes": lines.lines_all,
        "shown": LINES_MAX,
        "feeders": site.feeders(role, open_only)[:FOUND_MAX],
    }


def names_of(site: Site, t: Words, name: LineName) -> Iterator[str]:
    """What somebody may call an alert: place, area, people's names for them, fault, ticket."""
    yield t.fault(name.fault)
    yield from name.devices
    here = (name.asset_kind, name.asset)
    for kind, asset in site.network.ancestors(*here) or (here,):
        yield asset
        yield own_name(site.network, kind, asset)
    if name.ticket is not None:
        yield name.ticket


def _devices_called(site: Site, viewer: Viewer, wanted: str) -> list[str]:
    """Devices to look at where no alert is: those of that name, or of the transformer so called."""
    if not viewer.may(policy.MEASURE):
        return []
    name = wanted.casefold()
    found = [
        d.id
        for d in site.network.devices
        if name in d.id.casefold() or (d.transformer or "").casefold() == name
    ]
    return found[:FOUND_MAX]


def _handover_page(
    site: Site, request: Request, problem: str = "", draft: str = "", status: int = 200
) -> Response:
    viewer = viewer_of(request)
    values = {
        "after": site.outbox_head(),
        "sheet": site.handover.sheet(viewer.role),
        "problem": problem,
        "draft": draft,
        "may_handle": viewer.may(policy.HANDLE),
    }
    return site.render.page(request, "handover.html", values, status=status)


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
        wanted = plain(request.query_params.get("q", ""), WANTED_MAX).strip()
        lines = lines_of(site, request, open_only, wanted)
        chosen = alert_id or (lines.rows[0].line.main.id if lines.rows else None)
        detail = title = None
        line = next((x.line.key for x in lines.rows if x.line.main.id == chosen), None)
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
            "groups": lines.rows,
            "lines_all": lines.lines_all,
            "next_line": lines.next or "",
            "storm": None if wanted else storm_of(site, viewer.role, open_only, lines),
            "open_only": open_only,
            "wanted": wanted,
            "found_devices": _devices_called(site, viewer, wanted) if wanted else (),
            "selected": line,
            "direct": alert_id is not None,
            "title_alert": title if alert_id else None,
            "detail": detail,
            **site.figures(),
        }
        return site.render.page(request, "feed.html", values, status=status)

    def of_the_cause(alert_id: str, viewer: Viewer) -> list[Alert]:
        """The alert and those folded with it: a line of the feed is handled as one."""
        found = site.board.cause(alert_id, viewer.role)
        if not found:
            raise HTTPException(404, "no_alert")
        return found

    @app.get("/")
    def feed(request: Request) -> Response:
        return whole_page(request, viewer_of(request), None)

    @app.get("/handover")
    def handover(request: Request) -> Response:
        return _handover_page(site, request)

    @app.post("/handover")
    async def say(request: Request) -> Response:
        form = await form_of(request)

        def act() -> Response:
            try:
                site.handover.say(viewer_of(request).actor, form["text"])
            except DeskError as e:
                text = e.text(site.render.language(request))
                return _handover_page(site, request, text, form["text"], status_of(e))
            return see("/handover")

        return await run_in_threadpool(act)

    @app.get("/feed")
    def feed_part(request: Request) -> Response:
        """Lines of the open feed from one on, for a list that is cut and has room again."""
        asked = request.query_params.get("from", "")
        start = rank_of(asked)
        if asked and start is None:
            raise HTTPException(400, "bad_after")
        after = site.outbox_head()
        limit = min(max(whole(request.query_params.get("limit"), LINES_MAX), 1), LINES_MAX)
        lines = site.board.lines(role=viewer_of(request).role, start=start, limit=limit)
        values = {
            "groups": lines.rows,
            "lines_all": lines.lines_all,
            "next_line": lines.next or "",
            "selected": None,
            "after": after,
        }
        return site.render.page(request, "_feed_list.html", values)

    @app.get("/alerts/{alert_id}")
    def alert(request: Request, alert_id: str) -> Response:
        if request.headers.get("hx-request") == "true":
            values = {**alert_values(site, request, alert_id), "problem": ""}
            return site.render.page(request, "_alert.html", values)
        return whole_page(request, viewer_of(request), alert_id)

    def change(
        request: Request,
        alert_id: str,
        act: Callable[[], Response | None],
        undo: Callable[[], str] = lambda: "",
    ) -> Response:
        """What every action on an alert answers: the pane anew, or what was wrong beside it.

        `undo` names the action that takes it back, offered for some seconds.
        """
        viewer, problem, status = viewer_of(request), "", 200
        try:
            elsewhere = act()
            if elsewhere is not None:
                return elsewhere
        except DeskError as e:
            problem, status = e.text(site.render.language(request)), status_of(e)
        if request.headers.get("hx-request") == "true":
            more = {"problem": problem, "undo": "" if problem else undo()}
            values = {**alert_values(site, request, alert_id), **more}
            return site.render.page(request, "_alert.html", values)
        if problem:
            return whole_page(request, viewer, alert_id, problem, status)
        return see(f"/alerts/{alert_id}")

    @app.get("/alerts/{alert_id}/report.{form}")
    def picture(request: Request, alert_id: str, form: str) -> Response:
        """The evidence as a picture, for a crew's phone."""
        # Not before one is asked for: matplotlib is a quarter of the time that the pages' process
        # takes to start.
        from web.report import MEDIA, Source, report
        from web.report_picture import FORMS

        language = site.render.language(request)
        page = site.board.alert(alert_id, viewer_of(request).role, language)
        if page is None or form not in FORMS:
            raise HTTPException(404, "no_alert")
        settings = site.settings
        source = Source(site.readings, site.network, settings.country, settings.site_name)
        made = report(page, source, site.render.reader(language), form)
        head = {"content-disposition": f'inline; filename="forewatt-{alert_id}.{form}"'}
        return Response(made, media_type=MEDIA[form], headers=head)

    @app.post("/alerts/{alert_id}/ack")
    async def acknowledge(request: Request, alert_id: str) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> None:
            for one in of_the_cause(alert_id, viewer):
                if form["undo"] and one.handling == "acked":
                    site.alerts.unacknowledge(one.id, viewer.actor)
                elif not form["undo"] and one.handling == "new":
                    site.alerts.acknowledge(one.id, viewer.actor, note=form["note"])

        undo = "" if form["undo"] else "ack"
        return await run_in_threadpool(change, request, alert_id, act, lambda: undo)

    @app.post("/alerts/{alert_id}/shelve")
    async def shelve(request: Request, alert_id: str) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> None:
            until_us = site.clock.now_us() + whole(form["hours"]) * HOUR_US
            for one in of_the_cause(alert_id, viewer):
                if form["undo"] and one.handling == "shelved":
                    site.alerts.unshelve(one.id, viewer.actor)
                elif not form["undo"] and one.cleared_us is None:
                    site.alerts.shelve(one.id, viewer.actor, until_us, form["reason"])

        undo = "" if form["undo"] else "shelve"
        return await run_in_threadpool(change, request, alert_id, act, lambda: undo)

    @app.post("/alerts/{alert_id}/ticket")
    async def make_ticket(request: Request, alert_id: str) -> Response:
        viewer = viewer_of(request)

        def act() -> Response:
            made = site.by_hand.open(alert_id, viewer.actor)
            return see(f"/tickets/{made.id}")

        return await run_in_threadpool(change, request, alert_id, act)

    @app.post("/alerts/{alert_id}/place")
    async def say_where(request: Request, alert_id: str) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> None:
            alert = of_the_cause(alert_id, viewer)[0]
            kind, _, asset = form["place"].partition(" ")
            incident = alert.incident_id or 0
            site.locate.place(incident, (kind, asset), viewer.actor, form["reason"])

        return await run_in_threadpool(change, request, alert_id, act)
