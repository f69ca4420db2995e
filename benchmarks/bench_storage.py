"""How close does the historian come to the fastest way into the same hypertable?

The historian reads a real journal, merges, stores, keeps the newest rows, looks for gaps, marks
rollups and moves its position, all in one commit a step. Its anchor is a plain binary COPY over
one connection of the same rows, prepared beforehand, one commit a step, in order of device and
time, and nothing else. Both run in turns, step by step, so that whatever else the machine does
falls on both.

Seed 7, minute data of three-phase meters (12 quantities). The first two steps warm up and do not
count. Durable settings (fsync, full page writes), a database of its own for each side.

Run: python benchmarks/bench_storage.py [--quick]
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forewatt.services import PrivateServices
from grid.journal import Record
from grid.network import Device, Network
from grid.readings import ReadingBatch
from ingest.journal import SqliteJournal
from storage import binary
from storage.database import Database
from storage.fleet import fleet_health, latest
from storage.historian import Historian
from storage.merge import merge
from storage.migrate import migrate
from storage.read_back import read_back
from storage.rollups import RollupWorker
from storage.series import series

START_US = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000
MINUTE_US = 60_000_000
QUANTITIES = "v_a v_b v_c i_a i_b i_c p q pf f e_import e_export".split()
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the rows")
    quick = parser.parse_args().quick
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services", broker=False))
        tool = services.toolchain
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
            f"Python {platform.python_version()}, psycopg {psycopg.__version__}, "
            f"PostgreSQL {tool.postgres_version}, "
            f"TimescaleDB {tool.timescaledb_version} ({tool.timescaledb_edition})\n"
        )
        print(f"{'into the hypertable':<46}{'COPY':>12}{'historian':>12}{'ratio':>8}")
        steps = 10 if quick else 40
        for title, kwargs in CASES.items():
            copied, stored = compare(services, folder, steps, **kwargs)
            print(f"{title:<46}{copied:>10,.0f}/s{stored:>10,.0f}/s{stored / copied:>8.2f}")
        print()
        print(f"{'out of it':<46}{'':>12}{'':>12}")
        for title, figure in look(services, folder, 2 if quick else 7):
            print(f"{title:<46}{figure:>24}")


CASES: dict[str, dict[str, float]] = {
    "10,000 rows a step, 1,000 meters": {"rows": 10_000, "devices": 1_000},
    "the same, a fifth of the values absent": {"rows": 10_000, "devices": 1_000, "absent": 0.2},
    "the same, 2 % of the rows sent twice": {"rows": 10_000, "devices": 1_000, "again": 0.02},
    "50,000 rows a step, 1,000 meters": {"rows": 50_000, "devices": 1_000},
    "10,000 rows a step, 10,000 meters": {"rows": 10_000, "devices": 10_000},
    "50,000 rows a step, 10,000 meters": {"rows": 50_000, "devices": 10_000},
}


def minute_data(
    step: int, *, rows: float, devices: float, absent: float = 0.0, again: float = 0.0
) -> ReadingBatch:
    """One step of a steady fleet, as it arrives: by minute, devices shuffled."""
    rng = np.random.default_rng([7, step])
    n, fleet = int(rows), int(devices)
    row = step * n + np.arange(n)
    device = np.concatenate([rng.permutation(fleet) for _ in range(-(-n // fleet))])[:n]
    values = {q: rng.normal(230, 3, n).astype(np.float32) for q in QUANTITIES}
    for v in values.values():
        v[rng.random(n) < absent] = np.nan
    values["e_import"] = row * 1.5 + 1e9
    time_us = START_US + row // fleet * MINUTE_US
    batch = ReadingBatch.of(
        [f"METER-{i:06d}" for i in range(fleet)],
        device,
        time_us,
        values,
        received=time_us + 1_500_000,
        seq=row // fleet,
    )
    if again:
        twice = np.concatenate([np.arange(n), rng.integers(0, n, int(n * again))])
        batch = batch.select(twice)
    return batch


def as_sent(batch: ReadingBatch, first: int) -> ReadingBatch:
    """1,000 rows as a collector makes them: with the names of their own devices only."""
    part = batch.select(slice(first, first + 1000))
    used, index = np.unique(part.device, return_inverse=True)
    names = [part.names[i] for i in used]
    return replace(part, names=tuple(names), device=index.astype(np.int32))


def expected(devices: float) -> Network:
    return Network(
        devices=tuple(Device(f"METER-{i:06d}", interval_s=60.0) for i in range(int(devices)))
    )


def compare(
    services: PrivateServices, folder: Path, steps: int, **shape: float
) -> tuple[float, float]:
    """Rows a second of COPY and of the historian: medians over steps taken in turns."""
    with (
        Database(services.new_database("bench_copy"), connections_max=1) as plain,
        Database(services.new_database("bench_historian"), connections_max=1) as full,
    ):
        migrate(plain)
        migrate(full)
        journal = SqliteJournal(folder / f"journal-{time.monotonic_ns()}")
        historian = Historian(full, journal, expected=expected(shape["devices"]))
        columns = ", ".join(["realm, device, time, received, seq, quality", *QUANTITIES])
        copy = f"COPY reading ({columns}) FROM STDIN (FORMAT binary)"
        copied: list[float] = []
        stored: list[float] = []
        for step in range(steps + WARM_UP):
            batch = minute_data(step, **shape)
            # A meter batch a record, as a collector with a linger of 1,000 rows appends them.
            parts = [as_sent(batch, i) for i in range(0, len(batch), 1000)]
            journal.append([Record("bench", part) for part in parts])
            stream, rows = prepared(batch)

            def store(entries: int = len(parts)) -> None:
                historian.run_once(entries)

            def send(stream: bytes = stream) -> None:
                with (
                    plain.connection() as connection,
                    connection.cursor() as cursor,
                    cursor.copy(copy) as into,
                ):
                    into.write(stream)

            turns: list[tuple[Callable[[], None], list[float]]]
            turns = [(store, stored), (send, copied)]
            for work, figures in turns if step % 2 else reversed(turns):
                figures.append(rows / seconds(work))
        journal.close()
        with plain.connection() as a, full.connection() as b:
            count = "SELECT count(*) FROM reading"
            if a.execute(count).fetchone() != b.execute(count).fetchone():
                raise SystemExit("the two sides hold different rows")
    services.drop_database("bench_copy")
    services.drop_database("bench_historian")
    return statistics.median(copied[WARM_UP:]), statistics.median(stored[WARM_UP:])


def prepared(batch: ReadingBatch) -> tuple[bytes, int]:
    """The rows of a batch, each once, as the stream of a COPY."""
    rows = merge(batch, batch.device + 1).rows
    fields = [
        binary.Field(rows.device),
        binary.timestamps(rows.time),
        binary.timestamps(rows.received),
        binary.Field(rows.seq),
        binary.Field(rows.quality),
        *(binary.floats(rows.values[q]) for q in QUANTITIES),
    ]
    return binary.pack(1, fields), len(rows)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def look(services: PrivateServices, folder: Path, days: int) -> list[tuple[str, str]]:
    """Rollups, charts and reading back of some days of 200 meters."""
    with Database(services.new_database("bench_look")) as database:
        migrate(database)
        journal = SqliteJournal(folder / "journal-look")
        historian = Historian(database, journal)
        n = days * 1440 * 200
        for step in range(n // 50_000 + 1):
            journal.append([Record("bench", minute_data(step, rows=50_000, devices=200))])
        while historian.run_once(1).entries:
            pass
        n = (n // 50_000 + 1) * 50_000
        worker = RollupWorker(database, settle_s=0.0)

        def sum_all() -> None:
            while worker.run_once(256):
                pass

        out = [("rollups of all of it", f"{n / seconds(sum_all):,.0f} readings/s")]
        for title, span_us in (
            ("chart of three voltages over an hour", 60 * MINUTE_US),
            ("over a day", 1440 * MINUTE_US),
            (f"over {days} days", days * 1440 * MINUTE_US),
        ):
            out.append((title, f"{1000 * chart_s(database, span_us):.1f} ms"))
        network = expected(200)
        end_us = START_US + days * 1440 * MINUTE_US
        looks = {
            "newest reading of 200 meters": lambda: latest(database),
            "health of 200 meters": lambda: fleet_health(database, network, end_us),
        }
        for title, work in looks.items():
            out.append((title, f"{1000 * statistics.median(map(seconds, [work] * 9)):.1f} ms"))
        taken = seconds(lambda: sum(map(len, read_back(database, START_US, end_us))))
        out.append(("reading all back", f"{days * 1440 * 200 / taken:,.0f} rows/s"))
        with database.connection() as connection:
            found = connection.execute("SELECT hypertable_size('reading') / %s", [n]).fetchone()
        out.append(("bytes a reading, with indexes", f"{found[0] if found else 0}"))
        journal.close()
    return out


def chart_s(database: Database, span_us: int) -> float:
    """Median time of charts of different meters."""
    voltages = ["v_a", "v_b", "v_c"]
    return statistics.median(
        seconds(
            lambda i=i: series(  # type: ignore[misc]
                database, f"METER-{i:06d}", voltages, START_US, START_US + span_us
            )
        )
        for i in range(0, 190, 19)
    )


if __name__ == "__main__":
    main()
