"""What stands beside a ticket: colleagues, its checklist, the call list, texts to customers."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.notices import TextOvertaken, draft_notices
from alerts.roles import Role
from desk.board import TicketPage
from grid.network import Customer
from storage.desk_records import HumanInput
from web import policy
from web.forms import form_of, see, whole
from web.presence import Presence
from web.site import Site
from web.viewer import Viewer, viewer_of

RESULTS: Final = ("reached", "no_answer", "needs_help")
CALLS_SHOWN: Final = 60
# Those who may decide what customers are told; `NoticeDesk` refuses everybody else.
TEXT_ROLES: Final[frozenset[Role]] = frozenset({"operator", "dispatcher", "engineer", "admin"})


@dataclass(frozen=True, slots=True)
class CallLine:
    """One customer who is to be called before others, and what became of it."""

    customer: Customer
    result: str = ""
    by: str = ""
    at_us: int | None = None


def call_list(site: Site, page: TicketPage) -> list[CallLine]:
    """Whom to call, those not reached yet first."""
    with site.ledger.reading() as reading:
        said = reading.human_inputs(
            subject=f"ticket:{page.ticket.number}", kinds=("called",), limit=10_000
        )
    last = {str(h.data["account"]): h for h in said}
    lines = []
    for customer in page.call_first[:CALLS_SHOWN]:
        call = last.get(customer.account)
        lines.append(
            CallLine(customer, str(call.data["result"]), call.actor, call.at_us)
            if call
            else CallLine(customer)
        )
    return sorted(lines, key=lambda x: x.result == "reached")


def side_values(site: Site, page: TicketPage, viewer: Viewer) -> dict[str, Any]:
    """Values of the template for this part of the page."""
    with site.ledger.reading() as reading:
        drafts = reading.drafts(open_only=False, incident_id=page.incident.id)
    return {
        "call_list": call_list(site, page) if viewer.may(policy.PERSONAL_DATA) else [],
        "call_results": RESULTS,
        "ticks": {(x.part, x.index): x for x in page.ticked},
        "drafts": drafts,
        "changed": site.notices.changed(drafts),
        "reasons": site.notices.reasons(drafts),
        "may_text": viewer.role in TEXT_ROLES,
    }


def register(app: FastAPI, site: Site, presence: Presence, show: Any) -> None:
    """`show(request, ticket_id, **more)` renders the ticket's page."""
    notices = site.notices

    def page_of(ticket_id: int, viewer: Viewer) -> TicketPage:
        page = site.board.ticket(ticket_id, viewer.role)
        if page is None:
            raise HTTPException(404, "no_ticket")
        return page

    def refused(request: Request, error: DeskError) -> HTTPException:
        return HTTPException(409, error.text(site.render.language(request)))

    @app.post("/tickets/{ticket_id}/here")
    async def here(request: Request, ticket_id: int) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)
        others = presence.here(
            ticket_id, viewer.login, viewer.name or viewer.login, form["writing"] == "1"
        )
        return JSONResponse({"others": [{"name": o.name, "writing": o.writing} for o in others]})

    @app.post("/tickets/{ticket_id}/tick")
    async def tick(request: Request, ticket_id: int) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> Response:
            try:
                site.checklists.tick(
                    ticket_id,
                    viewer.actor,
                    form["part"],
                    whole(form["index"], -1),
                    done=form["done"] == "1",
                )
            except DeskError as e:
                raise refused(request, e) from e
            return see(f"/tickets/{ticket_id}#checklist")

        return await run_in_threadpool(act)

    @app.post("/tickets/{ticket_id}/called")
    async def called(request: Request, ticket_id: int) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> Response:
            page = page_of(ticket_id, viewer)
            account, result = form["account"], form["result"]
            if result not in RESULTS or account not in {c.account for c in page.call_first}:
                raise HTTPException(422, "invalid")
            subject = f"ticket:{page.ticket.number}"
            given = {"account": account, "result": result}
            now_us = site.clock.now_us()
            with site.ledger.transaction() as tx:
                tx.add_human_input(HumanInput("called", subject, viewer.actor.name, now_us, given))
                data = {"action": "called", "number": page.ticket.number, "work": page.ticket.work}
                tx.publish("ticket", str(ticket_id), now_us, data)
            back = "/supply/calls" if form["next"] == "/supply/calls" else ""
            return see(back or f"/tickets/{ticket_id}#call-list")

        return await run_in_threadpool(act)

    @app.post("/tickets/{ticket_id}/texts")
    async def texts(request: Request, ticket_id: int) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> Response:
            page = page_of(ticket_id, viewer)
            draft_id = whole(form["draft"])
            try:
                if form["what"] == "draft" and viewer.role in TEXT_ROLES:
                    draft_notices(
                        site.ledger,
                        site.network,
                        site.clock.now_us(),
                        settings=site.settings.notices,
                    )
                elif not _belongs(site, draft_id, page):
                    raise HTTPException(404, "not_found")
                elif form["what"] == "approve":
                    notices.approve(
                        draft_id, viewer.actor, text=form["text"], text_zh=form["text_zh"]
                    )
                elif form["what"] == "withdraw":
                    notices.withdraw(draft_id, viewer.actor)
            except TextOvertaken as e:  # what was typed is shown beside what is right now
                form["_action"] = "texts"
                said = e.text(site.render.language(request))
                answer: Response = show(request, ticket_id, said, form, 409)
                return answer
            except DeskError as e:
                raise refused(request, e) from e
            return see(f"/tickets/{ticket_id}#texts")

        return await run_in_threadpool(act)


def _belongs(site: Site, draft_id: int, page: TicketPage) -> bool:
    with site.ledger.reading() as reading:
        draft = reading.draft(draft_id)
    return draft is not None and draft.incident_id == page.incident.id
