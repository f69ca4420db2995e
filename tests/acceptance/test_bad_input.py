"""What goes wrong has a designed screen, in both languages: a dead stream, a storm of alerts, a
meter that never spoke, a browser in another zone, the back button.

Sessions that end in mid-form: `test_clerk_flows.py`; endless and right-to-left names:
`test_odd_names.py`.
"""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from alerts.episodes import event_id
from alerts.handling import AlertDesk
from alerts.roles import Actor
from grid.errors import ForewattError
from grid.records import AlertEvent
from tests.acceptance.browser import LANGUAGES, browser, desk, live, server, world
from tests.unit.web.server import Server
from tests.unit.web.world import HOUR, MINUTE, NEUTRAL, NOW, World, network, raised
from tests.waiting import wait_for

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

AMBER = {"en-US": "Not live since 18:24: reconnecting.", "zh-CN": "18:24 起与服务器失去联系"}
LINES_MAX = 300


def is_amber(page: Page) -> bool:
    """Whether the bar above the page is amber and nothing looks live."""
    colour: str = page.locator("#live-bar").evaluate("e => getComputedStyle(e).backgroundColor")
    red, green, blue = (int(x) for x in re.findall(r"\d+", colour)[:3])
    dead: bool = page.evaluate("document.body.classList.contains('not-live')")
    return dead and red > green > blue


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_database_that_gives_no_news_turns_every_page_amber_until_it_does(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, language=language) as d:
        live(d.page)
        bar = d.page.locator("#live-bar")
        expect(bar).to_be_hidden()

        world.ledger.broken = ForewattError("the outbox does not answer")
        expect(bar).to_be_visible()
        expect(bar).to_contain_text(AMBER[language])
        assert is_amber(d.page)
        world.ledger.broken = None

        expect(bar).to_be_hidden()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_connection_that_is_silent_without_an_error_is_called_dead(
    language: str, browser: Browser, server: Server
) -> None:
    """A cable pulled out gives no error: silence for three heartbeats means the same."""
    with desk(browser, server, "", language=language) as d:
        d.page.clock.install()
        d.page.add_init_script(
            "window.EventSource = class { addEventListener() {} close() {} }"  # never says a word
        )
        d.sign_in("operator")
        bar = d.page.locator("#live-bar")
        expect(bar).to_be_hidden()

        d.page.clock.fast_forward(20_000)

        expect(bar).to_be_visible()
        assert is_amber(d.page)


def fetched_until_first(page: Page, causes: str) -> None:
    """Fetch the page until it names these causes first; they are counted every few seconds for
    all who ask."""

    def named() -> bool:
        page.reload()
        return causes in page.locator(".storm a").first.inner_text()

    wait_for(named, message=causes)


def test_a_storm_leaves_a_page_that_can_be_used(browser: Browser) -> None:
    """Bounded lines, the gravest first, what hangs on it folded into it, where most of them are,
    and nothing moves under the cursor while more come in. `bench_web.py --only storm` does it with
    10,000 alerts out of a real database."""
    world = World(told=False)
    world.network = network(550)
    meters = [d.id for d in world.network.devices if d.kind == "meter"]
    late, early = meters[:100], meters[100:2_100]
    below = sum(m.startswith("M-T7") for m in early)
    world.happen(
        raised("outage", "transformer", "T7", NOW - HOUR, NEUTRAL),
        *(raised("meter_health", "device", m, NOW - n, NEUTRAL, (m,)) for n, m in enumerate(early)),
    )
    with Server(lambda: world.settings) as server:
        for more, language, gravest in ((0, "en-US", "Critical"), (50, "zh-CN", "危急")):
            with desk(browser, server, language=language) as d:
                page = d.page
                rows, pill = page.locator(".feed-row"), page.locator("#new-pill")
                expect(rows).to_have_count(LINES_MAX)
                expect(page.locator(".storm")).to_contain_text(f"{2_001 + more:,} ")
                fetched_until_first(page, f"F12 ({2_001 + more - below:,})")
                expect(rows.first.locator(".word")).to_have_text(gravest)
                expect(rows.first.locator(".tag").first).to_have_text(f"×{below + 1}")
                live(page)
                page.keyboard.press("j")
                page.keyboard.press("j")
                line = page.locator(".feed-row > a:focus")
                before = line.bounding_box()
                for m in late[:50]:
                    late.remove(m)
                    world.happen(raised("meter_health", "device", m, NOW - MINUTE, NEUTRAL, (m,)))

                expect(pill).to_be_visible()
                assert before == line.bounding_box()
                page.keyboard.press("n")
                expect(pill).to_be_hidden()
                expect(rows).to_have_count(LINES_MAX)
                page.keyboard.press("j")
                page.keyboard.press("Enter")
                expect(page.locator("#alert-head h2")).to_be_visible()
                assert d.complaints == []


def ended(world: World, meters: list[str], at_us: int) -> list[AlertEvent]:
    """Somebody has seen the alerts of some meters, and now they are over."""
    desk_ = AlertDesk(world.ledger, world.clock)
    with world.ledger.reading() as r:
        alerts = [a for a in r.alerts(open_only=True, limit=10_000) if a.asset in meters]
        first = {a.id: r.events(a.id)[0] for a in alerts}
    for a in alerts:
        desk_.acknowledge(a.id, Actor("王值班", "operator"))
    return [
        AlertEvent(
            event_id(a.id, "cleared", at_us), a.id, "cleared",
            replace(first[a.id].finding, tick_us=at_us, score=0.0), a.raised_us,
        )
        for a in alerts
    ]  # fmt: skip


def test_a_list_that_is_cut_fills_itself_when_lines_fold_or_end(browser: Browser) -> None:
    """And the line that somebody is on stays where it is."""
    world = World(told=False)
    world.network = network(550)
    meters = [d.id for d in world.network.devices if d.kind == "meter"]
    others = [m for m in meters if not m.startswith("M-T7")]
    top, below, folding = others[:5], others[5:405], [m for m in meters if m.startswith("M-T7")]
    newest_first = [*top, *folding[:350], *below]
    world.happen(
        *(
            raised("meter_health", "device", m, NOW - HOUR - n, NEUTRAL, (m,))
            for n, m in enumerate(newest_first)
        )
    )
    with Server(lambda: world.settings) as server, desk(browser, server) as d:
        page = d.page
        rows, said = page.locator(".feed-row"), page.locator("#feed-count")
        expect(rows).to_have_count(LINES_MAX)
        expect(said).to_have_text("300 of 755 lines shown")
        live(page)
        for _ in range(3):
            page.keyboard.press("j")
        line = page.locator(".feed-row > a:focus")
        before = line.bounding_box()

        world.happen(raised("outage", "transformer", "T7", NOW - MINUTE, NEUTRAL))

        expect(page.locator("#new-pill")).to_be_visible()
        expect(said).to_have_text("300 of 406 lines shown")
        expect(rows).to_have_count(LINES_MAX)
        assert line.bounding_box() == before
        shown = page.eval_on_selector_all(".feed-row", "all => all.map(x => x.dataset.rank)")
        assert shown == sorted(shown)

        page.keyboard.press("n")
        expect(page.locator(".feed-row .tag").first).to_have_text("×351")
        expect(rows).to_have_count(LINES_MAX)
        world.happen(*ended(world, below[:200], NOW - MINUTE))

        expect(said).to_be_hidden()
        expect(rows).to_have_count(206)
        assert page.locator(".storm").is_hidden()
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_meter_without_readings_says_so_in_chart_and_table(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    said = "No readings in this time." if language == "en-US" else "该时段没有量测数据。"
    world.readings._values = lambda *asked: None  # type: ignore[method-assign]
    world.readings.last_seen = lambda device: None  # type: ignore[method-assign]
    with desk(browser, server, "engineer", language=language) as d:
        page = d.open("/devices/M-T5-007")

        expect(page.locator("[data-chart]")).to_have_text(said)
        expect(page.locator("section", has=page.locator("#table-title"))).to_contain_text(said)
        expect(page.locator("dd").first).to_have_text("never" if language == "en-US" else "从未")
        assert d.complaints == []


# St John's is half an hour beside the hour; New York leaves out an hour of the night shown.
@pytest.mark.parametrize("zone", ["America/St_Johns", "America/New_York"])
def test_a_browser_in_another_zone_shows_the_times_of_the_site(
    zone: str, browser: Browser, server: Server, world: World
) -> None:
    world.clock.us = NOW - 259 * 24 * HOUR  # 8 March 2026, 18:24 in Shanghai
    context = browser.new_context(timezone_id=zone, locale="en-US")
    page = context.new_page()
    page.goto(f"{server.url}/signin/link-engineer")
    page.goto(f"{server.url}/devices/T3-monitor?span=24h")

    page.wait_for_selector("[data-chart][data-state=drawn]")
    page.locator("[data-chart] summary").click()
    cells = page.locator(".data-table").first.locator("td:first-child")
    expect(cells.first).to_be_visible()
    times = cells.all_inner_texts()
    expect(page.locator("#clock")).to_have_text("18:24")
    expect(page.locator("footer")).to_contain_text("Asia/Shanghai")
    context.close()

    assert times[0].startswith("03-08 18:2")
    assert any(x.startswith("03-08 02:") for x in times)  # the hour that New York leaves out
    assert times == sorted(times, reverse=True)
    assert len(times) == len(set(times))


@pytest.mark.parametrize("language", LANGUAGES)
def test_back_shows_the_alert_before_and_forward_the_one_after(
    language: str, browser: Browser, server: Server
) -> None:
    first, second = (
        ("Power outage", "Loosening neutral") if language == "en-US" else ("停电", "零线虚接")
    )
    with desk(browser, server, language=language) as d:
        page, title = d.page, d.page.locator("#alert-head h2")
        expect(title).to_have_text(first)
        page.locator(".feed-row > a").nth(1).click()
        expect(title).to_have_text(second)
        expect(page).to_have_url(re.compile("/alerts/"))

        page.go_back()
        expect(title).to_have_text(first)
        page.go_forward()

        expect(title).to_have_text(second)
        expect(page.locator(".feed-row.selected")).to_have_count(1)
        assert d.complaints == []
