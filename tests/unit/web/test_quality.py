"""The supervisor's page counts what happened; what is taken home cannot run in a spreadsheet."""

import csv
import io
import re
from datetime import datetime

import pytest

from alerts.roles import Actor
from tests.unit.web.test_supply_pages import outage, text_of
from tests.unit.web.visitor import Visit
from tests.unit.web.world import DAY, HOUR, NOW, World
from web.app import create_app
from web.pages.quality import period_of
from web.policy import EXPORT, QUALITY, ROLES

CHIEF = Actor("赵调度", "dispatcher")


@pytest.fixture
def worked(world: World) -> World:
    """T7's outage mended and closed after two hours with its crew, T3's ticket left lying."""
    desk = create_app(world.settings).state.site.tickets
    steps = {
        "take": {}, "dispatch": {"team": "crew-1"}, "assign": {"crew": "=HYPERLINK(1)"},
        "arrive": {}, "restore": {},
        "close": {"verdict": "confirmed_fault", "cause_code": "fuse_or_breaker"},
    }  # fmt: skip
    for action, details in steps.items():
        with world.ledger.reading() as r:
            ticket = r.ticket(3)
        assert ticket is not None
        desk.perform(action, 3, CHIEF, ticket.version, **details)
        world.clock.us += HOUR // 3
    return world


def test_the_page_names_the_bottleneck_and_what_stands_still(worked: World, visit: Visit) -> None:
    worked.clock.us += 3 * DAY

    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", visit("supervisor").get("/quality").text))

    assert "Bottleneck: 抢修一班, “to be assessed”" in page.replace("To be", "to be")
    assert "20261122-0001" in page and "100 %" in page
    assert "Blown fuse or tripped breaker" in page


def test_every_table_can_be_taken_home_by_who_answers_for_the_work(
    worked: World, visit: Visit
) -> None:
    page = visit("supervisor").get("/quality?days=7").text

    for address in re.findall(r'href="(/quality/[^"]+[.]csv[^"]*)"', page):
        answer = visit("supervisor").get(address.replace("&amp;", "&"))
        rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
        assert (200, "text/csv; charset=utf-8") == (
            answer.status_code,
            answer.headers["content-type"],
        )
        assert all(cell[:1] not in ("=", "+", "@") for row in rows for cell in row)
    assert ("supervisor", "export", "quality:times") in worked.people.audited


def test_reliability_is_counted_planned_and_unplanned_apart_and_drawn_day_by_day(
    world: World, visit: Visit
) -> None:
    """48 of 192 customers dark for 2 h by fault, 48 for 1 h by announced work, hand-computed."""
    visit("operator").change("/silences", kind="maintenance", asset_kind="transformer", asset="T5",
                             end="2026-11-23T12:00", reason="cable")  # fmt: skip
    outage(world, "T1", NOW - 3 * DAY)
    outage(world, "T5", NOW + HOUR, 1.0)
    outage(world, "T3", NOW - 2 * DAY, 1 / 60)
    world.clock.us = NOW + 3 * HOUR

    page = text_of(visit("supervisor").get("/quality?days=7").text)
    taken = visit("supervisor").get("/quality/reliability.csv?days=7").text

    # T7 has been dark since 11 minutes before NOW: 48 customers, 191 minutes.
    assert "Unplanned 77.8 0.5 155.5 0.25 248.8" in page
    assert "Planned 15 0.25 60 0 48" in page
    assert "SAIDI of each day; highest" in page
    assert "all,192,92.750,0.750," in taken.replace("\ufeff", "")


def test_what_stands_still_is_seen_live_and_taken_home(worked: World, visit: Visit) -> None:
    worked.clock.us += 3 * DAY
    supervisor = visit("supervisor")

    page = supervisor.get("/quality/now").text
    taken = supervisor.get("/quality/stuck.csv").text

    assert 'data-stream="/stream?after=' in page and 'id="stuck-now" data-live' in page
    assert "20261122-0001" in page and "20261122-0001,assessing," in taken
    assert supervisor.get("/quality/queues.csv").text.startswith("\ufeffteam,open,")
    assert 404 == supervisor.get("/quality/nothing.csv").status_code


@pytest.mark.parametrize("role", ROLES)
def test_who_sees_it_and_who_takes_it_home(role: str, visit: Visit) -> None:
    if role == "customer":
        return
    visitor = visit(role)

    seen = visitor.get("/quality").status_code == 200
    taken = visitor.get("/quality/times.csv").status_code == 200

    assert (role in QUALITY, role in EXPORT) == (seen, taken)


@pytest.mark.parametrize(
    "query",
    [
        "days=-1",
        "days=9e9",
        "from=x&to=y",
        "from=2026-11-30&to=2026-11-01",
        "from=0001-01-01&to=9999-12-31",
    ],
)
def test_a_period_that_is_none_shows_the_last_thirty_days(query: str, visit: Visit) -> None:
    page = visit("supervisor").get(f"/quality?{query}").text

    assert re.search(r'href="/quality\?days=30" aria-current="page"', page)


def test_a_period_of_days_holds_both_ends(worked: World, visit: Visit) -> None:
    inside = visit("supervisor").get("/quality?from=2026-11-22&to=2026-11-22").text
    before = visit("supervisor").get("/quality?from=2026-11-20&to=2026-11-21").text

    count = r"<dt>Tickets</dt><dd>(\d+)"
    assert ["3", "0"] == [m[1] for p in (inside, before) if (m := re.search(count, p))]


def test_there_is_no_other_table(visit: Visit) -> None:
    assert 404 == visit("supervisor").get("/quality/people.csv").status_code


def test_the_last_days_are_days_of_the_calendar(world: World) -> None:
    """Today's outage must not stand under yesterday's date, and today is not the last 24 hours."""
    site = create_app(world.settings).state.site
    zone = site.render.zone

    today, week = period_of(site, {"days": "1"}), period_of(site, {"days": "7"})

    at = [datetime.fromtimestamp(p.since_us / 1e6, zone) for p in (today, week)]
    now = datetime.fromtimestamp(NOW / 1e6, zone)
    assert [(a.hour, a.minute) for a in at] == [(0, 0), (0, 0)]
    assert [(now.date() - a.date()).days for a in at] == [0, 6]
