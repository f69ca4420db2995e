"""The pages of knowledge, drills, supply and the watch list, filled: axe finds nothing in both
languages, light and dark, desk and phone; nothing runs past the edge of a phone; keys lead on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from alerts.budget import OVER_BUDGET
from alerts.notices import draft_notices
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.drills import DrillDesk
from desk.knowledge import KnowledgeDesk
from grid.records import WATCH_LIST
from storage.loads import Load
from tests.acceptance.browser import browser, desk
from tests.acceptance.looks import LOOKS, drawn, past_the_edge, violations
from tests.unit.web.server import Server
from tests.unit.web.test_drill_pages import Rooms
from tests.unit.web.test_supply_pages import outage
from tests.unit.web.test_watch_pages import odd
from tests.unit.web.world import DAY, HOUR, MINUTE, NEUTRAL, NOW, raised

__all__ = ["browser"]
pytestmark = pytest.mark.browser

PAGES = {
    "engineer": (
        "/knowledge",
        "/knowledge/articles/1?version=2",
        "/knowledge/checklists/neutral/edit",
        "/knowledge/new",
        "/cases",
        "/cases/{case}",
        "/engineer/watch",
        "/supply",
    ),
    "dispatcher": ("/drills", "/drills/drill-1", "/supply/frequent?asset_kind=transformer&asset=T1",
                   "/notices", "/notices/1", "/supply/calls", "/quality/now"),
}  # fmt: skip


@pytest.fixture(scope="module")
def town() -> Rooms:
    """A town in which every page has something to show."""
    made = Rooms()
    made.extra["loads"] = lambda low, high: [Load("T5", 1.12, NOW - 20 * HOUR, 5, 2)]
    held = replace(NEUTRAL, numbers={**NEUTRAL.numbers, WATCH_LIST: OVER_BUDGET})
    made.happen(
        raised("joint_resistance", "branch", "T1-B2", NOW - 4 * HOUR, held, (), 1.8),
        raised("unknown", "device", "M-T1-004", NOW - 16 * HOUR, odd("M-T1-004", 1), (), 1.4),
    )
    for day in (10, 20, 30, 40):
        outage(made, "T1", NOW - day * DAY)
    knowledge = KnowledgeDesk(made.ledger, made.clock)
    clerk, engineer = Actor("李柜员", "clerk"), Actor("钱工", "engineer")
    text = {"title": "Clamps", "title_zh": "线夹", "body": "Look.", "body_zh": "查看。",
            "faults": ["neutral_loose"]}  # fmt: skip
    knowledge.propose_article(clerk, **text)  # type: ignore[arg-type]
    knowledge.review(engineer, "article", "1", 1, accept=True)
    better: dict[str, Any] = {**text, "body": "Look up."}
    knowledge.propose_article(clerk, **better, key="1", reason="higher")
    drill = DrillDesk(made.room("drill-1"), made.network, made.clock)
    drill.start(Actor("孙班长", "supervisor"), "outage", 3)
    made.clock.us += 3 * MINUTE
    drill.advance()
    tickets = TicketDesk(made.ledger, made.network, made.clock)
    t3 = next(t for t in made.ledger_tickets() if t.asset == "T3")
    tickets.close(
        t3.id, Actor("赵调度", "dispatcher"), t3.version, "confirmed_precursor", "loose_connection"
    )
    draft_notices(made.ledger, made.network, made.clock.us)
    return made


@pytest.fixture(scope="module")
def case(town: Rooms) -> str:
    """The number of its closed ticket."""
    with town.ledger.reading() as reading:
        return next(t.number for t in reading.tickets(states=["closed"]) if t.asset == "T3")


@pytest.fixture(scope="module")
def server(town: Rooms) -> Iterator[Server]:
    """Its pages."""
    with Server(lambda: town.settings) as made:
        yield made


@pytest.mark.parametrize("language", LOOKS)
@pytest.mark.parametrize("role", PAGES)
def test_axe_finds_nothing_and_nothing_runs_past_the_edge(
    role: str, language: str, browser: Browser, server: Server, case: str
) -> None:
    found: list[Any] = []
    with desk(browser, server, role, language=language) as d:
        for path in PAGES[role]:
            page = d.open(path.format(case=case))
            for (width, height), theme in LOOKS[language]:
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(color_scheme=theme)
                drawn(page)
                seen = violations(page) + past_the_edge(page)
                found += [(path, width, theme, *v) for v in seen]

    assert found == []
    assert [c for c in d.complaints if "Content Security Policy" in c] == []


def test_a_drill_is_joined_worked_and_left_by_keys_alone(browser: Browser, server: Server) -> None:
    with desk(browser, server, "dispatcher") as d:
        page = d.open("/drills/drill-1")
        page.keyboard.press("a")
        # A key reaches a page once its script has run.
        page.wait_for_url("**/tickets", wait_until="domcontentloaded")
        banner = page.locator(".bar-drill")
        expect(banner).to_contain_text("nothing on this page is real")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/tickets/*", wait_until="domcontentloaded")
        expect(page.locator("#ticket-head")).to_be_visible()
        expect(banner).to_be_visible()
        page.keyboard.press("a")
        expect(page.locator(".route .now")).to_contain_text("赵调度")
        banner.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".bar-drill")).to_have_count(0)
        expect(page).to_have_url(f"{server.url}/drills/drill-1")


def test_single_letters_can_be_switched_off(browser: Browser, server: Server) -> None:
    with desk(browser, server, "dispatcher") as d:
        page = d.open("/supply")
        page.keyboard.press("Shift+?")
        page.locator("#keys-off").check()
        page.keyboard.press("Escape")
        page.evaluate(
            "() => addEventListener('keydown', (e) => { window.taken = e.defaultPrevented; })"
        )
        page.keyboard.press("g")
        page.wait_for_function("() => window.taken !== undefined")
        taken = page.evaluate("window.taken")
        page.locator("#keys-open").press("Enter")  # a sign is no way to it any more
        page.locator("#keys-off").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.wait_for_url("**/tickets")

    assert taken is False


def test_the_notice_of_an_outage_is_copied_with_one_key(browser: Browser, server: Server) -> None:
    with desk(browser, server, "dispatcher") as d:
        d.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
        page = d.open("/tickets/3")
        page.keyboard.press("c")
        page.wait_for_function(
            "async () => (await navigator.clipboard.readText()).includes('Customers: 48')"
        )
