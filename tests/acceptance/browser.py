"""A real Chromium and a real server on a made-up town: what a person at the desk sees."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.acceptance.needed import chromium
from tests.unit.web.server import Server
from tests.unit.web.world import World
from web.i18n import Words, words

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Generous: a machine with other work must not fail a test that would pass a moment later.
WITHIN_MS = 30_000
expect.set_options(timeout=WITHIN_MS)
DESK, PHONE = (1440, 900), (390, 844)


LANGUAGES = ("en-US", "zh-CN")


def said(language: str) -> Words:
    """What the pages say to a browser of that language."""
    return words("zh-CN" if language == "zh-CN" else "en")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a file; each test has a context of its own.

    Not for the session: while Playwright runs, no other test can have an event loop of its own.
    """
    path = chromium()
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, headless=True, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def world() -> World:
    """A town with its story told."""
    return World()


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    """The pages of that town."""
    with Server(lambda: world.settings) as made:
        yield made


class Desk:
    """One signed-in browser; collects what its pages complained of."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.complaints: list[str] = []
        self.page = self.new_page()

    def new_page(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(WITHIN_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path, wait_until="domcontentloaded")
        return self.page

    def sign_in(self, role: str) -> Page:
        return self.open(f"/signin/link-{role}")


@contextmanager
def desk(
    browser: Browser,
    server: Server,
    role: str = "operator",
    *,
    language: str = "en-US",
    size: tuple[int, int] = DESK,
    dark: bool = False,
    script: bool = True,
) -> Iterator[Desk]:
    """Somebody at their desk (or with a phone), signed in."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        locale=language,
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    try:
        made = Desk(context, server.url)
        if role:
            made.sign_in(role)
        yield made
    finally:
        context.close()


def live(page: Page) -> None:
    """Wait until the page's stream is open."""
    page.wait_for_function("() => performance.getEntriesByName('stream-live').length > 0")
