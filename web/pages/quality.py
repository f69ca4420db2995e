"""The supervisor's page: where work waits, what repeats, which promises broke, whom to trust.

Every figure stands as text in a table; the bar beside it repeats it for the eye. Each table can be
taken home as CSV, and the page prints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from alerts.roles import may_see
from alerts.service import METRIC_NAMES
from alerts.settings import DAY_US, DeskSettings
from alerts.states import CAUSES, VERDICTS, state_name
from desk.queues import HAND_OVERS, Queue, Stuck, queues, stuck
from desk.ratings import REASONS
from desk.reports import Report, report, to_csv
from web import policy
from web.forms import site_time_us
from web.reliability import reliability
from web.site import Site
from web.viewer import Viewer, viewer_of

DAYS: Final = (1, 7, 30, 90, 365)
DEFAULT_DAYS: Final = 30
ROWS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Period:
    """[since, until), microseconds UTC, with how it was asked for."""

    since_us: int
    until_us: int
    query: str
    days: int | None


def period_of(site: Site, query: Mapping[str, str]) -> Period:
    """The last days of the site's zone, today among them (`days=7`), or whole days of it
    (`from=2026-11-01&to=2026-11-30`, both included). What is no period becomes the last 30 days."""
    now_us = site.clock.now_us()
    zone = site.render.zone
    since_us = site_time_us(query.get("from", "")[:10], zone) or -1
    last_us = site_time_us(query.get("to", "")[:10], zone) or -1
    if 0 < since_us <= last_us <= now_us + 365 * DAY_US:
        # Not 24 hours later: a day of the zone may be longer or shorter.
        last = datetime.fromtimestamp(last_us / 1e6, UTC).astimezone(zone)
        until_us = int((last + timedelta(days=1)).timestamp() * 1e6)
        text = f"from={query['from'][:10]}&to={query['to'][:10]}"
        return Period(since_us, until_us, text, None)
    asked = query.get("days", "")
    days = int(asked) if asked.isdecimal() and int(asked) in DAYS else DEFAULT_DAYS
    today = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(zone)
    # From midnight: a day that began at this hour would bear the date of the day before.
    first = today.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    return Period(int(first.timestamp() * 1e6), now_us + 1, f"days={days}", days)


@dataclass(frozen=True, slots=True)
class Row:
    """A name with its count, for CSV."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A department's queue, for CSV."""

    team: str
    open: int
    waiting: int
    late: int
    oldest_min: float

    @classmethod
    def of(cls, q: Queue) -> "QueueRow":
        return cls(q.team, q.open, q.waiting, q.late, round(q.oldest_min, 1))


@dataclass(frozen=True, slots=True)
class StuckRow:
    """A ticket that stands still, for CSV."""

    number: str
    state: str
    minutes: float
    limit_min: float
    who: str

    @classmethod
    def of(cls, s: Stuck) -> "StuckRow":
        return cls(s.ticket.number, s.ticket.state, round(s.minutes, 1), s.limit_min, s.who or "")


def _rows(counts: Mapping[Any, int]) -> list[Row]:
    ordered = sorted(counts.items(), key=lambda x: (-x[1], str(x[0])))
    return [Row(str(k), n) for k, n in ordered]


# What can be taken home, by the name in the address.
PARTS: Final[dict[str, Callable[[Report], Sequence[Any]]]] = {
    "times": lambda r: r.times,
    "breaches": lambda r: r.breaches,
    "repeated": lambda r: r.repeated,
    "hand-overs": lambda r: r.hand_overs,
    "detectors": lambda r: r.detectors,
    "verdicts": lambda r: _rows(r.verdicts),
    "causes": lambda r: _rows(r.causes),
    "stars": lambda r: _rows(r.satisfaction.stars),
}


def register(app: FastAPI, site: Site) -> None:
    level = (site.settings.desk or DeskSettings()).service_level

    def made(viewer: Viewer, period: Period) -> Report:
        hidden = None if may_see("inspection", viewer.role) else "inspection"
        return report(
            site.ledger,
            site.network,
            period.since_us,
            period.until_us,
            level=level,
            hidden_work=hidden,
        )

    @app.get("/quality")
    def quality(request: Request) -> Response:
        viewer = viewer_of(request)
        period = period_of(site, request.query_params)
        now_us = site.clock.now_us()
        found = made(viewer, period)
        waiting = queues(site.ledger, now_us, viewer.role)
        values = {
            "after": site.outbox_head(),
            "period": period,
            "days": DAYS,
            "report": found,
            "bottleneck": max(found.times, key=lambda x: x.p90_h * x.count, default=None),
            "queues": waiting,
            "stuck": stuck(site.ledger, now_us, viewer.role)[:ROWS_MAX],
            "breaches": found.breaches[:ROWS_MAX],
            "repeated": found.repeated[:ROWS_MAX],
            "reliability": reliability(site, period.since_us, period.until_us),
            "state_name": lambda state: state_name(state),
            "hand_over_names": HAND_OVERS,
            "metrics": METRIC_NAMES,
            "verdicts": VERDICTS,
            "causes": CAUSES,
            "reasons": REASONS,
            "may_export": viewer.may(policy.EXPORT),
        }
        return site.render.page(request, "quality.html", values)

    @app.get("/quality/now")
    def now(request: Request) -> Response:
        """Where work waits at this moment; it keeps itself up to date."""
        viewer, now_us = viewer_of(request), site.clock.now_us()
        values = {
            "after": site.outbox_head(),
            "queues": queues(site.ledger, now_us, viewer.role),
            "stuck": stuck(site.ledger, now_us, viewer.role)[:ROWS_MAX],
            "may_export": viewer.may(policy.EXPORT),
            **site.figures(),
        }
        return site.render.page(request, "quality_now.html", values)

    def rows_of(part: str, viewer: Viewer, period: Period) -> Sequence[Any]:
        """What a part shows, ready for CSV."""
        now_us = site.clock.now_us()
        if part == "queues":
            return [QueueRow.of(q) for q in queues(site.ledger, now_us, viewer.role)]
        if part == "stuck":
            return [StuckRow.of(s) for s in stuck(site.ledger, now_us, viewer.role)]
        if part == "reliability":
            return reliability(site, period.since_us, period.until_us).rows
        if part not in PARTS:
            raise HTTPException(404, "not_found")
        return PARTS[part](made(viewer, period))

    @app.get("/quality/{part}.csv")
    def export(request: Request, part: str) -> Response:
        viewer = viewer_of(request)
        period = period_of(site, request.query_params)
        text = to_csv(rows_of(part, viewer, period))
        site.people.audit(viewer.login, "export", f"quality:{part}", asdict(period))
        span = period.query.replace("&", "-").replace("=", "-")
        name = f"{site.settings.drill or 'forewatt'}-{part}-{span}.csv"
        # The mark at the front lets spreadsheets read Chinese names as UTF-8.
        return Response(
            "\ufeff" + text,
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )
