"""Does the desk keep its promises: where the fault is, one ticket soon, an answer at once?

Four tables. *Where*: 24,000 meters, three faults at once (feeder to branch) and three single-meter
faults, by how many last gasps arrive, how many live meters are fresh and how many meters hang
elsewhere than recorded; the model of losses is ours, independent by meter. *Finding to ticket*:
findings at 1,000 a second through episodes, incidents and tickets into a durable database, timed
from arrival to commit. *A feeder out*: 2,000 meters, tickets and notices counted, the queue's page
timed. *A million customers*: search and the answer, timed one call at a time.

Seeds are fixed; compiling, set-up and the first calls are left out.

    python benchmarks/bench_desk.py [--quick] [--only where,ticket,feeder,million]
"""

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alerts.announce import Receiver, announce
from alerts.apply import apply_events
from alerts.episodes import Book
from alerts.locating import WEIGHT, Locator, Says, Sign
from alerts.notices import draft_notices
from alerts.places import Places
from desk.board import Board
from desk.counter import Counter
from desk.search import CustomerIndex
from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.faults import FAULTS
from grid.network import Customer, Device, Feeder, Network, Section, Transformer, UsagePoint
from grid.records import Evidence, Finding
from storage.database import Database
from storage.desk_supply import Supply
from storage.ledger import PostgresLedger
from storage.migrate import migrate

SEED = 20260301
MINUTE_US = 60_000_000
START_US = 1_772_323_200_000_000
PER_AREA, PER_BRANCH = 60, 15


def grid(feeders: int, areas: int, *, customers: bool = False) -> Network:
    """Feeders of three sections; `areas` transformers each, 60 meters on four branches."""
    sections, transformers, points, devices, people = [], [], [], [], []
    for f in range(feeders):
        for s in range(3):
            above = f"F{f}S{s - 1}" if s else None
            sections.append(Section(f"F{f}S{s}", f"F{f}", above))
        for a in range(areas):
            t = f"F{f}T{a}"
            section = f"F{f}S{a % 4}" if a % 4 < 3 else None  # some hang before the first switch
            transformers.append(Transformer(t, f"F{f}", section, f"{t}配变", 400.0, 230.0))
            for m in range(PER_AREA):
                u = f"{t}-{m}"
                points.append(UsagePoint(u, t, f"{t}B{m // PER_BRANCH}", None, "a", f"A{u}"))
                devices.append(Device(f"M{u}", usage_point=u, interval_s=900.0))
                if customers:
                    people.append(Customer(f"A{u}", "王小明", "13900001234", f"中山路{m}号"))
    return Network(
        tuple(Feeder(f"F{f}") for f in range(feeders)),
        tuple(sections),
        tuple(transformers),
        tuple(points),
        tuple(devices),
        tuple(people),
    )


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95, p99."""
    found = np.quantile(values, [0.5, 0.95, 0.99])
    return float(found[0]), float(found[1]), float(found[2])


# -- where ---------------------------------------------------------------------------------------

CASES = (
    ("90 % gasps, 95 % fresh", 0.9, 0.95, 0.0),
    ("30 % gasps, 90 % fresh", 0.3, 0.9, 0.0),
    ("30 % gasps, 50 % fresh", 0.3, 0.5, 0.0),
    ("30 % gasps, 90 % fresh, 3 % mapped wrongly", 0.3, 0.9, 0.03),
)
SPURIOUS = 2e-4
SAYS: tuple[Says, ...] = ("gasp", "silent", "alive")


class Storm:
    """Trials on one grid: what is really dark, what is heard of it."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self.rng = network, np.random.default_rng(seed)
        tree = network.tree
        self.parent, self.kind = tree.parent, tree.kind
        self.meter = tree.device.astype(np.int64)  # recorded node of each meter
        self.levels = [np.flatnonzero(self.kind == k) for k in range(5)]

    def below(self, node: int) -> np.ndarray:
        """bool[n]: the node and everything below it."""
        inside = np.zeros(self.parent.size, bool)
        inside[node] = True
        for i in range(node + 1, self.parent.size):
            p = self.parent[i]
            inside[i] |= bool(p >= 0 and inside[p])
        return inside

    def trial(self, single: int) -> tuple[list[int], list[int]]:
        """Three faults at different feeders, one of each of three levels, and single meters."""
        rng = self.rng
        feeders = rng.permutation(self.levels[0])
        faults: list[int] = []
        for feeder, level in zip(feeders, rng.permutation([0, 1, 2, 3])[:3], strict=False):
            mine = [n for n in self.levels[level] if self.root(int(n)) == feeder]
            faults.append(int(rng.choice(mine)))
        left = [n for n in self.levels[4] if self.root(int(n)) not in feeders[:3]]
        return faults, [int(n) for n in rng.choice(left, single, replace=False)]

    def root(self, node: int) -> int:
        """The feeder of a node."""
        while self.parent[node] >= 0:
            node = int(self.parent[node])
        return node


def where(quick: bool) -> None:
    network = grid(10, 40)
    storm, locator = Storm(network, SEED), Locator(network)
    n_meters = len(network.devices)
    trials = 20 if quick else 60
    locator.faults_of_weight(np.zeros(storm.parent.size))
    print(f"{n_meters:,} meters, {trials} trials a row, 3 faults and 3 single-meter faults at once")
    print(
        f"{'':<46}{'right':>8}{'one':>8}{'one that':>10}{'extra':>8}{'suspects':>10}"
        f"{'kernel':>9}{'whole':>9}"
    )
    print(f"{'':<46}{'device':>8}{'meter':>8}{'gasped':>10}{'tickets':>8}{'right':>10}"
          f"{'ms':>9}{'ms':>9}")  # fmt: skip
    inside = {}
    for title, gasps, fresh, wrong in CASES:
        tally: Tally[str] = Tally()
        kernel_ms, whole_ms = [], []
        for _ in range(trials):
            faults, singles = storm.trial(3)
            rng = storm.rng
            place = storm.meter.copy()  # where each meter really hangs
            moved = rng.random(n_meters) < wrong
            place[moved] = rng.permutation(place)[moved]
            dark = np.zeros(storm.parent.size, bool)
            # Faults begin within ten minutes of each other, the gasps of one within five seconds.
            at_us = np.zeros(n_meters, np.int64)
            for f in (*faults, *singles):
                if f not in inside:
                    inside[f] = storm.below(f)
                dark |= inside[f]
                hit = inside[f][place]
                at_us[hit] = START_US + int(rng.random() * 600e6)
            at_us += rng.integers(1, 5_000_000, n_meters)
            is_dark = dark[place]
            gasped = rng.random(n_meters) < np.where(is_dark, gasps, SPURIOUS)
            heard = ~is_dark & (rng.random(n_meters) < fresh)
            silent = is_dark | (~heard & (rng.random(n_meters) < 1 - fresh))
            gasped &= ~heard
            began = time.perf_counter()
            weight = np.zeros(storm.parent.size)
            np.add.at(weight, storm.meter[gasped], WEIGHT["gasp"])
            np.add.at(weight, storm.meter[silent], WEIGHT["silent"])
            np.add.at(weight, storm.meter[heard], WEIGHT["alive"])
            locator.faults_of_weight(weight)
            kernel_ms.append((time.perf_counter() - began) * 1e3)
            signs = [
                Sign(int(storm.meter[d]), says, network.devices[d].id, int(at_us[d]))
                for says, mask in zip(SAYS, (gasped, silent, heard), strict=True)
                for d in np.flatnonzero(mask)
            ]
            began = time.perf_counter()
            located = locator.locate(signs, faults[0])
            whole_ms.append((time.perf_counter() - began) * 1e3)
            nodes = (network.node(*asset) for asset in located.faults)
            got = {n for n in nodes if n is not None}
            tally["faults"] += len(faults)
            tally["right"] += len(got & set(faults))
            tally["singles"] += len(singles)
            tally["single right"] += len(got & set(singles))
            told = {int(p) for p in place[gasped]}
            tally["single told"] += len(told & set(singles))
            tally["single told right"] += len(got & set(singles) & told)
            tally["extra"] += len(got - set(faults) - set(singles))
            named = {s.device for s in located.suspects}
            tally["suspects"] += len(named)
            tally["suspects right"] += sum(
                bool(moved[network.device_index[name]]) for name in named
            )
        told_n = max(1, tally["single told"])
        share = tally["suspects right"] / max(1, tally["suspects"])
        named_right = f"{share:.0%} of {tally['suspects']}" if wrong else "-"
        print(
            f"{title:<46}{tally['right'] / tally['faults']:>8.1%}"
            f"{tally['single right'] / tally['singles']:>8.1%}"
            f"{tally['single told right'] / told_n:>10.1%}{tally['extra'] / trials:>8.2f}"
            f"{named_right:>10}"
            f"{statistics.median(kernel_ms):>9.1f}{statistics.median(whole_ms):>9.1f}"
        )
    print()


# -- finding to ticket ---------------------------------------------------------------------------


def finding(fault: str, asset: tuple[str, str], tick_us: int, score: float = 1.5) -> Finding:
    """A finding as detectors make it."""
    why = Evidence("rule", "规则", {"x": score}, 1.0, (tick_us - 3_600_000_000, tick_us))
    severity = FAULTS[fault].severity
    return Finding(fault, fault, *asset, tick_us, tick_us, score, severity, (), why)


def stream(network: Network, count: int, causes: bool) -> list[Finding]:
    """`causes`: about fifty findings of each area (its outage, silent meters, wild voltages);
    else every finding is a fault of its own at a place of its own."""
    out = []
    if not causes:
        for n in range(count):
            meter = network.devices[n % len(network.devices)].id
            fault = ("hot_terminal", "joint_resistance", "meter_health")[n // len(network.devices)]
            out.append(finding(fault, ("device", meter), START_US + n * 1000))
        return out
    for n in range(count):
        area, k = divmod(n, 50)
        t = network.transformers[area % len(network.transformers)].id
        tick = START_US + area * MINUTE_US + k * 1_000_000
        if k == 0:
            out.append(finding("outage", ("transformer", t), tick))
        else:
            fault = "comms_failure" if k % 2 else "under_voltage"
            out.append(finding(fault, ("usage_point", f"{t}-{k}"), tick))
    return out


def ticket(services: PrivateServices, quick: bool) -> None:
    network = grid(10, 40)
    seconds = 5 if quick else 15
    print(f"findings at 1,000 a second for {seconds} s, 24,000 meters, one writer, durable")
    print(
        f"{'':<40}{'tickets':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}{'own CPU':>9}"
    )
    for title, causes in (
        ("fifty findings a cause", True),
        ("every finding a ticket of its own", False),
    ):
        name = f"bench_ticket_{causes}".lower()
        with Database(services.new_database(name)) as database:
            migrate(database)
            ledger, places = PostgresLedger(database), Places(network)
            warm = finding("energy_loss", ("transformer", "F0T0"), START_US - 1)
            apply_events(Book(network).judge([warm]), ledger, network, places=places)
            findings = stream(network, seconds * 1000, causes)
            before_s = time.process_time()
            waits, tickets = run(findings, ledger, network, places)
            cpu_ms = (time.process_time() - before_s) * 1e3 / len(findings)
        p50, p95, p99 = quantiles(waits)
        print(
            f"{title:<40}{tickets:>9,}{p50:>9.0f}{p95:>9.0f}{p99:>9.0f}{max(waits):>9.0f}"
            f"{cpu_ms:>6.2f} ms",
            flush=True,
        )
    print()


def run(
    findings: Sequence[Finding], ledger: PostgresLedger, network: Network, places: Places
) -> tuple[list[float], int]:
    """Findings arrive every millisecond; whoever judges takes what there is, at most 200."""
    book, arrived, done = Book(network), deque[tuple[float, Finding]](), threading.Event()

    def arrive() -> None:
        began = time.perf_counter()
        for n, f in enumerate(findings):
            late = began + n / 1000 - time.perf_counter()
            if late > 0:
                time.sleep(late)
            arrived.append((time.perf_counter(), f))
        done.set()

    source = threading.Thread(target=arrive)
    source.start()
    waits: list[float] = []
    while not done.is_set() or arrived:
        batch = [arrived.popleft() for _ in range(min(200, len(arrived)))]
        if not batch:
            done.wait(0.001)
            continue
        apply_events(book.judge([f for _, f in batch]), ledger, network, places=places)
        now = time.perf_counter()
        waits += [(now - at) * 1e3 for at, _ in batch]
    source.join()
    with ledger.reading() as reading:
        return waits, len(reading.tickets(limit=1_000_000))


# -- a feeder out --------------------------------------------------------------------------------


def feeder(services: PrivateServices, quick: bool) -> None:
    network = grid(1, 34, customers=True)  # 2,040 meters
    calls = 40 if quick else 200
    with Database(services.new_database("bench_feeder")) as database:
        migrate(database)
        ledger, places = PostgresLedger(database), Places(network)
        found = [
            finding("outage", ("usage_point", p.id), START_US + n % 7)
            for n, p in enumerate(network.usage_points)
        ]
        found.append(finding("outage", ("feeder", "F0"), START_US + 7))
        found.sort(key=lambda f: f.tick_us)
        began = time.perf_counter()
        book = Book(network)
        for at in range(0, len(found), 200):
            apply_events(book.judge(found[at : at + 200]), ledger, network, places=places)
        took_s = time.perf_counter() - began
        drafts = draft_notices(ledger, network, START_US + MINUTE_US)
        told = announce(ledger, [Receiver("noc", "noc")], START_US + MINUTE_US)
        with ledger.reading() as reading:
            tickets = len(reading.tickets(limit=100_000))
        board = Board(ledger, network, places=places)
        page = timed(lambda n: board.tickets(role="operator", limit=200), calls)
        feed = timed(lambda n: board.feed(role="operator", limit=500), calls)
    print(
        f"a feeder out: {len(network.devices):,} meters, {len(found):,} findings in {took_s:.1f} s"
    )
    print(f"  open tickets {tickets}, drafts to customers {len(drafts)}, told to a system {told}")
    print(f"  queue, p50 and p95: {page[0]:.1f} and {page[1]:.1f} ms", end="; ")
    print(f"feed of 500 alerts: {feed[0]:.0f} and {feed[1]:.0f} ms\n")


def timed(work: Callable[[int], object], count: int) -> tuple[float, float, float]:
    """p50, p95, p99 of single calls, milliseconds; the first five are warm-up."""
    took = []
    for n in range(count + 5):
        began = time.perf_counter()
        work(n)
        took.append((time.perf_counter() - began) * 1e3)
    return quantiles(took[5:])


# -- a million customers -------------------------------------------------------------------------

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰涛明超秀霞平刚桂英华建国文辉红玉兰海燕鹏飞云晓东"
PLACES = "中山解放人民建设新华和平文化学院河坊柳浪杏园桃源清泉龙翔凤起延安环城滨江"


def million(services: PrivateServices, quick: bool) -> None:
    count = 100_000 if quick else 1_000_000
    rng = random.Random(SEED)
    began = time.perf_counter()
    network = town(count, rng)
    index = CustomerIndex(network)
    index.warm()
    built_s = time.perf_counter() - began
    calls = 300
    people = network.customers
    chosen = [people[rng.randrange(count)] for _ in range(calls + 5)]
    streets = [PLACES[2 * i : 2 * i + 2] for i in range(len(PLACES) // 2)]
    print(f"{count:,} customers; network and index made in {built_s:.0f} s")
    print(f"{'search for':<46}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}")
    searches: dict[str, Callable[[int], object]] = {
        "account": lambda n: index.find(chosen[n].account),
        "the last six digits of a phone": lambda n: index.find(chosen[n].phone[-6:]),
        "meter number": lambda n: index.find(f"M{chosen[n].account}"),
        "two characters of an address": lambda n: index.find(streets[n % len(streets)]),
        "two characters of a name": lambda n: index.find(chosen[n].name[:2]),
        "two characters that do not occur": lambda n: index.find("龘龘"),
        "a longer part of an address": lambda n: index.find(chosen[n].address[:9]),
    }
    for title, work in searches.items():
        p50, p95, p99 = timed(work, calls)
        print(f"{title:<46}{p50:>9.2f}{p95:>9.2f}{p99:>9.2f}", flush=True)
    with Database(services.new_database("bench_million")) as database:
        migrate(database)
        ledger, places = PostgresLedger(database), Places(network)
        _fill(database, count)
        areas = [t.id for t in network.transformers[:200]]
        found = [finding("outage", ("transformer", t), START_US + n) for n, t in enumerate(areas)]
        apply_events(Book(network).judge(found), ledger, network, places=places)
        desk = Counter(ledger, network, RealClock(), Supply(database), places=places)
        desk._index = index
        below = [network.usage_points_within("transformer", t) for t in areas]
        dark = [p.account or "" for points in below for p in points]
        lit = timed(lambda n: desk.answer(chosen[n].account), calls)
        out = timed(lambda n: desk.answer(dark[(n * 37) % len(dark)]), calls)
    print(f"{'the answer: nothing known':<46}{lit[0]:>9.1f}{lit[1]:>9.1f}{lit[2]:>9.1f}")
    print(f"{'the answer: a known outage':<46}{out[0]:>9.1f}{out[1]:>9.1f}{out[2]:>9.1f}\n")


def town(count: int, rng: random.Random) -> Network:
    """So many customers in areas of a hundred."""
    transformers, points, devices, people = [], [], [], []
    for n in range(count):
        area, k = divmod(n, 100)
        if k == 0:
            transformers.append(Transformer(f"T{area}", f"F{area // 50}", None, f"T{area}配变"))
        account = f"33{n:010d}"
        at = 2 * rng.randrange(len(PLACES) // 2)
        address = f"{PLACES[at : at + 2]}路{n % 900 + 1}号{n % 40 + 1}幢{n % 30 + 1}0{n % 4 + 1}室"
        name = rng.choice(SURNAMES) + "".join(rng.choices(GIVEN, k=rng.randint(1, 2)))
        points.append(UsagePoint(f"U{n}", f"T{area}", f"T{area}B{k // 25}", None, "a", account))
        devices.append(Device(f"M{account}", usage_point=f"U{n}", interval_s=900.0))
        people.append(Customer(account, name, f"1{rng.randrange(10**10):010d}", address))
    feeders = tuple(Feeder(f"F{f}") for f in range(-(-len(transformers) // 50)))
    return Network(feeders, (), tuple(transformers), tuple(points), tuple(devices), tuple(people))


def _fill(database: Database, count: int) -> None:
    """A newest reading for every meter, as the historian leaves it."""
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO device (name) SELECT 'M33' || lpad(n::text, 10, '0') "
            "FROM generate_series(0, %s - 1) n",
            [count],
        )
        connection.execute("INSERT INTO realm (name) VALUES ('live') ON CONFLICT DO NOTHING")
        connection.execute(
            "INSERT INTO latest (realm, device, time, received, v_a) "
            "SELECT (SELECT id FROM realm WHERE name = 'live'), id, now(), now(), 230 FROM device"
        )
    with database.connection() as connection:
        connection.execute("ANALYZE device")
        connection.execute("ANALYZE latest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trials, 100,000 customers")
    parser.add_argument("--only", default="where,ticket,feeder,million")
    args = parser.parse_args()
    wanted = set(args.only.split(","))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}\n"
    )
    if "where" in wanted:
        where(args.quick)
    if not wanted - {"where"}:
        return
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services", broker=False))
        for name, table in (("ticket", ticket), ("feeder", feeder), ("million", million)):
            if name in wanted:
                table(services, args.quick)


if __name__ == "__main__":
    main()
