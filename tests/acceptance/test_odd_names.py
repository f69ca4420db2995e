"""Names of 500 characters and right-to-left text: every page keeps its form, phone and desk."""

from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from tests.acceptance.browser import DESK, PHONE, browser, desk
from tests.acceptance.test_crew_phone import link
from tests.unit.web.server import Server
from tests.unit.web.world import NEUTRAL, NOW, World, raised

__all__ = ["browser"]
pytestmark = pytest.mark.browser

LONG = "Donaudampfschifffahrtselektrizitäten" * 14  # 504 characters without a place to break
RIGHT_TO_LEFT = "محطة الكهرباء رقم ٧ (شارع الجامعة)"
PAGES = {
    "operator": ("/", "/tickets", "/tickets/1", "/silences"),
    "clerk": ("/desk", "/desk?q=330740005", "/tickets/3"),
    "supervisor": ("/quality",),
    "admin": ("/admin", "/admin/sources", "/admin/audit"),
    "": ("/my/link-c-1", "{crew}"),
}


@pytest.mark.parametrize("name", [LONG, RIGHT_TO_LEFT], ids=["500 characters", "right to left"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_page_grows_wider_than_the_window(
    name: str, size: tuple[int, int], browser: Browser
) -> None:
    world = World()
    grid = world.network
    world.network = replace(
        grid,
        transformers=tuple(replace(t, name=name) for t in grid.transformers),
        customers=tuple(replace(c, name=name, address=name) for c in grid.customers),
        teams=tuple(replace(t, name=name) for t in grid.teams),
    )
    for person in world.people.people:
        person.display_name = name
    rule = replace(NEUTRAL, rule=name, rule_zh=name)
    world.happen(raised("transformer_overload", "transformer", "T1", NOW, rule))
    crew = link(world)
    wide: list[tuple[str, int]] = []
    with Server(lambda: world.settings) as server:
        for role, paths in PAGES.items():
            with desk(browser, server, role, size=size) as d:
                for path in paths:
                    page = d.open(path.format(crew=crew))
                    width = page.evaluate("document.documentElement.scrollWidth")
                    wide += [(path, width)] if width > size[0] else []

    assert wide == []
