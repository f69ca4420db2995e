"""The crew's page, opened by a signed link: what, where, why, safety first; and what was done."""

import math
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.states import CAUSES, state_name
from desk.procedures import procedure
from grid.records import Ticket, TicketState
from web.crew import STEPS, WITH_CREW, CrewDesk, Done, crew_of, link_token
from web.diagram import one_line
from web.forms import Fields, form_of, see, whole
from web.guard import wants_json
from web.jpeg import BYTES_MAX, NoJpeg, without_metadata
from web.limits import Limit
from web.names import place
from web.render import HERE
from web.site import Site
from web.viewer import viewer_of

ESTIMATES_MIN = (15, 30, 60, 120, 240)
WAITED_MAX_S = 7 * 86_400.0
REAL_CAUSES = tuple(code for code in CAUSES if code not in ("duplicate", "arrears"))


def register(app: FastAPI, site: Site) -> None:
    crews = CrewDesk(site.tickets, site.settings.secret)
    photos = site.settings.photos
    by_address = Limit(240, 60.0)

    def opened(request: Request, token: str) -> tuple[Ticket, str, bool]:
        """The ticket behind a link; one answer for every link that is none."""
        if not by_address.take(request.client.host if request.client else ""):
            raise HTTPException(429, "slow_down")
        found = crews.opened(token)
        if found is None:
            raise HTTPException(404, "no_crew_link")
        return found

    def crew_page(
        request: Request, token: str, problem: str = "", status: int = 200, typed: Any = None
    ) -> Response:
        ticket, crew, theirs = opened(request, token)
        language = site.render.language(request)
        t = site.render.reader(language).t
        page = site.board.ticket(ticket.id, "dispatcher", language)
        if page is None:
            raise HTTPException(404, "no_crew_link")
        area = site.network.transformer_of(ticket.asset_kind, ticket.asset)
        point = _usage_point(site, ticket)
        customer = site.network.customer_by_account.get(point.account or "") if point else None
        silent = frozenset(s.device for s in site.readings.silent())
        states = {(ticket.asset_kind, ticket.asset): ticket.severity}
        values = {
            "token": token,
            "crew": crew,
            "ticket": ticket,
            "theirs": theirs and page.ticket.state != "on_hold",
            "state_name": state_name(ticket.state, ticket.work),
            "next": next(
                (a for a, s in STEPS.items() if a in page.allowed and _ahead(ticket, s)), None
            ),
            "place": place(t, site.network, ticket.asset_kind, ticket.asset),
            "area": area,
            "point": point,
            "address": customer.address if customer else "",
            "care": len(page.call_first),
            "alerts": page.alerts[:5],
            "over_us": page.over_us,
            "linked": page.linked,
            "state_of": state_name,
            "alert": ticket,  # what the drawing is about
            "drawing": one_line(
                site.network, ticket.asset_kind, ticket.asset, states, silent, site.supply_now()
            ),
            "procedure": procedure(ticket.fault, language),
            "causes": {code: CAUSES[code] for code in REAL_CAUSES},
            "estimates_min": ESTIMATES_MIN,
            "photos": photos.list(ticket.id) if photos else None,
            "problem": problem,
            "typed": typed or Fields(),
        }
        return site.render.page(request, "crew.html", values, status=status)

    def answer(request: Request, token: str, problem: str = "", status: int = 200) -> Response:
        """To the phone's queue a word; to a plain form its page."""
        if wants_json(request.headers, request.url.path):
            return JSONResponse({"done": not problem, "detail": problem}, status)
        return crew_page(request, token, problem, status) if problem else see(f"/crew/{token}")

    @app.get("/crew-worker.js")
    def worker() -> Response:
        # At the root, because a worker serves only pages below its own address.
        return FileResponse(
            HERE / "static" / "crew-worker.js",
            media_type="text/javascript",
            headers={"service-worker-allowed": "/crew/", "cache-control": "no-cache"},
        )

    @app.get("/crew")
    def work(request: Request) -> Response:
        """The work of the own team, most urgent first: each line opens as its link would."""
        viewer = viewer_of(request)
        rows = site.board.tickets(role="crew", team=viewer.team, states=WITH_CREW, limit=100)
        links = []
        for row in rows:
            with site.ledger.reading() as reading:
                who = crew_of(row.ticket, reading.steps(row.ticket.id))
            links.append((row, crew_link(site, row.ticket, who or "")))
        values = {"links": links, "team": viewer.team}
        return site.render.page(request, "crew_work.html", values)

    @app.get("/crew/{token}")
    def crew(request: Request, token: str) -> Response:
        return crew_page(request, token)

    @app.get("/crew/{token}/photos/{digest}")
    def photo(request: Request, token: str, digest: str) -> Response:
        ticket, _, _ = opened(request, token)
        return photo_answer(site, ticket.id, digest)

    @app.post("/crew/{token}/photo", max_body_size=BYTES_MAX)
    async def add_photo(request: Request, token: str) -> Response:
        if request.headers.get("content-type", "").startswith("image/"):
            given = await request.body()
        else:
            async with request.form(max_files=1, max_fields=5, max_part_size=BYTES_MAX) as form:
                file = form.get("photo")
                given = b"" if file is None or isinstance(file, str) else await file.read()

        def keep() -> Response:
            ticket, who, theirs = opened(request, token)
            language = site.render.language(request)
            t = site.render.reader(language).t
            if photos is None or not theirs:
                return answer(request, token, t("crew.over"), 409)
            try:
                image = without_metadata(given)
            except NoJpeg:
                return answer(request, token, t("crew.no_photo"), 422)
            if photos.add(ticket.id, image, who, site.clock.now_us()) is None:
                return answer(request, token, t("crew.enough_photos"), 409)
            with site.ledger.transaction() as tx:
                data = {"action": "photo", "number": ticket.number, "work": ticket.work}
                tx.publish("ticket", str(ticket.id), site.clock.now_us(), data)
            return answer(request, token)

        return await run_in_threadpool(keep)

    @app.post("/crew/{token}/{action}")
    async def act(request: Request, token: str, action: str) -> Response:
        if action != "note" and action not in STEPS:
            raise HTTPException(404, "no_action")
        form = await form_of(request)
        speed = site.settings.speed() if site.settings.speed else 1.0
        done = Done(
            action,
            form["key"][:64],
            form["note"],
            form["cause_code"] if form["cause_code"] in REAL_CAUSES else "",
            _waited_s(form["waited_s"]) * speed,
            whole(form["minutes"]) if whole(form["minutes"]) in ESTIMATES_MIN else None,
        )

        def perform() -> Response:
            ticket, who, theirs = opened(request, token)
            language = site.render.language(request)
            if not theirs:
                text = site.render.reader(language).t("crew.over")
                return answer(request, token, text, 409)
            try:
                crews.report(ticket, who, done)
            except DeskError as e:
                return answer(request, token, e.text(language), 409)
            return answer(request, token)

        return await run_in_threadpool(perform)


def photo_answer(site: Site, ticket_id: int, digest: str) -> Response:
    """A photo as what it is and nothing else."""
    photos = site.settings.photos
    image = photos.image(ticket_id, digest) if photos else None
    if image is None:
        raise HTTPException(404, "not_found")
    return Response(
        image, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"}
    )


def _ahead(ticket: Ticket, state: TicketState) -> bool:
    order = list(STEPS.values())
    return ticket.state not in order or order.index(ticket.state) < order.index(state)


def _usage_point(site: Site, ticket: Ticket) -> Any:
    name: str | None = ticket.asset if ticket.asset_kind == "usage_point" else None
    if ticket.asset_kind == "device":
        i = site.network.device_index.get(ticket.asset)
        name = site.network.devices[i].usage_point if i is not None else None
    i = site.network.usage_point_index.get(name) if name else None
    return site.network.usage_points[i] if i is not None else None


def _waited_s(given: str) -> float:
    """How long something lay on the phone, seconds; 0 for what is no such time."""
    try:
        waited = float(given or 0)
    except ValueError:
        return 0.0
    return min(max(waited, 0.0), WAITED_MAX_S) if math.isfinite(waited) else 0.0


def crew_link(site: Site, ticket: Ticket, who: str) -> str:
    """The address for a crew's phone."""
    return f"/crew/{link_token(site.settings.secret, ticket, who, time.time())}"
