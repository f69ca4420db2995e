"""The clerk's flows in a real Chromium, by keyboard alone, in both languages."""

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import LANGUAGES, WITHIN_MS, browser, desk, said, server, world
from tests.unit.web.server import Server
from tests.unit.web.world import World
from web.pages.signin import HASHER

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser

TICKET = "/tickets/3"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_light_since_eight_takes_five_strokes_after_the_name(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    """A first-time clerk: a customer calls and has had no light since eight. Two customers bear
    the name; the second one's trouble is known."""
    with desk(browser, server, "clerk", language=language) as d:
        page = d.page
        page.keyboard.type("杨敏")
        found = page.locator("#answer .hit")
        expect(found).to_have_count(2)
        expect(found.nth(1).locator(".tag.accent")).to_contain_text("1")
        strokes = ["ArrowDown", "ArrowDown", "Enter", "8", "Enter"]

        for stroke in strokes[:3]:
            page.keyboard.press(stroke)
        expect(page.locator("input.since:focus")).to_be_visible()
        expect(page.locator(".say")).to_be_visible()
        for stroke in strokes[3:]:
            page.keyboard.press(stroke)

        expect(page.locator(".bar-note[role=status]")).to_be_visible()
        with world.ledger.reading() as r:
            (contact,) = r.contacts()
            assert len(r.tickets()) == 3
        said = "No light at all since 08:00" if language == "en-US" else "08:00起全部没电"
        assert (said, 3) == (contact.text, contact.ticket_id)
        assert len(strokes) <= 5
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_overtaken_edit_shows_both_sides_and_keeps_what_was_typed(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with (
        desk(browser, server, "dispatcher", language=language) as mine,
        desk(browser, server, "clerk", language=language) as theirs,
    ):
        page = mine.open(TICKET)
        page.locator("#ticket-note textarea").fill("客户要求回电")
        theirs.open(TICKET).keyboard.press("a")
        expect(theirs.page.locator("#ticket-head")).to_contain_text("李柜员")

        page.locator("#ticket-note button").click()

        merge = page.locator(".merge")
        expect(merge).to_contain_text("李柜员")
        expect(merge).to_contain_text("客户要求回电")
        expect(page.locator("#ticket-note textarea")).to_have_value("客户要求回电")
        page.locator("#ticket-note button").click()
        expect(page.locator("#ticket-timeline")).to_contain_text("客户要求回电")


@pytest.mark.parametrize("language", LANGUAGES)
def test_colleagues_see_each_other_on_a_ticket(
    language: str, browser: Browser, server: Server
) -> None:
    t = said(language)
    with (
        desk(browser, server, "dispatcher", language=language) as mine,
        desk(browser, server, "clerk", language=language) as theirs,
    ):
        mine.open(TICKET)
        page = theirs.open(TICKET)
        expect(page.locator("#others")).to_have_text(t("side.looks", name="赵调度"))

        page.locator("#ticket-note textarea").fill("I am")

        other = mine.page.locator("#others")
        expect(other).to_have_text(t("side.writes", name="李柜员"), timeout=2 * WITHIN_MS)
        assert mine.complaints == theirs.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_checklist_is_ticked_by_keyboard_and_shared(
    language: str, browser: Browser, server: Server
) -> None:
    with (
        desk(browser, server, "clerk", language=language) as mine,
        desk(browser, server, "operator", language=language) as theirs,
    ):
        box = mine.open(TICKET).locator("#checklist .tick").first
        box.focus()
        mine.page.keyboard.press("Space")
        expect(box).to_have_attribute("aria-checked", "true")

        line = theirs.open(TICKET).locator("#checklist li").first
        expect(line).to_contain_text("李柜员")
        assert mine.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_needs_care_is_called_and_the_list_remembers(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    t = said(language)
    no_answer, reached = t("call_result.no_answer"), t("call_result.reached")
    with desk(browser, server, "clerk", language=language) as d:
        page = d.open("/tickets/1")
        expect(page.locator("#call-list")).to_contain_text(t("side.reached", n=0, all=3))
        page.locator("#call-list form").first.get_by_role("button", name=no_answer).click()
        expect(page.locator("#call-list")).to_contain_text(no_answer)
        page.locator("#call-list form").first.get_by_role("button", name=reached).click()

        expect(page.locator("#call-list")).to_contain_text(t("side.reached", n=1, all=3))
        assert d.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_note_stays_inside_and_a_text_leaves_only_when_approved(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    t = said(language)
    with desk(browser, server, "dispatcher", language=language) as d:
        page = d.open(TICKET)
        page.locator("#texts button", has_text=t("side.draft")).click()
        text = page.locator("#texts textarea[name=text_zh]").first
        expect(text).to_be_visible()
        page.locator("#ticket-note textarea").fill("internal: the switch is old")
        page.locator("#ticket-note button").click()

        text.fill("您所在区域停电，正在抢修。")
        page.locator("#texts button.primary").first.click()

        expect(page.locator("#texts")).to_contain_text(t("draft_state.approved"))
        with world.ledger.reading() as r:
            drafts = r.drafts(open_only=False)
        assert [("approved", "您所在区域停电，正在抢修。")] == [
            (x.state, x.text_zh) for x in drafts
        ]
        assert all("old" not in x.text + x.text_zh for x in drafts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_session_that_ends_in_mid_form_loses_nothing(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    clerk = world.people.find("clerk")
    assert clerk is not None
    clerk.password_hash = HASHER.hash("a long enough password")
    with desk(browser, server, "clerk", language=language) as d:
        page = d.open("/desk?account=330740005")
        page.locator("[name=text]").fill("客户家有老人")
        world.people.sessions.clear()

        page.keyboard.press("Enter")
        page.locator("[name=login]").fill("clerk")
        page.locator("[name=password]").fill("a long enough password")
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text("客户家有老人")
        page.keyboard.press("Enter")

        expect(page.locator(".bar-note[role=status]")).to_be_visible()
        with world.ledger.reading() as r:
            assert ["客户家有老人"] == [c.text for c in r.contacts()]


def test_the_back_button_shows_what_was_before(browser: Browser, server: Server) -> None:
    with desk(browser, server, "clerk") as d:
        page = d.page
        page.keyboard.type("杨敏")
        page.keyboard.press("Enter")
        page.wait_for_url("**/desk?q=*")
        page.locator("#answer .hit").nth(1).click()
        expect(page.locator(".say")).to_be_visible()

        page.go_back()
        expect(page.locator("#answer .hit")).to_have_count(2)
        page.go_forward()

        expect(page.locator(".say")).to_be_visible()
        assert d.complaints == []
