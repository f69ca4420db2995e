"""What people here know: articles and checklists with their review, closed tickets as cases."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError, NotFound
from alerts.roles import ROLE_NAMES, Role, may_see
from desk.cases import case, cases
from desk.knowledge import REVIEWERS, STATE_NAMES, WRITERS, Kind, UnknownArticle, Version
from desk.procedures import LANGUAGES, PARTS, by_key, keys
from grid.faults import FAULTS
from web.forms import Fields, form_of, see, whole
from web.refusals import status_of
from web.site import Site
from web.viewer import Viewer, viewer_of

# How the address calls each kind.
KINDS: Final[dict[str, Kind]] = {"articles": "article", "checklists": "procedure"}
BODY_MAX: Final = 5_000  # both languages fit into one form
CASES_SHOWN: Final = 50
WANTED_MAX: Final = 64


def built_in(key: str) -> Version:
    """The checklist as it came with the program, as if it were a version like any other."""
    parts: dict[str, Any] = {}
    for spoken in LANGUAGES:
        p = by_key(key, spoken)
        parts[spoken] = {"title": p.title, **{name: list(getattr(p, name)) for name in PARTS}}
    return Version("procedure", key, by_key(key, "en").version, "published", parts, "", 0)


def changes(old: str, new: str) -> list[tuple[str, str]]:
    """Lines with what became of them: `same`, `gone`, `new`.

    >>> changes("a\\nb", "a\\nc")
    [('same', 'a'), ('gone', 'b'), ('new', 'c')]
    """
    names = {" ": "same", "-": "gone", "+": "new"}
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [(names[x[0]], x[2:]) for x in lines if x[0] in names]


def visible(version: Version, role: Role) -> bool:
    """Whether a role sees it: what is about inspection (稽查) alone is as restricted as that."""
    faults = version.faults
    return not faults or any(may_see(FAULTS[f].work, role) for f in faults)


def faults_for(role: Role) -> list[str]:
    """The fault kinds that a role may hear of."""
    return sorted(f for f in FAULTS if may_see(FAULTS[f].work, role))


def typed_of(version: Version) -> Fields:
    """A version as the fields of its form."""
    if version.kind == "article":
        made = Fields(
            {k: str(version.content[k]) for k in ("title", "title_zh", "body", "body_zh")}
        )
        made.update({f"fault_{f}": "1" for f in version.faults})
        return made
    made = Fields()
    for spoken in LANGUAGES:
        part = version.content[spoken]
        made[f"{spoken}_title"] = str(part["title"])
        made.update({f"{spoken}_{name}": "\n".join(part[name]) for name in PARTS})
    return made


def register(app: FastAPI, site: Site) -> None:
    desk = site.knowledge

    def versions_of(kind: str, key: str, role: Role) -> list[Version]:
        """The versions that a role sees, the newest first; a checklist that nobody has improved
        has its first."""
        if kind not in KINDS:
            raise HTTPException(404, "not_found")
        try:
            found = desk.versions(KINDS[kind], key)
        except UnknownArticle:
            found = []
        if kind == "checklists" and key in keys():
            first = built_in(key)
            used = any(v.state == "published" for v in found)
            found = [*found, replace(first, state="replaced") if used else first]
        found = [v for v in found if visible(v, role)]
        if not found:
            raise HTTPException(404, "no_article")
        return found

    def fault_of(request: Request) -> str | None:
        asked = request.query_params.get("fault", "")
        return asked if asked in FAULTS else None

    @app.get("/knowledge")
    def knowledge(request: Request) -> Response:
        viewer = viewer_of(request)
        fault, text = fault_of(request), request.query_params.get("q", "")[:WANTED_MAX]
        wanted = text.strip().lower()
        shown = [key for key in keys() if visible(built_in(key), viewer.role)]
        lists = [versions_of("checklists", key, viewer.role) for key in shown]
        in_use = [next(v for v in found if v.state == "published") for found in lists]
        articles = desk.articles(fault=fault, text=text, kind="article")
        values = {
            "articles": [v for v in articles if visible(v, viewer.role)],
            "checklists": [
                v
                for v in in_use
                if (fault is None or fault in v.faults)
                and any(wanted in f"{v.title(x)}\n{v.body(x)}".lower() for x in LANGUAGES)
            ],
            "waiting": [v for v in desk.waiting() if visible(v, viewer.role)],
            "cases": cases(site.ledger, site.network, viewer.role, fault=fault, limit=5),
            "fault": fault,
            "faults": faults_for(viewer.role),
            "wanted": text,
            "kinds": {v: k for k, v in KINDS.items()},
            "may_write": viewer.role in WRITERS,
            "may_review": viewer.role in REVIEWERS,
        }
        return site.render.page(request, "knowledge.html", values)

    def version_page(
        request: Request, kind: str, key: str, problem: str = "", status: int = 200
    ) -> Response:
        viewer = viewer_of(request)
        found = versions_of(kind, key, viewer.role)
        asked = whole(request.query_params.get("version"), -1)
        used = next((v for v in found if v.state == "published"), None)
        shown = next((v for v in found if v.number == asked), used or found[0])
        values = {
            "kind": kind,
            "key": key,
            "versions": found,
            "shown": shown,
            "used": used,
            "state_names": STATE_NAMES,
            "parts": PARTS,
            "languages": LANGUAGES,
            "changes": {
                x: changes(f"{used.title(x)}\n{used.body(x)}", f"{shown.title(x)}\n{shown.body(x)}")
                for x in LANGUAGES
            }
            if used is not None and used.number != shown.number
            else {},
            "may_write": viewer.role in WRITERS,
            "may_review": _may_review(viewer, shown),
            "may_withdraw": _may_withdraw(viewer, shown),
            "cases": [
                c
                for f in shown.faults[:3]
                for c in cases(site.ledger, site.network, viewer.role, fault=f, limit=3)
            ],
            "problem": problem,
        }
        return site.render.page(request, "knowledge_version.html", values, status=status)

    def edit_page(
        request: Request,
        kind: str,
        key: str | None,
        typed: Fields,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        values = {
            "kind": kind,
            "key": key,
            "typed": typed,
            "problem": problem,
            "faults": faults_for(viewer_of(request).role),
            "parts": PARTS,
            "languages": LANGUAGES,
            "body_max": BODY_MAX,
        }
        return site.render.page(request, "knowledge_edit.html", values, status=status)

    @app.get("/knowledge/new")
    def new(request: Request) -> Response:
        fault = fault_of(request)
        return edit_page(
            request, "articles", None, Fields({f"fault_{fault}": "1"} if fault else {})
        )

    @app.get("/knowledge/{kind}/{key}")
    def version(request: Request, kind: str, key: str) -> Response:
        return version_page(request, kind, key)

    @app.get("/knowledge/{kind}/{key}/edit")
    def edit(request: Request, kind: str, key: str) -> Response:
        found = versions_of(kind, key, viewer_of(request).role)
        base = next((v for v in found if v.state == "published"), found[0])
        return edit_page(request, kind, key, typed_of(base))

    async def written(
        request: Request, kind: str, key: str | None, propose: Callable[[Fields], Version]
    ) -> Response:
        form = await form_of(request, BODY_MAX)

        def act() -> Response:
            try:
                made = propose(form)
            except NotFound as e:
                raise HTTPException(404, "no_article") from e
            except DeskError as e:
                text = e.text(site.render.language(request))
                return edit_page(request, kind, key, form, text, status_of(e))
            return see(f"/knowledge/{kind}/{made.key}?version={made.number}")

        return await run_in_threadpool(act)

    def article(request: Request, key: str | None) -> Callable[[Fields], Version]:
        def propose(form: Fields) -> Version:
            actor = viewer_of(request).actor
            used = desk.published("article", key) if key else None
            # What the writer's form does not offer, the writer does not take away.
            kept = (
                {f for f in used.faults if not may_see(FAULTS[f].work, actor.role)} if used else ()
            )
            return desk.propose_article(
                actor,
                title=form["title"],
                title_zh=form["title_zh"],
                body=form["body"],
                body_zh=form["body_zh"],
                faults=[f for f in FAULTS if form[f"fault_{f}"] or f in kept],
                key=key,
                reason=form["reason"],
            )

        return propose

    @app.post("/knowledge/new")
    async def write(request: Request) -> Response:
        return await written(request, "articles", None, article(request, None))

    @app.post("/knowledge/{kind}/{key}/edit")
    async def improve(request: Request, kind: str, key: str) -> Response:
        await run_in_threadpool(versions_of, kind, key, viewer_of(request).role)
        if kind == "articles":
            return await written(request, kind, key, article(request, key))
        if kind != "checklists":
            raise HTTPException(404, "not_found")

        def propose(form: Fields) -> Version:
            content = {
                x: {name: form[f"{x}_{name}"] for name in ("title", *PARTS)} for x in LANGUAGES
            }
            return desk.propose_procedure(viewer_of(request).actor, key, content, form["reason"])

        return await written(request, kind, key, propose)

    @app.post("/knowledge/{kind}/{key}/{number}/{what}")
    async def decide(request: Request, kind: str, key: str, number: int, what: str) -> Response:
        form = await form_of(request)

        def act() -> Response:
            actor = viewer_of(request).actor
            if kind not in KINDS or what not in ("accept", "refuse", "withdraw"):
                raise HTTPException(404, "not_found")
            # What a role does not see it does not decide.
            if number not in {v.number for v in versions_of(kind, key, actor.role)}:
                raise HTTPException(404, "no_article")
            try:
                if what == "withdraw":
                    desk.withdraw(actor, KINDS[kind], key, number, form["remark"])
                else:
                    accept = what == "accept"
                    desk.review(
                        actor, KINDS[kind], key, number, accept=accept, remark=form["remark"]
                    )
            except NotFound as e:
                raise HTTPException(404, "no_article") from e
            except DeskError as e:
                text = e.text(site.render.language(request))
                return version_page(request, kind, key, text, status_of(e))
            site.forget_known()
            return see(f"/knowledge/{kind}/{key}?version={number}")

        return await run_in_threadpool(act)

    # -- cases -----------------------------------------------------------------------------

    @app.get("/cases")
    def case_list(request: Request) -> Response:
        fault = fault_of(request)
        role = viewer_of(request).role
        values = {
            "cases": cases(site.ledger, site.network, role, fault=fault, limit=CASES_SHOWN),
            "fault": fault,
            "faults": faults_for(role),
            "most": CASES_SHOWN,
        }
        return site.render.page(request, "cases.html", values)

    @app.get("/cases/{number}")
    def one_case(request: Request, number: str) -> Response:
        found = case(site.ledger, site.network, number, viewer_of(request).role)
        if found is None:
            raise HTTPException(404, "no_case")
        with site.ledger.reading() as reading:
            ticket = reading.ticket_numbered(number)
        values = {
            "case": found,
            "role_names": ROLE_NAMES,
            "ticket": ticket,
            "articles": desk.articles(fault=found.fault, kind="article")[:5],
            "may_write": viewer_of(request).role in WRITERS,
        }
        return site.render.page(request, "case.html", values)


def _may_review(viewer: Viewer, version: Version) -> bool:
    own = version.author == viewer.actor.name
    return version.state == "proposed" and viewer.role in REVIEWERS and not own


def _may_withdraw(viewer: Viewer, version: Version) -> bool:
    own = version.author == viewer.actor.name
    decides = viewer.role in ("supervisor", "engineer", "admin")
    said = bool(version.author)  # what came with the program stays
    return said and version.state in ("proposed", "published") and (own or decides)
