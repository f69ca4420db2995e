"""The engineer's replay: choose a source and settings, watch it run, compare, label, take it home.

Everything that is looked at stands in the address, so a link shows a colleague the same picture.
"""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.lines import rfc3339
from grid.errors import ForewattError
from grid.faults import FAULTS
from grid.records import Alert
from web.forms import Fields, form_of, see, site_time_us, whole
from web.names import asset_label
from web.render import number
from web.site import Site
from web.trial_chart import alert_of, fault_or_event, place_as_alert, trial_chart, us
from web.trial_doors import ENDED, TrialAsk, Trials, TrialView
from web.trial_download import download as take_home
from web.viewer import viewer_of

LISTED: Final = 40
FIELDS: Final = ("source", "start", "end", "speed", "a", "b", "compare", "lenient")
# What a trial says of itself before it has come so far.
BLANK_REQUEST: Final[dict[str, Any]] = {"source": "", "a": (), "b": None, "command": ""}
BLANK_STATUS: Final[dict[str, Any]] = {
    "state": "waiting", "alerts": {}, "notes": (), "error": None, "at_us": None, "seconds": None,
    "speed": None, "paused": False, "rows": None, "rows_all": None,
}  # fmt: skip
BLANK_PROBLEM: Final[dict[str, Any]] = dict.fromkeys(
    ("text", "problem", "file", "line", "column", "fix")
)
SPEEDS: Final = ("max", "3600", "600", "60", "1")
DOWNLOAD_DEVICES: Final = 12
BENIGN: Final = (
    "new_ev",
    "new_pv",
    "tap_change",
    "feeder_switching",
    "planned_outage",
    "moved_out",
    "meter_exchange",
)


def ask_of(fields: Any, zone: Any) -> TrialAsk:
    """What a form or an address asks for; times are of the site unless they carry a zone."""

    def moment(name: str) -> str:
        given = str(fields.get(name) or "").strip()
        at = site_time_us(given, zone) if given else None
        return given if at is None else rfc3339(at)

    def settings(name: str) -> tuple[str, ...]:
        lines = str(fields.get(name) or "").splitlines()
        return tuple(x.strip() for x in lines if x.strip() and not x.strip().startswith("#"))

    return TrialAsk(
        source=str(fields.get("source") or ""),
        start=moment("start"),
        end=moment("end"),
        speed=str(fields.get("speed") or "max").strip() or "max",
        a=settings("a"),
        b=settings("b") if fields.get("compare") else None,
        lenient=bool(fields.get("lenient")),
    )


def as_fields(request: Any) -> dict[str, Any]:
    """A trial's request as the fields of the form, to begin another one from it."""
    return {
        "source": request.get("source", ""),
        "start": request.get("start", ""),
        "end": request.get("end", ""),
        "speed": request.get("speed", "max"),
        "a": "\n".join(request.get("a") or ()),
        "b": "\n".join(request.get("b") or ()),
        "compare": "1" if request.get("b") is not None else "",
        "lenient": "1" if request.get("lenient") else "",
    }


def problem_of(error: Any) -> dict[str, Any] | None:
    """An error as the template shows it: where, what, how to mend it."""
    if error is None:
        return None
    if isinstance(error, LabelWrong):
        return {"field": error.field}
    found = {name: getattr(error, name, None) for name in BLANK_PROBLEM}
    return found | {"text": str(error)}


class Chosen:
    """What of a trial is looked at, out of the address: an alert, a place, devices, a span."""

    def __init__(self, view: TrialView, query: Any) -> None:
        network = view.network
        self.alerts = {side: view.alerts(side) for side in ("a", "b")}
        every = {x["id"]: x for side in ("b", "a") for x in self.alerts[side]}
        self.devices = [d for d in query.getlist("device") if d in network.device_index][:1]
        kind, asset = query.get("asset_kind", ""), query.get("asset", "")
        if query.get("place"):
            kind, _, asset = query["place"].partition(" ")
        first, last = view.span_us
        fault = query.get("fault", "")
        line = every.get(query.get("alert", ""))
        if line is None and not network.ancestors(kind, asset) and not self.devices:
            line = next((x for x in self.alerts["a"] if x["ticket"]), None)
            line = line or next(iter(every.values()), None)
            kind = asset = ""
        if self.devices and not network.ancestors(kind, asset):
            chain = network.ancestors("device", self.devices[0])
            kind, asset = chain[0] if chain else ("device", self.devices[0])
        if line is None and not asset:
            truth = next(iter(view.truth()), None)
            if truth is not None:
                kind, asset = truth["asset_kind"], truth["asset"]
                fault = truth["fault"]
            elif network.transformers:
                kind, asset = "transformer", network.transformers[0].id
        if line is not None:
            self.alert: Alert = alert_of(line)
        else:
            known = fault if fault in FAULTS else "under_voltage"
            self.alert = place_as_alert(network, known, kind, asset, first)
        start, end = whole(query.get("from"), first), whole(query.get("to"), last + 1)
        start, end = max(start, first), min(end, last + 1)
        self.start_us, self.end_us = (start, end) if start < end else (first, last + 1)

    @property
    def shown(self) -> list[str]:
        """The devices whose readings can be taken home."""
        return self.devices or list(self.alert.devices[:DOWNLOAD_DEVICES])


def register(app: FastAPI, site: Site) -> None:
    def trials() -> Trials:
        if site.settings.trials is None:
            raise HTTPException(404, "no_trials")
        return site.settings.trials

    def of(id_: str) -> TrialView:
        view = trials().open(id_)
        if view is None:
            raise HTTPException(404, "no_trial")
        return view

    def list_page(
        request: Request, fields: Any, problem: Any = None, status: int = 200
    ) -> Response:
        room = trials()
        sources = room.sources()
        kinds: dict[str, list[Any]] = {}
        for source in sources:
            kinds.setdefault(source.kind, []).append(source)
        known = [
            (id_, {**BLANK_REQUEST, **view.request}, {**BLANK_STATUS, **view.status})
            for id_, view in room.known()[:LISTED]
        ]
        values = {
            "fields": {name: str(fields.get(name) or "") for name in FIELDS},
            "kinds": kinds,
            "known_settings": room.settings(),
            "speeds": SPEEDS,
            "trials": known,
            "ended": ENDED,
            "problem": problem_of(problem),
        }
        return site.render.page(request, "replay.html", values, status=status)

    @app.get("/engineer/replay")
    def replays(request: Request) -> Response:
        fields: dict[str, Any] = dict(request.query_params)
        again = trials().open(fields.pop("again", ""))
        if again is not None:
            fields = as_fields(again.request)
        return list_page(request, fields)

    @app.post("/engineer/replay")
    async def start(request: Request) -> Response:
        form = await form_of(request)

        def act() -> Response:
            try:
                id_ = trials().start(ask_of(form, site.render.zone))
            except ForewattError as e:
                return list_page(request, form, e, 422)
            site.people.audit(viewer_of(request).actor.name, "trial", id_)
            return see(f"/engineer/replay/{id_}")

        return await run_in_threadpool(act)

    @app.get("/engineer/replay/{trial}")
    def trial(request: Request, trial: str) -> Response:
        return _trial_page(site, trials(), of(trial), request, trial)

    @app.get("/engineer/replay/{trial}/status")
    def status(request: Request, trial: str) -> Response:
        return JSONResponse(dict(of(trial).status))

    @app.get("/engineer/replay/{trial}/chart")
    def chart(request: Request, trial: str) -> Response:
        view = of(trial)
        reader = site.render.reader(site.render.language(request))
        try:
            chosen = Chosen(view, request.query_params)
        except FileNotFoundError:
            return JSONResponse({"panels": [], "nothing": reader.t("replay.loading")})
        end_us = chosen.end_us
        if view.status.get("state") == "running":
            end_us = min(end_us, max(int(view.status["at_us"]), chosen.start_us + 1))
        made = trial_chart(
            view,
            chosen.alert,
            chosen.devices,
            chosen.start_us,
            end_us,
            reader.zone,
            site.settings.country,
            reader.t,
            trials().labels(trial),
        )
        return JSONResponse(made)

    @app.get("/engineer/replay/{trial}/download/{name}")
    def download(request: Request, trial: str, name: str) -> Response:
        view = of(trial)
        try:
            chosen = Chosen(view, request.query_params)
            content, kind = take_home(
                view, name, trials().labels(trial), chosen.shown, chosen.start_us, chosen.end_us
            )
        except (KeyError, FileNotFoundError) as e:
            raise HTTPException(404, "no_download") from e
        file = f"{trial}-{name}"
        head = {"content-disposition": f'attachment; filename="{file}"'}
        return Response(content, media_type=kind, headers=head)

    @app.post("/engineer/replay/{trial}/{action}")
    async def act_on(request: Request, trial: str, action: str) -> Response:
        form = await form_of(request)

        def act() -> Response:
            room, view = trials(), of(trial)
            back = f"/engineer/replay/{trial}"
            if form["back"].startswith("?"):
                back += form["back"]
            try:
                if action == "control":
                    room.control(
                        trial, form["speed"] or "max", bool(form["paused"]), whole(form["steps"])
                    )
                elif action == "stop":
                    room.stop(trial)
                elif action == "remove":
                    room.remove(trial)
                    return see("/engineer/replay")
                elif action == "label":
                    _label(site, room, view, trial, form)
                else:
                    raise HTTPException(404, "no_action")
            except ForewattError as e:
                return _trial_page(site, room, view, request, trial, e, form, 422)
            return RedirectResponse(back, 303)

        return await run_in_threadpool(act)


def _label(site: Site, room: Trials, view: TrialView, trial: str, form: Fields) -> None:
    """Add, change or take away one label."""
    labels = room.labels(trial)
    keep = [x for x in labels if x["id"] != form["id"]]
    if form["remove"]:
        room.keep_labels(trial, keep)
        return
    first = min(view.span_us)
    zone = site.render.zone
    onset, cleared = site_time_us(form["onset"], zone), site_time_us(form["cleared"], zone)
    kind, _, asset = form["place"].partition(" ")
    if onset is None:
        raise LabelWrong("onset", "onset")
    if not view.network.ancestors(kind, asset) and asset not in view.network.device_index:
        raise LabelWrong("place", form["place"])
    fault = form["fault"]
    benign = fault in BENIGN
    number_ = len(labels) + 1
    taken = {x["id"] for x in (*keep, *view.truth())}
    id_ = form["id"] or f"label-{number_}"
    while id_ in taken:
        number_ += 1
        id_ = f"label-{number_}"
    line: dict[str, Any] = {
        "id": id_,
        "fault": fault,
        "asset_kind": kind,
        "asset": asset,
        "onset": rfc3339(max(onset, first)),
        "detectable": None,
        "failure": None,
        "cleared": rfc3339(cleared) if cleared is not None else None,
        "devices": [],
        "benign": benign,
    }
    room.keep_labels(trial, [*keep, line])


class LabelWrong(ForewattError):
    """A field of a label that cannot be used."""

    def __init__(self, field: str, value: str) -> None:
        self.field, self.value = field, value
        super().__init__(f"{field}: {value}")


def _trial_page(
    site: Site,
    room: Trials,
    view: TrialView,
    request: Request,
    id_: str,
    problem: Any = None,
    form: Any = None,
    status: int = 200,
) -> Response:
    now = {**BLANK_STATUS, **view.status}
    if now["error"]:
        now["error"] = BLANK_PROBLEM | now["error"]
    reader = site.render.reader(site.render.language(request))
    values: dict[str, Any] = {
        "id": id_,
        "request_": {**BLANK_REQUEST, **view.request},
        "state": now["state"],
        "now": now,
        "ended": ENDED,
        "problem": problem_of(problem),
        "chosen": None,
        "where": {},
    }
    try:
        chosen = None if now["state"] == "failed" else Chosen(view, request.query_params)
    except FileNotFoundError:  # its readings are not loaded yet
        chosen = None
    if chosen is not None:
        values |= _looked_at(site, room, view, request, id_, chosen, reader, form)
    return site.render.page(request, "trial.html", values, status=status)


def _looked_at(
    site: Site,
    room: Trials,
    view: TrialView,
    request: Request,
    id_: str,
    chosen: Chosen,
    reader: Any,
    form: Any,
) -> dict[str, Any]:
    network, t = view.network, reader.t
    alert, labels = chosen.alert, room.labels(id_)
    where = {
        "alert": alert.id,
        "asset_kind": alert.asset_kind,
        "asset": alert.asset,
        "device": chosen.devices[0] if chosen.devices else "",
        "from": request.query_params.get("from", ""),
        "to": request.query_params.get("to", ""),
    }
    where = {k: v for k, v in where.items() if v}
    places = [
        (f"{k} {a}", asset_label(t, network, k, a))
        for k, a in _places(view, alert.asset_kind, alert.asset)
    ]
    truth = [_band(t, network, x) for x in view.truth()]
    return {
        "chosen": chosen,
        "where": where,
        "scores": (
            {"b": None, "differences": (), **room.scored(id_)}
            if view.status.get("state") == "done"
            else None
        ),
        "figures": FIGURES,
        "label_of": lambda kind, asset: asset_label(t, network, kind, asset),
        "us": us,
        "devices": sorted(view.devices()),
        "faults": [*FAULTS],
        "benign": BENIGN,
        "fault_word": lambda name: fault_or_event(t, name),
        "places": places,
        "truth": truth,
        "labels": [_band(t, network, x) for x in labels],
        "form": {n: (form or {}).get(n, "") for n in ("id", "fault", "place", "onset", "cleared")},
        "span": (reader.local(chosen.start_us), reader.local(chosen.end_us)),
        "number": number,
    }


# A figure of the comparison: its name in `summary`, digits, and whether more is better.
FIGURES: Final = (
    ("recall", "share", 1),
    ("recall_p1_p2", "share", 1),
    ("precision", "share", 1),
    ("lead_h", "hours", 1),
    ("delay_h", "hours", -1),
    ("false_tickets", "count", -1),
    ("false_per_1000_meter_days", "rate", -1),
    ("benign_ticketed", "share", -1),
    ("known_before_contact", "share", 1),
)


def _places(view: TrialView, kind: str, asset: str) -> list[tuple[str, str]]:
    """Where a label may lie: everything in the area, and what supplies it."""
    network = view.network
    area = network.transformer_of(kind, asset)
    top: tuple[str, str] = ("transformer", area.id) if area else (kind, asset)
    below = [network.asset_of(n) for n in network.within(*top)]
    above = network.ancestors(*top)[1:]
    return [(str(k), a) for k, a in dict.fromkeys([(kind, asset), *below, *above]) if a]


def _band(t: Any, network: Any, x: Any) -> dict[str, Any]:
    return {
        **x,
        "name": fault_or_event(t, x["fault"]),
        "place": asset_label(t, network, x["asset_kind"], x["asset"]),
        "onset_us": us(x["onset"]),
        "cleared_us": us(x.get("cleared")),
    }
