"""Every page, in both languages, light and dark, on a desk and on a phone, has no violation that
axe can find (WCAG 2.2 A and AA), and no hostile text ever runs."""

import os
from dataclasses import replace
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.browser import DESK, PHONE, browser, desk, server, world
from tests.acceptance.needed import axe
from tests.acceptance.test_crew_phone import link
from tests.unit.web.server import Server
from tests.unit.web.test_pages import HOSTILE
from tests.unit.web.world import NEUTRAL, NOW, World, raised

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "operator": ("/", "/tickets", "/tickets/1", "/silences"),
    "clerk": ("/desk", "/desk?q=大学路", "/desk?q=330740005", "/tickets/3"),
    "dispatcher": ("/tickets/1", "/tickets/3"),
    "supervisor": ("/quality", "/quality?days=365"),
    "engineer": ("/engineer", "/devices/T3-monitor", "/admin/detectors?off=outage"),
    "admin": (
        "/admin",
        "/admin/sources",
        "/admin/configuration",
        "/admin/audit",
        "/password",
        "/nowhere",
    ),
    "crew": ("/crew",),
    "": ("/signin", "/my/link-c-1", "/my/link-c-2", "{crew}"),
}


def places(world: World) -> dict[str, str]:
    """A customer without supply and a crew on its way: the rest of the addresses."""
    world.people.customer("c-2", "330740005")
    return {"crew": link(world)}


def drawn(page: Page) -> None:
    missing = "[data-chart]:not([data-state=drawn])"
    page.wait_for_function(f"() => !document.querySelector('{missing}')")


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


@pytest.mark.parametrize("language", LOOKS)
@pytest.mark.parametrize("role", PAGES)
def test_axe_finds_nothing(
    role: str, language: str, browser: Browser, server: Server, world: World
) -> None:
    source = axe()
    rest = places(world)
    found: list[Any] = []
    with desk(browser, server, role, language=language) as d:
        for path in PAGES[role]:
            page = d.open(path.format(**rest))
            page.evaluate(source)
            for (width, height), theme in LOOKS[language]:
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(color_scheme=theme)
                drawn(page)
                result = page.evaluate(
                    "tags => axe.run(document, { runOnly: { type: 'tag', values: tags } })", TAGS
                )
                found += [
                    (path, width, theme, v["id"], [n["target"] for n in v["nodes"]][:3])
                    for v in result["violations"]
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
    rest = places(world)
    pages = [(role, path.format(**rest)) for role, paths in PAGES.items() for path in paths]
    ran: list[str] = []
    with Server(lambda: world.settings) as server:
        for role in PAGES:
            with desk(browser, server, role) as d:
                d.page.on("dialog", lambda dialog: ran.append(dialog.message))
                for _, path in (x for x in pages if x[0] == role):
                    page = d.open(path)
                    drawn(page)
                    ran.extend([path] if page.title() == "owned" else [])
                ran.extend(c for c in d.complaints if "Content Security Policy" in c)

    assert ran == []
