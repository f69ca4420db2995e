"""A ticket's calls: one that is about something else is taken off again."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from alerts.errors import DeskError
from web.forms import form_of, see, whole
from web.refusals import status_of
from web.site import Site
from web.viewer import viewer_of


def register(app: FastAPI, site: Site, show: Any) -> None:
    """`show(request, ticket_id, **more)` renders the ticket's page."""

    @app.post("/tickets/{ticket_id}/split")
    async def split(request: Request, ticket_id: int) -> Response:
        form = await form_of(request)
        viewer = viewer_of(request)

        def act() -> Response:
            try:
                to = site.splits.split(
                    ticket_id, whole(form["contact"]), viewer.actor, form["reason"], form["number"]
                )
            except DeskError as e:
                text = e.text(site.render.language(request))
                form["_action"] = f"split {form['contact']}"
                refused: Response = show(request, ticket_id, text, form, status_of(e))
                return refused
            return see(f"/tickets/{to.id}#ticket-calls")

        return await run_in_threadpool(act)
