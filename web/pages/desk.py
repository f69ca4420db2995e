"""The counter: one search box, the answer first, and the caller attached with Enter."""

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError, NotFound
from alerts.states import OPEN_STATES
from desk.answer import Answer
from desk.calls import LOOKED_THROUGH, ringing
from desk.search import Hit
from desk.symptoms import SYMPTOMS, Symptom
from grid.records import Channel, Contact, ContactKind, Incident
from web.forms import Fields, form_of, said_time_us, see
from web.site import Site
from web.viewer import viewer_of

STORY_SHOWN = 40
CALLS_SHOWN = 8
RINGING_SHOWN = 3
HITS_MAX = 20
CHANNELS: tuple[Channel, ...] = ("phone", "counter", "web", "app")
KINDS: tuple[ContactKind, ...] = ("fault", "enquiry", "complaint", "opinion", "application")


def register(app: FastAPI, site: Site) -> None:
    def desk_page(
        request: Request,
        *,
        query: str = "",
        phone: str = "",
        account: str = "",
        problem: str = "",
        draft: Fields | None = None,
        outcome: Any = None,
        status: int = 200,
    ) -> Response:
        viewer = viewer_of(request)
        after = site.outbox_head()
        if phone:
            hits = site.counter.by_phone(phone)
        else:
            hits = site.counter.find(query, limit=HITS_MAX) if query else []
        # One hit is the answer; several are a choice.
        if not account and len(hits) == 1 and hits[0].kind == "customer":
            account = hits[0].account or ""
        answer = None
        if account:
            try:
                answer = outcome.answer if outcome else site.counter.answer(account)
            except NotFound as e:
                problem, status = e.text(site.render.language(request)), 404
        if answer is not None:
            site.people.audit(viewer.login, "view_customer", account)
        part = request.headers.get("hx-request") == "true"  # while somebody types
        with site.ledger.reading() as r:
            newest = r.contacts(limit=LOOKED_THROUGH)
        values: dict[str, Any] = {
            "after": after,
            "query": query,
            "phone": phone,
            "hits": hits,
            "account": account,
            "answer": answer,
            "calls": newest[:CALLS_SHOWN],
            "ringing": () if part else waiting(newest),
            "story": site.counter.timeline(account, viewer.role, STORY_SHOWN) if answer else (),
            "customers": site.network.customer_by_account,
            "tickets": site.board.tickets(role=viewer.role, states=OPEN_STATES, limit=40),
            "channels": CHANNELS,
            "kinds": KINDS,
            "contact_id": draft["external_id"] if draft else secrets.token_urlsafe(12),
            "draft": draft or Fields(),
            "problem": problem,
            "outcome": outcome,
            "symptoms": SYMPTOMS,
            "covered": covered(hits) if answer is None else {},
        }
        return site.render.page(
            request, "_desk_answer.html" if part else "desk.html", values, status=status
        )

    def waiting(calls: Sequence[Contact]) -> list[tuple[Contact, Answer | None]]:
        """Callers whom nobody has taken yet, each with what is known of them."""
        found: list[tuple[Contact, Answer | None]] = []
        for call in ringing(calls, site.clock)[:RINGING_SHOWN]:
            try:
                known = site.counter.answer(call.account) if call.account else None
            except NotFound:  # an account that has gone since
                known = None
            found.append((call, known))
        return found

    def covered(hits: Sequence[Hit]) -> dict[str, Incident]:
        """Of the customers found, those whose trouble is known already."""
        found = site.network.usage_points_of_account
        with site.ledger.reading() as reading:
            known = {
                h.account: site.counter.known_incident(reading, found.get(h.account, ()))
                for h in hits
                if h.account
            }
        return {account: incident for account, incident in known.items() if incident}

    def what_was_said(request: Request, form: Fields) -> str:
        """Symptom, time and own words as one sentence in the clerk's language."""
        reader = site.render.reader(site.render.language(request))
        what = reader.t.word("symptom", form["symptom"]) if form["symptom"] in SYMPTOMS else ""
        at_us = said_time_us(form["since"], site.clock.now_us(), site.render.zone)
        if what and at_us is not None:
            what = reader.t("said.text", what=what, time=reader.clock(at_us))
        elif form["since"]:
            what = f"{what} ({form['since']})".strip()
        elif form["text"] and form["symptom"] in ("no_light", "other"):
            what = ""  # nobody has chosen it: the caller's words say it better
        return ". ".join(x for x in (what, form["text"]) if x)

    def chosen(form: Fields) -> Symptom | None:
        """What the clerk has chosen; None where only the caller's own words say it."""
        if form["text"] and not form["since"] and form["symptom"] in ("no_light", "other"):
            return None
        return next((x for x in SYMPTOMS if x == form["symptom"]), None)

    @app.get("/desk")
    def desk(request: Request, q: str = "", phone: str = "", account: str = "") -> Response:
        query, phone = q.strip()[:200], phone.strip()[:40]
        return desk_page(request, query=query, phone=phone, account=account.strip()[:64])

    @app.post("/desk/calls/{contact_id}/take")
    def take(request: Request, contact_id: int) -> Response:
        """The call is mine: its caller's card opens here, and the others' notices go."""
        try:
            call = site.calls.take(contact_id, viewer_of(request).actor)
        except NotFound as e:
            raise HTTPException(404, "not_found") from e
        except DeskError as e:
            return desk_page(request, problem=e.text(site.render.language(request)), status=409)
        if call.account:
            return see(f"/desk?account={quote(call.account)}")
        return see(f"/desk?phone={quote(call.phone)}")

    @app.post("/desk/contacts")
    async def attach(request: Request) -> Response:
        form = await form_of(request)
        channel, kind = form.get("channel", "phone"), form.get("kind", "fault")
        account = form.get("account", "")
        if channel not in CHANNELS or kind not in KINDS or not form.get("external_id"):
            raise HTTPException(422, "bad_contact")
        viewer = viewer_of(request)
        contact = Contact(
            channel=channel,
            external_id=f"desk:{form['external_id'][:64]}",
            time_us=site.clock.now_us(),
            kind=kind,
            account=account or None,
            phone=form.get("phone", "")[:40],
            text=what_was_said(request, form) if kind == "fault" else form["text"],
            taken_by=viewer.actor.name,
        )
        symptom = chosen(form)
        open_ticket = {"yes": True, "no": False}.get(form.get("open_ticket", ""))
        if kind == "fault" and symptom == "danger" and open_ticket is None:
            open_ticket = True  # nobody waits for a rule while it sparks

        def report() -> Response:
            try:
                outcome = site.counter.report(contact, viewer.actor, open_ticket, symptom)
            except DeskError as e:
                text = e.text(site.render.language(request))
                return desk_page(request, account=account, problem=text, draft=form, status=422)
            return desk_page(request, account=account, outcome=outcome)

        return await run_in_threadpool(report)
