"""Are the pages quick on the worst night? Paint, charts, news, many streams, a page left open.

A real PostgreSQL with TimescaleDB, the pages in one worker process on this machine, a real
Chromium; what drives them shares the two processors. Sections, each printed as it ends:

paint    first contentful paint of the alert desk; a week of one-minute three-phase readings
         (10,080 x 3 out of the database) from the click to the drawn chart
zoom     a drag over the chart of a meter, to its raw readings drawn: on the live site and in a
         replay, another meter each time
news     alerts are committed at 50 a second; from the commit to the frame that shows the row
streams  500 open streams on the one worker while 50 alerts a second are committed; every stream
         must bring every one of them
day      a page left open takes a day's news (raised, seen, opened with its chart) as fast as it
         can; what it holds after garbage collection, early and late
storm    10,000 open alerts of as many causes; the desk is opened, somebody stands on a line and
         500 more come; then 1,000 points go dark that are one cause

Run: python benchmarks/bench_web.py [--only paint,news] [--quick]
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alerts.apply import apply_events
from alerts.handling import AlertDesk
from alerts.roles import Actor
from benchmarks.web_site import (
    KEYED,
    WATCHED,
    Site,
    a_week,
    at_rate,
    meanwhile,
    ms,
    size_of,
    zoom_once,
)
from benchmarks.web_streams import Browsers
from forewatt.services import PrivateServices
from forewatt.services.doctor import find_browser
from forewatt.trials import SCENARIOS
from simulators.scenario import simulate
from tests.acceptance.browser import ARGUMENTS, live
from tests.trial_room import a_room
from tests.unit.web.world import DAY, MINUTE, NEUTRAL, NOW, raised, story
from tests.waiting import wait_for
from web.trial_doors import TrialAsk

Rows = list[tuple[str, str, str]]
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')"
PAINTED = f"() => {FIRST_PAINT}.length > 0"


@dataclass(frozen=True)
class Bench:
    """What a section is given."""

    new_database: Callable[[str], str]
    browser: Browser
    folder: Path
    quick: bool


# -- paint ---------------------------------------------------------------------------------------


def paint(b: Bench) -> Rows:
    first: list[float] = []
    drawn: list[float] = []
    with Site(b.new_database("paint")) as site:
        apply_events(story(), site.ledger, site.grid)
        a_week(site, ["T3-monitor"])
        for _ in range(3 if b.quick else 9):
            page = site.page(b.browser, "engineer")
            page.wait_for_function(PAINTED)
            first.append(page.evaluate(f"{FIRST_PAINT}[0].startTime"))
            page.goto(f"{site.url}/devices/T3-monitor?span=7d", wait_until="commit")
            page.wait_for_selector("[data-chart][data-state=drawn] canvas")
            drawn.append(page.evaluate("performance.now()"))
            page.context.close()
    return [
        ("first contentful paint of the desk, median", ms(first, 50), "< 1,000 ms"),
        ("first contentful paint of the desk, worst", ms(first, 100), ""),
        ("week of one-minute three-phase drawn, median", ms(drawn, 50), "< 1,000 ms"),
        ("week of one-minute three-phase drawn, worst", ms(drawn, 100), ""),
    ]


# -- zoom ----------------------------------------------------------------------------------------


def zoom(b: Bench) -> Rows:
    rounds = 5 if b.quick else 20
    folder = b.folder / "replays"
    simulate(SCENARIOS / "neutral_loose.toml", folder / "datasets" / "clamp")
    room = a_room(folder)
    trial = room.start(TrialAsk("dataset:clamp"))
    wait_for(lambda: room.known()[0][1].status.get("state") == "done", 300, "the replay is done")
    view = room.open(trial)
    assert view is not None
    replayed = [d for d in view.devices() if "-M" in d][:rounds]
    room.close()
    with Site(b.new_database("zoom"), trials=folder) as site:
        watched = site.meters(4 if b.quick else 12)
        a_week(site, watched)
        page = site.page(b.browser, "engineer")
        zooms = {
            "live site, a week": [
                zoom_once(page, f"{site.url}/devices/{d}?span=7d") for d in watched
            ],
            "replay": [
                zoom_once(page, f"{site.url}/engineer/replay/{trial}?device={d}") for d in replayed
            ],
        }
        page.context.close()
    rows: Rows = []
    for name, took in zooms.items():
        rows += [
            (f"zoom to raw readings, {name}, median of {len(took)} meters", ms(took, 50),
             "< 200 ms"),
            (f"zoom to raw readings, {name}, p95", ms(took, 95), ""),
        ]  # fmt: skip
    return rows


# -- news ----------------------------------------------------------------------------------------


def committed_at(site: Site, meters: list[str]) -> tuple[dict[str, float], Callable[[int], None]]:
    """When each alert was committed, by this machine's clock, and the hand that does it."""
    known: dict[str, float] = {}

    def act(n: int) -> None:
        id_ = site.happen(meters[n], NOW - MINUTE + n * 1_000)
        known[id_] = time.time() * 1_000

    return known, act


def news(b: Bench) -> Rows:
    count = 300 if b.quick else 1_000
    rate: list[float] = []
    with Site(b.new_database("news"), 400) as site:
        page = site.desk(b.browser)
        committed, act = committed_at(site, site.meters(count))
        with meanwhile(lambda: rate.append(at_rate(count, act))):
            pass
        page.wait_for_function("n => Object.keys(window.seenAt).length >= n", arg=count)
        seen: dict[str, float] = page.evaluate("window.seenAt")
        delays = [seen[k] - at for k, at in committed.items()]
        page.context.close()
    what = f"commit to row on screen, {count:,} alerts at {rate[0]:.0f}/s"
    return [
        (f"{what}, p50", ms(delays, 50), ""),
        (f"{what}, p95", ms(delays, 95), "< 150 ms"),
        (f"{what}, worst", ms(delays, 100), ""),
    ]


# -- streams -------------------------------------------------------------------------------------


def streams(b: Bench) -> Rows:
    clients, count = (200, 200) if b.quick else (500, 500)
    with Site(b.new_database("streams"), 400) as site:
        browsers = Browsers(site.port, site.cookie("operator"), clients, count)
        committed, act = committed_at(site, site.meters(count))
        before, began = site.processor_s(), time.monotonic()
        rate = at_rate(count, act)
        heard = browsers.wait()
        worker_s, took_s = site.processor_s() - before, time.monotonic() - began
    delays = [t - at for k, at in committed.items() for t in heard.times.get(k, ())]
    what = f"{clients} streams on one worker, {count} alerts at {rate:.0f}/s"
    return [
        (f"{what}: events lost of {clients * count:,}", str(clients * count - len(delays)), "0"),
        (f"{what}: streams that had to come back", str(heard.again), "0"),
        (f"{what}: commit to client, p50", ms(delays, 50), ""),
        (f"{what}: commit to client, p95", ms(delays, 95), ""),
        (f"{what}: processors in {took_s:.0f} s: the worker; the browsers",
         f"{worker_s:.1f} s; {heard.browsers_s:.1f} s", ""),
    ]  # fmt: skip


# -- day -----------------------------------------------------------------------------------------


def day(b: Bench) -> Rows:
    """Raise, see and open; the page is never loaded again and keeps a bounded number of lines."""
    count = 600 if b.quick else 1_800
    with Site(b.new_database("day"), 450) as site:
        meters = site.meters(1_800)  # one each: a second alert of a meter would join its line
        page = site.desk(b.browser)
        desk, chief = AlertDesk(site.ledger, site.clock), Actor("bench", "operator")

        def part(first: int, last: int) -> None:
            for n in range(first, last):
                site.moment.value += DAY // count
                id_ = site.happen(meters[n], site.moment.value)
                if n % 2:
                    desk.acknowledge(id_, chief, "seen")
                if n % 10 == 9:  # somebody opens it: its chart is drawn in the place of the last
                    page.wait_for_function("id => id in window.seenAt", arg=id_)
                    page.locator(f'.feed-row[data-alert="{id_}"] > a').click()
                    # Not for the element itself: the driver's hold on it would keep the whole pane.
                    page.wait_for_function(
                        "id => document.querySelector(`[data-alert-pane='${id}'] [data-state]`)"
                        " !== null",
                        arg=id_,
                    )
                    page.mouse.move(5, 5)
                    page.evaluate("document.activeElement.blur()")
                    page.keyboard.press("n")
            page.evaluate("window.seenAt = {}")

        sizes = []
        for at in range(4):
            part(at * count // 4, (at + 1) * count // 4)
            sizes.append(size_of(page))
        lines = page.locator(".feed-row").count()
        page.context.close()
    rows: Rows = [
        (f"page left open, after {hours} h of a day ({(at + 1) * count // 4:,} news)",
         str(size), "no growth" if at else "")
        for at, (hours, size) in enumerate(zip((6, 12, 18, 24), sizes, strict=True))
    ]  # fmt: skip
    return [*rows, ("page left open for a day, lines kept", str(lines), "<= 300")]


# -- storm ---------------------------------------------------------------------------------------


def storm(b: Bench) -> Rows:
    count, more = (2_000, 200) if b.quick else (10_000, 500)
    with Site(b.new_database("storm"), 2_750) as site:
        meters = site.meters(count + more)
        began = time.monotonic()
        for at in range(0, count, 1_000):
            apply_events(
                [
                    raised("meter_health", "device", m, NOW - 60 * MINUTE - n, NEUTRAL, (m,))
                    for n, m in enumerate(meters[at : at + 1_000], at)
                ],
                site.ledger,
                site.grid,
            )
        stored_s = time.monotonic() - began
        page = site.page(b.browser, "operator")
        page.wait_for_function(PAINTED)
        first = []
        for _ in range(3):
            page.reload()
            page.wait_for_function(PAINTED)
            first.append(float(page.evaluate(f"{FIRST_PAINT}[0].startTime")))
        live(page)
        shown = page.locator(".feed-row").count()
        for _ in range(3):
            page.keyboard.press("j")
        page.evaluate(WATCHED)
        late = meters[count:]
        _, act = committed_at(site, late)
        with meanwhile(lambda: at_rate(more, act)):
            pass
        page.wait_for_function("() => !document.getElementById('new-pill').hidden")
        page.evaluate("window.watched.over = true")
        watched: dict[str, Any] = page.evaluate("window.watched")
        keys = [float(page.evaluate(KEYED, key)) for key in "jk" * 10]
        page.evaluate("document.activeElement.blur()")
        page.evaluate("document.getElementById('feed').scrollTop = 0")  # else news go on waiting
        page.keyboard.press("n")
        page.wait_for_function("() => document.getElementById('new-pill').hidden")
        points = [p.id for p in site.grid.usage_points if p.transformer == "T7"][-1_000:]
        dark = [raised("outage", "usage_point", p, NOW - n, NEUTRAL) for n, p in enumerate(points)]
        apply_events(dark, site.ledger, site.grid)
        apply_events([raised("outage", "transformer", "T7", NOW, NEUTRAL)], site.ledger, site.grid)
        # What hung on this area before folds into the outage too, so there may be more of them.
        folded = """n => [...document.querySelectorAll(".feed-row .title .tag")].map(
          x => Number(x.textContent.replace(/[^0-9]/g, ""))).filter(x => x > n).length"""
        page.wait_for_function(folded, arg=len(points))
        ways = page.evaluate(folded, len(points))
        page.wait_for_function(f"() => document.querySelectorAll('.feed-row').length >= {shown}")
        kept, size = page.locator(".feed-row").count(), size_of(page)
        page.context.close()
    return [
        (f"storm: {count:,} alerts of as many causes judged and stored", f"{stored_s:.0f} s", ""),
        (f"storm: first contentful paint, {shown} lines shown, median", ms(first, 50),
         "< 1,000 ms"),
        (f"storm: {more} more while somebody is on a line: it moved", f"{watched['moved']:g} px",
         "0 px"),
        ("storm: frames in which the line was not the focused one", str(watched["lost"]), "0"),
        ("storm: longest stretch the page was busy", f"{watched['longest']:.0f} ms", ""),
        ("storm: a key to the next frame, p95", ms(keys, 95), ""),
        (f"storm: {len(points):,} points dark and their transformer: lines", str(ways), "1"),
        ("storm: lines kept, after the list has filled itself", str(kept), "300"),
        ("storm: what the page holds", str(size), ""),
    ]  # fmt: skip


# -- all -----------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[Bench], Rows]] = {
    "paint": paint, "zoom": zoom, "news": news, "streams": streams, "day": day, "storm": storm,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", help="some sections, separated by commas", default="")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; 200 streams")
    arguments = parser.parse_args()
    chosen = [s for s in arguments.only.split(",") if s] or list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    program = find_browser()
    if program is None:
        sys.exit("bench_web needs a Chromium; see forewatt doctor")
    quick = ", --quick" if arguments.quick else ""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}{quick}"
    )
    print("\n| what | measured | wanted |\n|---|---:|---:|", flush=True)
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services"))
        playwright = ending.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        ending.callback(chromium.close)
        for name in chosen:
            load = os.getloadavg()[0]
            rows = SECTIONS[name](Bench(services.new_database, chromium, folder, arguments.quick))
            for what, measured, wanted in rows:
                print(f"| {what} | {measured} | {wanted} |")
            print(f"| *{name} began at load* | {load:.1f} | |", flush=True)


if __name__ == "__main__":
    main()
