"""Drills on the site's own pages: whoever takes part sees alerts, tickets and desk of the drill.

A cookie, good for one session only, says in which drill somebody takes part. Their working pages
are then answered by an app of their own on the drill's ledger: the same pages, other rows. What is
not work (sign-in, people, knowledge, the drills themselves) stays the site's. Photos, links of
crews and read-now requests would reach the outside or the live rows, so a drill has none of them.
"""

import hmac
import logging
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from secrets import token_bytes
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from desk.answer import NoReadings
from desk.drill_script import Script, write_script
from desk.drills import PREFIX, Drill, DrillDesk
from grid.errors import ForewattError
from web.settings import WebSettings
from web.viewer import csrf_of

COOKIE: Final = "forewatt-drill"
APPS_MAX: Final = 8
ADVANCE_S: Final = 1.0
# What is the site's own even for somebody in a drill.
LIVE: Final = (
    "/drills",
    "/knowledge",
    "/cases",
    "/admin",
    "/engineer",
    "/devices",
    "/signin",
    "/signout",
    "/password",
    "/language",
    "/static",
    "/my",
    "/crew",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/public",
    "/api/v1/realms",
)

log = logging.getLogger(__name__)


def ticket_to(realm: str, session: str) -> str:
    """The cookie of somebody who takes part: it ends with the session it was given to."""
    return f"{realm}:{csrf_of(session)[:16]}"


def realm_of(request: Request, cookie: str) -> str | None:
    """The drill in which the sender takes part; `cookie` is the name of the session's."""
    realm, _, proof = request.cookies.get(COOKIE, "").rpartition(":")
    session = request.cookies.get(cookie, "")
    if not session or not realm.startswith(PREFIX):
        return None
    # As bytes: text that is not ASCII would be an error there.
    own = hmac.compare_digest(proof.encode(), csrf_of(session)[:16].encode())
    return realm if own else None


class Rehearsals:
    """The drills of a site and the apps that show them; at most `APPS_MAX` are kept ready."""

    def __init__(self, settings: WebSettings, make: Callable[[WebSettings], FastAPI]) -> None:
        self.settings, self._make = settings, make
        self._left: dict[str, list[int]] = {}  # realm to the times that have not come yet
        self._apps: OrderedDict[str, FastAPI] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def names(self) -> Sequence[str]:
        """The realms of drills, in no special order."""
        return self.settings.realms(PREFIX) if self.settings.ledger_of is not None else ()

    def desk(self, realm: str, *, new: bool = False) -> DrillDesk | None:
        """The drill of a realm; None where there is none, or no drills at all."""
        s = self.settings
        if s.ledger_of is None or (not new and realm not in self.names()):
            return None
        return DrillDesk(s.ledger_of(realm), s.network, s.clock)

    def running(self) -> list[Drill]:
        """Drills that have begun and not ended."""
        desks = (self.desk(name) for name in self.names())
        found = (d.state() for d in desks if d is not None)
        return [d for d in found if d is not None and d.ended_us is None]

    def app(self, realm: str) -> FastAPI | None:
        """The pages of a drill; None where there is no such drill.

        The lock guards the table alone: nobody waits for the database, for an app being made or
        for a stream that ends, because of another drill.
        """
        with self._lock:
            if realm in self._apps:
                self._apps.move_to_end(realm)
                return self._apps[realm]
        desk = self.desk(realm)
        if desk is None or desk.state() is None:
            return None
        made = self._make(self._rehearsed(realm))
        gone = []
        with self._lock:
            # Somebody may have been faster; one that was never started needs no end.
            made = self._apps.setdefault(realm, made)
            self._apps.move_to_end(realm)
            while len(self._apps) > APPS_MAX:
                gone.append(self._apps.popitem(last=False)[1])
            for name in self._left.keys() - self._apps.keys():
                self._left.pop(name, None)
        for old in gone:
            old.state.site.hub.stop(wait=False)
        return made

    def wake(self, realm: str, app: FastAPI) -> bool:
        """Start an app's stream with the first request; call from the event loop. False for one
        that has been put away meanwhile: it stays asleep."""
        with self._lock:
            kept = self._apps.get(realm) is app
            if kept and not app.state.site.hub.started:
                app.state.site.hub.start()
            return kept

    def _rehearsed(self, realm: str) -> WebSettings:
        s = self.settings
        assert s.ledger_of is not None, "only a site with drills comes here"
        return replace(
            s,
            ledger=s.ledger_of(realm),
            knowledge=s.knowledge or s.ledger,
            supply=NoReadings(),
            site_name=f"演练 DRILL · {s.site_name}",
            drill=realm,
            secret=token_bytes(32),
            photos=None,
            delivery=None,
            head_end=None,
            trials=None,
            kept=None,
            ledger_of=None,
            checks=(),
        )

    # -- what happens by itself ------------------------------------------------------------

    def start(self) -> None:
        """Play on, once a second, what the drills shown here bring next."""
        self._stop.clear()
        if self.settings.ledger_of is not None:
            self._thread = threading.Thread(target=self._run, name="drills", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """No more of it, and no stream of a drill either."""
        self._stop.set()
        with self._lock:
            apps = list(self._apps.values())
            self._apps.clear()
        for app in apps:
            app.state.site.hub.stop()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.wait(ADVANCE_S):
            with self._lock:
                shown = list(self._apps)
            for realm in shown:
                self.advance(realm)

    def advance(self, realm: str) -> None:
        """Play what has become due; a drill that cannot go on must not stop the site."""
        now_us = self.settings.clock.now_us()
        left = self._left.get(realm)
        if left is not None and (not left or left[0] > now_us):
            return  # the database need not be asked
        try:
            desk = self.desk(realm)
            drill = desk.state() if desk is not None else None
            if desk is None or drill is None:
                return
            if left is None:
                left = _times(write_script(desk.network, drill.scene, drill.seed, drill.start_us))
            desk.advance()
            self._left[realm] = left[bisect_right(left, now_us) :]
        except ForewattError as e:
            log.warning("drill %s cannot go on: %s", realm, e)
        except Exception:
            log.exception("drill %s cannot go on", realm)  # the others do


def _times(script: Script) -> list[int]:
    """When something happens in a drill, in order."""
    return sorted(
        [*(e.finding.known_us for e in script.events), *(c.time_us for c in script.contacts)]
    )


def answered_live(scope: Scope) -> bool:
    """Whether the site's own app answers: its own pages, and the stream of a page of its own."""
    if scope["path"] == "/stream":
        return b"realm=live" in scope["query_string"].split(b"&")
    return str(scope["path"]).startswith(LIVE)


class DrillSwitch:
    """The outermost middleware: hands the working pages of who takes part to the drill's app."""

    def __init__(self, app: ASGIApp, rehearsals: Rehearsals, cookie: str) -> None:
        self.app, self.rehearsals, self.cookie = app, rehearsals, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not answered_live(scope):
            realm = realm_of(Request(scope), self.cookie)
            if realm is not None:
                await (await self._answer(realm))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _answer(self, realm: str) -> ASGIApp:
        """The drill's app. Never the site's own instead: what was meant for a drill must not
        happen to the grid."""
        try:
            app = await run_in_threadpool(self.rehearsals.app, realm)
        except ForewattError as e:
            log.warning("drill %s cannot be shown: %s", realm, e)
            return PlainTextResponse(f"演练暂不可用。 The drill is not available: {e}", 503)
        if app is None:
            gone = RedirectResponse("/drills", 303)
            gone.delete_cookie(COOKIE)
            return gone
        if not self.rehearsals.wake(realm, app):
            # A stream of an app that sleeps would be silent and never end: the page asks again.
            return PlainTextResponse("请重新加载。 Load the page again.", 503, {"retry-after": "1"})
        return app
