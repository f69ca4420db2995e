"""Silences and announced work: an owner, a reason and an end, always; what is muted is counted."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from alerts.errors import DeskError
from alerts.settings import DAY_US
from alerts.silences import SilenceDesk
from grid.faults import FAULTS
from web.forms import Fields, form_of, see, site_time_us
from web.pages.supply import planned_check
from web.site import Site
from web.viewer import viewer_of

KINDS: Final[tuple[Literal["silence", "maintenance"], ...]] = ("silence", "maintenance")
ASSET_KINDS: Final = (
    "transformer",
    "branch",
    "section",
    "feeder",
    "usage_point",
    "device",
)
AHEAD_US: Final = 60 * DAY_US


def register(app: FastAPI, site: Site) -> None:
    desk = SilenceDesk(site.ledger, site.network, site.clock)

    def silences_page(
        request: Request,
        problem: str = "",
        typed: Fields | None = None,
        status: int = 200,
        check: Sequence[object] = (),
    ) -> Response:
        now_us = site.clock.now_us()
        with site.ledger.reading() as reading:
            found = reading.silences(now_us, now_us + AHEAD_US)
            muted = {s.id: len(reading.muted_by(s.kind, s.ref)) for s in found}
        values: dict[str, Any] = {
            "silences": [s for s in found if s.end_us > now_us],
            "muted": muted,
            "kinds": KINDS,
            "asset_kinds": ASSET_KINDS,
            "faults": sorted(FAULTS),
            "problem": problem,
            "check": check,
            "typed": typed or Fields(),
        }
        return site.render.page(request, "silences.html", values, status=status)

    @app.get("/silences")
    def silences(request: Request) -> Response:
        typed = Fields(
            {k: request.query_params.get(k, "")[:100] for k in ("asset_kind", "asset", "fault")}
        )
        return silences_page(request, typed=typed)

    @app.post("/silences")
    async def add(request: Request) -> Response:
        form = await form_of(request)

        def act() -> Response:
            kind = next((k for k in KINDS if k == form["kind"]), KINDS[0])
            start_us = site_time_us(form["start"], site.render.zone) if form["start"] else None
            end_us = site_time_us(form["end"], site.render.zone) or 0
            asset = (form["asset_kind"], form["asset"])
            if kind == "maintenance" and not form["anyway"]:
                # Whom one more outage makes a frequent one is looked at before it is announced.
                over = planned_check(site, asset)
                if over:
                    return silences_page(request, typed=form, status=409, check=over)
            try:
                desk.add(
                    kind,
                    asset,
                    end_us,
                    form["reason"],
                    viewer_of(request).actor,
                    fault=form["fault"] or None,
                    start_us=start_us,
                )
            except DeskError as e:
                text = e.text(site.render.language(request))
                return silences_page(request, text, form, 422)
            return see("/silences")

        return await run_in_threadpool(act)

    @app.post("/silences/{silence_id}/end")
    def end(request: Request, silence_id: int) -> Response:
        try:
            desk.end(silence_id, viewer_of(request).actor)
        except DeskError as e:
            text = e.text(site.render.language(request))
            return silences_page(request, text, status=404)
        return see("/silences")
