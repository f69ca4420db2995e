"""The engineer's watch list: what opens no ticket, why not; the odd meters; who disagrees with the
records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.responses import Response

from alerts.budget import BELOW_LIMIT, OVER_BUDGET
from alerts.errors import DeskError
from alerts.locating import Suspect
from alerts.roles import Role
from alerts.settings import DAY_US
from desk.board import FeedRow
from grid.records import NOT_ENOUGH, WATCH_LIST, Incident, Ticket
from storage.feed_lines import ALERTS_MAX
from web.site import Site
from web.viewer import viewer_of

SHOWN: Final = 200
INCIDENTS_MAX: Final = 10
WRONG_DAYS: Final = 90
ODD: Final = "unknown"

Reason = Literal["below", "over", "doubt", "odd", "work", "other"]


@dataclass(frozen=True, slots=True)
class Watched:
    """An open alert without a ticket, and why it has none."""

    row: FeedRow
    reason: Reason

    @property
    def rank(self) -> int:
        """The nightly place among the odd meters, 1 the oddest; 0 for those like others again."""
        found = self.row.alert.evidence.numbers.get("rank")
        return int(found) if isinstance(found, int | float) else 0


def why_no_ticket(row: FeedRow) -> Reason:
    """Why the machine has opened no ticket for an alert."""
    held = row.alert.evidence.numbers.get(WATCH_LIST)
    if held == BELOW_LIMIT:
        return "below"
    if held == OVER_BUDGET:
        return "over"
    if held == NOT_ENOUGH:
        return "doubt"
    if row.alert.fault == ODD:
        return "odd"
    return "work" if any(m.kind == "maintenance" for m in row.mutes) else "other"


def watched(site: Site, role: Role) -> list[Watched]:
    """The watch list, the highest score first; alerts whose cause has its ticket are not on it."""
    rows = site.board.feed(role=role, open_only=True, ticket=False, limit=ALERTS_MAX)
    found = [
        Watched(x, why_no_ticket(x))
        for x in rows
        if x.ticket is None and x.alert.cleared_us is None
    ]
    return sorted(found, key=lambda x: (-x.row.alert.score, x.row.alert.id))


def suspects(site: Site, role: Role) -> list[tuple[Incident, Suspect]]:
    """Meters that disagree with where the records put them, told by the outages of now."""
    with site.ledger.reading() as reading:
        dark = reading.incidents(incident_class="supply", limit=1_000)
    newest = sorted(dark, key=lambda i: -i.opened_us)[:INCIDENTS_MAX]
    found: list[tuple[Incident, Suspect]] = []
    for incident in newest:
        try:
            picture = site.locate.picture(incident.id, role)
        except DeskError:  # ended meanwhile, or not for this role
            continue
        found += [(incident, s) for s in picture.suspects]
    return list({s.device: (i, s) for i, s in found}.values())


def wrongly_recorded(site: Site, role: Role) -> Sequence[Ticket]:
    """Tickets that people closed as a mistake of the records: to be mended there."""
    since_us = site.clock.now_us() - WRONG_DAYS * DAY_US
    rows = site.board.tickets(role=role, states=("closed",), limit=1_000)
    return [
        x.ticket
        for x in rows
        if x.ticket.cause_code == "wrong_mapping" and (x.ticket.closed_us or 0) >= since_us
    ]


def register(app: FastAPI, site: Site) -> None:
    @app.get("/engineer/watch")
    def watch(request: Request) -> Response:
        role = viewer_of(request).role
        after = site.outbox_head()
        found = watched(site, role)
        odd = sorted((x for x in found if x.reason == "odd" and x.rank), key=lambda x: x.rank)
        values: dict[str, Any] = {
            "after": after,
            "watched": [x for x in found if x.reason != "odd"][:SHOWN],
            "odd": odd[:SHOWN],
            "suspects": suspects(site, role)[:SHOWN],
            "wrong": wrongly_recorded(site, role)[:SHOWN],
            "budget": next(
                (
                    line.value
                    for line in site.settings.configuration()
                    if (line.section, line.key) == ("alerts", "budget")
                ),
                "",
            ),
            **site.figures(),
        }
        return site.render.page(request, "watch.html", values)
