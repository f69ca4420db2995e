"""Findings to committed tickets at 1,000 a second, and a whole feeder out."""

import time
from collections import deque
from collections.abc import Sequence
from threading import Event, Thread

from alerts.announce import Receiver, announce
from alerts.apply import apply_events
from alerts.episodes import Book
from alerts.notices import draft_notices
from alerts.places import Places
from benchmarks.desk_grid import MINUTE_US, START_US, finding, grid, quantiles, timed
from desk.board import Board
from forewatt.services import PrivateServices
from grid.network import Network
from grid.records import Finding
from storage.database import Database
from storage.ledger import PostgresLedger
from storage.migrate import migrate


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
    book, arrived, done = Book(network), deque[tuple[float, Finding]](), Event()

    def arrive() -> None:
        began = time.perf_counter()
        for n, f in enumerate(findings):
            late = began + n / 1000 - time.perf_counter()
            if late > 0:
                time.sleep(late)
            arrived.append((time.perf_counter(), f))
        done.set()

    source = Thread(target=arrive)
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
