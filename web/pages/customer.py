"""My supply: one sentence first, for the customer who holds the link. Nobody else's data."""

import secrets

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.roles import Actor
from grid.records import Contact
from web.limits import Limit
from web.site import Site


def register(app: FastAPI, site: Site) -> None:
    by_address = Limit(120, 60.0)
    reports = Limit(5, 3600.0)

    def account_of(request: Request, token: str) -> str:
        """The account behind a link; the same answer for every link that is none."""
        address = request.client.host if request.client else ""
        if not by_address.take(address):
            raise HTTPException(429, "slow_down")
        person = site.people.use_link(token)
        if person is None or not person.active or person.role != "customer" or not person.account:
            raise HTTPException(404, "no_link")
        return person.account

    def supply_page(request: Request, token: str, account: str, told: str = "") -> Response:
        try:
            answer = site.counter.answer(account)
        except DeskError as e:
            raise HTTPException(404, "no_link") from e
        values = {"token": token, "answer": answer, "told": told}
        return site.render.page(request, "my.html", values)

    @app.get("/my/{token}")
    def my_supply(request: Request, token: str) -> Response:
        return supply_page(request, token, account_of(request, token))

    @app.post("/my/{token}/still-out")
    async def still_out(request: Request, token: str) -> Response:
        def report() -> Response:
            account = account_of(request, token)
            if not reports.take(account):
                return supply_page(request, token, account, "my.enough")
            contact = Contact(
                channel="web",
                external_id=f"my:{secrets.token_urlsafe(12)}",
                time_us=site.clock.now_us(),
                account=account,
                text="still no power",
            )
            site.counter.report(contact, Actor(account, "customer"))
            return supply_page(request, token, account, "my.told")

        return await run_in_threadpool(report)
