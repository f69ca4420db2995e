"""A person without a mouse: Tab, arrows and typing, and the focus can be seen on the way."""

from datetime import datetime

from playwright.sync_api import Page

TABS_MAX = 150
PASSWORD = "a long enough password"
# Whether the focus is on what is meant, and can be seen there.
THERE = """selector => {
  const e = document.activeElement;
  if (!e.matches(selector)) return false;
  const s = getComputedStyle(e), seen = s.outlineStyle !== "none" || s.boxShadow !== "none";
  if (!seen) throw new Error(`the focus on ${selector} cannot be seen`);
  return true;
}"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus stands, visibly, on what matches; first it must be there."""
    page.locator(selector).first.wait_for(state="attached")
    for _ in range(TABS_MAX):
        if page.evaluate(THERE, selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached with {TABS_MAX} tabs")


def fill(page: Page, selector: str, text: str) -> None:
    tab_to(page, selector)
    page.keyboard.type(text)


def press(page: Page, selector: str, key: str = "Enter") -> None:
    tab_to(page, selector)
    page.keyboard.press(key)


def choose(page: Page, value: str) -> None:
    """Go down the focused list until it says this."""
    for _ in range(40):
        if page.evaluate("document.activeElement.value") == value:
            return
        page.keyboard.press("ArrowDown")
    raise AssertionError(f"{value} is not among the choices")


def type_time(page: Page, selector: str, when: datetime) -> None:
    """Into a field for date and time, part after part; the order is the browser's own."""
    tab_to(page, selector)
    page.keyboard.type(f"{when:%m%d%Y}")
    page.keyboard.press("ArrowRight")
    page.keyboard.type(f"{when:%I%M%p}")
    typed = page.locator(selector).input_value()
    assert typed == f"{when:%Y-%m-%dT%H:%M}", typed
