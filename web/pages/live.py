"""The live stream, and the questions of machines: healthy, ready, figures."""

import asyncio
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from grid.errors import ForewattError
from web.site import Site
from web.stream import TooManyStreams
from web.viewer import viewer_of

CHECK_S: Final = 5.0


def register(app: FastAPI, site: Site) -> None:
    @app.get("/stream")
    async def stream(
        request: Request, after: int | None = None, topics: str = "", realm: str = ""
    ) -> Response:
        if realm and realm != (site.settings.drill or "live"):
            # A page of a drill that its reader has left: never the rows of another realm.
            return JSONResponse({"error": "other_realm", "detail": "Load the page again."}, 409)
        resumed = request.headers.get("last-event-id", "")
        if resumed.isdecimal():
            after = int(resumed)
        role, language = viewer_of(request).role, site.render.language(request)
        try:
            client = site.hub.join(role, language, frozenset(topics.split(",")) if topics else None)
        except TooManyStreams as e:
            return JSONResponse({"error": "busy", "detail": str(e)}, 503, {"retry-after": "10"})
        token = request.cookies.get(site.cookie, "")
        bearer = viewer_of(request).via == "bearer"

        def allowed() -> bool:
            if bearer:
                return site.people.bearer(request.headers["authorization"][7:].strip()) is not None
            return site.people.session(token) is not None

        return StreamingResponse(
            site.hub.events(client, after, allowed),
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
