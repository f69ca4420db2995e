"""Every flow by keyboard alone: whatever is needed is reached with Tab and done with Enter, Space
and letters, in both languages. The operator's, the clerk's counter and the replay have files of
their own (`test_operator_keys.py`, `test_clerk_flows.py`, `test_replay_page.py`)."""

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import LANGUAGES, PHONE, browser, desk, server, world
from tests.acceptance.keyboard import PASSWORD, choose, fill, press, tab_to
from tests.acceptance.test_crew_phone import link, state
from tests.unit.web.server import Server
from tests.unit.web.world import World
from web.pages.signin import HASHER

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", LANGUAGES)
def test_somebody_signs_in_and_out(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    clerk = world.people.find("clerk")
    assert clerk is not None
    clerk.password_hash = HASHER.hash(PASSWORD)
    with desk(browser, server, "", language=language) as d:
        page = d.open("/signin")
        page.keyboard.type("clerk")
        fill(page, "[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk")

        press(page, ".who button.linkish")

        page.wait_for_url("**/signin")
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_ticket_goes_from_the_queue_to_its_verdict(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "clerk", language=language) as d:
        page = d.open("/tickets")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/tickets/3")
        page.keyboard.press("a")
        expect(page.locator(".facts-list").first).to_contain_text("李柜员")
        fill(page, "#ticket-note textarea", "客户要求回电")
        press(page, "#ticket-note button")
        expect(page.locator("#ticket-timeline")).to_contain_text("客户要求回电")
        press(page, "details:has(form[action$='/close']) > summary")
        tab_to(page, "[name=verdict]")
        choose(page, "confirmed_fault")
        tab_to(page, "[name=cause_code]")
        choose(page, "fuse_or_breaker")
        press(page, "form[action$='/close'] button")

        expect(page.locator("#ticket-head .tag.good")).to_be_visible()
        with world.ledger.reading() as r:
            ticket = r.ticket(3)
        assert ticket is not None and ticket.verdict == "confirmed_fault"
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dispatcher_sends_a_crew_calls_and_tells_the_customers(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "dispatcher", language=language) as d:
        page = d.open("/tickets/1")
        press(page, "#call-list form button")
        expect(page.locator("#call-list .tag.warm, #call-list .tag.good").first).to_be_visible()
        d.open("/tickets/3")
        page.keyboard.press("a")
        expect(page.locator(".facts-list").first).to_contain_text("赵调度")
        press(page, "#texts button[value=draft]")
        fill(page, "#texts [name=text_zh]", " 请留意。")
        press(page, "#texts button[value=approve]")
        expect(page.locator("#texts .tag.good")).to_be_visible()
        press(page, "details:has(form[action$='/dispatch']) > summary, [name=team]")
        press(page, "form[action$='/dispatch'] button")
        expect(page.locator("#ticket-head .route [aria-current=step]")).to_be_visible()
        press(page, "form[action$='/crew-link'] button")

        expect(page.locator("input[data-select]")).to_be_focused()
        assert state(world)[0] == "dispatched"
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_silence_is_announced_and_ended(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, language=language) as d:
        page = d.open("/silences")
        fill(page, "[name=asset]", "T5")
        tab_to(page, "[name=end]")
        # The order of a date's parts is the browser's own, not the page's; the year has no end.
        page.keyboard.type("11232026")
        page.keyboard.press("ArrowRight")
        page.keyboard.type("0600AM")
        expect(page.locator("[name=end]")).to_have_value("2026-11-23T06:00")
        fill(page, "[name=reason]", "work on the line")
        press(page, "form[action='/silences'] button")
        expect(page.locator("tbody tr")).to_contain_text("work on the line")

        press(page, "form[action$='/end'] button")

        expect(page.locator("tbody tr")).to_have_count(0)
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_shift_is_handed_over(language: str, browser: Browser, server: Server) -> None:
    with desk(browser, server, language=language) as d:
        d.page.keyboard.press("h")
        d.page.wait_for_url("**/handover")
        fill(d.page, "[name=text]", "watch T5 tonight")
        press(d.page, "form[action='/handover'] button")

        expect(d.page.locator("main")).to_contain_text("watch T5 tonight")
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_engineer_finds_a_device_and_a_supervisor_another_month(
    language: str, browser: Browser, server: Server
) -> None:
    with desk(browser, server, "engineer", language=language) as d:
        d.page.keyboard.press("/")
        d.page.keyboard.type("T3-mon")
        d.page.keyboard.press("Enter")
        press(d.page, "a[href='/devices/T3-monitor']")
        d.page.wait_for_selector("[data-chart][data-state=drawn]")
        press(d.page, "[data-span='7d']")
        d.page.wait_for_url("**span=7d")
        d.page.wait_for_selector("[data-chart][data-state=drawn]")
        press(d.page, "[data-chart] summary")
        expect(d.page.locator(".data-table tbody tr").first).to_be_visible()
        assert d.complaints == []
    with desk(browser, server, "supervisor", language=language) as d:
        press(d.page, "a[href*='days=30']")
        d.page.wait_for_url("**days=30*")
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_administrator_enters_somebody_changes_the_role_and_gives_a_link(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "admin", language=language) as d:
        page = d.page
        fill(page, "form[action='/admin/people'] [name=login]", "new")
        fill(page, "form[action='/admin/people'] [name=name]", "新人")
        press(page, "form[action='/admin/people'] button")
        expect(page.locator("table")).to_contain_text("新人")
        tab_to(page, "form[action='/admin/people/new/role'] select")
        choose(page, "engineer")
        press(page, "form[action='/admin/people/new/role'] button")
        expect(page.locator("form[action='/admin/people/new/role'] select")).to_have_value(
            "engineer"
        )
        press(page, "form[action='/admin/people/new/link'] button")

        expect(page.locator("input[data-select]")).to_be_focused()
        new = world.people.find("new")
        assert new is not None and new.role == "engineer"
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_customer_reports_and_a_crew_answers(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "", language=language, size=PHONE) as d:
        page = d.open("/my/link-c-1")
        fill(page, "[name=text]", "没电了")
        press(page, "form[action$='/report'] button")
        expect(page.locator(".bar-note[role=status]")).to_be_visible()
        page = d.open(link(world))
        press(page, "form[data-act=accept] button")
        expect(page.locator("form[data-act=accept]")).to_have_count(0)
        press(page, "form[data-act=arrive] button")
        expect(page.locator("form[data-act=restore]")).to_be_visible()
        tab_to(page, "[name=cause_code]")
        choose(page, "fuse_or_breaker")
        press(page, "form[data-act=restore] button")

        expect(page.locator(".bar-good")).to_be_visible()
        assert state(world)[0] == "restored"
        assert d.complaints == []
