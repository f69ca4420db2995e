"""A crew's phone in a real Chromium: nothing is lost, nothing doubled."""

import struct
import zlib

import pytest
from playwright.sync_api import Browser, Page, expect

from alerts.roles import Actor
from tests.acceptance.browser import PHONE, WITHIN_MS, browser, desk, server, world
from tests.unit.web.server import Server
from tests.unit.web.world import World
from web.app import create_app
from web.crew import link_token

__all__ = ["browser", "server", "world"]
pytestmark = pytest.mark.browser
TICKET = 3


def link(world: World) -> str:
    """The link of the crew to which T7's outage was given."""
    tickets = create_app(world.settings).state.site.tickets
    chief = Actor("赵调度", "dispatcher")
    made = tickets.take(TICKET, chief, state(world)[1])
    made = tickets.dispatch(TICKET, chief, made.version, "crew-1")
    made = tickets.assign(TICKET, chief, made.version, "王师傅")
    return f"/crew/{link_token(world.settings.secret, made, '王师傅', 4e9)}"


def state(world: World) -> tuple[str, int]:
    with world.ledger.reading() as r:
        ticket = r.ticket(TICKET)
    assert ticket is not None
    return ticket.state, ticket.version


def png() -> bytes:
    """A grey picture that the phone has to turn into a JPEG."""
    rows = b"".join(b"\0" + b"\x80" * 40 for _ in range(30))

    def part(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def arrived(page: Page) -> None:
    expect(page.locator('form[data-act="restore"]')).to_be_visible(timeout=WITHIN_MS)


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_a_crew_reports_everything_from_a_phone(
    language: str, browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "", language=language, size=PHONE) as d:
        page = d.open(link(world))
        page.locator('form[data-act="accept"] button').click()
        expect(page.locator('form[data-act="accept"]')).to_have_count(0)
        page.locator("[name=minutes]").select_option("60")
        page.locator('form[data-act="arrive"] button').click()
        arrived(page)
        page.locator("[name=photo]").set_input_files(
            {"name": "p.png", "mimeType": "image/png", "buffer": png()}
        )
        page.locator("form[data-photo] button").click()
        expect(page.locator(".photos img")).to_have_count(1)
        page.locator("[name=cause_code]").select_option("fuse_or_breaker")
        page.locator('form[data-act="restore"] textarea').fill("熔断器已更换")
        page.locator('form[data-act="restore"] button').click()
        expect(page.locator(".bar-good")).to_be_visible()

        assert (state(world)[0], len(world.photos.list(TICKET))) == ("restored", 1)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert d.complaints == []


def test_without_connection_reports_are_kept_and_sent_later_once_and_in_order(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "", size=PHONE) as d:
        page = d.open(link(world))
        d.context.set_offline(True)
        page.locator('form[data-act="accept"] button').click()
        expect(page.locator("#kept")).to_contain_text("One report is kept")
        page.locator('form[data-act="arrive"] button').click()
        expect(page.locator("#kept")).to_contain_text("2 reports are kept")
        assert state(world)[0] == "assigned"

        d.context.set_offline(False)

        arrived(page)
        expect(page.locator("#kept")).to_be_hidden()
        with world.ledger.reading() as r:
            done = [s.action for s in r.steps(TICKET) if s.role == "crew"]
        assert done == ["accept", "arrive"]


def test_what_was_kept_survives_closing_the_page_and_the_page_opens_without_connection(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "", size=PHONE) as d:
        address = link(world)
        page = d.open(address)
        page.evaluate("navigator.serviceWorker.ready")
        page.reload()
        page.wait_for_function("() => navigator.serviceWorker.controller")
        page.reload()
        server.stop()
        page.locator('form[data-act="arrive"] button').click()
        expect(page.locator("#kept")).to_be_visible()
        page.close()

        again = d.new_page()
        again.goto(server.url + address, wait_until="domcontentloaded")
        expect(again.locator("h1")).to_have_text("Power outage")
        expect(again.locator("#kept")).to_contain_text("One report is kept")
        server.start()

        arrived(again)
        assert state(world)[0] == "on_site"


def test_without_javascript_the_forms_do_the_same(
    browser: Browser, server: Server, world: World
) -> None:
    with desk(browser, server, "", size=PHONE, script=False) as d:
        page = d.open(link(world))
        page.locator('form[data-act="accept"] button').click()
        page.locator('form[data-act="arrive"] button').click()
        arrived(page)

        assert state(world)[0] == "on_site"
