"""Sign-in by link or password, sign-out, own password, and the language of the reader."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from web.doors import PersonView
from web.forms import Fields, form_of, local_path, see
from web.i18n import LANGUAGES
from web.limits import Limit
from web.links import read, sign
from web.oidc import Identity, Provider, ProviderFailed
from web.policy import STAFF, home
from web.rehearsal import COOKIE as DRILL_COOKIE
from web.render import LANGUAGE_COOKIE
from web.resume import carried
from web.site import Site
from web.viewer import csrf_of, viewer_for, viewer_of

log = logging.getLogger(__name__)

PASSWORD_MIN: Final = 12
OIDC_COOKIE: Final = "forewatt-oidc"
OIDC_S: Final = 600
HASHER: Final = PasswordHasher()
# Unknown names take as long as wrong passwords: a hash that no password fits.
NOBODYS_HASH: Final = HASHER.hash("nobody has this password")


def password_fits(stored: str | None, given: str) -> bool:
    """Whether a password belongs to a stored argon2 hash."""
    try:
        return HASHER.verify(stored or NOBODYS_HASH, given) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def door(site: Site, to: str = "", login: str = "", problem: str = "") -> dict[str, Any]:
    """What the sign-in page shows; `kept` is what was typed into the form of an ended session."""
    return {
        "next": to,
        "login": login,
        "problem": problem,
        "provider": site.settings.oidc.name if site.settings.oidc else "",
        "kept": {},
        "resume": "",
    }


def register(app: FastAPI, site: Site) -> None:
    by_login = Limit(10, 300.0)
    by_address = Limit(60, 300.0)
    provider = Provider(site.settings.oidc) if site.settings.oidc else None

    def resume_page(request: Request, resume: str, kept: Fields) -> Response:
        """What was typed before, to be looked at and sent with one key."""
        values = {"resume": resume, "kept": kept}
        return site.render.page(request, "resume.html", values)

    def let_in(request: Request, person: PersonView, answered: Callable[[], Response]) -> Response:
        """Open a session and put it into the cookie of the answer, which is made within it."""
        agent = request.headers.get("user-agent", "")[:200]
        lifetime_s = site.settings.session_hours * 3600
        # A new token at each sign-in: one planted beforehand is worth nothing.
        token = site.people.open_session(person.id, lifetime_s, user_agent=agent)
        old = request.cookies.get(site.cookie)
        if old:
            site.people.close_session(old)
        request.scope["forewatt.viewer"] = viewer_for(person, "session", csrf_of(token))
        answer = answered()
        answer.set_cookie(
            site.cookie,
            token,
            max_age=int(lifetime_s),
            httponly=True,
            samesite="lax",
            secure=site.cookie.startswith("__Host-"),
            path="/",
        )
        return answer

    @app.get("/signin")
    def sign_in_page(request: Request, next: str = "") -> Response:
        return site.render.page(request, "signin.html", door(site, local_path(next, "")))

    @app.post("/signin")
    async def sign_in(request: Request) -> Response:
        form = await form_of(request)
        login, password = form.get("login", "")[:100], form.get("password", "")
        to = local_path(form.get("next"), "")
        kept, resume = carried(form), local_path(form.get("resume"), "")

        def check() -> Response:
            address = request.client.host if request.client else ""
            values = door(site, to, login)
            values |= {"kept": kept, "resume": resume if kept else ""}
            if not by_address.take(address) or not by_login.take(login.lower()):
                values["problem"] = "signin.slow_down"
                return site.render.page(request, "signin.html", values, status=429)
            person = site.people.find(login)
            stored = person.password_hash if person else None
            if not password_fits(stored, password) or person is None or not person.active:
                site.people.audit(login, "sign_in_refused", address)
                values["problem"] = "signin.wrong"
                return site.render.page(request, "signin.html", values, status=401)
            by_login.forget(login.lower())
            site.people.audit(person.login, "sign_in", "password")
            if kept and resume:
                return let_in(request, person, lambda: resume_page(request, resume, kept))
            return let_in(request, person, lambda: see(to or home(person.role)))

        return await run_in_threadpool(check)

    @app.get("/signin/oidc")
    def to_provider(request: Request, next: str = "") -> Response:
        if provider is None:
            raise HTTPException(404, "not_found")
        base = site.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        try:
            begun = provider.start(f"{base}/signin/oidc/back")
        except ProviderFailed as e:
            return at_the_door(request, "signin.provider_failed", 503, e)
        kept = {**begun.kept, "next": local_path(next, "")}
        answer = RedirectResponse(begun.address, 303)
        # Lax, so that it comes along when the provider sends the browser back.
        answer.set_cookie(
            OIDC_COOKIE,
            sign(site.settings.secret, "oidc", kept, time.time() + OIDC_S),
            max_age=OIDC_S,
            httponly=True,
            samesite="lax",
            secure=site.cookie.startswith("__Host-"),
            path="/signin",
        )
        return answer

    @app.get("/signin/oidc/back")
    def from_provider(request: Request) -> Response:
        if provider is None:
            raise HTTPException(404, "not_found")
        kept = read(site.settings.secret, "oidc", request.cookies.get(OIDC_COOKIE, ""))
        try:
            if kept is None:
                raise ProviderFailed("the sign-in was not begun in this browser, or is too old")
            identity = provider.finish(request.query_params, kept)
        except ProviderFailed as e:
            return at_the_door(request, "signin.provider_failed", 401, e)
        person = person_of(identity)
        if person is None or not person.active:
            site.people.audit(identity.login, "sign_in_refused", "oidc")
            return at_the_door(request, "signin.not_known", 403)
        site.people.audit(person.login, "sign_in", "oidc")
        answer = let_in(request, person, lambda: see(kept["next"] or home(person.role)))
        answer.delete_cookie(OIDC_COOKIE, path="/signin")
        return answer

    def at_the_door(
        request: Request, problem: str, status: int, error: Exception | None = None
    ) -> Response:
        if error:
            log.warning("sign-in at the provider: %s", error)
        return site.render.page(request, "signin.html", door(site, problem=problem), status=status)

    def person_of(identity: Identity) -> PersonView | None:
        """Who that is here; roles follow the provider where the configuration maps them."""
        person = site.people.find(identity.login)
        if provider is None or not provider.settings.roles:
            return person if person and person.role != "customer" else None
        if identity.role is None or identity.role not in STAFF:
            return None
        if person is None:
            made = site.people.create(identity.login, identity.name, identity.role)
            site.people.audit(made.login, "person_added", "oidc", {"role": identity.role})
            return made
        if person.role not in STAFF:
            return None
        if person.role != identity.role:
            site.people.audit(person.login, "person_role", "oidc", {"role": identity.role})
            return site.people.change(person.login, role=identity.role)
        return person

    @app.get("/signin/{token}")
    def sign_in_link(request: Request, token: str, next: str = "") -> Response:
        person = site.people.use_link(token)
        if person is None or not person.active:
            return at_the_door(request, "signin.link_used", 401)
        if person.role == "customer":
            return see(f"/my/{token}")
        site.people.audit(person.login, "sign_in", "link")
        return let_in(request, person, lambda: see(local_path(next, home(person.role))))

    @app.post("/signout")
    def sign_out(request: Request) -> Response:
        token = request.cookies.get(site.cookie)
        if token:
            site.people.close_session(token)
        answer = RedirectResponse("/signin", 303)
        answer.delete_cookie(
            site.cookie, path="/", secure=site.cookie.startswith("__Host-"), httponly=True
        )
        answer.delete_cookie(DRILL_COOKIE, path="/")
        return answer

    @app.get("/password")
    def password_page(request: Request) -> Response:
        done = request.query_params.get("done") == "1"
        return site.render.page(request, "password.html", {"problem": "", "done": done})

    @app.post("/password")
    async def password(request: Request) -> Response:
        form = await form_of(request)
        given, again, current = (form.get(k, "") for k in ("password", "again", "current"))
        viewer = viewer_of(request)

        def change() -> Response:
            person = site.people.find(viewer.login)
            stored = person.password_hash if person else None
            problem = ""
            if stored and not (by_login.take(viewer.login) and password_fits(stored, current)):
                problem = "password.current_wrong"
            elif len(given) < PASSWORD_MIN:
                problem = "password.too_short"
            elif given != again:
                problem = "password.differ"
            if problem:
                values = {"problem": problem, "done": False}
                return site.render.page(request, "password.html", values, status=422)
            # It ends every session of the person; this browser goes on with a new one.
            changed = site.people.set_password(viewer.login, HASHER.hash(given))
            site.people.audit(viewer.login, "password_set", viewer.login)
            return let_in(request, changed, lambda: see("/password?done=1"))

        return await run_in_threadpool(change)

    @app.get("/language/{language}")
    def language(request: Request, language: str, next: str = "/") -> Response:
        answer = RedirectResponse(local_path(next), 303)
        if language in LANGUAGES:
            secure = site.cookie.startswith("__Host-")
            answer.set_cookie(
                LANGUAGE_COOKIE, language, max_age=31_536_000, samesite="lax", secure=secure
            )
        return answer
