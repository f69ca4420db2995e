"""The repair tickets: the ranked list with the reason of each rank, and one ticket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError, NotFound, StaleTicket
from alerts.roles import may_see
from alerts.states import (
    ACTIONS,
    CAUSES,
    HOLD_REASONS,
    MACHINE_STEPS,
    OPEN_STATES,
    STATES,
    VERDICTS,
    action_name,
)
from desk.board import TicketPage
from desk.read_now import Answered
from desk.timeline import TimelineEntry
from grid.records import Ticket, TicketState
from storage.desk_records import Step
from web import policy
from web.crew import CrewDesk, crew_of
from web.forms import Fields, form_of, see, site_time_us, whole
from web.names import place
from web.pages import ticket_calls, ticket_more, ticket_side
from web.pages.alerts import known_before_s
from web.pages.crew import crew_link, photo_answer
from web.presence import Presence
from web.refusals import status_of
from web.site import Site
from web.viewer import viewer_of

PAGE = 200
FINAL_STATES = tuple(s for s in STATES if s not in OPEN_STATES)

# Fields of the form that an action takes, with the name the desk gives them.
DETAILS = {
    "note": ("text",),
    "dispatch": ("team", "estimated_us"),
    "assign": ("crew",),
    "accept": ("note",),
    "arrive": ("note",),
    "restore": ("note",),
    "verify": ("note",),
    "call_back": ("note",),
    "close": ("verdict", "cause_code", "note"),
    "send_back": ("reason",),
    "hold": ("reason", "note"),
    "cancel": ("reason",),
    "merge": ("target_number",),
    "reopen": ("reason",),
    "prioritise": ("priority", "reason"),
    "estimate": ("estimated_us", "reason"),
    "hand_over": ("to", "reason"),
}
# The step a person most likely takes next, as the one highlighted button.
USUAL_NEXT = ("take", "dispatch", "assign", "accept", "arrive", "restore", "verify", "close")


def details_of(action: str, given: dict[str, Any], site: Site) -> dict[str, Any]:
    """What the desk's action takes, out of a form or a JSON object; empty fields are left out."""
    values = dict(given)
    if "estimated" in values:
        values["estimated_us"] = site_time_us(str(values["estimated"]), site.render.zone)
    if values.get("priority") not in (None, ""):
        values["priority"] = whole(str(values["priority"]), -1)
    wanted = DETAILS.get(action, ())
    return {k: values[k] for k in wanted if values.get(k) not in (None, "")}


# The crew's work is over: what is left is to verify, to call back, to close.
DONE: Final[tuple[TicketState, ...]] = ("restored", "verified", "callback")


def usual_next(ticket: Ticket, allowed: Sequence[str]) -> str | None:
    """The action that leads on from here; taking it again helps only while nobody has it.

    Closing is possible from any state, but leads on only where the work is done.
    """
    for action in USUAL_NEXT:
        if action == "close" and ticket.state not in DONE:
            continue
        again = ACTIONS[action].to_state == ticket.state
        if action in allowed and (not again or (action == "take" and not ticket.assignee)):
            return action
    return None


def by_machine(text: str) -> bool:
    """Whether a step is the machine's own: its reason repeats what stands elsewhere."""
    return text.startswith(tuple(name for name, _ in MACHINE_STEPS.values()))


def told(entries: Sequence[TimelineEntry]) -> list[tuple[TimelineEntry, int, int]]:
    """The history newest first; calls without anything between them are one line: the newest of
    them, how many, when the first was. (The machine's step about a call is left out.)"""
    lines: list[tuple[TimelineEntry, int, int]] = []
    for entry in reversed(entries):
        if entry.kind == "step" and entry.text.startswith(MACHINE_STEPS["contact"][0]):
            continue
        newer = lines[-1] if lines else None
        if newer and entry.kind == newer[0].kind == "contact":
            lines[-1] = (newer[0], newer[1] + 1, entry.at_us)
        else:
            lines.append((entry, 1, entry.at_us))
    return lines


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """An edit that came too late: what others did in between, and what was wanted.

    possible : the action can still be done to the ticket as it is now
    """

    steps: tuple[Step, ...]
    action: str
    typed: tuple[tuple[str, str], ...]
    possible: bool


def meanwhile(site: Site, page: TicketPage, draft: Fields) -> Meanwhile:
    """What to show to somebody whose edit was overtaken: both sides, and nothing lost."""
    action, version = draft["_action"], whole(draft["version"])
    with site.ledger.reading() as reading:
        steps = [s for s in reading.steps(page.ticket.id) if s.version > version]
    typed = [(k, v) for k, v in draft.items() if v and k not in ("version", "_action")]
    return Meanwhile(tuple(steps), action, tuple(typed), action in page.allowed)


def register(app: FastAPI, site: Site) -> None:
    presence = Presence()
    crews = CrewDesk(site.tickets, site.settings.secret)

    @app.get("/tickets")
    def tickets(request: Request) -> Response:
        viewer = viewer_of(request)
        show = request.query_params.get("show", "open")
        query: dict[str, Any] = {"role": viewer.role, "limit": PAGE}
        if show == "done":
            query["states"] = FINAL_STATES
        elif show == "mine":
            query["assignee"] = viewer.actor.name
        else:
            show = "open"
        after = site.outbox_head()
        values = {
            "after": after,
            "show": show,
            "rows": site.board.tickets(**query),
            "most": PAGE,
            **site.figures(),
        }
        return site.render.page(request, "tickets.html", values)

    def ticket_page(
        request: Request,
        ticket_id: int,
        problem: str = "",
        draft: Fields | None = None,
        status: int = 200,
        crew_address: str = "",
        stale: bool = False,
        answers: Sequence[Answered] = (),
    ) -> Response:
        viewer = viewer_of(request)
        after = site.outbox_head()
        language = site.render.language(request)
        page = site.board.ticket(ticket_id, viewer.role, language)
        if page is None:
            raise HTTPException(404, "no_ticket")
        reader = site.render.reader(language)
        ticket = page.ticket
        values = {
            "after": after,
            "page": page,
            "ticket": ticket,
            "place": place(reader.t, site.network, ticket.asset_kind, ticket.asset),
            "procedure": page.procedure,
            "timeline": told(page.timeline),
            "by_machine": by_machine,
            "usual": usual_next(ticket, page.allowed),
            "actions": ACTIONS,
            "verdicts": VERDICTS,
            "causes": CAUSES,
            "hold_reasons": HOLD_REASONS,
            "teams": site.network.teams,
            "may_names": viewer.may(policy.PERSONAL_DATA),
            "may_change": viewer.may(policy.TICKETS),
            "known_before_s": known_before_s(page.incident),
            "names": {
                c.account: site.network.customer_by_account[c.account].name
                for c in page.contacts
                if c.account and c.account in site.network.customer_by_account
            },
            "problem": problem,
            "draft": draft or Fields(),
            "meanwhile": meanwhile(site, page, draft) if stale and draft else None,
            "action_name": action_name,
            "found_cause": crews.cause(ticket),
            "others": presence.here(ticket_id, viewer.login, viewer.name or viewer.login, False),
            **ticket_side.side_values(site, page, viewer),
            **ticket_more.more_values(site, page, viewer, language),
            "answers": answers,
            # A link would lead to the site's own ticket of that number.
            "crew": None if site.settings.drill else crew_of_ticket(ticket),
            "crew_address": crew_address,
            "photos": site.settings.photos.list(ticket.id) if site.settings.photos else (),
        }
        return site.render.page(request, "ticket.html", values, status=status)

    ticket_side.register(app, site, presence, ticket_page)
    ticket_more.register(app, site, ticket_page)
    ticket_calls.register(app, site, ticket_page)

    @app.get("/tickets/{ticket_id}")
    def ticket(request: Request, ticket_id: int) -> Response:
        return ticket_page(request, ticket_id)

    def crew_of_ticket(ticket: Ticket) -> str | None:
        with site.ledger.reading() as reading:
            return crew_of(ticket, reading.steps(ticket.id))

    @app.post("/tickets/{ticket_id}/crew-link")
    def make_crew_link(request: Request, ticket_id: int) -> Response:
        viewer = viewer_of(request)
        page = site.board.ticket(ticket_id, viewer.role)
        who = crew_of_ticket(page.ticket) if page and not site.settings.drill else None
        if page is None or who is None or not may_see(page.ticket.work, "crew"):
            raise HTTPException(404, "no_ticket")
        site.people.audit(viewer.login, "crew_link", page.ticket.number, {"crew": who})
        base = site.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        return ticket_page(
            request, ticket_id, crew_address=base + crew_link(site, page.ticket, who)
        )

    @app.get("/tickets/{ticket_id}/photos/{digest}")
    def photo(request: Request, ticket_id: int, digest: str) -> Response:
        if site.board.ticket(ticket_id, viewer_of(request).role) is None:
            raise HTTPException(404, "no_ticket")
        return photo_answer(site, ticket_id, digest)

    @app.post("/tickets/{ticket_id}/{action}")
    async def act(request: Request, ticket_id: int, action: str) -> Response:
        if action not in ACTIONS:
            raise HTTPException(404, "no_action")
        form = await form_of(request)
        viewer = viewer_of(request)

        def perform() -> Response:
            details = details_of(action, dict(form), site)
            try:
                site.tickets.perform(
                    action, ticket_id, viewer.actor, whole(form.get("version")), **details
                )
            except DeskError as e:
                text = e.text(site.render.language(request))
                if isinstance(e, NotFound):
                    raise HTTPException(404, "no_ticket") from e
                form["_action"] = action
                stale = isinstance(e, StaleTicket)
                return ticket_page(request, ticket_id, text, form, status_of(e), stale=stale)
            return see(f"/tickets/{ticket_id}")

        return await run_in_threadpool(perform)
