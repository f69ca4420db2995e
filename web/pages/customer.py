"""My supply: one sentence first, for the customer who holds the link. Nobody else's data.

Plain forms and no script: it must open on any phone, on the worst night, within 60 KB.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.roles import Actor
from alerts.settings import DAY_US
from desk.answer import Answer
from desk.counter import mask_name
from desk.ratings import REASONS, STARS
from desk.symptoms import Symptom
from desk.words import told_name
from grid.network import PlannedWork
from grid.records import Contact, ContactKind
from web.forms import Fields, form_of, whole
from web.limits import Limit
from web.links import read
from web.pages.customer_door import OWN, STOP_OF, STOPS
from web.site import Site

AHEAD_US: Final = 30 * DAY_US
KINDS: Final[tuple[ContactKind, ...]] = ("fault", "application", "enquiry", "complaint", "opinion")


def next_update_us(answer: Answer, now_us: int) -> int | None:
    """When the customer hears more at the latest: when the estimate ends, else when the next
    promised step is due; None for what is not being worked on, or is late already."""
    ticket = answer.ticket
    if ticket is None or STOP_OF.get(ticket.state, 0) == len(STOPS) - 1:
        return None
    said = ticket.estimated_latest_us or ticket.estimated_restoration_us or ticket.due_us
    return said if said is not None and said > now_us else None


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a form: a sentence of the catalogue, and what was typed if it was refused."""

    key: str = ""
    problem: str = ""
    typed: Fields | None = None


def register(app: FastAPI, site: Site) -> None:
    by_address = Limit(120, 60.0)
    reports = Limit(5, 3600.0)
    ratings = Limit(10, 3600.0)

    def account_of(request: Request, token: str) -> str:
        """The account behind a link; the same answer for every link that is none."""
        address = request.client.host if request.client else ""
        if not by_address.take(address):
            raise HTTPException(429, "slow_down")
        own = read(site.settings.secret, OWN, token)
        if own is not None:
            return str(own["account"])
        person = site.people.use_link(token)
        if person is None or not person.active or person.role != "customer" or not person.account:
            raise HTTPException(404, "no_link")
        return person.account

    def supply_page(
        request: Request, token: str, account: str, told: Told | None = None, status: int = 200
    ) -> Response:
        told = told or Told()
        try:
            answer = site.counter.answer(account)
        except DeskError as e:
            raise HTTPException(404, "no_link") from e
        ticket = answer.ticket
        values = {
            "token": token,
            "answer": answer,
            "name": mask_name(answer.customer.name),
            "stops": STOPS if answer.script == "known" else (),
            "stop": STOP_OF.get(ticket.state, 0) if ticket else 0,
            "estimate": estimate_of(answer),
            "next_us": next_update_us(answer, site.clock.now_us()),
            "planned": planned_ahead(answer),
            "kinds": KINDS,
            "ratable": site.ratings.ratable(account)[:3],
            "stars": STARS,
            "reasons": REASONS,
            "told_name": told_name,
            "told": told,
            "typed": told.typed or Fields(),
        }
        return site.render.page(request, "my.html", values, status=status)

    def estimate_of(answer: Answer) -> tuple[int, int | None, int] | None:
        """(expected back, at the latest, when that was said); None while nobody knows."""
        ticket = answer.ticket
        if ticket is None or ticket.estimated_restoration_us is None:
            return None
        with site.ledger.reading() as reading:
            steps = reading.steps(ticket.id)
        said = [s.at_us for s in steps if s.action in ("estimate", "dispatch")]
        made_us = said[-1] if said else ticket.opened_us
        return ticket.estimated_restoration_us, ticket.estimated_latest_us, made_us

    def planned_ahead(answer: Answer) -> list[PlannedWork]:
        """Announced work that will touch this customer, the soonest first."""
        now_us = site.clock.now_us()
        covers = site.counter.places.covers
        found = [
            work
            for work in site.network.planned
            if work.end_us > now_us
            and work.start_us < now_us + AHEAD_US
            and any(
                covers((work.asset_kind, work.asset), ("usage_point", p.id))
                for p in answer.usage_points
            )
        ]
        return sorted(found, key=lambda work: work.start_us)[:5]

    async def handled(request: Request, token: str, act: Callable[[str, Fields], Told]) -> Response:
        """Read a form, act for the account behind the link, and show the page with the outcome."""
        form = await form_of(request)

        def run() -> Response:
            account = account_of(request, token)
            try:
                told = act(account, form)
            except DeskError as e:
                text = e.text(site.render.language(request))
                return supply_page(request, token, account, Told(problem=text, typed=form), 422)
            return supply_page(request, token, account, told)

        return await run_in_threadpool(run)

    def report(
        account: str,
        kind: ContactKind,
        text: str,
        phone: str = "",
        symptom: Symptom | None = None,
    ) -> Told:
        if not reports.take(account):
            return Told("my.enough")
        contact = Contact(
            channel="web",
            external_id=f"my:{secrets.token_urlsafe(12)}",
            time_us=site.clock.now_us(),
            kind=kind,
            account=account,
            phone=phone[:40],
            text=text,
        )
        outcome = site.counter.report(contact, Actor(account, "customer"), symptom=symptom)
        if kind != "fault":
            return Told("my.request_taken")
        return Told("my.told_known" if outcome.known else "my.told")

    @app.get("/my/{token}")
    def my_supply(request: Request, token: str) -> Response:
        return supply_page(request, token, account_of(request, token))

    @app.post("/my/{token}/still-out")
    async def still_out(request: Request, token: str) -> Response:
        t = site.render.reader(site.render.language(request)).t
        return await handled(
            request,
            token,
            lambda account, form: report(account, "fault", t("my.still_out"), symptom="no_light"),
        )

    @app.post("/my/{token}/report")
    async def file_report(request: Request, token: str) -> Response:
        def act(account: str, form: Fields) -> Told:
            kind = next((k for k in KINDS if k == form["kind"]), None)
            if kind is None or not form["text"]:
                return Told("my.say_what", typed=form)
            return report(account, kind, form["text"], form["phone"])

        return await handled(request, token, act)

    @app.post("/my/{token}/rate")
    async def rate(request: Request, token: str) -> Response:
        def act(account: str, form: Fields) -> Told:
            if not ratings.take(account):
                return Told("my.enough")
            site.ratings.rate(
                whole(form["ticket"]),
                account,
                whole(form["stars"]),
                Actor(account, "customer"),
                reason=form["reason"],
                text=form["text"],
            )
            return Told("my.rated")

        return await handled(request, token, act)
