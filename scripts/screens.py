"""Pictures of every page out of a running demo, in both languages, light and dark, desk and phone.

    make screens                        starts a demo, waits for its story, takes all pictures
    make screens ARGS="--demo FILE"     uses a demo that runs; FILE is what it has printed
    make screens ARGS="--readme"        only the picture of the operator's page for the README

Pictures are looked at by people; nothing compares them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
README_PICTURE = ROOT / "docs" / "images" / "operator-en.png"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
PAGES = {
    "operator": (
        "/", "/tickets", "{alert}", "{growing}", "{ticket}", "/silences", "/quality?days=30",
        "/handover", "/?q=nothing", "/quality/now", "/supply", "/supply/frequent", "/notices",
    ),
    "clerk": ("/desk", "/desk?q={name}", "/desk?account={account}", "/desk?q=zzzz", "{ticket}"),
    "engineer": (
        "/engineer", "/devices/{device}", "/devices/{device}?span=7d", "/admin/detectors?days=30",
        "/admin/sources", "/engineer/replay", "{trial}", "/engineer/watch", "/knowledge",
        "/knowledge/checklists/neutral", "/cases", "/drills", "/knowledge/new",
    ),
    "admin": ("/admin", "/admin/configuration", "/admin/audit", "/password", "/nowhere"),
    "customer": ("",),
    "": ("/signin", "/my", "{crew}"),
}  # fmt: skip
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
LANGUAGES = {"zh": "zh-CN", "en": "en-US"}
READY_S, STORY_S = 180.0, 300.0


def fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(1)


def links(text: str) -> dict[str, str]:
    """Role (and url) to address, from the lines a demo prints."""
    return dict(re.findall(r"^(\w+): (\S+)$", text, re.M))


@contextmanager
def demo(speed: int) -> Iterator[dict[str, str]]:
    """A demo of our own, ended afterwards."""
    command = [sys.executable, "-m", "forewatt", "demo", "--speed", str(speed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        found: dict[str, str] = {}
        deadline = time.monotonic() + READY_S
        assert process.stdout is not None
        for line in process.stdout:
            found |= links(line)
            if "broker" in found:
                break
            if time.monotonic() > deadline:
                fail(f"the demo was not ready within {READY_S:g} s")
        if "url" not in found:
            fail("the demo ended before it was ready; run: .venv/bin/forewatt demo")
        try:
            yield found
        finally:
            process.terminate()
            process.communicate(timeout=30)


def known_first(incident: dict[str, str]) -> bool:
    """Whether the cause was known before anybody called: times in UTC sort as text."""
    return incident["known"] < (incident["first_contact"] or "")


def story(found: dict[str, str]) -> dict[str, str]:
    """Wait for a ticket that was there before the first call; where its pages are."""
    deadline = time.monotonic() + STORY_S
    with httpx.Client(base_url=found["url"], follow_redirects=True, timeout=20) as client:
        client.get(found["operator"])
        while time.monotonic() < deadline:
            tickets = client.get("/api/v1/tickets").json()["items"]
            called = [
                client.get(f"/api/v1/tickets/{t['id']}").json() for t in tickets if t["contacts"]
            ]
            first = [t for t in called if known_first(t["incident_of_cause"])]
            if first:
                ticket = max(first, key=lambda t: t["contacts"])
                alert = ticket["alerts"][0]
                devices = client.get(f"/api/v1/alerts/{alert}").json()["devices"]
                crew = crew_link(client, found["url"], ticket["id"])
                client.get(found["clerk"])
                page = client.get(f"/tickets/{ticket['id']}").text
                callers = re.findall(r'/desk\?account=(\w+)">([^<]+)', page)
                account, name = callers[0] if callers else ("", "")
                alerts = client.get("/api/v1/alerts").json()["items"]
                growing = [a["id"] for a in alerts if a["fault"].startswith("neutral")]
                return {
                    "growing": f"/alerts/{growing[0] if growing else alert}",
                    "alert": f"/alerts/{alert}",
                    "ticket": f"/tickets/{ticket['id']}",
                    "device": devices[0] if devices else "",
                    "account": account,
                    "name": name,
                    "crew": crew,
                }
            time.sleep(1)
    fail(f"nobody has called about a ticket within {STORY_S:g} s; give the demo more --speed")
    raise AssertionError


def crew_link(client: httpx.Client, url: str, ticket: int) -> str:
    """Send the ticket out as the operator would; the path of the crew's link."""
    page = client.get(f"/tickets/{ticket}").text
    token = page.partition('data-csrf="')[2].partition('"')[0]
    for action, fields in (("take", {}), ("dispatch", {}), ("assign", {"crew": "王师傅"})):
        page = client.get(f"/tickets/{ticket}").text
        version = re.findall(r'name="version" value="(\d+)"', page)[0]
        data = {"_csrf": token, "version": version, **fields}
        client.post(f"/tickets/{ticket}/{action}", data=data, headers={"origin": url})
    made = client.post(
        f"/tickets/{ticket}/crew-link", data={"_csrf": token}, headers={"origin": url}
    )
    return "/crew/" + made.text.partition("/crew/")[2].partition('"')[0]


def take(page: Page, address: str, file: Path, *, whole: bool = True) -> None:
    page.goto(address, wait_until="domcontentloaded")
    undrawn = "[data-chart]:not([data-state=drawn], [data-state=failed])"
    page.wait_for_function(f"() => !document.querySelector('{undrawn}')", timeout=60_000)
    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=file, full_page=whole)
    print(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)


def open_page(
    browser: Browser,
    found: dict[str, str],
    role: str,
    language: str,
    size: tuple[int, int],
    dark: bool,
) -> Page:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        locale=language,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    if role in found and role != "customer":
        page.goto(found[role], wait_until="domcontentloaded")
    return page


def replayed(found: dict[str, str]) -> str:
    """The page of a replay with two settings that has come to its end."""
    with httpx.Client(base_url=found["url"], follow_redirects=True, timeout=20) as client:
        client.get(found["engineer"])
        page = client.get("/engineer/replay").text
        token = page.partition('data-csrf="')[2].partition('"')[0]
        ask = {"source": "scenario:neutral_loose", "speed": "max", "compare": "1"}
        ask |= {"b": 'disabled = ["neutral"]', "_csrf": token}
        made = client.post("/engineer/replay", data=ask, headers={"origin": found["url"]})
        path = made.url.path
        deadline = time.monotonic() + STORY_S
        while client.get(f"{path}/status").json().get("state") not in ("done", "failed"):
            if time.monotonic() > deadline:
                fail(f"the replay has not ended within {STORY_S:g} s")
            time.sleep(1)
        return path


def everything(browser: Browser, found: dict[str, str], places: dict[str, str], out: Path) -> None:
    for role, paths in PAGES.items():
        for short, language in LANGUAGES.items():
            for size_name, size in SIZES.items():
                for dark in (False, True):
                    page = open_page(browser, found, role, language, size, dark)
                    for path in paths:
                        full = path.format(**places)
                        name = re.sub(r"\W+", "-", path).strip("-") or "first"
                        theme = "dark" if dark else "light"
                        file = f"{role or 'nobody'}-{name}-{short}-{size_name}-{theme}.png"
                        base = found["customer"] if role == "customer" else found["url"]
                        take(page, base + full, out / file)
                    page.context.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--demo", type=Path, help="file with what a running demo has printed")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "screens", help="folder for the pictures"
    )
    parser.add_argument("--readme", action="store_true", help="only the README's picture")
    parser.add_argument("--speed", type=int, default=60, help="of the demo that is started")
    arguments = parser.parse_args()
    path = next((p for n in NAMES if (p := shutil.which(n))), None)
    if path is None:
        fail("there is no Chromium; install it: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=ARGUMENTS)

        def pictures(found: dict[str, str]) -> None:
            places = story(found)
            page = open_page(browser, found, "operator", "en-US", (1440, 1040), False)
            take(page, found["url"] + places["growing"], README_PICTURE, whole=False)
            if not arguments.readme:
                everything(browser, found, {**places, "trial": replayed(found)}, arguments.out)

        if arguments.demo:
            pictures(links(arguments.demo.read_text(encoding="utf-8")))
        else:
            with demo(arguments.speed) as found:
                pictures(found)
        browser.close()


if __name__ == "__main__":
    main()
