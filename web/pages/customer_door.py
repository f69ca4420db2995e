"""My supply without a link: where the supply is known to be lost, for everybody; and the door to
one's own page, by a code that goes to the telephone in the records.

As small and as plain as the page behind it: no script. It names places by the names people know
and never a customer; a place with few customers is left out, a single dark house is nobody's
business.
"""

import time
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.notice_words import told_place
from alerts.overtaken import power_back_us
from desk.own_code import OwnCode
from grid.network import PlannedWork
from grid.records import Incident, Ticket, TicketState
from web.forms import Fields, form_of, see
from web.lately import Lately
from web.limits import Limit
from web.links import sign
from web.site import Site

OWN: Final = "own supply"  # what a link is signed for
OWN_S: Final = 12 * 3600.0
KEPT_S: Final = 3.0
CUSTOMERS_MIN: Final = 5
AREAS_MAX: Final = 30
WORKS_MAX: Final = 10
AHEAD_US: Final = 7 * 86_400_000_000
# The four stops of an outage as a customer sees them, by what the crew has reported.
STOPS: Final = ("known", "on_the_way", "on_site", "restored")
STOP_OF: Final[dict[TicketState, int]] = {
    "accepted": 1,  # told is not yet on the way: no stop promises more than the sentence
    "on_site": 2,
    "restored": 3,
    "verified": 3,
    "callback": 3,
}


@dataclass(frozen=True, slots=True)
class Area:
    """A place that lost supply: its name, ("", "") where it has none, how far the repair is, and
    since when its meters have power again (None: not all of it)."""

    name: tuple[str, str]
    incident: Incident
    ticket: Ticket | None
    back_us: int | None


def register(app: FastAPI, site: Site) -> None:
    settings = site.settings
    codes = OwnCode(site.ledger, site.network, site.clock, settings.secret, settings.notices)
    by_address = Limit(120, 60.0)
    sent_to = Limit(3, 3600.0)
    asked_from = Limit(10, 3600.0)
    tried = Limit(5, 900.0)
    tried_from = Limit(30, 900.0)

    def address_of(request: Request) -> str:
        address = request.client.host if request.client else ""
        if not by_address.take(address):
            raise HTTPException(429, "slow_down")
        return address

    found_lately: Lately[str, list[Area]] = Lately()

    def areas() -> list[Area]:
        """At most some seconds old: on the worst night everybody asks."""
        return found_lately.get("now", KEPT_S, find_areas)

    def find_areas() -> list[Area]:
        with site.ledger.reading() as reading:
            found = [
                i
                for i in reading.incidents(incident_class="supply", limit=10_000)
                if i.fault == "outage" and i.customers >= CUSTOMERS_MIN
            ]
            found.sort(key=lambda i: -i.customers)
            shown = [i.id for i in found[:AREAS_MAX]]
            tickets, alerts = reading.tickets_by_incident(shown), reading.alerts_of(shown)
        return [
            Area(
                told_place(site.network, i.asset_kind, i.asset),
                i,
                tickets.get(i.id),
                power_back_us(alerts.get(i.id, ())),
            )
            for i in found[:AREAS_MAX]
        ]

    def works() -> list[tuple[PlannedWork, tuple[str, str]]]:
        """Announced work of the week with the name of its place, the soonest first."""
        now_us = site.clock.now_us()
        ahead = [
            w
            for w in site.network.planned
            if w.end_us > now_us
            and w.start_us < now_us + AHEAD_US
            and len(site.places.customers((w.asset_kind, w.asset))) >= CUSTOMERS_MIN
        ]
        ahead.sort(key=lambda w: w.start_us)
        named = site.network
        return [(w, told_place(named, w.asset_kind, w.asset)) for w in ahead[:WORKS_MAX]]

    def page(
        request: Request, *, sent: bool = False, problem: str = "", typed: Fields | None = None
    ) -> Response:
        values = {
            "areas": areas(),
            "works": works(),
            "by_code": settings.texts,
            "stops": STOPS,
            "stop_of": STOP_OF,
            "sent": sent,
            "problem": problem,
            "typed": typed or Fields(),
        }
        return site.render.page(request, "supply_area.html", values, status=422 if problem else 200)

    @app.get("/my")
    def area_state(request: Request) -> Response:
        address_of(request)
        return page(request)

    @app.post("/my/code")
    async def send_code(request: Request) -> Response:
        form = await form_of(request)

        def act() -> Response:
            address, account = address_of(request), form["account"][:64]
            if not settings.texts:
                raise HTTPException(404, "no_link")
            if not account or not form["phone"]:
                return page(request, problem="my.say_both", typed=form)
            if not asked_from.take(address):
                raise HTTPException(429, "slow_down")
            # The same answer whoever was meant, and however often; and as soon: what is sent is
            # sent after it. Only messages count: who knows an account alone can use up none.
            phone = form["phone"][:40]
            answer = page(request, sent=True, typed=form)
            if codes.belongs(account, phone) and sent_to.take(account):
                answer.background = BackgroundTask(codes.send, account, phone)
            return answer

        return await run_in_threadpool(act)

    @app.post("/my/enter")
    async def enter(request: Request) -> Response:
        form = await form_of(request)

        def act() -> Response:
            address, account = address_of(request), form["account"][:64]
            if not tried_from.take(address) or not tried.take(account):
                raise HTTPException(429, "slow_down")
            if not codes.take(account, form["code"][:20]):
                return page(request, sent=True, problem="my.code_wrong", typed=form)
            tried.forget(account)
            site.people.audit(account, "sign_in", "code")
            return see(
                f"/my/{sign(settings.secret, OWN, {'account': account}, time.time() + OWN_S)}"
            )

        return await run_in_threadpool(act)
