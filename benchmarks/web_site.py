"""The site of `bench_web.py`: pages in a process of their own, a hand that lets things happen, and
what is read off a page in the browser."""

import logging
import multiprocessing
import multiprocessing.sharedctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, Page

from alerts.apply import apply_events
from benchmarks.web_streams import processor_s
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
from tests.acceptance.browser import DESK, live
from tests.integration.storage.memory_journal import MemoryJournal
from tests.trial_room import a_room
from tests.unit.web.server import Server, free_port
from tests.unit.web.world import DAY, MINUTE, NEUTRAL, NOW, network, raised
from web.readings import StoredReadings
from web.settings import WebSettings

RATE = 50.0
Moment = multiprocessing.sharedctypes.Synchronized  # of int: site time in microseconds UTC

# When each alert's row stood in the frame that was painted, by the machine's clock.
SEEN = """() => {
  window.seenAt = {};
  const note = (row) => {
    const id = row.dataset?.alert;
    if (id) requestAnimationFrame(() => {
      window.seenAt[id] ??= performance.timeOrigin + performance.now();
    });
  };
  document.querySelectorAll(".feed-row").forEach(note);
  new MutationObserver((all) => {
    for (const one of all) one.addedNodes.forEach((n) => n.nodeType === 1 && note(n));
  }).observe(document.getElementById("feed-lines"), { childList: true });
}"""


# From letting go of the mouse to the frame that shows the finer readings.
TIMED = """() => {
  const chart = document.querySelector("[data-chart]");
  addEventListener("mouseup", () => { window.zoomed = { began: performance.now() }; }, true);
  new MutationObserver(() => {
    if (!window.zoomed || window.zoomed.took || chart.dataset.state !== "drawn") return;
    requestAnimationFrame(() => { window.zoomed.took = performance.now() - window.zoomed.began; });
  }).observe(chart, { attributeFilter: ["data-state"] });
}"""
# Where the focused line stands, frame by frame, and the longest time nothing could be done.
WATCHED = """() => {
  const row = () => document.activeElement?.closest(".feed-row");
  const id = row().id, first = row().getBoundingClientRect().top;
  window.watched = { moved: 0, lost: 0, longest: 0 };
  const look = () => {
    const now = row();
    if (now?.id === id) {
      const off = Math.abs(now.getBoundingClientRect().top - first);
      window.watched.moved = Math.max(window.watched.moved, off);
    } else window.watched.lost += 1;
    if (!window.watched.over) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  new PerformanceObserver((list) => {
    for (const one of list.getEntries())
      window.watched.longest = Math.max(window.watched.longest, one.duration);
  }).observe({ type: "longtask", buffered: false });
}"""
# A key, to the frame that shows where it led.
KEYED = """async (key) => {
  const began = performance.now();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


class SharedClock:
    """Site time that one process moves and another reads."""

    def __init__(self, moment: Any) -> None:
        self.moment = moment

    def now_us(self) -> int:
        return int(self.moment.value)

    def real_seconds_until(self, site_us: int) -> float:
        return max(0.0, (site_us - self.now_us()) / 1e6)


def pages(url: str, port: int, points: int, moment: Any, trials: str, ending: Any) -> None:
    """The one worker: what `forewatt run` starts for the pages, on a made-up network."""
    logging.disable(logging.ERROR)  # streams that are cut at the end are none of our figures
    grid, clock = network(points), SharedClock(moment)
    database = Database(url, application="pages", connections_max=16)
    server = Server(
        lambda: WebSettings(
            ledger=PostgresLedger(database, "live"),
            network=grid,
            clock=clock,
            people=People(database),
            readings=StoredReadings(database, grid, clock),
            supply=Supply(database, "live"),
            trials=a_room(Path(trials)) if trials else None,
        )
    )
    server.port = port
    server.start()
    ending.wait()
    server.stop()
    database.close()


class Site:
    """Pages on a database, and a hand that lets things happen."""

    def __init__(self, url: str, points: int = 48, trials: Path | None = None) -> None:
        self.grid: Network = network(points)
        self.database = Database(url, application="bench", connections_max=4)
        migrate(self.database)
        self.ledger = PostgresLedger(self.database, "live")
        self.people = People(self.database)
        context = multiprocessing.get_context("spawn")
        self.moment = context.Value("q", NOW)
        self.clock = SharedClock(self.moment)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._ending = context.Event()
        self._process = context.Process(
            target=pages,
            args=(url, self.port, points, self.moment, str(trials or ""), self._ending),
        )

    def __enter__(self) -> "Site":
        self._process.start()
        for _ in range(600):
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise SystemExit("the pages were not ready within a minute")

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._process.join(20)
        self._process.kill()
        self.database.close()

    def processor_s(self) -> float:
        """What the worker has taken of the processors so far."""
        assert self._process.pid is not None
        return processor_s(self._process.pid)

    def meters(self, count: int) -> list[str]:
        return [d.id for d in self.grid.devices if d.kind == "meter"][:count]

    def link(self, role: str) -> str:
        """A sign-in link of somebody with this role."""
        person = self.people.find(role) or self.people.create(role, role, role)
        return f"{self.url}/signin/{self.people.sign_in_link(person.id, 86_400)}"

    def cookie(self, role: str) -> str:
        """The cookie header of a signed-in session."""
        with httpx.Client(timeout=60) as client:
            client.get(self.link(role))
            return "; ".join(f"{k}={v}" for k, v in client.cookies.items())

    def happen(self, asset: str, at_us: int, fault: str = "meter_health") -> str:
        """An alert of one device, committed; its id."""
        event = raised(fault, "device", asset, at_us, NEUTRAL, (asset,))
        apply_events([event], self.ledger, self.grid)
        return event.alert_id

    def page(self, browser: Browser, role: str, path: str = "/") -> Page:
        """A signed-in page of a browser context of its own."""
        page = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]}).new_page()
        page.set_default_timeout(120_000)
        page.goto(self.link(role))
        page.goto(self.url + path)
        return page

    def desk(self, browser: Browser) -> Page:
        """The operator's desk, its stream open, noting when each row is painted."""
        page = self.page(browser, "operator")
        live(page)
        page.evaluate(SEEN)
        return page


def at_rate(count: int, act: Callable[[int], None]) -> float:
    """Do something `RATE` times a second, never early; returns the rate that was kept."""
    began = time.monotonic()
    for n in range(count):
        wait = began + n / RATE - time.monotonic()
        if wait > 0:
            threading.Event().wait(wait)
        act(n)
    return count / (time.monotonic() - began)


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[threading.Thread]:
    """Let it happen in a thread while the browser is asked; waits for its end."""
    hand = threading.Thread(target=act)
    hand.start()
    try:
        yield hand
    finally:
        hand.join()


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


def a_week(site: Site, devices: list[str]) -> None:
    """One-minute three-phase readings, as the historian would store them."""
    rng = np.random.default_rng(7)
    week = NOW - 7 * DAY + np.arange(10_080) * MINUTE
    time_us = np.tile(week, len(devices))
    values = {q: 229 + rng.normal(0, 1.5, time_us.size) for q in ("v_a", "v_b", "v_c")}
    place = np.repeat(np.arange(len(devices)), week.size)
    store(site.database, ReadingBatch.of(devices, place, time_us, values))


def zoom_once(page: Page, address: str) -> float:
    page.goto(address)
    page.wait_for_selector("[data-chart][data-state=drawn] canvas")
    page.evaluate(TIMED)
    box = page.locator("[data-chart] .u-over").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    page.mouse.up()
    page.wait_for_function("() => window.zoomed?.took")
    return float(page.evaluate("window.zoomed.took"))


@dataclass(frozen=True)
class Size:
    """What a page holds after garbage collection."""

    heap_mb: float
    nodes: int
    listeners: int
    canvases: int  # one a chart; those out of the document count while something holds them

    def __str__(self) -> str:
        return (
            f"{self.heap_mb:.1f} MB, {self.nodes:,} nodes, {self.listeners:,} listeners, "
            f"{self.canvases} charts"
        )


def size_of(page: Page) -> Size:
    """Collect garbage, then measure."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found: Any = session.send("Performance.getMetrics")["metrics"]
    metrics = {m["name"]: m["value"] for m in found}
    kind = session.send("Runtime.evaluate", {"expression": "HTMLCanvasElement.prototype"})
    alive = session.send("Runtime.queryObjects", {"prototypeObjectId": kind["result"]["objectId"]})
    counted = session.send(
        "Runtime.callFunctionOn",
        {"objectId": alive["objects"]["objectId"], "functionDeclaration":
         "function () { return this.length }", "returnByValue": True},
    )  # fmt: skip
    session.detach()
    return Size(
        metrics["JSHeapUsedSize"] / 1e6,
        int(metrics["Nodes"]),
        int(metrics["JSEventListeners"]),
        int(counted["result"]["value"]),
    )


def ms(values: list[float], share: float) -> str:
    return f"{float(np.percentile(values, share)):,.0f} ms" if values else "-"
