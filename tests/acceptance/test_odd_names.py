"""Names of 500 characters and right-to-left text: every page keeps its form, phone and desk."""

from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

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


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("河坊街十五号小区东门公用配电变压器（二期）", True),
        ("Riverside Street East Gate Public Distribution Transformer", True),
        (LONG, False),
    ],
    ids=["long Chinese", "long English", "500 characters"],
)
def test_a_transformers_name_is_readable_in_the_one_line_diagram(
    name: str, whole: bool, browser: Browser
) -> None:
    """Whole where it fits, inside the picture; else the rest comes by focus and by pointer."""
    world = World()
    grid = world.network
    world.network = replace(
        grid, transformers=tuple(replace(t, name=name) for t in grid.transformers)
    )
    with Server(lambda: world.settings) as server, desk(browser, server, "operator") as d:
        page = d.open("/alerts/" + world.ledger_tickets()[0].episode)
        texts = page.locator("svg.oneline text").all()
        ends = [x.evaluate("x => { const b = x.getBBox(); return b.x + b.width; }") for x in texts]
        drawn = [x.text_content() or "" for x in texts]
        cut = page.locator("svg.oneline [data-full]")
        if not whole:
            cut.first.focus()
            expect(page.locator(".oneline-full")).to_contain_text(name)
            cut.first.blur()
            expect(page.locator(".oneline-full")).to_have_text("")
            cut.last.locator("text").hover()
            expect(page.locator(".oneline-full")).to_contain_text(name)

    assert max(ends) <= 640
    assert whole == (cut_count(drawn) == 0) and any(name[:12] in x for x in drawn)


def cut_count(texts: list[str]) -> int:
    """How many of the texts are not whole."""
    return sum(x.rstrip().endswith("…") for x in texts)
