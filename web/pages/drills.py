"""Drills: choose one, take part on the site's own pages, see afterwards how it went."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import Conflict, DeskError, MissingDetail
from alerts.states import VERDICTS
from desk.drills import PREFIX, SCENES, Drill, DrillDesk, DrillScore, new_realm
from web import policy
from web.forms import Fields, form_of, see, whole
from web.policy import home
from web.refusals import status_of
from web.rehearsal import COOKIE, Rehearsals, realm_of, ticket_to
from web.site import Site
from web.viewer import viewer_of

SHOWN: Final = 30
OPEN_MAX: Final = 5  # drills that go on at once
SEED_MAX: Final = 999


def register(app: FastAPI, site: Site, rehearsals: Rehearsals) -> None:
    def found() -> list[tuple[Drill, DrillScore | None]]:
        """The newest drills, those that go on first; the score of what has ended."""
        desks = [d for name in rehearsals.names() if (d := rehearsals.desk(name)) is not None]
        drills = [(s, d) for d in desks if (s := d.state()) is not None]
        drills.sort(key=lambda x: (x[0].ended_us is not None, -x[0].start_us))
        return [(s, d.score() if s.ended_us is not None else None) for s, d in drills[:SHOWN]]

    def drills_page(
        request: Request, problem: str = "", typed: Fields | None = None, status: int = 200
    ) -> Response:
        values = {
            "drills": found(),
            "scenes": SCENES,
            "available": site.settings.ledger_of is not None,
            "may_lead": viewer_of(request).may(policy.CONTROL),
            "seed_max": SEED_MAX,
            "typed": typed or Fields(scene=next(iter(SCENES))),
            "problem": problem,
        }
        return site.render.page(request, "drills.html", values, status=status)

    @app.get("/drills")
    def drills(request: Request) -> Response:
        return drills_page(request)

    @app.post("/drills")
    async def start(request: Request) -> Response:
        form = await form_of(request)

        def act() -> Response:
            try:
                if len(rehearsals.running()) >= OPEN_MAX:
                    raise Conflict(
                        f"{OPEN_MAX} drills go on already; end one of them first.",
                        f"已有{OPEN_MAX}场演练进行中，请先结束一场。",
                    )
                if form["scene"] not in SCENES:
                    raise MissingDetail("scene", "Choose a scene.", "请选择演练场景。")
                realm = new_realm(form["name"] or form["scene"], rehearsals.names())
                desk = rehearsals.desk(realm, new=True)
                if desk is None:
                    raise Conflict("This site has no drills.", "本系统未启用演练。")
                seed = min(max(whole(form["seed"], 1), 1), SEED_MAX)
                desk.start(viewer_of(request).actor, form["scene"], seed)
            except DeskError as e:
                text = e.text(site.render.language(request))
                return drills_page(request, text, form, status_of(e))
            return see(f"/drills/{realm}")

        return await run_in_threadpool(act)

    def desk_of(realm: str) -> tuple[DrillDesk, Drill]:
        desk = rehearsals.desk(realm) if realm.startswith(PREFIX) else None
        drill = desk.state() if desk is not None else None
        if desk is None or drill is None:
            raise HTTPException(404, "no_drill")
        return desk, drill

    @app.get("/drills/{realm}")
    def one(request: Request, realm: str) -> Response:
        desk, drill = desk_of(realm)
        desk.advance()
        viewer = viewer_of(request)
        # Who plays must not read what is really wrong before it has ended, whoever they are.
        plays = realm_of(request, site.cookie) == realm
        knows = viewer.may(policy.DRILL_TRUTH) and not plays
        values: dict[str, Any] = {
            "drill": drill,
            "scenes": SCENES,
            "score": desk.score() if knows or drill.ended_us is not None else None,
            "may_lead": viewer.may(policy.CONTROL),
            "verdicts": VERDICTS,
            "home": home(viewer.role),
        }
        return site.render.page(request, "drill.html", values)

    @app.post("/drills/{realm}/{what}")
    def act(request: Request, realm: str, what: str) -> Response:
        viewer = viewer_of(request)
        if what == "leave":
            answer = see(f"/drills/{realm}" if realm.startswith(PREFIX) else "/drills")
            answer.delete_cookie(COOKIE, path="/")
            return answer
        desk, _ = desk_of(realm)
        if what == "join":
            answer = see(_work(viewer.role))
            answer.set_cookie(
                COOKIE,
                ticket_to(realm, request.cookies.get(site.cookie, "")),
                httponly=True,
                samesite="lax",
                secure=site.cookie.startswith("__Host-"),
                path="/",
            )
            return answer
        if what != "end":
            raise HTTPException(404, "not_found")
        try:
            desk.end(viewer.actor)
        except DeskError as e:
            raise HTTPException(status_of(e), "role") from e
        site.people.audit(viewer.login, "drill_end", realm)
        return see(f"/drills/{realm}")


def _work(role: str) -> str:
    """Where somebody begins in a drill: pages about people and measuring stay the site's."""
    first = home(role)
    return first if first in ("/", "/desk", "/tickets") else "/"
