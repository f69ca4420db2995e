"""The engineer's replay in a real Chromium: started by keyboard, zoomed into the address, labelled
on the chart, and without a violation that axe can find."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from forewatt.trials import SCENARIOS, TrialRoom
from tests.acceptance.browser import DESK, LANGUAGES, PHONE, browser, desk
from tests.acceptance.keyboard import fill, press
from tests.acceptance.looks import drawn, past_the_edge, violations
from tests.trial_room import a_room
from tests.unit.web.server import Server
from tests.unit.web.world import World
from tests.waiting import wait_for
from web.trial_doors import TrialAsk

__all__ = ["browser"]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialRoom]:
    """A room with a dataset that has been replayed once with two settings."""
    from simulators.scenario import simulate

    folder: Path = tmp_path_factory.mktemp("replays")
    simulate(SCENARIOS / "neutral_loose.toml", folder / "datasets" / "clamp")
    made = a_room(folder)
    made.start(TrialAsk("dataset:clamp", b=('disabled = ["neutral"]',)))
    wait_for(lambda: made.known()[0][1].status.get("state") == "done", 120, "the trial is done")
    yield made
    made.close()


@pytest.fixture
def pages(room: TrialRoom) -> Iterator[Server]:
    """The pages of a town whose engineers may replay."""
    world = World(trials=room)
    with Server(lambda: world.settings) as made:
        yield made


def done(room: TrialRoom) -> str:
    """The address of the trial that has been replayed."""
    return f"/engineer/replay/{room.known()[-1][0]}"


def drag(page: Page, first: float, last: float) -> None:
    """Draw over a share of the first chart."""
    box = page.locator("[data-chart] .u-over").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * first, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * last, y, steps=4)
    page.mouse.up()


def test_a_replay_is_started_and_ends_by_keyboard_alone(browser: Browser, pages: Server) -> None:
    with desk(browser, pages, "engineer") as d:
        page = d.open("/engineer/replay")
        page.keyboard.press("/")
        page.keyboard.type("clamp")
        page.keyboard.press("Tab")
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.type("alerts.flaps = 5")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")

        page.wait_for_selector("[data-trial][data-state=done]", timeout=60_000)
        drawn(page)
        expect(page.locator("#trial-command")).to_contain_text("--set 'alerts.flaps = 5' --against")
        assert d.complaints == []


def test_a_zoom_stands_in_the_address_and_shows_the_same_to_a_colleague(
    browser: Browser, pages: Server, room: TrialRoom
) -> None:
    with desk(browser, pages, "engineer") as mine, desk(browser, pages, "engineer") as theirs:
        page = mine.open(done(room) + "?device=T1-TM")
        drawn(page)
        drag(page, 0.5, 0.6)
        page.wait_for_function("() => location.search.includes('from=')")
        drawn(page)
        shown = page.evaluate("() => document.querySelector('[data-chart]').data.from_us")

        other = theirs.open(page.url.replace(pages.url, ""))
        drawn(other)

        assert shown == other.evaluate("() => document.querySelector('[data-chart]').data.from_us")
        link = page.locator('a[href*="/readings.csv"]').get_attribute("href") or ""
        assert "from=" in link and "device=T1-TM" in link


def test_a_zoom_shows_every_reading_of_a_meter_as_it_was_reported(
    browser: Browser, pages: Server, room: TrialRoom
) -> None:
    view = room.open(room.known()[-1][0])
    assert view is not None
    with desk(browser, pages, "engineer") as d:
        for device in ("T1-M010", "T1-M011", "T1-M012"):
            page = d.open(f"{done(room)}?device={device}")
            drawn(page)
            drag(page, 0.5, 0.55)
            page.wait_for_function("() => location.search.includes('from=')")
            drawn(page)
            shown = page.evaluate("() => document.querySelector('[data-chart]').data")

            time, raw = view.rows(device, ["v_a"], shown["from_us"], shown["to_us"])
            line = shown["panels"][0]["lines"][0]
            assert len(time) == len(line["mean"]) > 10
            assert line["mean"] == pytest.approx(list(raw["v_a"]), abs=0.06)


def test_a_band_drawn_on_the_chart_becomes_truth(
    browser: Browser, pages: Server, room: TrialRoom
) -> None:
    with desk(browser, pages, "engineer") as d:
        page = d.open(done(room))
        drawn(page)
        page.keyboard.press("l")
        drag(page, 0.2, 0.4)
        form = page.locator("#label-form")
        expect(form.locator("[name=onset]")).to_have_value(re.compile("2026-03-02 19:[01]"))
        form.locator("[name=fault]").select_option("new_ev")
        form.get_by_role("button").click()

        expect(page.locator(".label-row")).to_have_count(1)
        drawn(page)
        kinds = page.evaluate(
            "() => document.querySelector('[data-chart]').data.bands.map(b => b.kind)"
        )
        assert sorted(kinds) == ["benign", "truth"]
        page.locator(".label-row").get_by_role("button", name="Remove").click()
        expect(page.locator(".label-row")).to_have_count(0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_label_is_typed_without_a_mouse_and_becomes_truth(
    language: str, browser: Browser, pages: Server, room: TrialRoom
) -> None:
    with desk(browser, pages, "engineer", language=language) as d:
        page = d.open(done(room))
        drawn(page)
        page.keyboard.press("b")
        expect(page.locator("#label-form [name=onset]")).to_be_focused()
        page.keyboard.type("2026-03-02 19:10")
        fill(page, "#label-form [name=cleared]", "2026-03-02 21:00")
        page.keyboard.press("Enter")
        expect(page.locator(".label-row")).to_contain_text("19:10")
        press(page, ".label-row form[action$='/unlabel'] button, .label-row form button")
        expect(page.locator(".label-row")).to_have_count(0)
        assert d.complaints == []


@pytest.mark.parametrize(
    ("size", "dark", "language"), [(DESK, False, "en-US"), (PHONE, True, "zh-CN")]
)
def test_axe_finds_nothing_on_the_replay(
    size: tuple[int, int],
    dark: bool,
    language: str,
    browser: Browser,
    pages: Server,
    room: TrialRoom,
) -> None:
    with desk(browser, pages, "engineer", language=language, size=size, dark=dark) as d:
        found = []
        for path in ("/engineer/replay", done(room)):
            page = d.open(path)
            drawn(page)
            if path == done(room):
                page.locator("[data-chart] summary").click()
            found += [(path, *v) for v in violations(page) + past_the_edge(page)]

        assert (found, d.complaints) == ([], [])
