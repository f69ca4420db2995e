"""What helps on a ticket beyond its own rows: what is known of such faults, the notice of the
outage to copy, a first estimate, and meters that can be asked now."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError, MissingDetail
from desk.board import TicketPage
from desk.outage_notice import outage_notice
from desk.read_now import DEVICES_MAX, Answered
from web import policy
from web.i18n import Language
from web.refusals import status_of
from web.site import Site
from web.viewer import Viewer, viewer_of

KNOWN_SHOWN: Final = 3
DRILL_MARK: Final = {"zh-CN": "【演练】", "en": "[DRILL] "}


def more_values(site: Site, page: TicketPage, viewer: Viewer, language: Language) -> dict[str, Any]:
    """Values of the ticket's template for this part of the page."""
    ticket, now_us = page.ticket, site.clock.now_us()
    supply = page.incident.incident_class == "supply"
    notice = (
        outage_notice(
            site.ledger,
            site.network,
            ticket.id,
            now_us,
            language=language,
            time_zone=site.settings.time_zone,
        )
        if supply
        else None
    )
    if notice and site.settings.drill:
        notice = DRILL_MARK[language] + notice
    articles, similar = site.known_of(ticket.fault, viewer.role)
    wants_estimate = ticket.estimated_restoration_us is None and "estimate" in page.allowed
    return {
        "articles": articles[:KNOWN_SHOWN],
        "similar": [c for c in similar if c.number != ticket.number][:KNOWN_SHOWN],
        "outage_notice": notice,
        "suggestion": site.suggested(ticket) if supply and wants_estimate else None,
        "may_ask": supply
        and site.read_now is not None
        and ticket.closed_us is None
        and viewer.may(policy.TICKETS),
    }


def ask_meters(site: Site, page: TicketPage, viewer: Viewer) -> Mapping[str, Answered]:
    """召测: ask the meters around an outage that have not been heard since, as many as one request
    may name; raises what `desk.read_now.ReadNow.ask` raises."""
    assert site.read_now is not None, "the route asks first"
    picture = site.locate.picture(page.incident.id, viewer.role)
    if not picture.silent:
        raise MissingDetail(
            "devices",
            "Every meter around it has been heard since.",
            "周边电表均已有数据，无需召测。",
        )
    answers = site.read_now.ask(
        picture.silent[:DEVICES_MAX], viewer.actor, incident_id=page.incident.id
    )
    site.people.audit(viewer.login, "read_now", page.ticket.number, {"meters": len(answers)})
    return answers


def register(app: FastAPI, site: Site, show: Any) -> None:
    """`show(request, ticket_id, **more)` renders the ticket's page."""

    @app.post("/tickets/{ticket_id}/read-now")
    async def read_now(request: Request, ticket_id: int) -> Response:
        viewer = viewer_of(request)

        def act() -> Response:
            page = site.board.ticket(ticket_id, viewer.role)
            if page is None:
                raise HTTPException(404, "no_ticket")
            if site.read_now is None:
                raise HTTPException(404, "no_head_end")
            try:
                answers = ask_meters(site, page, viewer)
            except DeskError as e:
                text = e.text(site.render.language(request))
                answer: Response = show(request, ticket_id, text, status=status_of(e))
                return answer
            shown: Response = show(request, ticket_id, answers=list(answers.values()))
            return shown

        return await run_in_threadpool(act)
