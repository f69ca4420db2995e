"""By keyboard alone: decisions for many (a place, a storm, an estimate, texts to
customers), what is written for colleagues, calls and tickets put together and apart, one's own
password, and a customer's way in by a code."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import LANGUAGES, PHONE, browser, desk, server, world
from tests.acceptance.keyboard import (
    PASSWORD,
    choose,
    fill,
    press,
    tab_to,
    type_time,
)
from tests.unit.web.server import Server
from tests.unit.web.test_pages import alert_id, ring
from tests.unit.web.world import NOW, World
from web.pages.signin import HASHER

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_operator_says_where_an_outage_is(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, language=language) as d:
        page = d.open(f"/alerts/{alert_id(world, 'outage')}")
        tab_to(page, "[name=place]")
        page.keyboard.press("ArrowDown")
        fill(page, "#alert-maybe [name=reason]", "the fuse was seen open")
        page.keyboard.press("Enter")

        expect(page.locator("#alert-maybe [name=reason]")).to_have_value("")
        with world.ledger.reading() as r:
            (outage,) = r.incidents(incident_class="supply")
        assert outage.located_by == "王值班"
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dispatcher_declares_a_storm_ends_it_and_sends_a_text(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "dispatcher", language=language) as d:
        page = d.open("/supply")
        fill(page, "form[action='/supply/storm'] [name=reason]", "typhoon")
        page.keyboard.press("Enter")
        expect(page.locator(".bar-storm")).to_contain_text("typhoon")
        press(page, "form[action='/supply/storm-end'] button")
        expect(page.locator(".bar-storm")).to_have_count(0)

        d.open("/notices")
        press(page, "#notices-waiting form button")
        press(page, "#notices-waiting a.hit")
        page.wait_for_url("**/notices/*", wait_until="domcontentloaded")
        fill(page, "[name=text_zh]", "请留意。")
        press(page, "form[action$='/approve'] .btn.primary")

        expect(page.locator(".tag.good").first).to_be_visible()
        with world.ledger.reading() as r:
            assert "approved" in [x.state for x in r.drafts(open_only=False)]
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_article_is_written_by_one_and_accepted_by_another(
    language: str, browser: Browser, server: Server
) -> None:
    with desk(browser, server, "clerk", language=language) as d:
        page = d.open("/knowledge")
        page.keyboard.press("w")
        page.wait_for_url("**/knowledge/new", wait_until="domcontentloaded")
        for name in ("title", "body", "title_zh", "body_zh"):
            fill(page, f"[name={name}]", f"clamp {name}")
        press(page, "[name=fault_neutral_loose]", "Space")
        press(page, "form.writing .btn.primary")
        page.wait_for_url(re.compile("/knowledge/articles/"), wait_until="domcontentloaded")
        written = page.url.removeprefix(server.url)
        first = d.complaints
    with desk(browser, server, "engineer", language=language) as d:
        page = d.open(written)
        page.keyboard.press("r")
        page.keyboard.type("seen on site")
        press(page, "form[action$='/accept'] .btn.primary")

        expect(page.locator("article .tag.good")).to_be_visible()
        assert (first, d.complaints) == ([], [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_operator_gives_an_area_its_estimate(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    until = datetime.fromtimestamp(NOW / 1e6, ZoneInfo("Asia/Shanghai")).replace(hour=21, minute=30)
    with desk(browser, server, language=language) as d:
        page = d.open("/supply")
        tab_to(page, "form[action='/supply/estimate'] [name=asset_kind]")
        choose(page, "transformer")
        fill(page, "form[action='/supply/estimate'] [name=asset]", "T7")
        type_time(page, "form[action='/supply/estimate'] [name=earliest]", until.replace(hour=20))
        type_time(page, "form[action='/supply/estimate'] [name=latest]", until)
        fill(page, "form[action='/supply/estimate'] [name=reason]", "the cable is found")
        page.keyboard.press("Enter")

        expect(page.locator("[role=status].bar-note, .bar-good")).to_be_visible()
        with world.ledger.reading() as r:
            told = [t.estimated_latest_us for t in r.tickets() if t.asset == "T7"]
        assert told == [round(until.replace(second=0).timestamp() * 1e6)]
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_ticket_waits_goes_on_is_cancelled_and_opened_again(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "dispatcher", language=language) as d:
        page = d.open("/tickets/3")
        page.keyboard.press("a")
        expect(page.locator(".facts-list").first).to_contain_text("赵调度")
        press(page, "details:has(form[action$='/hold']) > summary")
        tab_to(page, "form[action$='/hold'] [name=reason]")
        choose(page, "material")
        press(page, "form[action$='/hold'] button")
        press(
            page, "details:has(form[action$='/resume']) > summary, form[action$='/resume'] button"
        )
        if page.locator("details[open] form[action$='/resume']").count():
            press(page, "form[action$='/resume'] button")
        press(page, "details:has(form[action$='/cancel']) > summary")
        fill(page, "form[action$='/cancel'] [name=reason]", "opened twice")
        page.keyboard.press("Enter")
        expect(page.locator("#ticket-timeline")).to_contain_text("opened twice")
        press(page, "details:has(form[action$='/reopen']) > summary")
        fill(page, "form[action$='/reopen'] [name=reason]", "it was not")
        page.keyboard.press("Enter")
        expect(page.locator("#ticket-timeline")).to_contain_text("it was not")

        with world.ledger.reading() as r:
            steps = [s.to_state for s in r.steps(3)]
            ticket = r.ticket(3)
        assert ticket is not None and ticket.state == "assessing"
        assert [s for s in steps if s in ("on_hold", "cancelled")] == ["on_hold", "cancelled"]
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_clerk_merges_a_ticket_and_takes_a_call_off_another(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    ring(world)
    with world.ledger.reading() as r:
        numbers = {t.id: t.number for t in r.tickets()}
    with desk(browser, server, "clerk", language=language) as d:
        page = d.open("/tickets/3")
        press(page, "#ticket-calls details > summary")
        fill(page, "#ticket-calls [name=reason]", "lives elsewhere")
        page.keyboard.press("Tab")
        page.keyboard.type(numbers[1])
        page.keyboard.press("Enter")
        page.wait_for_url("**/tickets/1*", wait_until="domcontentloaded")
        expect(page.locator("#ticket-timeline")).to_contain_text("lives elsewhere")

        press(page, "details:has(form[action$='/merge']) > summary")
        fill(page, "form[action$='/merge'] [name=target_number]", numbers[3])
        page.keyboard.press("Enter")

        expect(page.locator("#ticket-head .bar-note")).to_contain_text(numbers[3])
        with world.ledger.reading() as r:
            ticket = r.ticket(1)
        assert ticket is not None and ticket.state == "merged"
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_somebody_changes_their_password(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    clerk = world.people.find("clerk")
    assert clerk is not None
    clerk.password_hash = HASHER.hash(PASSWORD)
    with desk(browser, server, "clerk", language=language) as d:
        page = d.page
        press(page, ".who a.name")
        page.wait_for_url("**/password", wait_until="domcontentloaded")
        fill(page, "[name=current]", PASSWORD)
        fill(page, "[name=password]", "another long password")
        fill(page, "[name=again]", "another long password")
        page.keyboard.press("Enter")

        page.wait_for_url("**/password?done=1", wait_until="domcontentloaded")
        assert HASHER.verify(clerk.password_hash, "another long password")
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_customer_comes_in_by_a_code(language: str, browser: Browser) -> None:
    world = World(texts=True)
    with (
        Server(lambda: world.settings) as server,
        desk(browser, server, "", language=language, size=PHONE) as d,
    ):
        page = d.open("/my")
        fill(page, "[name=account]", "330740005")
        fill(page, "[name=phone]", "13930000004")
        page.keyboard.press("Enter")
        expect(page.locator("[name=code]")).to_be_focused()
        with world.ledger.reading() as memory:
            (notice,) = memory.notice_rows.values()
        page.keyboard.type(re.findall(r"\d{6}", str(notice.payload["text"]))[0])
        page.keyboard.press("Enter")

        expect(page.locator(".stops [aria-current=step]")).to_be_visible()
        assert d.complaints == []
