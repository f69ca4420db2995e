"""The administrator's pages: people and roles, detectors, sources, configuration, the audit."""

from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.roles import ROLE_NAMES
from grid.errors import BadInput
from web.budget_preview import BudgetPreviews
from web.detector_preview import DAYS, preview
from web.doors import PersonView
from web.forms import Fields, form_of, see, whole
from web.policy import ROLES
from web.site import Site
from web.viewer import viewer_of

LINK_S: Final = 86_400.0
AUDIT_SHOWN: Final = 100
REFUSED_SHOWN: Final = 100
# Roles that need nothing else than the role; a crew has a team, a customer an account.
STAFF_ROLES: Final = tuple(r for r in ROLES if r not in ("customer", "crew"))


def register(app: FastAPI, site: Site) -> None:
    previews = BudgetPreviews(site.ledger, site.network)

    def people_page(
        request: Request,
        *,
        problem: str = "",
        bad: BadInput | None = None,
        typed: Fields | None = None,
        link: str = "",
        link_of: str = "",
        status: int = 200,
    ) -> Response:
        values = {
            "people": list(site.people.list()),
            "role_names": ROLE_NAMES,
            "roles": (*STAFF_ROLES, "crew"),
            "staff_roles": STAFF_ROLES,
            "teams": site.network.teams,
            "problem": problem,
            "e": bad,
            "typed": typed or Fields(),
            "link": link,
            "link_of": link_of,
        }
        return site.render.page(request, "admin.html", values, status=status)

    async def changed(request: Request, act: Callable[[Fields], Response]) -> Response:
        form = await form_of(request)

        def run() -> Response:
            try:
                return act(form)
            except BadInput as e:
                return people_page(request, bad=e, typed=form, status=422)

        return await run_in_threadpool(run)

    def person_of(login: str) -> PersonView:
        person = site.people.find(login)
        if person is None:
            raise HTTPException(404, "not_found")
        return person

    @app.get("/admin")
    def people(request: Request) -> Response:
        return people_page(request)

    @app.post("/admin/people")
    async def add(request: Request) -> Response:
        def act(form: Fields) -> Response:
            role = form["role"]
            if role not in STAFF_ROLES and role != "crew":
                raise BadInput(f"there is no role '{role}'", fix="choose one from the list")
            team = form["team"] or None if role == "crew" else None
            made = site.people.create(form["login"], form["name"] or form["login"], role, team=team)
            viewer = viewer_of(request)
            site.people.audit(viewer.login, "person_added", made.login, {"role": role})
            return link_for(request, made)

        return await changed(request, act)

    def link_for(request: Request, person: PersonView) -> Response:
        """A sign-in link for one use: shown once, to be handed over."""
        token = site.people.sign_in_link(person.id, LINK_S, uses=1)
        site.people.audit(viewer_of(request).login, "sign_in_link", person.login)
        base = site.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        address = f"{base}/signin/{token}"
        return people_page(request, link=address, link_of=person.display_name or person.login)

    @app.post("/admin/people/{login}/{what}")
    async def change(request: Request, login: str, what: str) -> Response:
        def act(form: Fields) -> Response:
            person, viewer = person_of(login), viewer_of(request)
            t = site.render.reader(site.render.language(request)).t
            own = person.login == viewer.login
            if own and what in ("disable", "role"):
                # Whoever locks themselves out may be the last who could open the door.
                return people_page(request, problem=t("admin.not_yourself"), status=409)
            if what == "link":
                return link_for(request, person)
            if what == "disable":
                site.people.disable(login)
            elif what == "enable":
                site.people.enable(login)
            elif what == "role" and form["role"] in STAFF_ROLES and person.role in STAFF_ROLES:
                site.people.change(login, role=form["role"])
            elif what == "name" and form["name"]:
                site.people.change(login, display_name=form["name"])
            else:
                raise HTTPException(422, "invalid")
            given = {k: form[k] for k in ("role", "name") if form[k]}
            site.people.audit(viewer.login, f"person_{what}", person.login, given)
            return see("/admin")

        return await changed(request, act)

    @app.get("/admin/detectors")
    def detectors(request: Request) -> Response:
        asked = whole(request.query_params.get("days"), 30)
        days = asked if asked in DAYS else 30
        off = tuple(request.query_params.getlist("off"))[:100]
        found = preview(site.ledger, site.clock.now_us(), days, off, _disabled(site))
        budgets = previews.get(site.clock.now_us(), _budget(site))
        values = {"preview": found, "days": days, "choices": DAYS, "budgets": budgets}
        return site.render.page(request, "admin_detectors.html", values)

    @app.get("/admin/sources")
    def sources(request: Request) -> Response:
        silent = {s.device: s for s in site.readings.silent()}
        refused = site.readings.refused(REFUSED_SHOWN)
        values = {
            "after": site.outbox_head(),
            "areas": _areas(site, set(silent)),
            "consumers": sorted(site.readings.positions().items()),
            "refused": refused,
            "sources": sorted(Tally(q.source for q in refused).items()),
            "checks": [(name, check()) for name, check in site.settings.checks],
            **site.figures(),
        }
        return site.render.page(request, "admin_sources.html", values)

    @app.get("/admin/configuration")
    def configuration(request: Request) -> Response:
        values = {"lines": site.settings.configuration()}
        return site.render.page(request, "admin_configuration.html", values)

    @app.get("/admin/audit")
    def audit(request: Request) -> Response:
        before = whole(request.query_params.get("before")) or None
        entries = site.people.audit_entries(AUDIT_SHOWN, before=before)
        values = {
            "entries": entries,
            "older": entries[-1].id if len(entries) == AUDIT_SHOWN else None,
        }
        return site.render.page(request, "admin_audit.html", values)


def _budget(site: Site) -> float | None:
    """Tickets a day for each team in the configuration as loaded."""
    for line in site.settings.configuration():
        if (line.section, line.key) == ("alerts", "budget"):
            return float(line.value)
    return None


def _disabled(site: Site) -> tuple[str, ...]:
    """The detectors that the configuration as loaded has switched off."""
    for line in site.settings.configuration():
        if (line.section, line.key) == ("detectors", "disabled"):
            return tuple(x.strip(" '\"") for x in line.value.strip("()[]").split(",") if x.strip())
    return ()


def _areas(site: Site, silent: set[str]) -> list[tuple[str, dict[str, Any]]]:
    """Each transformer area with its devices and how many of them are silent, the worst first."""
    rows: dict[str, dict[str, Any]] = {}
    for device in site.network.devices:
        if device.kind not in ("meter", "transformer_monitor"):
            continue
        area = site.network.transformer_of("device", device.id)
        row = rows.setdefault(
            area.id if area else "", {"devices": 0, "silent": 0, "profiles": set()}
        )
        row["devices"] += 1
        row["silent"] += device.id in silent
        if device.profile:
            row["profiles"].add(device.profile)
    return sorted(rows.items(), key=lambda x: (-x[1]["silent"], x[0]))
