"""Are the pages quick on the worst night? Paint, charts, news, many streams, a page left open.

A real PostgreSQL with TimescaleDB, the real pages in one worker on this machine, a real Chromium;
the driver shares the processor with them.

1. Paint: first contentful paint of the alert desk, and a week of one-minute three-phase readings
   (10,080 x 3 out of the database) from the click to the drawn chart. Medians of several.
2. News: alerts are committed at 50 a second; the clock runs from the commit to the row in the page.
3. Streams: 500 open streams on the one worker while 50 messages a second are committed; every
   stream must bring every one of them.
4. A day: a page left open takes a day's news (raised, seen, cleared) as fast as it can; heap after
   garbage collection and DOM nodes at a tenth of the way and at the end.
5. A storm: 10,000 open alerts; the time to the desk's first answer.

Run: python benchmarks/bench_web.py [--quick]
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alerts.apply import apply_events
from alerts.handling import AlertDesk
from alerts.roles import Actor
from forewatt.services import PrivateServices
from forewatt.services.doctor import find_browser
from grid.journal import Record
from grid.network import Network
from grid.readings import ReadingBatch
from storage.database import Database
from storage.desk_supply import Supply
from storage.historian import Historian
from storage.ledger import PostgresLedger
from storage.migrate import migrate
from storage.people import People
from storage.rollups import RollupWorker
from tests.acceptance.browser import ARGUMENTS, DESK, live
from tests.integration.storage.memory_journal import MemoryJournal
from tests.unit.web.server import Server
from tests.unit.web.world import DAY, MINUTE, NEUTRAL, NOW, StandingClock, network, raised, story
from web.readings import StoredReadings
from web.settings import WebSettings

RATE = 50.0
LINES = 300
SEEN = """() => {
  window.seenAt = {};
  const note = (row) => {
    const now = performance.timeOrigin + performance.now();
    if (row.dataset?.alert) window.seenAt[row.dataset.alert] ??= now;
  };
  document.querySelectorAll(".feed-row").forEach(note);
  new MutationObserver((all) => {
    for (const one of all) one.addedNodes.forEach((n) => n.nodeType === 1 && note(n));
  }).observe(document.getElementById("feed-lines"), { childList: true });
}"""


class Site:
    """Pages on a database, and a hand that lets things happen."""

    def __init__(self, url: str, grid: Network) -> None:
        self.grid, self.clock = grid, StandingClock()
        self.database = Database(url, application="bench", connections_max=4)
        self.theirs = Database(url, application="pages", connections_max=16)
        migrate(self.database)
        self.ledger = PostgresLedger(self.database, "live")
        self.people = People(self.database)
        self.server = Server(self.settings)

    def settings(self) -> WebSettings:
        return WebSettings(
            ledger=PostgresLedger(self.theirs, "live"),
            network=self.grid,
            clock=self.clock,
            people=People(self.theirs),
            readings=StoredReadings(self.theirs, self.grid, self.clock),
            supply=Supply(self.theirs, "live"),
        )

    def cookie(self, role: str) -> tuple[str, str]:
        """A signed-in session: (sign-in link, cookie header)."""
        person = self.people.find(role) or self.people.create(role, role, role)
        link = f"{self.server.url}/signin/{self.people.sign_in_link(person.id, 86_400)}"
        with httpx.Client() as client:
            client.get(link)
            return link, "; ".join(f"{k}={v}" for k, v in client.cookies.items())

    def happen(self, asset: str, at_us: int, fault: str = "meter_health") -> str:
        """An alert of one device, committed; its id."""
        event = raised(fault, "device", asset, at_us, NEUTRAL, (asset,))
        apply_events([event], self.ledger, self.grid)
        return event.alert_id

    def close(self) -> None:
        self.server.stop()
        self.database.close()
        self.theirs.close()


@contextmanager
def opened(url: str, grid: Network) -> Iterator[Site]:
    site = Site(url, grid)
    try:
        site.server.start()
        yield site
    finally:
        site.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; 200 streams")
    quick = parser.parse_args().quick
    program = find_browser()
    if program is None:
        sys.exit("bench_web needs a Chromium; see forewatt doctor")
    rows: list[tuple[str, str, str]] = []
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services"))
        playwright = ending.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        ending.callback(chromium.close)
        load = os.getloadavg()[0]
        with opened(services.new_database("paint"), network()) as site:
            apply_events(story(), site.ledger, site.grid)
            a_week(site)
            rows += paint(site, chromium, 3 if quick else 7)
        with opened(services.new_database("news"), network(400)) as site:
            rows += news(site, chromium, 300 if quick else 1_000)
        with opened(services.new_database("streams"), network(400)) as site:
            rows += streams(site, 200 if quick else 500, 200 if quick else 500)
        with opened(services.new_database("day"), network(400)) as site:
            rows += a_day(site, chromium, 400 if quick else 1_500)
        with opened(services.new_database("storm"), network(2_500)) as site:
            rows += storm(site, 2_000 if quick else 10_000)
        report(rows, load, quick)


# -- 1. paint ------------------------------------------------------------------------------------


def a_week(site: Site) -> None:
    """One-minute three-phase readings of one monitor, as the historian would store them."""
    time_us = NOW - 7 * DAY + np.arange(10_080) * MINUTE
    rng = np.random.default_rng(7)
    values = {q: 229 + rng.normal(0, 1.5, time_us.size) for q in ("v_a", "v_b", "v_c")}
    batch = ReadingBatch.of(["T3-monitor"], np.zeros(time_us.size), time_us, values)
    store(site.database, batch)


def paint(site: Site, browser: Browser, rounds: int) -> list[tuple[str, str, str]]:
    first: list[float] = []
    drawn: list[float] = []
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]})
        page = context.new_page()
        page.goto(site.cookie("engineer")[0], wait_until="load")
        page.goto(f"{site.server.url}/", wait_until="load")
        page.wait_for_function(
            "() => performance.getEntriesByName('first-contentful-paint').length > 0"
        )
        first.append(
            page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        page.goto(f"{site.server.url}/devices/T3-monitor?span=7d", wait_until="commit")
        page.wait_for_selector("[data-chart][data-state=drawn] canvas")
        drawn.append(page.evaluate("performance.now()"))
        context.close()
    return [
        ("first contentful paint of the desk, median", ms(first, 50), "< 1,000 ms"),
        ("week of one-minute three-phase drawn, median", ms(drawn, 50), "< 1,000 ms"),
    ]


# -- 2. news -------------------------------------------------------------------------------------


def at_rate(count: int, act: Callable[[int], None]) -> float:
    """Do something `RATE` times a second, never early; returns the rate that was kept."""
    began = time.monotonic()
    for n in range(count):
        wait = began + n / RATE - time.monotonic()
        if wait > 0:
            threading.Event().wait(wait)
        act(n)
    return count / (time.monotonic() - began)


def desk_page(site: Site, browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]}).new_page()
    page.goto(site.cookie("operator")[0])
    page.goto(f"{site.server.url}/")
    live(page)
    page.evaluate(SEEN)
    return page


def news(site: Site, browser: Browser, count: int) -> list[tuple[str, str, str]]:
    meters = [d.id for d in site.grid.devices if d.kind == "meter"][:count]
    page = desk_page(site, browser)
    committed: dict[str, float] = {}

    def act(n: int) -> None:
        id_ = site.happen(meters[n], NOW - MINUTE + n * 1_000)
        committed[id_] = time.time() * 1_000

    rate: list[float] = []
    # The browser's own thread must stay free to be asked, so the commits have one.
    hand = threading.Thread(target=lambda: rate.append(at_rate(count, act)))
    hand.start()
    hand.join()
    page.wait_for_function("n => Object.keys(window.seenAt).length >= n", arg=count, timeout=60_000)
    seen: dict[str, float] = page.evaluate("window.seenAt")
    delays = [seen[k] - at for k, at in committed.items()]
    page.context.close()
    return [
        (f"commit to row on screen at {rate[0]:.0f}/s, p50", ms(delays, 50), ""),
        (f"commit to row on screen at {rate[0]:.0f}/s, p95", ms(delays, 95), "< 150 ms"),
        ("commit to row on screen, worst", ms(delays, 100), ""),
    ]


# -- 3. streams ----------------------------------------------------------------------------------


def streams(site: Site, clients: int, count: int) -> list[tuple[str, str, str]]:
    cookie = site.cookie("operator")[1]
    meters = [d.id for d in site.grid.devices if d.kind == "meter"][:count]
    got: list[dict[str, float]] = [{} for _ in range(clients)]
    ready, ended = threading.Event(), threading.Event()

    async def one(n: int, joined: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(
            f"GET /stream?after=0 HTTP/1.1\r\nHost: 127.0.0.1:{site.server.port}\r\n"
            f"Cookie: {cookie}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        name = ""
        joined.release()
        while len(got[n]) < count:
            line = await reader.readline()
            if not line:
                break
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif name == "alert" and line.startswith(b"data: "):
                key = line.partition(b'"key":"')[2].partition(b'"')[0].decode()
                got[n].setdefault(key, time.time() * 1_000)
        writer.close()

    async def everybody() -> None:
        joined = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(one(n, joined)) for n in range(clients)]
        for _ in range(clients):
            await joined.acquire()
        ready.set()
        await asyncio.wait(tasks, timeout=120 + count / RATE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ended.set()

    listener = threading.Thread(target=lambda: asyncio.run(everybody()))
    listener.start()
    ready.wait(60)
    committed: dict[str, float] = {}

    def act(n: int) -> None:
        id_ = site.happen(meters[n], NOW - MINUTE + n * 1_000)
        committed[id_] = time.time() * 1_000

    rate = at_rate(count, act)
    ended.wait(180)
    listener.join(10)
    delays = [seen[k] - at for seen in got for k, at in committed.items() if k in seen]
    lost = sum(k not in seen for seen in got for k in committed)
    return [
        (f"{clients} streams at {rate:.0f}/s, events lost of {clients * count:,}", str(lost), "0"),
        (f"{clients} streams, commit to client, p50", ms(delays, 50), ""),
        (f"{clients} streams, commit to client, p95", ms(delays, 95), ""),
    ]


# -- 4. a day ------------------------------------------------------------------------------------


def size_of(page: Page) -> tuple[float, int]:
    """Heap in MB after garbage collection, and DOM nodes."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found: Any = session.send("Performance.getMetrics")["metrics"]
    metrics = {m["name"]: m["value"] for m in found}
    return metrics["JSHeapUsedSize"] / 1e6, int(metrics["Nodes"])


def a_day(site: Site, browser: Browser, count: int) -> list[tuple[str, str, str]]:
    """Raise, see and clear; the page is never reloaded and keeps a bounded number of lines."""
    meters = [d.id for d in site.grid.devices if d.kind == "meter"]
    page = desk_page(site, browser)
    desk, chief = AlertDesk(site.ledger, site.clock), Actor("bench", "operator")

    def part(first: int, last: int) -> None:
        for n in range(first, last):
            site.clock.us += DAY // count
            id_ = site.happen(meters[n % len(meters)], site.clock.us)
            if n % 2:
                desk.acknowledge(id_, chief, "seen")
        newest = site.happen(meters[last % len(meters)], site.clock.us + 1, "sensor_fault")
        page.wait_for_function("id => id in window.seenAt", arg=newest, timeout=60_000)
        page.evaluate("window.seenAt = {}")

    settled = max(LINES + 50, count // 3)
    part(0, settled)
    early = size_of(page)
    part(settled, count)
    late = size_of(page)
    lines = page.locator(".feed-row").count()
    page.context.close()
    return [
        (f"page left open for a day, heap after {settled:,} news", f"{early[0]:.1f} MB", ""),
        (f"page left open for a day, heap after {count:,} news", f"{late[0]:.1f} MB", "no growth"),
        ("page left open for a day, DOM nodes", f"{early[1]:,} then {late[1]:,}", "no growth"),
        ("page left open for a day, lines kept", str(lines), f"<= {LINES}"),
    ]


# -- 5. a storm ----------------------------------------------------------------------------------


def storm(site: Site, count: int) -> list[tuple[str, str, str]]:
    meters = [d.id for d in site.grid.devices if d.kind == "meter"][:count]
    began = time.monotonic()
    for at in range(0, len(meters), 1_000):
        events = [
            raised("meter_health", "device", m, NOW - n, NEUTRAL, (m,))
            for n, m in enumerate(meters[at : at + 1_000], at)
        ]
        apply_events(events, site.ledger, site.grid)
    stored_s = time.monotonic() - began
    cookie = site.cookie("operator")[1]
    took: list[float] = []
    page = ""
    with httpx.Client(base_url=site.server.url, headers={"cookie": cookie}, timeout=60) as client:
        for _ in range(4):
            asked = time.monotonic()
            page = client.get("/").text
            took.append((time.monotonic() - asked) * 1_000)
    shown = page.count('<li class="feed-row')
    return [
        (f"storm: {len(meters):,} alerts judged and stored", f"{stored_s:.1f} s", ""),
        (f"storm: the desk's answer, {shown} lines shown, median", ms(took[1:], 50), ""),
    ]


# -- report --------------------------------------------------------------------------------------


def store(database: Database, batch: ReadingBatch) -> None:
    """As the historian does."""
    journal = MemoryJournal()
    for at in range(0, len(batch), 2_000):
        journal.append([Record("bench", batch.select(slice(at, at + 2_000)))])
    historian = Historian(database, journal)
    while historian.run_once().entries:
        pass
    rollups = RollupWorker(database, settle_s=0)
    while rollups.run_once():
        pass


def ms(values: list[float], share: float) -> str:
    return f"{float(np.percentile(values, share)):,.0f} ms" if values else "-"


def report(rows: list[tuple[str, str, str]], load: float, quick: bool) -> None:
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python "
          f"{platform.python_version()}{', --quick' if quick else ''}")  # fmt: skip
    print("\n| what | measured | wanted |\n|---|---:|---:|")
    for what, measured, wanted in rows:
        print(f"| {what} | {measured} | {wanted} |")


if __name__ == "__main__":
    main()
