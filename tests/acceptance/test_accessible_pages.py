"""Every page, in both languages, light and dark, on a desk and on a phone, has no violation that
axe can find (WCAG 2.2 A and AA), and no hostile text ever runs."""

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.browser import DESK, PHONE, browser, desk, server, world
from tests.acceptance.needed import axe
from tests.unit.web.server import Server
from tests.unit.web.test_pages import HOSTILE
from tests.unit.web.world import NEUTRAL, NOW, World, raised

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "operator": ("/", "/tickets", "/tickets/1"),
    "clerk": ("/desk", "/desk?q=大学路", "/desk?q=330740005", "/tickets/3"),
    "engineer": ("/engineer", "/devices/T3-monitor"),
    "admin": ("/admin", "/password", "/nowhere"),
    "": ("/signin", "/my/link-c-1"),
}


def drawn(page: Page) -> None:
    missing = "[data-chart]:not([data-state=drawn])"
    page.wait_for_function(f"() => !document.querySelector('{missing}')")


@pytest.mark.parametrize(
    ("size", "dark", "language"), [(DESK, False, "en-US"), (PHONE, True, "zh-CN")]
)
@pytest.mark.parametrize("role", PAGES)
def test_axe_finds_nothing(
    role: str,
    size: tuple[int, int],
    dark: bool,
    language: str,
    browser: Browser,
    server: Server,
) -> None:
    source = axe()
    found: list[Any] = []
    with desk(browser, server, role, language=language, size=size, dark=dark) as d:
        for path in PAGES[role]:
            page = d.open(path)
            drawn(page)
            page.evaluate(source)
            result = page.evaluate(
                "tags => axe.run(document, { runOnly: { type: 'tag', values: tags } })", TAGS
            )
            found += [
                (path, v["id"], [n["target"] for n in v["nodes"]][:3]) for v in result["violations"]
            ]

    assert found == []


def test_hostile_text_never_runs(browser: Browser) -> None:
    world = World()
    grid = world.network
    world.network = replace(
        grid,
        transformers=tuple(replace(t, name=HOSTILE) for t in grid.transformers),
        customers=tuple(replace(c, name=HOSTILE, address=HOSTILE) for c in grid.customers),
    )
    evidence = replace(NEUTRAL, rule=HOSTILE, rule_zh=HOSTILE, numbers={HOSTILE: HOSTILE})
    world.happen(raised("transformer_overload", "transformer", "T1", NOW, evidence))
    pages = [(role, path) for role, paths in PAGES.items() if role for path in paths]
    ran: list[str] = []
    with Server(lambda: world.settings) as server:
        for role in ("operator", "clerk", "engineer", "admin"):
            with desk(browser, server, role) as d:
                d.page.on("dialog", lambda dialog: ran.append(dialog.message))
                for _, path in (x for x in pages if x[0] == role):
                    page = d.open(path)
                    drawn(page)
                    ran.extend([path] if page.title() == "owned" else [])
                ran.extend(c for c in d.complaints if "Content Security Policy" in c)

    assert ran == []
