"""How fast is the whole way: from a meter's MQTT message to committed rows, and to the browser?

Everything real and durable on one machine: Mosquitto, PostgreSQL with TimescaleDB, and the four
processes of `forewatt run`. The publisher shares the processor with them. Start-up and compiling
are not counted.

1. Throughput: 960 meters send readings, as single messages and as columns of 960; the clock stops
   when the last row is committed.
2. Latency: the meters of one transformer gasp; the reading that lets event time pass the moment of
   decision is published; the clock stops when the alert, which names its ticket, comes out of the
   live stream of the web server, and when its line is drawn on the operator's page in a real
   Chromium (where there is one). Repeated for other transformers.

Run: python benchmarks/bench_end_to_end.py [--quick]
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forewatt.services import PrivateServices
from forewatt.services.doctor import find_browser
from grid.dataset import write_readings
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from simulators.devices import Publisher, batch_messages, event_message, reading_message
from tests.acceptance.browser import ARGUMENTS, live
from tests.acceptance.house import House, forewatt
from tests.waiting import wait_for

AREAS, METERS = 60, 16
STEP_US = 900_000_000
MINUTE_US = 60_000_000
BASE_US = 1_772_956_800_000_000  # 2026-03-08T08:00:00Z
LATENESS_US = 120_000_000
DEADLINE_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the readings, 10 alerts")
    quick = parser.parse_args().quick
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        town = make_town(folder / "town")
        services = ending.enter_context(PrivateServices.start(folder / "services"))
        house = House(folder, town, services.new_database("bench"), services.mqtt_url)
        ending.enter_context(house)
        publisher = ending.enter_context(Publisher(services.mqtt_url, in_flight=500))
        bench = Bench(house, publisher)
        rows = [
            bench.throughput("one message a reading", 10 if quick else 104, single=True),
            bench.throughput("columns of 960 meters", 50 if quick else 520, single=False),
        ]
        screen = ending.enter_context(Screen(house)) if find_browser() else None
        delays = bench.latencies(10 if quick else AREAS - 2, screen)
        report(services, rows, delays)


def make_town(folder: Path) -> Path:
    """60 feeders with a transformer and 16 meters each: no outage is another one's."""
    network = folder / "network"
    network.mkdir(parents=True)
    areas = [f"T{n:02d}" for n in range(AREAS)]
    meters = [(f"{area}-M{k:02d}", area) for area in areas for k in range(METERS)]
    write(network / "feeders.csv", "feeder,name", (f"F{a},Feeder {a}" for a in areas))
    write(
        network / "transformers.csv",
        "transformer,feeder,rated_kva",
        (f"{a},F{a},200" for a in areas),
    )
    write(
        network / "usage_points.csv",
        "usage_point,transformer,branch,phase",
        (f"U-{m},{a},{a}-B1,{'abc'[n % 3]}" for n, (m, a) in enumerate(meters)),
    )
    write(
        network / "devices.csv",
        "device,kind,usage_point,interval_s",
        (f"{m},meter,U-{m},900" for m, _ in meters),
    )
    write_readings(folder, [healthy([m for m, _ in meters[:1]], BASE_US - STEP_US)])
    return folder


def write(path: Path, head: str, lines: "object") -> None:
    path.write_text("\n".join([head, *lines, ""]))  # type: ignore[misc]


def healthy(names: list[str], time_us: int) -> ReadingBatch:
    """One reading of each device at one time."""
    n = len(names)
    noise = np.random.default_rng(time_us // STEP_US).normal(0, 0.5, n)
    values = {"v_a": 228 + noise, "i_a": np.full(n, 2.5), "p": np.full(n, 560.0)}
    return ReadingBatch.of(names, np.arange(n), np.full(n, time_us), values)


class Bench:
    """One house, one publisher, one course of time."""

    def __init__(self, house: House, publisher: Publisher) -> None:
        self.house, self.publisher = house, publisher
        self.meters = [f"T{n:02d}-M{k:02d}" for n in range(AREAS) for k in range(METERS)]
        self.seq = np.zeros(len(self.meters), np.int64)
        self.time_us = BASE_US
        self.sent = 0

    def step(self, *, single: bool = False, names: list[str] | None = None) -> None:
        """All meters (or some) report at the next step of event time."""
        self.time_us += STEP_US
        self.house.clock.run(0.0, self.time_us)
        batch = healthy(names or self.meters, self.time_us)
        self.seq += 1
        if single:
            for row in range(len(batch)):
                self.publisher.publish(*reading_message(batch, row, int(self.seq[row])))
        else:
            for topic, payload, _ in batch_messages("bench", batch, self.seq[: len(batch)]):
                self.publisher.publish(topic, payload)
        self.sent += len(batch)

    def committed(self) -> bool:
        return self.house.count("reading") >= self.sent

    def throughput(self, name: str, steps: int, *, single: bool) -> tuple[str, int, float]:
        """Readings, and seconds from the first publish to the last commit."""
        before = self.sent
        began = time.perf_counter()
        for _ in range(steps):
            self.step(single=single)
        wait_for(self.committed, DEADLINE_S, "all readings committed")
        return name, self.sent - before, time.perf_counter() - began

    def latencies(self, alerts: int, screen: "Screen | None") -> dict[str, list[float]]:
        """Seconds from the deciding reading to the alert in the live stream and on the screen."""
        token = self.house.token or (self.house.get("/api/v1/alerts"), self.house.token)[1]
        stream = Stream(f"http://127.0.0.1:{self.house.port}/stream", token)
        found: dict[str, list[float]] = {"the live stream": []}
        for n in range(alerts):
            area = f"T{n:02d}"
            out = [m for m in self.meters if m.startswith(area)]
            self.step()
            wait_for(self.committed, DEADLINE_S, "readings before the outage committed")
            gasp_us = self.time_us + 5 * MINUTE_US + 20_000_000
            code = EVENT_CODE["last_gasp"]
            gasps = ReadingBatch.of(
                out,
                np.arange(len(out)),
                np.full(len(out), gasp_us),
                {},
                event=np.full(len(out), code),
            )
            decided_us = (gasp_us // MINUTE_US + 2) * MINUTE_US + LATENESS_US + 1_000_000
            self.house.clock.run(0.0, decided_us)
            for row in range(len(gasps)):
                self.publisher.publish(*event_message(gasps, row))
            self.publisher.drain()
            deciding = healthy([self.meters[-1]], decided_us)
            stream.expect(area)
            began, began_s = time.perf_counter(), time.time()
            self.publisher.publish(*reading_message(deciding, 0, int(self.seq[-1]) + 1))
            self.seq[-1] += 1
            self.sent += 1
            found["the live stream"].append(stream.seen(area) - began)
            if screen is not None:
                found.setdefault("the line on the screen", []).append(screen.seen(area) - began_s)
        stream.close()
        return found


class Stream:
    """A browser's live stream: when was an alert of which asset first heard of."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"}
        self._first: dict[str, float] = {}
        self._waiting = ""
        self._closing = False
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        wait_for(self._open.is_set, 20, "the stream to open")

    def _listen(self) -> None:
        timeout = httpx.Timeout(10, read=None)
        with httpx.stream("GET", self._url, headers=self._headers, timeout=timeout) as answer:
            answer.raise_for_status()
            topic = ""
            for line in answer.iter_lines():
                self._open.set()
                if line.startswith("event: "):
                    topic = line[7:]
                elif topic == "alert" and self._waiting and self._waiting in line:
                    self._first.setdefault(self._waiting, time.perf_counter())
                if self._closing:
                    return

    def expect(self, asset: str) -> None:
        """From now on look for this asset."""
        self._waiting = asset

    def seen(self, asset: str) -> float:
        """When the alert of the asset came."""
        wait_for(lambda: asset in self._first, 30, f"alert of {asset}")
        return self._first[asset]

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        self._thread.join(20)


class Screen:
    """The operator's page in Chromium: when was a line that names an asset first drawn."""

    # A frame after the change of the document, the line is on the screen.
    WATCH = """() => {
        window.drawn = {};
        const look = () => requestAnimationFrame(() => requestAnimationFrame(() => {
            for (const line of document.querySelectorAll('#feed .feed-row'))
                for (const name of line.textContent.match(/T\\d\\d/g) || [])
                    window.drawn[name] ??= Date.now();
        }));
        new MutationObserver(look).observe(
            document.getElementById('feed'), {childList: true, subtree: true});
    }"""

    def __init__(self, house: House) -> None:
        added = forewatt(
            "user", "add", "screen", "--role", "operator", "--json", "--config", house.config
        )
        link = json.loads(added.stdout)["link"]
        self._ending = ExitStack()
        playwright = self._ending.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=find_browser(), headless=True, args=ARGUMENTS
        )
        self._ending.callback(browser.close)
        self._page = browser.new_page(viewport={"width": 1440, "height": 900})
        self._page.goto(link, wait_until="domcontentloaded")
        live(self._page)
        self._page.evaluate(self.WATCH)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def seen(self, asset: str) -> float:
        """When the line of the asset was drawn, in seconds since 1970."""
        self._page.wait_for_function("name => window.drawn[name]", arg=asset, timeout=30_000)
        return float(self._page.evaluate("name => window.drawn[name]", asset)) / 1000


def report(
    services: PrivateServices,
    rows: list[tuple[str, int, float]],
    delays: dict[str, list[float]],
) -> None:
    tools = services.toolchain
    print(f"machine: {machine()}, load {os.getloadavg()[0]:.1f} at the end")
    print(
        f"Python {platform.python_version()}, PostgreSQL {tools.postgres_version}, TimescaleDB "
        f"{tools.timescaledb_version} ({tools.timescaledb_edition}), Mosquitto "
        f"{tools.mosquitto_version}"
    )
    print("\n| from MQTT to committed rows | readings | seconds | readings/s |")
    print("|---|---|---|---|")
    for name, readings, seconds in rows:
        print(f"| {name} | {readings:,} | {seconds:.1f} | {readings / seconds:,.0f} |")
    print(
        "\n| alert with its ticket, from the deciding reading to | n | p50 ms | p99 ms | max ms |"
    )
    print("|---|---|---|---|---|")
    for where, seconds_each in delays.items():
        ms = sorted(1000 * d for d in seconds_each)
        p99 = ms[min(len(ms) - 1, round(0.99 * len(ms)))]
        print(f"| {where} | {len(ms)} | {statistics.median(ms):.0f} | {p99:.0f} | {ms[-1]:.0f} |")
    if len(delays) == 1:
        print("no Chromium on this machine: the screen was not measured")


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


if __name__ == "__main__":
    main()
