"""The application: one guard in front, one policy table, one module a screen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from grid.errors import BadInput, ForewattError
from web import api
from web.guard import Guard, check_form_token, unlisted, wants_json
from web.pages import (
    admin,
    alerts,
    crew,
    customer,
    customer_door,
    desk,
    drills,
    engineer,
    knowledge,
    live,
    quality,
    replay,
    signin,
    silences,
    supply,
    tickets,
    watch,
)
from web.rehearsal import DrillSwitch, Rehearsals
from web.resume import typed_of
from web.settings import WebSettings
from web.site import Site

STATIC: Final = Path(__file__).parent / "static"
REASONS: Final = {
    404: "not_found",
    405: "not_found",
    413: "too_large",
    429: "slow_down",
    503: "unavailable",
}


class VersionedFiles(StaticFiles):
    """Static files; an address that carries its version may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        versioned = URL(scope=scope).query.startswith("v=")
        answer.headers["cache-control"] = (
            "public, max-age=31536000, immutable" if versioned else "no-cache"
        )
        return answer


def create_app(settings: WebSettings) -> FastAPI:
    """The pages, API and stream of one site.

    Raises ForewattError when a route and the policy table disagree: a page that nobody has
    decided about is not served.
    """
    site = Site(settings)
    rehearsals = Rehearsals(settings, create_app)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        site.hub.start()
        rehearsals.start()
        try:
            yield
        finally:
            rehearsals.stop()
            site.hub.stop()

    app = FastAPI(
        title="Forewatt",
        lifespan=lifespan,
        dependencies=[Depends(check_form_token)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.body_bytes_max,
    )
    app.state.site = site
    for part in (
        signin,
        alerts,
        tickets,
        desk,
        crew,
        customer_door,
        customer,
        engineer,
        replay,
        quality,
        silences,
        knowledge,
        supply,
        watch,
        admin,
        live,
        api,
    ):
        part.register(app, site)
    drills.register(app, site, rehearsals)
    app.mount("/static", VersionedFiles(directory=STATIC), name="static")
    _errors(app, site)
    app.add_middleware(
        Guard,
        people=site.people,
        cookie=site.cookie,
        public_url=settings.public_url,
        drill=settings.drill,
    )
    if settings.ledger_of is not None:
        app.add_middleware(DrillSwitch, rehearsals=rehearsals, cookie=site.cookie)
    wrong = unlisted(app.routes)
    if wrong:
        raise ForewattError(f"web/policy.py does not fit the routes: {'; '.join(wrong)}.")
    return app


def _errors(app: FastAPI, site: Site) -> None:
    def answer(request: Request, status: int, reason: str, detail: str = "") -> Response:
        """The same refusal as JSON or as a page, in the reader's language."""
        reader = site.render.reader(site.render.language(request))
        known = reader.t.has(f"error.{reason}")
        reason = reason if known else REASONS.get(status, "other")
        text = detail or reader.t(f"error.{reason}")
        if wants_json(request.headers, request.url.path):
            return JSONResponse({"error": reason, "detail": text}, status)
        return site.render.page(
            request,
            "error.html",
            {"status": status, "reason": reason, "text": text, "e": None},
            status=status,
        )

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        # Out of a drill nothing is kept: sent again, it would meet the site's own rows.
        kept_for = not site.settings.drill and not request.headers.get("hx-request")
        if error.detail == "session_ended" and kept_for:
            kept = await typed_of(request, site.settings.body_bytes_max)
            if kept:
                values = signin.door(site, problem="resume.ended")
                values |= {"kept": kept, "resume": request.url.path}
                return site.render.page(request, "signin.html", values, status=401)
        return answer(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0] if error.errors() else {}
        where = ".".join(str(x) for x in first.get("loc", ())[1:])
        return answer(request, 422, "invalid", f"{where}: {first.get('msg', '')}".strip(": "))

    @app.exception_handler(BadInput)
    async def bad_input(request: Request, error: BadInput) -> Response:
        """Where it stands and how to mend it, with the labels of the reader's language."""
        if wants_json(request.headers, request.url.path):
            where = {k: getattr(error, k) for k in ("file", "line", "column", "fix")}
            known = {k: v for k, v in where.items() if v is not None}
            return JSONResponse({"error": "invalid", "detail": str(error), **known}, 422)
        values = {"status": 422, "reason": "invalid", "text": str(error), "e": error}
        return site.render.page(request, "error.html", values, status=422)

    @app.exception_handler(ForewattError)
    async def ours(request: Request, error: ForewattError) -> Response:
        return answer(request, 503, "unavailable", str(error))
