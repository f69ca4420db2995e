"""In front of every route: who asks, may they, is it their own page that asks; and the headers.

Deny by default: a request goes on only to a route of the policy table, with a role that the table
names. A change (POST) by a browser needs its own Origin, and `check_form_token` a form token.
"""

import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grid.errors import ForewattError
from web.doors import People
from web.policy import ANYBODY, BY_LINK, NO_ORIGIN, POLICY, Right
from web.viewer import NOBODY, Viewer, csrf_of, viewer_for, viewer_of

log = logging.getLogger(__name__)

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NO_VIEWER: Final = frozenset({"/static/{path:path}", "/healthz", "/readyz", "/metrics"})
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    # Not no-referrer: with it browsers send `Origin: null` on our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-frame-options": "DENY",
}


def route_key(route: BaseRoute, method: str) -> tuple[str, str]:
    """The entry of the policy table that a route needs."""
    if isinstance(route, Mount):
        return "GET" if method == "HEAD" else method, f"{route.path}/{{path:path}}"
    return "GET" if method == "HEAD" else method, getattr(route, "path", "")


def unlisted(routes: Iterable[BaseRoute]) -> list[str]:
    """Routes without an entry in the policy table, and entries without a route."""
    keys: set[tuple[str, str]] = set()
    for route in routes:
        methods = getattr(route, "methods", None) or {"GET"}
        keys |= {route_key(route, method) for method in methods}
    missing = [f"{m} {p} is in no policy" for m, p in sorted(keys - set(POLICY))]
    unused = [f"{m} {p} has no route" for m, p in sorted(set(POLICY) - keys)]
    return missing + unused


class Guard:
    """The middleware; see the module's docstring."""

    def __init__(
        self, app: ASGIApp, people: People, cookie: str, public_url: str, drill: str = ""
    ) -> None:
        self.app, self.drill, self.realm = app, drill, drill or "live"
        self.people = people
        self.cookie = cookie
        self.public_url = public_url.rstrip("/")
        self.https = public_url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        key, right = self._right(scope)
        safe_send = _Headers(send, key, self.https)
        request = Request(scope, receive)
        if key not in NO_VIEWER:
            try:
                scope["forewatt.viewer"] = await self._viewer(request)
            except ForewattError as e:  # nobody can be known while the database is away
                log.warning("sign-in cannot be checked: %s", e)
                await _refuse(request, 503, "unavailable")(scope, receive, safe_send)
                return
        refusal = self._refusal(request, right)
        try:
            await (refusal or self.app)(scope, receive, safe_send)
        except Exception:
            # Our mistake: the log gets the whole of it, the reader a sentence.
            log.exception("%s %s failed", scope["method"], key or scope["path"])
            if safe_send.started:
                raise
            await _refuse(request, 500, "broken")(scope, receive, safe_send)

    def _right(self, scope: Scope) -> tuple[str, Right]:
        """Path template and right of the route; what no route answers becomes a plain 404."""
        for route in scope["app"].routes:
            match, _ = route.matches(scope)
            if match == Match.FULL:
                key = route_key(route, scope["method"])
                return key[1], POLICY.get(key, frozenset())
        return "", ANYBODY

    async def _viewer(self, request: Request) -> Viewer:
        """Bearer before cookie: a program that sends both means the bearer."""
        authorization = request.headers.get("authorization", "")
        if authorization.lower().startswith("bearer "):
            token = authorization[7:].strip()
            person = await run_in_threadpool(self.people.bearer, token) if token else None
            return viewer_for(person, "bearer")
        token = request.cookies.get(self.cookie, "")
        if not token:
            return NOBODY
        person = await run_in_threadpool(self.people.session, token)
        return viewer_for(person, "session", csrf_of(self.drill + token), csrf_of(token))

    def _refusal(self, request: Request, right: Right) -> Response | None:
        viewer = viewer_of(request)
        free = viewer.via == "bearer" or (
            viewer.via == "nobody" and request.url.path.startswith(NO_ORIGIN)
        )
        if request.method not in SAFE and not free and not self._own_page(request):
            return _refuse(request, 403, "foreign_origin")
        if request.headers.get("x-realm", self.realm) != self.realm:
            # A piece for a page of another realm: a drill was joined or left in another tab.
            return _refuse(request, 403, "form_token")
        if viewer.may(right):
            return None
        if not viewer.signed_in:
            return _to_sign_in(request, self.drill)
        return _refuse(request, 403, "role")

    def _own_page(self, request: Request) -> bool:
        """Whether a change comes from a page of ours, by Origin or else Referer."""
        source = request.headers.get("origin") or request.headers.get("referer", "")
        parts = urlsplit(source)
        if self.public_url:
            return f"{parts.scheme}://{parts.netloc}" == self.public_url
        return bool(parts.netloc) and parts.netloc == request.headers.get("host", "")


class _Headers:
    """Adds the security headers to the answer, and knows whether it has begun."""

    def __init__(self, send: Send, key: str, https: bool) -> None:
        self._send, self._key, self._https = send, key, https
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if self._https:
                headers["strict-transport-security"] = "max-age=31536000"
            if "cache-control" not in headers:
                headers["cache-control"] = "no-store"
            if not self._key.startswith("/static"):
                headers.add_vary_header("Cookie, Accept-Language, HX-Request")
        await self._send(message)


def wants_json(headers: Headers, path: str) -> bool:
    """Whether the caller is a program: the API always, else by its Accept header."""
    return path.startswith("/api/") or "application/json" in headers.get("accept", "")


def _to_sign_in(request: Request, drill: str) -> Response:
    path = request.url.path
    if wants_json(request.headers, path) or path == "/stream":
        return JSONResponse(
            {"error": "sign_in", "detail": "Sign in, or send Authorization: Bearer TOKEN."},
            401,
            {"www-authenticate": "Bearer"},
        )
    if request.headers.get("hx-request") or request.method not in SAFE:
        # The page keeps what was typed and says so; nothing is swapped away.
        return _refuse(request, 401, "session_ended")
    query = f"?{request.url.query}" if request.url.query else ""
    # The drill is left with the session: its addresses would name other rows of the site.
    back = f"/drills/{drill}" if drill else path + query
    return RedirectResponse(f"/signin?next={quote(back, safe='')}", 303)


def _refuse(request: Request, status: int, reason: str) -> Response:
    """Let the app's own error page speak, in the reader's language."""
    return _Raise(HTTPException(status, reason), request)


class _Raise(Response):
    """Hands a refusal to the app's error handler instead of the route."""

    def __init__(self, error: HTTPException, request: Request) -> None:
        super().__init__(status_code=error.status_code)
        self.error = error
        self.request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = scope["app"].exception_handlers[HTTPException]
        response: Response = await handler(self.request, self.error)
        await response(scope, receive, send)


async def check_form_token(request: Request) -> None:
    """Refuse a change by a signed-in browser without the form token of its session."""
    viewer = viewer_of(request)
    if request.method in SAFE or viewer.via != "session" or request.url.path.startswith(BY_LINK):
        return
    given = request.headers.get("x-csrf-token", "")
    if not given and "form" in request.headers.get("content-type", ""):
        form = await request.form(max_files=0, max_fields=100)
        given = str(form.get("_csrf", ""))
    if given != viewer.csrf:
        raise HTTPException(403, "form_token")
