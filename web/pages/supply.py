"""How supply stands: storms, heavily loaded transformers, frequent outages, texts to customers."""

from collections import Counter as Tally
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alerts.errors import DeskError
from alerts.notice_words import TRIGGER_NAMES
from alerts.notices import NoticeSettings, UnknownDraft, draft_notices
from alerts.places import call_rank
from alerts.roles import Role
from alerts.settings import DAY_US
from alerts.storm import DAYS_MAX
from desk.outages import Frequent, check_planned, frequent_customers, frequent_rules
from desk.reports import to_csv
from grid.network import Customer
from grid.records import Ticket
from storage.desk_records import Draft
from storage.loads import judged
from web import policy
from web.forms import Fields, form_of, see, site_time_us, whole
from web.pages.ticket_side import RESULTS
from web.refusals import status_of
from web.site import Site
from web.viewer import viewer_of

FREQUENT_SHOWN: Final = 500
PEOPLE_SHOWN: Final = 12
DEAD_SHOWN: Final = 50
CALLS_SHOWN: Final = 300
TICKETS_MAX: Final = 1_000
CALLS_READ: Final = 20_000
AREA_KINDS: Final = ("feeder", "section", "transformer", "branch")


def register(app: FastAPI, site: Site) -> None:
    _situation(app, site)
    _frequent(app, site)
    _calls(app, site)
    _notices(app, site)


def _situation(app: FastAPI, site: Site) -> None:
    def page(
        request: Request,
        problem: str = "",
        typed: Fields | None = None,
        status: int = 200,
        changed: int | None = None,
    ) -> Response:
        now_us = site.clock.now_us()
        loads = site.settings.loads
        values: dict[str, Any] = {
            "after": site.outbox_head(),
            "may_control": viewer_of(request).may(policy.CONTROL),
            "loads": loads(now_us - DAY_US, now_us) if loads else None,
            "judged": judged(site.network),
            "areas": len(site.network.transformers),
            "area_kinds": AREA_KINDS,
            "days_max": DAYS_MAX,
            "problem": problem,
            "typed": typed or Fields(),
            "changed": changed,
            **site.figures(),
        }
        return site.render.page(request, "supply.html", values, status=status)

    @app.get("/supply")
    def supply(request: Request) -> Response:
        given = request.query_params.get("changed")
        return page(request, changed=whole(given) if given else None)

    @app.post("/supply/{what}")
    async def act(request: Request, what: str) -> Response:
        form = await form_of(request)
        actor, zone = viewer_of(request).actor, site.render.zone

        def run() -> Response:
            address = "/supply"
            try:
                if what == "storm":
                    until_us = site_time_us(form["until"], zone) or 0
                    site.storm.declare(actor, form["reason"], until_us)
                elif what == "storm-end":
                    site.storm.end(actor)
                elif what == "estimate":
                    made = site.storm.estimate_area(
                        (form["asset_kind"], form["asset"]),
                        site_time_us(form["earliest"], zone) or 0,
                        site_time_us(form["latest"], zone) or 0,
                        actor,
                        form["reason"],
                    )
                    address = f"/supply?changed={len(made)}"
                else:
                    raise HTTPException(404, "not_found")
            except DeskError as e:
                form["_what"] = what
                text = e.text(site.render.language(request))
                return page(request, text, form, status_of(e))
            site.forget_storm()
            return see(address)

        return await run_in_threadpool(run)


@dataclass(frozen=True, slots=True)
class Call:
    """A customer without supply to be called before others, and what became of it."""

    customer: Customer
    ticket: Ticket
    result: str = ""
    by: str = ""
    at_us: int | None = None


def calls(site: Site, role: Role) -> list[Call]:
    """Whom to call because of open outages: not reached first, life support before the rest."""
    rows = [
        x
        for x in site.board.tickets(role=role, limit=TICKETS_MAX)
        if x.incident.incident_class == "supply" and x.incident.closed_us is None
    ]
    with site.ledger.reading() as reading:
        said = reading.human_inputs(kinds=("called",), limit=CALLS_READ)
    last = {(h.subject, str(h.data["account"])): h for h in said}
    made: dict[str, Call] = {}
    for x in rows:
        for customer in site.board.places.call_first((x.ticket.asset_kind, x.ticket.asset)):
            call = last.get((f"ticket:{x.ticket.number}", customer.account))
            one = Call(customer, x.ticket)
            if call:
                one = Call(customer, x.ticket, str(call.data["result"]), call.actor, call.at_us)
            made.setdefault(customer.account, one)

    def rank(c: Call) -> tuple[bool, bool, int, int, str]:
        help_first = c.result != "needs_help"
        since_us = c.ticket.opened_us
        return (
            c.result == "reached",
            help_first,
            call_rank(c.customer),
            since_us,
            c.customer.account,
        )

    return sorted(made.values(), key=rank)


def _calls(app: FastAPI, site: Site) -> None:
    @app.get("/supply/calls")
    def call_list(request: Request) -> Response:
        viewer = viewer_of(request)
        after = site.outbox_head()
        found = calls(site, viewer.role)
        site.people.audit(viewer.login, "view_calls", "supply", {"customers": len(found)})
        values: dict[str, Any] = {
            "after": after,
            "calls": found[:CALLS_SHOWN],
            "left": sum(c.result != "reached" for c in found),
            "count": len(found),
            "call_results": RESULTS,
        }
        return site.render.page(request, "calls.html", values)


def _frequent(app: FastAPI, site: Site) -> None:
    def rows() -> list[tuple[str, list[Frequent]]]:
        rules = frequent_rules(*site.desk_settings.frequent)
        return frequent_customers(site.ledger, site.board.places, site.clock.now_us(), rules)

    @app.get("/supply/frequent")
    def frequent(request: Request) -> Response:
        query = request.query_params
        asset = (query.get("asset_kind", "")[:32], query.get("asset", "")[:100])
        named = viewer_of(request).may(policy.PERSONAL_DATA)
        found = rows()
        by_area = Tally(_area(site, account) for account, _ in found)
        exists = bool(asset[1]) and site.network.node(*asset) is not None
        values: dict[str, Any] = {
            "rules": frequent_rules(*site.desk_settings.frequent),
            "count": len(found),
            "exceeded": sum(any(f.level == "exceeded" for f in fs) for _, fs in found),
            "rows": found[:FREQUENT_SHOWN] if named else [],
            "by_area": by_area.most_common(),
            "customers": site.network.customer_by_account,
            "area_of": lambda account: _area(site, account),
            "named": named,
            "asset": asset,
            "area_kinds": AREA_KINDS,
            "missing": bool(asset[1]) and not exists,
            "check": planned_check(site, asset) if exists else None,
            "people_shown": PEOPLE_SHOWN,
        }
        return site.render.page(request, "frequent.html", values)

    @app.get("/supply/frequent.csv")
    def export(request: Request) -> Response:
        made = [line for account, levels in rows() for line in _Line.of(site, account, levels)]
        site.people.audit(viewer_of(request).login, "export", "frequent")
        name = f"{site.settings.drill or 'forewatt'}-frequent.csv"
        return Response(
            "\ufeff" + to_csv(made),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )


def _area(site: Site, account: str) -> str:
    points = site.network.usage_points_of_account.get(account, ())
    return next((p.transformer for p in points if p.transformer), "")


def planned_check(site: Site, asset: tuple[str, str]) -> list[tuple[str, list[Frequent]]]:
    """Accounts that announced work at an asset would bring to a limit or beyond, the latter
    first."""
    rules = frequent_rules(*site.desk_settings.frequent)
    found = check_planned(site.ledger, site.board.places, asset, site.clock.now_us(), rules)
    return sorted(found, key=lambda x: all(f.level != "exceeded" for f in x[1]))


@dataclass(frozen=True, slots=True)
class _Line:
    """One account and rule, for CSV; without names and phones."""

    account: str
    area: str
    rule: str
    count: int
    limit: int
    level: str

    @classmethod
    def of(cls, site: Site, account: str, levels: list[Frequent]) -> list["_Line"]:
        """A line for each rule that the account has reached."""
        area = _area(site, account)
        return [cls(account, area, f.rule.key, f.count, f.rule.count, str(f.level)) for f in levels]


def _notices(app: FastAPI, site: Site) -> None:
    def page(
        request: Request, draft_id: int = 0, problem: str = "", typed: Fields | None = None,
        status: int = 200,
    ) -> Response:  # fmt: skip
        viewer = viewer_of(request)
        now_us = site.clock.now_us()
        with site.ledger.reading() as reading:
            # What waits is shown however old it is: it still goes out once it is approved.
            waiting = reading.drafts()
            recent = reading.drafts(open_only=False, since_us=now_us - 7 * DAY_US)
            found = [*waiting, *(d for d in recent if d.state != "draft")]
            incidents = reading.incidents_by_id([d.incident_id for d in found])
            tickets = reading.tickets_by_incident(list(incidents))
        shown: Draft | None = None
        people: list[Customer] = []
        if draft_id:
            try:
                shown, people = site.notices.preview(draft_id)
            except UnknownDraft as e:
                raise HTTPException(404, "no_draft") from e
        values: dict[str, Any] = {
            "after": site.outbox_head(),
            "waiting": waiting,
            "decided": [d for d in found if d.state != "draft"][-50:][::-1],
            "incidents": incidents,
            "tickets": tickets,
            "triggers": TRIGGER_NAMES,
            "shown": shown,
            "people": people[:PEOPLE_SHOWN] if viewer.may(policy.PERSONAL_DATA) else [],
            "reached": len(people),
            "urgent": sum(call_rank(c) == 0 for c in people),
            "no_phone": sum(not c.phone for c in people),
            "night": (site.settings.notices or NoticeSettings()).night,
            "typed": typed or Fields(),
            "problem": problem,
            "changed": site.notices.changed([*waiting, shown] if shown else waiting),
            "reasons": site.notices.reasons([shown] if shown else []),
            "counts": queue.counts() if (queue := site.settings.delivery) else None,
            "dead": queue.dead(DEAD_SHOWN) if queue else (),
        }
        return site.render.page(request, "notices.html", values, status=status)

    @app.get("/notices")
    def notices(request: Request) -> Response:
        return page(request)

    @app.get("/notices/{draft_id}")
    def notice(request: Request, draft_id: int) -> Response:
        return page(request, draft_id)

    @app.post("/notices")
    def draft(request: Request) -> Response:
        """Draft what has become due."""
        draft_notices(
            site.ledger, site.network, site.clock.now_us(), settings=site.settings.notices
        )
        return see("/notices")

    @app.post("/notices/dead/{notice_id}")
    def revive(request: Request, notice_id: int) -> Response:
        """Try a notice again that could not be delivered."""
        queue = site.settings.delivery
        if queue is None or not queue.revive(notice_id):
            raise HTTPException(404, "no_draft")
        site.people.audit(viewer_of(request).login, "notice_revived", str(notice_id))
        return see("/notices#delivery")

    @app.post("/notices/{draft_id}/{what}")
    async def decide(request: Request, draft_id: int, what: str) -> Response:
        form = await form_of(request)

        def run() -> Response:
            actor = viewer_of(request).actor
            try:
                if what == "approve":
                    text, text_zh = form["text"] or None, form["text_zh"] or None
                    site.notices.approve(draft_id, actor, text=text, text_zh=text_zh)
                elif what == "withdraw":
                    site.notices.withdraw(draft_id, actor)
                else:
                    raise HTTPException(404, "not_found")
            except UnknownDraft as e:
                raise HTTPException(404, "no_draft") from e
            except DeskError as e:
                text = e.text(site.render.language(request))
                return page(request, draft_id, text, form, status_of(e))
            return see("/notices")

        return await run_in_threadpool(run)
