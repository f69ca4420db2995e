"""Reports, realms and the public status through the API; every report also as CSV."""

import hmac
from dataclasses import asdict
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from alerts.errors import MissingDetail
from alerts.roles import may_see
from alerts.settings import DAY_US
from desk.outages import frequent_customers, frequent_rules
from desk.queues import queues, stuck
from desk.reports import Report, report, to_csv
from desk.search import digits
from web.api_calls import Body, change, query, writes
from web.api_json import moment_us, refusal
from web.limits import Limit
from web.policy import PERSONAL_DATA
from web.reliability import reliability
from web.site import Site
from web.viewer import Viewer, viewer_of

DAYS_MAX: Final = 400
PHONE_DIGITS: Final = 4


class StatusIn(Body):
    """Who asks: an account and the last digits of the phone that stands with it."""

    account: str = Field(min_length=1, max_length=64)
    phone: str = Field(min_length=PHONE_DIGITS, max_length=40)


def register(app: FastAPI, site: Site) -> None:
    def span(request: Request) -> tuple[int, int]:
        """[from, to) of a report; the last thirty days without it."""
        q, now_us = request.query_params, site.clock.now_us()
        end_us = moment_us(q, "to", now_us)
        end_us = now_us if end_us is None else end_us
        start_us = moment_us(q, "from", now_us)
        start_us = end_us - 30 * DAY_US if start_us is None else start_us
        if not 0 <= start_us < end_us or end_us - start_us > DAYS_MAX * DAY_US:
            raise MissingDetail(
                "from",
                f"Give a span that ends after it begins, at most {DAYS_MAX} days.",
                f"时间范围应先起后止，不超过{DAYS_MAX}天。",
            )
        return start_us, end_us

    def made(request: Request) -> Report:
        start_us, end_us = span(request)
        role = viewer_of(request).role
        return report(
            site.ledger,
            site.network,
            start_us,
            end_us,
            level=site.desk_settings.service_level,
            hidden_work=None if may_see("inspection", role) else "inspection",
        )

    def answer(request: Request, rows: list[Any], **more: Any) -> Response:
        if request.query_params.get("format") == "csv":
            return Response(to_csv(rows), media_type="text/csv; charset=utf-8")
        return JSONResponse({"items": [asdict(r) for r in rows], **more})

    spans = ("from", "to", "format")

    @app.get("/api/v1/reports/{name}", **query(*spans))
    def reports(request: Request, name: str) -> Response:
        """sla (broken promises), bottlenecks (time in state), hand-overs, repeated, detectors
        (precision by version), summary, reliability, frequent, stuck, queues."""
        role, now_us = viewer_of(request).role, site.clock.now_us()
        try:
            if name in ("sla", "bottlenecks", "hand-overs", "repeated", "detectors"):
                return answer(request, _rows(made(request), name))
            if name == "summary":
                return JSONResponse(_summary(made(request)))
            if name == "reliability":
                return _reliability(site, *span(request))
        except MissingDetail as e:
            return refusal(request, site, e)
        if name == "stuck":
            found = [
                {
                    "number": s.ticket.number,
                    "state": s.ticket.state,
                    "minutes": s.minutes,
                    "limit_min": s.limit_min,
                    "who": s.who,
                }
                for s in stuck(site.ledger, now_us, role)
            ]
            return JSONResponse({"items": found})
        if name == "queues":
            return answer(request, queues(site.ledger, now_us, role))
        if name == "frequent":
            rules = frequent_rules(*site.desk_settings.frequent)
            rows = frequent_customers(site.ledger, site.board.places, now_us, rules)
            named = viewer_of(request).may(PERSONAL_DATA)
            items = [
                {
                    **({"account": account} if named else {}),
                    "rules": [{"rule": f.rule.key, "count": f.count, "level": f.level} for f in fs],
                }
                for account, fs in rows
            ]
            return JSONResponse({"items": items})
        raise HTTPException(404, "not_found")

    @app.get("/api/v1/realms", **query("prefix"))
    def realms(request: Request) -> Response:
        """The realms beside this one: drills and replays."""
        prefix = request.query_params.get("prefix", "")[:64]
        return JSONResponse(
            {"realm": site.ledger.realm, "items": list(site.settings.realms(prefix))}
        )

    by_address = Limit(30, 60.0)

    @app.post("/api/v1/public/status", **writes(StatusIn))
    async def status(request: Request) -> Response:
        """For customers: one sentence about the own supply, for who knows account and phone."""
        address = request.client.host if request.client else ""
        if not by_address.take(address):
            raise HTTPException(429, "slow_down")

        def act(viewer: Viewer, given: StatusIn) -> Any:
            customer = site.network.customer_by_account.get(given.account)
            known = digits(customer.phone)[-PHONE_DIGITS:] if customer else ""
            same = hmac.compare_digest(known, digits(given.phone)[-PHONE_DIGITS:])
            if customer is None or len(known) < PHONE_DIGITS or not same:
                raise HTTPException(404, "no_link")  # the same for all that is wrong
            found = site.counter.answer(given.account)
            return {
                "supply": found.supply,
                "sentence": found.sentence,
                "sentence_zh": found.sentence_zh,
                "ticket": found.ticket.number if found.ticket else None,
            }

        return await change(request, site, StatusIn, act)


def _rows(made: Report, name: str) -> list[Any]:
    rows: dict[str, list[Any]] = {
        "sla": list(made.breaches),
        "bottlenecks": list(made.times),
        "hand-overs": list(made.hand_overs),
        "repeated": list(made.repeated),
        "detectors": list(made.detectors),
    }
    return rows[name]


def _summary(made: Report) -> dict[str, Any]:
    return {
        "tickets": made.tickets,
        "closed": made.closed,
        "verdicts": dict(made.verdicts),
        "causes": dict(made.causes),
        "satisfaction": {
            **asdict(made.satisfaction),
            "stars": {str(k): v for k, v in made.satisfaction.stars.items()},
            "back_rate": made.satisfaction.back_rate,
        },
        "avoided": asdict(made.avoided),
    }


def _reliability(site: Site, start_us: int, end_us: int) -> Response:
    """IEEE 1366 indices, all, planned and unplanned apart."""
    found = reliability(site, start_us, end_us)
    made: dict[str, Any] = {kind: asdict(i) for kind, i in found.kinds.items()}
    made["without_major_event_days"] = {
        "saidi_min": found.calm_saidi_min,
        "threshold_min": found.threshold_min,
        "days": sum(d.major for d in found.days),
    }
    return JSONResponse({**made, "sustained_s": found.sustained_s})
