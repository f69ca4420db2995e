"""Keys are listed by `?` and may be changed; the language switch keeps what is shown."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.browser import PHONE, browser, desk, server, world
from tests.acceptance.looks import past_the_edge, violations
from tests.unit.web.server import Server

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

LANGUAGES = ["en-US", "zh-CN"]


def key_list(page: Page) -> None:
    """Open the list of keys by its key."""
    page.keyboard.press("Shift+?")
    expect(page.locator("#keys")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_mark_lists_the_keys_and_each_may_be_changed(
    language: str, browser: Browser, server: Server
) -> None:
    """Two that want one key change places; what stands on the buttons is what is to be pressed."""
    with desk(browser, server, language=language) as d:
        page = d.page
        key_list(page)
        does = "确认告警" if language == "zh-CN" else "acknowledge the alert"
        expect(page.locator("#keys dd").filter(has_text=does)).to_have_count(1)
        found = violations(page)
        page.locator("[data-delivered=s]").focus()
        page.keyboard.press("x")
        page.locator("[data-delivered=g]").focus()
        page.keyboard.press("a")
        expect(page.locator("[data-delivered=a]")).to_have_value("G")
        page.keyboard.press("Escape")

        page.reload(wait_until="domcontentloaded")
        expect(page.locator(".shelf summary kbd")).to_have_text("X")
        expect(page.locator("#alert-head .btn.primary kbd")).to_have_text("G")
        page.keyboard.press("s")
        expect(page.locator(".shelf")).not_to_have_attribute("open", "")
        page.keyboard.press("x")
        expect(page.locator(".shelf select:focus")).to_have_count(1)
        page.keyboard.press("Escape")
        page.keyboard.press("a")
        page.wait_for_url("**/tickets", wait_until="domcontentloaded")

        key_list(page)
        page.locator("#keys-delivered").click()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.wait_for_url("**/tickets", wait_until="domcontentloaded")
        assert found == []
        assert d.complaints == []


def test_keys_of_the_page_behind_the_list_do_nothing_and_it_fits_a_phone(
    browser: Browser, server: Server
) -> None:
    with desk(browser, server, size=PHONE, dark=True) as d:
        d.open("/tickets")
        key_list(d.page)
        d.page.locator("#keys-off").focus()
        d.page.keyboard.press("j")
        d.page.keyboard.press("Enter")

        expect(d.page.locator("#keys")).to_be_visible()
        assert d.page.url.endswith("/tickets")
        assert past_the_edge(d.page) == []


def test_the_language_switch_keeps_the_alert_that_was_opened_since(
    browser: Browser, server: Server
) -> None:
    with desk(browser, server) as d:
        page = d.page
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/alerts/*", wait_until="domcontentloaded")
        shown = page.url

        page.get_by_role("link", name="中文").click()
        page.wait_for_load_state("domcontentloaded")

        expect(page).to_have_url(shown)
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")


def test_whatever_is_stored_as_keys_the_page_goes_on(browser: Browser, server: Server) -> None:
    with desk(browser, server) as d:
        for stored in (
            '"text"',
            "[1]",
            "7",
            "{",
            '{"a": 7, "g": "x", "s": "x", "j": "ab", "k": null}',
        ):
            d.page.evaluate("(text) => localStorage.setItem('keys-mine', text)", stored)
            d.page.reload(wait_until="domcontentloaded")

        d.page.keyboard.press("x")
        d.page.wait_for_url("**/tickets", wait_until="domcontentloaded")

        assert d.complaints == []
