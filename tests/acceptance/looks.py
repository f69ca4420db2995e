"""How a page is looked at: languages, themes, widths; what axe finds, what runs past the edge."""

import os
from typing import Any, Literal

from playwright.sync_api import Page

from tests.acceptance.browser import DESK, PHONE
from tests.acceptance.needed import axe

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# With these four every pair of language, theme and width is looked at; all eight together with
# FOREWATT_ALL_LOOKS=1, which takes twice the time.
Theme = Literal["light", "dark"]
LOOKS: dict[str, tuple[tuple[tuple[int, int], Theme], ...]] = {
    "en-US": ((DESK, "light"), (PHONE, "dark")),
    "zh-CN": ((PHONE, "light"), (DESK, "dark")),
}
if os.environ.get("FOREWATT_ALL_LOOKS") == "1":
    every: tuple[tuple[tuple[int, int], Theme], ...] = (
        (DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark"),
    )  # fmt: skip
    LOOKS = dict.fromkeys(LOOKS, every)


def drawn(page: Page) -> None:
    """Wait until every chart of the page stands."""
    missing = "[data-chart]:not([data-state=drawn])"
    page.wait_for_function(f"() => !document.querySelector('{missing}')")


def violations(page: Page) -> list[tuple[Any, ...]]:
    """What axe finds on the page as it stands (WCAG 2.2 A and AA): rule, and where first."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe())
    # Only violations in full: naming each element that passes took two thirds of the time.
    found = page.evaluate(
        "tags => axe.run(document, { runOnly: { type: 'tag', values: tags },"
        " resultTypes: ['violations'] }).then(result => result.violations)",
        TAGS,
    )
    return [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found]


def past_the_edge(page: Page) -> list[tuple[Any, ...]]:
    """How many pixels the page is wider than its window, and lists of facts than their card."""
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    lists = page.evaluate(
        "[...document.querySelectorAll('dl')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => `${e.className}: ${e.innerText.slice(0, 60)}`)"
    )
    return [("px too wide", over)] * (over > 0) + [("facts cut off", text) for text in lists]
