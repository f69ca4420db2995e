"""Findings to committed tickets at 1,000 a second.

Beside the waits stands the processor time, ours and the database's: on a busy machine the waits
say how busy it is, the processor time does not.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

from alerts.apply import apply_events
from alerts.episodes import Book
from alerts.places import Places
from benchmarks.desk_grid import MINUTE_US, START_US, finding, grid, quantiles
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
    row("", "tickets", "p50 ms", "p95 ms", "p99 ms", "max ms", "own CPU", "server CPU", "load")
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
            before_s, server_s = time.process_time(), server_seconds(database)
            waits, tickets = run(findings, ledger, network, places)
            cpu_ms = (time.process_time() - before_s) * 1e3 / len(findings)
            server_ms = (server_seconds(database) - server_s) * 1e3 / len(findings)
        p50, p95, p99 = quantiles(waits)
        cells = (f"{wait:.0f}" for wait in (p50, p95, p99, max(waits)))
        spent = (f"{cpu_ms:.2f} ms", f"{server_ms:.2f} ms", f"{os.getloadavg()[0]:.1f}")
        row(title, f"{tickets:,}", *cells, *spent)
    print()


def row(title: str, *cells: str) -> None:
    """One line of the table."""
    print(f"{title:<36}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


def server_seconds(database: Database) -> float:
    """Processor time of the server's processes for this database."""
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    with database.connection() as connection:
        pids = [pid for (pid,) in connection.execute(asked).fetchall()]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def run(
    findings: Sequence[Finding], ledger: PostgresLedger, network: Network, places: Places
) -> tuple[list[float], int]:
    """Findings arrive every millisecond; whoever judges takes all there is, as the watch does."""
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
        batch = [arrived.popleft() for _ in range(len(arrived))]
        if not batch:
            done.wait(0.001)
            continue
        apply_events(book.judge([f for _, f in batch]), ledger, network, places=places)
        now = time.perf_counter()
        waits += [(now - at) * 1e3 for at, _ in batch]
    source.join()
    with ledger.reading() as reading:
        return waits, len(reading.tickets(limit=1_000_000))
