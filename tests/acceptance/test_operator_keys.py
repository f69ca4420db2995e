"""The operator's desk by keyboard alone: five strokes to why and who, and every action by a key."""

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import LANGUAGES, PHONE, browser, desk, live, said, server, world
from tests.acceptance.looks import drawn, past_the_edge, violations
from tests.unit.web.server import Server
from tests.unit.web.test_pages import alert_id
from tests.unit.web.world import NOW, World

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

STROKES_MAX = 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_t7_is_failing_tell_me_why_and_who_in_five_strokes(
    language: str, browser: Browser, server: Server
) -> None:
    strokes = ["/", "T", "7", "Enter"]
    with desk(browser, server, language=language) as d:
        for key in strokes:
            d.page.keyboard.press(key)

        d.page.wait_for_url("**/?q=T7")
        why = "48 块电表中 41 块" if language == "zh-CN" else "41 of 48 meters"
        who = "48 户" if language == "zh-CN" else "48 customers"
        expect(d.page.locator("#alert-why")).to_contain_text(why)
        expect(d.page.locator("#alert-head")).to_contain_text(who)
        expect(d.page.locator("#alert-head")).to_contain_text("抢修一班")
        assert len(strokes) <= STROKES_MAX
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_just_acknowledged_is_taken_back_by_u_and_the_pane_stays(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    """The list now begins with another alert; the pane must go on showing this one, whole."""
    t = said(language)
    with world.ledger.reading() as r:
        outage = r.alert(alert_id(world, "outage"))
    assert outage is not None
    why = t.pick(outage.evidence.rule, outage.evidence.rule_zh)
    with desk(browser, server, language=language) as d:
        live(d.page)
        d.page.keyboard.press("a")
        d.page.keyboard.type("on it")
        d.page.keyboard.press("Enter")
        expect(d.page.locator(".bar.undo")).to_contain_text(t("operator.done_ack"))
        # A caller is news of this alert: what we put into another part goes when it is renewed.
        d.page.evaluate("() => document.querySelector('#alert-why').append('(as before)')")
        d.context.request.post(
            f"{server.url}/api/v1/contacts",
            data={"channel": "phone", "external_id": "1", "account": "330740005"},
            headers={"authorization": "Bearer bearer-clerk"},
        )
        expect(d.page.locator("#alert-why")).not_to_contain_text("(as before)")

        expect(d.page.locator(".bar.undo")).to_contain_text(t("operator.done_ack"))
        expect(d.page.locator("#alert-head h2")).to_have_text(t.fault("outage"))
        expect(d.page.locator("#alert-why")).to_contain_text(why)

        d.page.keyboard.press("u")

        expect(d.page.locator('#alert-head [data-key="a"]')).to_be_visible()
        with world.ledger.reading() as r:
            alert = r.alert(alert_id(world, "outage"))
        assert alert is not None and alert.handling == "new"


def test_the_offer_to_take_back_goes_after_its_seconds(browser: Browser, server: Server) -> None:
    with desk(browser, server) as d:
        d.page.clock.install()
        d.open("/")
        d.page.keyboard.press("a")
        d.page.keyboard.press("Enter")
        bar = d.page.locator(".bar.undo")
        expect(bar).to_be_visible()

        d.page.clock.fast_forward(11_000)

        expect(bar).to_have_count(0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_alert_is_shelved_with_its_end_by_s(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, language=language) as d:
        d.page.keyboard.press("s")
        expect(d.page.locator(".shelf select:focus")).to_have_count(1)
        d.page.keyboard.press("ArrowUp")
        d.page.keyboard.press("Tab")
        d.page.keyboard.type("waiting for the crew")
        d.page.keyboard.press("Enter")

        shelved = "Shelved until" if language == "en-US" else "已搁置至"
        expect(d.page.locator("#alert-head")).to_contain_text(shelved)
        with world.ledger.reading() as r:
            alert = r.alert(alert_id(world, "outage"))
        assert alert is not None and (alert.shelved_until_us or 0) > NOW


def test_h_opens_the_hand_over_sheet_and_axe_finds_nothing_on_it(
    browser: Browser, server: Server
) -> None:
    for language, dark, size in (("en-US", False, None), ("zh-CN", True, PHONE)):
        with desk(browser, server, language=language, dark=dark, size=size or (1440, 900)) as d:
            if size is None:
                d.page.keyboard.press("h")
                d.page.wait_for_url("**/handover")
            else:
                d.open("/handover")
            found = []
            for path in ("/handover", "/?q=nothing", "/"):
                page = d.open(path)
                drawn(page)
                found += [(path, *v) for v in violations(page) + past_the_edge(page)]

            assert found == []
            assert d.complaints == []
