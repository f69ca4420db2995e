"""Every page, in both languages, light and dark, on a desk and on a phone, has no violation that
axe can find (WCAG 2.2 A and AA), and no hostile text ever runs."""

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.acceptance.browser import browser, desk, server, world
from tests.acceptance.looks import LOOKS, drawn, violations
from tests.acceptance.test_crew_phone import link
from tests.unit.web.server import Server
from tests.unit.web.test_pages import HOSTILE, alert_id
from tests.unit.web.world import NEUTRAL, NOW, World, raised

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

PAGES = {
    "operator": ("/", "{alert}", "/handover", "/tickets", "/tickets/1", "/silences"),
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
    "": ("/signin", "/my", "/my/link-c-1", "/my/link-c-2", "{crew}"),
}


def places(world: World) -> dict[str, str]:
    """A customer without supply and a crew on its way: the rest of the addresses."""
    world.people.customer("c-2", "330740005")
    return {"crew": link(world), "alert": f"/alerts/{alert_id(world, 'neutral_loose')}"}


@pytest.mark.parametrize("language", LOOKS)
@pytest.mark.parametrize("role", PAGES)
def test_axe_finds_nothing(
    role: str, language: str, browser: Browser, server: Server, world: World
) -> None:
    rest = places(world)
    found: list[Any] = []
    with desk(browser, server, role, language=language) as d:
        for path in PAGES[role]:
            page = d.open(path.format(**rest))
            for (width, height), theme in LOOKS[language]:
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(color_scheme=theme)
                drawn(page)
                found += [(path, width, theme, *v) for v in violations(page)]

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
