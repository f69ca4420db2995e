"""Two tabs of one browser, one of them in a drill: neither shows the other's rows as its own."""

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import Desk, browser, desk, live
from tests.unit.web.server import Server
from tests.unit.web.test_drill_pages import Rooms
from tests.unit.web.world import MINUTE, NEUTRAL, NOW, raised

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def join_in_another_tab(d: Desk) -> None:
    """Start a drill and take part in it, beside the page that is open."""
    other = d.new_page()
    other.goto(f"{d.url}/drills", wait_until="domcontentloaded")
    other.locator(".scene input").first.check()
    other.locator("form[action='/drills'] button").click()
    other.locator("form[action$='/join'] button").click()
    expect(other.locator(".bar-drill")).to_be_visible()


def test_an_open_page_of_the_site_becomes_the_drills_with_its_banner(
    browser: Browser,
) -> None:
    world = Rooms()
    with Server(lambda: world.settings) as server, desk(browser, server) as d:
        d.open("/tickets")
        live(d.page)
        banner = d.page.locator(".bar-drill")
        before = d.page.locator("main").inner_text()
        expect(banner).to_have_count(0)
        join_in_another_tab(d)

        world.happen(raised("outage", "transformer", "T1", NOW - MINUTE, NEUTRAL))

        expect(banner).to_be_visible()  # its news made the page look again
        assert before != d.page.locator("main").inner_text()
        assert d.complaints == []


def test_a_list_that_is_cut_fetches_no_line_of_a_drill_joined_in_another_tab(
    browser: Browser,
) -> None:
    world = Rooms()
    with Server(lambda: world.settings) as server, desk(browser, server) as d:
        d.open("/")
        live(d.page)
        before = d.page.locator("#feed-lines").inner_html()
        join_in_another_tab(d)
        first = "00P1" + "0" * 17 + "i0"
        d.page.evaluate(
            "(next) => { document.querySelector('#feed-lines').dataset.next = next }", first
        )

        with d.page.expect_response("**/feed?*") as answer:
            d.page.evaluate("() => document.querySelector('#new-pill').click()")

        assert 403 == answer.value.status
        assert 0 < d.page.locator(".feed-row").count() == before.count('class="feed-row')
