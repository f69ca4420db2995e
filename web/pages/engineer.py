"""What is measured, what is missing and what was refused; and the readings of one device."""

from collections import Counter as Tally
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from web.charts import SPANS, reported, unit
from web.names import place
from web.render import number
from web.site import Site

LISTED = 100
READINGS_SHOWN = 24


def register(app: FastAPI, site: Site) -> None:
    @app.get("/engineer")
    def engineer(request: Request, device: str = "") -> Response:
        devices = site.network.devices
        silent = site.readings.silent()
        wanted = device.strip()[:64].lower()
        found = [d for d in devices if wanted in d.id.lower()] if wanted else []
        values: dict[str, Any] = {
            "after": site.outbox_head(),
            "wanted": device.strip()[:64],
            "found": found[:LISTED],
            "kinds": sorted(Tally(d.kind for d in devices).items()),
            "silent": silent[:LISTED],
            "silent_count": len(silent),
            "listed": LISTED,
            "gaps": site.readings.gaps(LISTED),
            "refused": site.readings.refused(LISTED),
            "checks": [(name, check()) for name, check in site.settings.checks],
            **site.figures(),
        }
        return site.render.page(request, "engineer.html", values)

    @app.get("/devices/{device}")
    def device(request: Request, device: str) -> Response:
        i = site.network.device_index.get(device)
        if i is None:
            raise HTTPException(404, "no_device")
        entry = site.network.devices[i]
        reader = site.render.reader(site.render.language(request))
        span = request.query_params.get("span", "24h")
        span = span if span in SPANS else "24h"
        now = site.clock.now_us()
        names = reported(entry, ["v_a", "v_b", "v_c", "i_a", "p", "t_oil", "t_terminal"])
        # A day at most: the means of a longer span would stand in the table as readings.
        first = now - min(SPANS[span], SPANS["24h"]) * 1_000_000
        series = site.readings.series(device, names, first, now, 2_000)
        # A voltage that is missing is news; a sensor that was never there is not.
        used = [
            n
            for n in names
            if n in series.values and (n[:2] == "v_" or np.isfinite(series.values[n][1]).any())
        ]
        # A meter that sends registers only has times, but nothing to put beside them.
        rows = [
            (int(series.time[k]), [number(float(series.values[n][1][k])) for n in used])
            for k in range(series.time.size - 1, -1, -1)[:READINGS_SHOWN]
            if used
        ]
        values = {
            "after": site.outbox_head(),
            "device": entry,
            "place": place(reader.t, site.network, "device", device),
            "point": _point(site, entry.usage_point),
            "seen_us": site.readings.last_seen(device),
            "used": used,
            "unit": unit,
            "rows": rows,
            "span": span,
            "spans": list(SPANS),
        }
        return site.render.page(request, "device.html", values)


def _point(site: Site, name: str | None) -> Any:
    i = site.network.usage_point_index.get(name) if name else None
    return site.network.usage_points[i] if i is not None else None
