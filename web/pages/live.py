"""The live stream, and the questions of machines: healthy, ready, figures."""

import asyncio
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from grid.errors import ForewattError
from web.site import Site
from web.stream import TooManyStreams
from web.viewer import viewer_of

CHECK_S: Final = 5.0
SEQ_MAX: Final = 2**63 - 1  # of the outbox: a bigint
DIGITS_MAX: Final = 19


def register(app: FastAPI, site: Site) -> None:
    @app.get("/stream")
    async def stream(
        request: Request, after: str = "", topics: str = "", realm: str = ""
    ) -> Response:
        if realm and realm != (site.settings.drill or "live"):
            # A page of a drill that its reader has left: never the rows of another realm.
            return JSONResponse({"error": "other_realm", "detail": "Load the page again."}, 409)
        resumed = request.headers.get("last-event-id", "")
        seen = resumed if resumed.isdecimal() else after
        if seen and not (seen.isdecimal() and len(seen) <= DIGITS_MAX and int(seen) <= SEQ_MAX):
            raise HTTPException(400, "bad_after")
        role, language = viewer_of(request).role, site.render.language(request)
        if viewer_of(request).via == "bearer":
            admitted = ("bearer", request.headers["authorization"][7:].strip())
        else:
            admitted = ("session", request.cookies.get(site.cookie, ""))
        asked = frozenset(topics.split(",")) if topics else None
        try:
            client = site.hub.join(role, language, asked, admitted)
        except TooManyStreams as e:
            return JSONResponse({"error": "busy", "detail": str(e)}, 503, {"retry-after": "10"})
        return StreamingResponse(
            site.hub.events(client, int(seen) if seen else None),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    @app.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        def ask() -> dict[str, bool]:
            found = {"database": site.readings.well(), "stream": site.hub.ready}
            for name, check in site.settings.checks:
                try:
                    found[name] = bool(check())
                except ForewattError:
                    found[name] = False
            return found

        try:
            found = await asyncio.wait_for(run_in_threadpool(ask), CHECK_S)
        except TimeoutError:
            found = {"answered_in_time": False}
        ready = all(found.values())
        body: dict[str, object] = {"ready": ready, "checks": found}
        if site.hub.trouble:
            body["trouble"] = site.hub.trouble
        return JSONResponse(body, 200 if ready else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        lines = (
            "# HELP forewatt_web_streams Open live streams.\n"
            "# TYPE forewatt_web_streams gauge\n"
            f"forewatt_web_streams {len(site.hub.clients)}\n"
            "# HELP forewatt_web_streams_dropped_total Streams ended because the page lagged.\n"
            "# TYPE forewatt_web_streams_dropped_total counter\n"
            f"forewatt_web_streams_dropped_total {site.hub.dropped}\n"
            "# HELP forewatt_web_stream_ready Whether new messages reach the pages.\n"
            "# TYPE forewatt_web_stream_ready gauge\n"
            f"forewatt_web_stream_ready {int(site.hub.ready)}\n"
        )
        body = site.settings.metrics() + lines.encode()
        return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")
