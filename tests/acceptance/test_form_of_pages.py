"""The form that every page keeps: wide screens, what a screen reader hears, motion, and plots that
can be read as tables."""

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import browser, desk, live, server, world
from tests.acceptance.looks import drawn, past_the_edge
from tests.unit.web.server import Server
from tests.unit.web.world import MINUTE, NEUTRAL, NOW, World, raised

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

FOUR_K = (3840, 2160)
# Plots with nothing beside them in which the same figures stand.
WITHOUT_TABLE = """() => [...document.querySelectorAll("canvas, svg.days, svg.hbar, svg.weekbars")]
  .filter((x) => !x.closest("section").querySelector("table, details"))
  .map((x) => x.outerHTML.slice(0, 80))"""


def test_a_wall_of_four_thousand_pixels_is_filled_and_no_line_is_too_long_to_read(
    browser: Browser, server: Server
) -> None:
    with desk(browser, server, "dispatcher", size=FOUR_K) as d:
        found = []
        for path in ("/", "/tickets", "/tickets/3", "/desk?q=330740005", "/quality?days=365"):
            page = d.open(path)
            drawn(page)
            found += [(path, *x) for x in past_the_edge(page)]
            used = page.evaluate("document.querySelector('main').getBoundingClientRect().width")
            found += [(path, "px of main", used)] if used < FOUR_K[0] / 2 else []
        d.open("/")
        why = d.page.locator("#alert-why .why").bounding_box()

        assert found == []
        assert why is not None and why["width"] < 1400
        assert d.complaints == []


def test_a_new_alert_is_said_once_and_moves_only_for_who_wants_motion(
    browser: Browser, server: Server, world: World
) -> None:
    """A polite sentence, not every line of the list read out."""
    with desk(browser, server) as d:
        live(d.page)
        d.page.mouse.move(700, 880)
        world.happen(raised("transformer_overload", "transformer", "T1", NOW - MINUTE, NEUTRAL))

        say = d.page.locator("#say")
        expect(say).to_contain_text("Transformer overload")
        expect(say).to_have_attribute("aria-live", "polite")
        assert d.page.locator("#feed[aria-live], [aria-live=polite] #feed").count() == 0
        moving = "() => getComputedStyle(document.querySelector('.fresh > a')).animationName"
        assert d.page.evaluate(moving) == "none"
        d.page.emulate_media(reduced_motion="no-preference")
        assert d.page.evaluate(moving) == "arrive"


def test_every_plot_stands_beside_its_table(browser: Browser, server: Server) -> None:
    found = []
    pages = {
        "engineer": ("/devices/T3-monitor", "/admin/detectors", "/supply", "/quality?days=365"),
        "operator": ("/", "/tickets/1"),
    }
    for role, paths in pages.items():
        with desk(browser, server, role) as d:
            for path in paths:
                page = d.open(path)
                drawn(page)
                assert page.locator("canvas, svg").count() > 0
                found += [(path, plot) for plot in page.evaluate(WITHOUT_TABLE)]

    assert found == []
