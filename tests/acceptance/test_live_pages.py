"""The pages in a real Chromium: news arrive by themselves, nothing moves under the cursor, a
silent stream is never mistaken for a quiet night."""

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from alerts.notices import draft_notices
from storage.fleet import FleetHealth
from tests.acceptance.browser import LANGUAGES, PHONE, browser, desk, live, server, world
from tests.unit.web.server import Server
from tests.unit.web.world import MINUTE, NEUTRAL, NOW, World, raised

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser


def new_alert(world: World, asset: str = "T1", fault: str = "transformer_overload") -> None:
    world.happen(raised(fault, "transformer", asset, NOW - MINUTE, NEUTRAL))


def lines(page: Page) -> list[str]:
    found: list[str] = page.locator(".feed-row .title b").all_inner_texts()
    return found


# -- live ----------------------------------------------------------------------------------------


def test_a_new_alert_appears_without_a_refresh(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server) as d:
        live(d.page)

        new_alert(world)

        expect(d.page.locator(".feed-row")).to_have_count(4)
        assert "Transformer overload" in lines(d.page)
        assert d.complaints == []


def test_an_empty_list_says_since_when_it_is_quiet_and_goes_on_saying_it(browser: Browser) -> None:
    world = World(told=False)
    with Server(lambda: world.settings) as server, desk(browser, server) as d:
        quiet = d.page.locator("#feed-empty")
        expect(quiet).to_contain_text("Last reading 4 s ago")

        old = FleetHealth(196, 120, NOW - 90_000_000, 90.0, None)
        world.readings.health = lambda: old  # type: ignore[method-assign]

        expect(quiet).to_contain_text("Last reading 1 min ago")
        assert d.complaints == []


def test_an_alert_between_page_and_stream_is_not_lost(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server) as d:

        def late(route: Route) -> None:
            new_alert(world)
            route.continue_()

        d.page.route("**/stream?*", late, times=1)
        d.open("/")

        expect(d.page.locator(".feed-row")).to_have_count(4)


def test_a_hidden_tab_goes_on_listening(browser: Browser, server: Server, world: World) -> None:
    with desk(browser, server) as d:
        live(d.page)
        d.page.evaluate(
            """() => {
              const tab = { hidden: true, visibilityState: "hidden" };
              for (const [name, value] of Object.entries(tab))
                Object.defineProperty(document, name, { get: () => value });
              document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )

        new_alert(world)

        expect(d.page.locator(".feed-row")).to_have_count(4)


@pytest.mark.parametrize(
    ("language", "said"), [("en-US", "Not live since 18:24"), ("zh-CN", "18:24 起与服务器失去联系")]
)
def test_a_lost_stream_is_shown_and_what_was_missed_is_brought(
    language: str, said: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, language=language) as d:
        live(d.page)
        bar = d.page.locator("#live-bar")
        expect(bar).to_be_hidden()

        server.stop()
        expect(bar).to_be_visible()
        assert said in bar.inner_text()
        new_alert(world)
        server.start()

        expect(bar).to_be_hidden()
        expect(d.page.locator(".feed-row")).to_have_count(4)


def test_a_hundred_alerts_of_one_cause_are_one_line(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server) as d:
        live(d.page)
        ids = [f"T1-{n:03d}" for n in range(1, 31)]
        for n, point in enumerate(ids):
            at = NOW - MINUTE - n * 1_000_000
            world.happen(raised("outage", "usage_point", point, at, NEUTRAL, (f"M-{point}",)))
        world.happen(raised("outage", "transformer", "T1", NOW - MINUTE, NEUTRAL))

        row = d.page.locator('.feed-row[data-line^="i"]', has_text="T1 ")
        expect(row).to_have_count(1)
        expect(d.page.locator(".feed-row")).to_have_count(4)


def test_a_focused_line_does_not_move_and_news_wait_behind_the_pill(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server) as d:
        live(d.page)
        d.page.keyboard.press("j")
        d.page.keyboard.press("j")
        focused = d.page.locator(".feed-row > a:focus")
        before = focused.bounding_box()

        world.happen(raised("outage", "transformer", "T1", NOW - MINUTE, NEUTRAL))

        pill = d.page.locator("#new-pill")
        expect(pill).to_be_visible()
        assert pill.inner_text() == "1 new alert: show it"
        after = focused.bounding_box()
        assert len(lines(d.page)) == 3
        assert before == after
        d.page.keyboard.press("n")
        expect(d.page.locator(".feed-row")).to_have_count(4)
        expect(pill).to_be_hidden()


def test_a_line_that_ends_while_it_is_being_fetched_does_not_come_back(
    browser: Browser, server: Server
) -> None:
    """The answer was drawn before the end, and comes after the news of it."""
    with desk(browser, server) as d:
        live(d.page)

        left = d.page.evaluate(
            """async () => {
              const feed = performance.getEntriesByType("resource").map((x) => x.name)
                .find((x) => x.includes("/static/feed.js"));
              const { feedEvent, releasePill } = await import(feed);
              const list = document.querySelector("#feed-lines"), ends = list.lastElementChild;
              const real = window.fetch;
              const done = new Promise((resolve) => {
                window.fetch = async (...asked) => {
                  const drawn = await (await real(...asked)).text();
                  feedEvent({ line: ends.dataset.line });
                  setTimeout(resolve, 50);
                  return new Response(drawn);
                };
              });
              ends.remove();
              list.dataset.next = ends.dataset.rank;
              releasePill();
              await done;
              return list.children.length;
            }"""
        )

        assert 2 == left
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_acknowledgement_is_seen_by_a_colleague_at_once(
    language: str, browser: Browser, server: Server
) -> None:
    with (
        desk(browser, server, language=language) as mine,
        desk(browser, server, "dispatcher", language=language) as theirs,
    ):
        theirs.open("/")
        live(theirs.page)
        mine.page.keyboard.press("a")
        mine.page.keyboard.type("on it")
        mine.page.keyboard.press("Enter")

        expect(mine.page.locator("#alert-head")).to_contain_text("on it")
        expect(theirs.page.locator(".feed-row").first).to_contain_text("✓ 王值班")
        expect(theirs.page.locator("#figures dd").first).to_have_text(re.compile(r"^2\b"))
        assert mine.complaints == theirs.complaints == []


def test_a_text_that_was_drafted_comes_up_for_whoever_approves(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "dispatcher") as d:
        d.open("/notices")
        live(d.page)

        drafts = draft_notices(world.ledger, world.network, world.clock.now_us())

        assert drafts
        expect(d.page.locator("#notices-waiting .hit").first).to_be_visible()
        assert d.complaints == []


def ring(page: Page, server: Server, number: int, clerk: str = "") -> None:
    """A telephone system tells of a caller of T7, and perhaps to whom it gave the call."""
    told = {"channel": "phone", "external_id": str(number), "account": f"33074000{number}"}
    page.context.request.post(
        f"{server.url}/api/v1/contacts",
        data={**told, "clerk": clerk},
        headers={"authorization": "Bearer bearer-clerk"},
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caller_comes_up_with_what_is_known_and_the_sentence(
    language: str, browser: Browser, server: Server
) -> None:
    """来电即知: nobody has typed or pressed anything yet."""
    with desk(browser, server, "clerk", language=language) as d:
        live(d.page)

        ring(d.page, server, 5, clerk="clerk")

        d.page.wait_for_url("**/desk?account=330740005", wait_until="domcontentloaded")
        sentence = "since 18:12" if language == "en-US" else "自18:12起"
        expect(d.page.locator(".say")).to_contain_text(sentence)
        expect(d.page.locator("input.since:focus")).to_be_visible()
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_call_given_to_nobody_is_announced_to_all_and_the_first_who_takes_it_has_it(
    language: str, browser: Browser, server: Server
) -> None:
    """What is known stands beside the caller before anybody has picked up; Enter takes the call."""
    with (
        desk(browser, server, "clerk", language=language) as mine,
        desk(browser, server, "dispatcher", language=language) as theirs,
    ):
        theirs.open("/desk")
        for d in (mine, theirs):
            live(d.page)
        ring(mine.page, server, 5)
        sentence = "since 18:12" if language == "en-US" else "自18:12起"
        for d in (mine, theirs):
            expect(d.page.locator("#ringing")).to_contain_text("杨敏")
            expect(d.page.locator("#ringing q")).to_contain_text(sentence)
            assert d.page.url.endswith("/desk")

        mine.page.locator("#q").press("Enter")

        mine.page.wait_for_url("**/desk?account=330740005", wait_until="domcontentloaded")
        expect(theirs.page.locator("[data-ringing]")).to_have_count(0)
        expect(theirs.page.locator("#calls .hit").first).to_contain_text("李柜员")
        assert mine.complaints == theirs.complaints == []


def test_a_caller_takes_nothing_away_from_whoever_is_busy(browser: Browser, server: Server) -> None:
    """A half-typed name, the card of another customer, and those who want callers to wait."""
    with desk(browser, server, "clerk") as d:
        calls = d.page.locator("#calls .hit")
        live(d.page)
        d.page.locator("#q").fill("杨")
        ring(d.page, server, 5, clerk="clerk")
        expect(calls.first).to_contain_text("already known")
        assert d.page.url.endswith("/desk")

        d.open("/desk?account=330710001")
        live(d.page)
        ring(d.page, server, 6, clerk="clerk")
        expect(calls).to_have_count(2)
        assert "330710001" in d.page.url

        d.open("/desk")
        d.page.locator("#calls-pop").uncheck()
        live(d.page)
        ring(d.page, server, 7, clerk="clerk")
        expect(calls).to_have_count(3)
        assert d.page.url.endswith("/desk")
        expect(d.page.locator("#calls-pop")).not_to_be_checked()


def test_a_note_that_is_being_typed_survives_the_news(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "clerk") as d:
        page = d.open("/tickets/3")
        live(page)
        page.locator("#ticket-note textarea").fill("half a sentence")

        d.context.request.post(
            f"{server.url}/api/v1/contacts",
            data={"channel": "phone", "external_id": "1", "account": "330740005"},
            headers={"authorization": "Bearer bearer-clerk"},
        )

        expect(page.locator("#ticket-calls")).to_contain_text("杨敏")
        expect(page.locator("#ticket-note textarea")).to_have_value("half a sentence")


# -- keys and flows ------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_operator_works_with_single_keys(
    language: str, browser: Browser, server: Server
) -> None:
    with desk(browser, server, language=language) as d:
        page = d.page
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        fault = "Loosening neutral" if language == "en-US" else "零线虚接"
        expect(page.locator("#alert-head h2")).to_have_text(fault)
        expect(page).to_have_url(re.compile("/alerts/"))
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        page.wait_for_url("**/tickets/1")


def test_a_letter_typed_into_a_note_is_a_letter(browser: Browser, server: Server) -> None:
    with desk(browser, server) as d:
        d.page.keyboard.press("a")
        d.page.keyboard.type("jjtan?")

        assert d.page.locator('[data-key="a"]').input_value() == "jjtan?"
        assert d.page.url == f"{server.url}/"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_clerk_attaches_a_caller_in_two_strokes_after_the_name(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "clerk", language=language) as d:
        d.page.keyboard.type("330740005")
        d.page.keyboard.press("Enter")
        expect(d.page.locator(".say")).to_be_visible()
        expect(d.page.locator("input.since:focus")).to_be_visible()
        d.page.keyboard.press("Enter")

        expect(d.page.locator(".bar-note[role=status]")).to_be_visible()
        with world.ledger.reading() as r:
            assert [c.account for c in r.contacts()] == ["330740005"]
            assert len(r.tickets()) == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_ticket_goes_from_the_queue_to_its_verdict(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "clerk", language=language) as d:
        page = d.open("/tickets")
        page.locator("tbody tr").first.click()
        page.wait_for_url("**/tickets/3")
        page.keyboard.press("a")
        expect(page.locator(".facts-list").first).to_contain_text("李柜员")
        page.locator("summary", has_text="归档" if language == "zh-CN" else "Close").click()
        form = page.locator('form[action$="/close"]')
        form.locator("[name=verdict]").select_option("confirmed_fault")
        form.locator("[name=cause_code]").select_option("fuse_or_breaker")
        form.locator("button").click()

        word = "确认故障" if language == "zh-CN" else "Fault confirmed"
        expect(page.locator("#ticket-head")).to_contain_text(word)
        with world.ledger.reading() as r:
            ticket = r.ticket(3)
        assert ticket is not None and ticket.verdict == "confirmed_fault"
        assert d.complaints == []


def test_search_answers_while_typing(browser: Browser, server: Server) -> None:
    with desk(browser, server, "clerk") as d:
        d.page.keyboard.type("大学路")

        expect(d.page.locator("#answer .hit")).to_have_count(20)
        assert d.complaints == []


def test_an_expired_session_keeps_what_was_typed(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server) as d:
        note = d.page.locator('[data-key="a"]')
        note.fill("an important note")
        world.people.sessions.clear()

        note.press("Enter")

        expect(d.page.locator(".toast")).to_contain_text("signed out")
        expect(note).to_have_value("an important note")


# -- form ------------------------------------------------------------------------------------------


def test_the_chart_is_drawn_and_has_its_table(browser: Browser, server: Server) -> None:
    with desk(browser, server) as d:
        chart = d.page.locator("[data-chart][data-state=drawn]")
        expect(chart.locator("canvas")).to_have_count(1)
        chart.locator("summary").click()

        rows = chart.locator(".data-table tbody tr")
        expect(rows.first).to_contain_text("11-22")
        assert rows.count() > 20


def test_zooming_asks_for_finer_readings(browser: Browser, server: Server) -> None:
    with desk(browser, server, "engineer") as d:
        page = d.open("/devices/M-T3-010?span=7d")
        plot = page.locator("[data-chart][data-state=drawn] .u-over").first
        box = plot.bounding_box()
        assert box is not None
        with page.expect_response(lambda r: "from=" in r.url) as got:
            page.mouse.move(box["x"] + 100, box["y"] + 50)
            page.mouse.down()
            page.mouse.move(box["x"] + 180, box["y"] + 50, steps=4)
            page.mouse.up()

        times = got.value.json()["panels"][0]["time"]
        assert times[1] - times[0] == 60


def test_charts_of_alerts_looked_at_before_are_let_go(browser: Browser, server: Server) -> None:
    with desk(browser, server) as d:
        for n in (1, 0, 1, 0, 1):
            row = d.page.locator(".feed-row").nth(n)
            row.locator("a").click()
            id_ = row.get_attribute("data-alert")
            d.page.wait_for_selector(f'[data-alert-pane="{id_}"] [data-chart][data-state=drawn]')

        shown = d.page.locator(".uplot").count()
        assert shown == d.page.evaluate("() => uPlot.sync('readings').plots.length") > 0


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ["operator", "clerk", "engineer"])
def test_no_page_is_wider_than_a_phone(
    role: str, language: str, browser: Browser, server: Server
) -> None:
    pages = {
        "operator": ("/", "/tickets", "/tickets/1"),
        "clerk": ("/desk", "/desk?q=330740005", "/tickets/3"),
        "engineer": ("/engineer", "/devices/T3-monitor"),
    }[role]
    with desk(browser, server, role, language=language, size=PHONE) as d:
        wide = []
        for path in pages:
            page = d.open(path)
            page.wait_for_function(
                "() => !document.querySelector('[data-chart]:not([data-state=drawn])')"
            )
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE[0]:
                wide.append((path, width))

        assert wide == []
        assert d.complaints == []


def test_on_a_phone_a_line_opens_the_alert_on_a_page_of_its_own(
    browser: Browser, server: Server
) -> None:
    with desk(browser, server, size=PHONE) as d:
        expect(d.page.locator("#detail")).to_be_hidden()
        d.page.locator(".feed-row > a").nth(1).click()

        d.page.wait_for_url("**/alerts/*")
        expect(d.page.locator("#alert-head h2")).to_have_text("Loosening neutral")


def test_without_javascript_an_alert_is_acknowledged(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, script=False) as d:
        d.page.locator('[data-key="a"]').fill("seen on paper")
        d.page.locator("#alert-head button.primary").click()

        expect(d.page.locator("#alert-head")).to_contain_text("seen on paper")
