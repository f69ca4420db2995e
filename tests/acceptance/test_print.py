"""What is printed: black on white whatever the theme, nothing to press, nothing cut off."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.browser import browser, desk, server, world
from tests.acceptance.looks import drawn
from tests.unit.web.server import Server

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

A4 = (718, 1046)  # what is left of the sheet between margins of 12 mm, in CSS pixels
# Role, address, and what must be on the paper.
SHEETS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "handover": ("supervisor", "/handover", ("Open causes", "20261122-0003", "抢修一班")),
    "ticket": (
        "dispatcher",
        "/tickets/1",
        ("Loosening neutral", "Prove dead", "Measure every phase to neutral", "13910000001"),
    ),
    "quality": ("supervisor", "/quality?days=30", ("Broken promises", "Customer-hours lost")),
    "checklist": ("engineer", "/knowledge/checklists/neutral", ("Loose or broken neutral",)),
}
# Of every element that shows on paper: what would waste ink, be pale, be pressed or be cut off.
LOOK = """() => {
  const wrong = { dark: [], pale: [], pressed: [], cut: [] };
  const light = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    const part = (v) => {
      const share = 1 - a + a * v / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.checkVisibility({ visibilityProperty: true })) continue;
    if (e.closest("svg, .u-wrap, .u-legend .u-marker, .visually-hidden, .skip")) continue;
    const style = getComputedStyle(e);
    const note = (kind) => wrong[kind].push(`${e.tagName}.${e.className} ${e.textContent.trim()}`);
    if (light(style.backgroundColor) < 0.8) note("dark");
    const says = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (says && 1.05 / (light(style.color) + 0.05) < 7) note("pale");
    if (e.matches("nav, input, select, textarea, button:not(.tick), .btn, kbd")) note("pressed");
    const hidden = style.overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1;
    if (hidden || e.getBoundingClientRect().right > innerWidth + 1) note("cut");
  }
  return wrong;
}"""


def on_paper(page: Page) -> dict[str, list[Any]]:
    """What is wrong with the page as it goes to paper, by kind; empty lists where nothing is."""
    page.emulate_media(media="print")
    found: dict[str, list[Any]] = page.evaluate(LOOK)
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_sheets_are_black_on_white_with_nothing_to_press_and_nothing_cut_off(
    dark: bool, browser: Browser, server: Server
) -> None:
    wrong, missing = {}, {}
    for name, (role, path, said) in SHEETS.items():
        with desk(browser, server, role, size=A4, dark=dark) as d:
            page = d.open(path)
            drawn(page)

            wrong[name] = {k: v for k, v in on_paper(page).items() if v}
            text = page.locator("body").inner_text()
            missing[name] = [x for x in said if x not in text]

            assert page.pdf(format="A4").startswith(b"%PDF")

    assert {k: v for k, v in wrong.items() if v} == {}
    assert {k: v for k, v in missing.items() if v} == {}


def test_charts_go_to_paper_in_the_colours_of_the_light(browser: Browser, server: Server) -> None:
    """A chart is drawn in the colours of the screen; on a dark one they are pale on paper."""
    with desk(browser, server, "dispatcher", size=A4, dark=True) as d:
        page = d.open("/tickets/1")
        drawn(page)
        stroke = "() => document.querySelector('[data-chart]').charts[0].series[1].stroke()"
        on_screen = page.evaluate(stroke)

        page.emulate_media(media="print")

        page.wait_for_function(f"before => ({stroke})() !== before", arg=on_screen)
        light = "() => getComputedStyle(document.documentElement).getPropertyValue('--phase-b')"
        assert page.evaluate(stroke) in (page.evaluate(light), "#1d7a46", "#976700", "#c2312b")
