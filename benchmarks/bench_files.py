"""How fast is a head-end's export of a whole day in the database?

A file of 100,000 meters x 96 values x 4 quantities (a line a meter, day and quantity, as many
head-ends write it) goes through the file collector (read, checked, journal with fsync) and, in a
process of its own, the historian. The clock runs from the file lying there to the last committed
row. The anchor is one connection's binary COPY of the same rows into the same hypertable, prepared
beforehand, a commit each 100,000 rows, in the order in which the collector hands them on.

Seed 3. Durable settings. The memory is the largest of each process.

Run: python benchmarks/bench_files.py [--quick] [--meters 100000]
"""

import argparse
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.network import Device, Network
from ingest.exports import Exports
from ingest.files import FileCollector
from ingest.journal import SqliteJournal
from ingest.layout_files import load_layout
from ingest.metrics import CollectorMetrics
from ingest.settings import CollectorSettings, FileSource
from storage import binary
from storage.database import Database
from storage.historian import Historian
from storage.migrate import migrate

POINTS = 96
QUANTITIES = {"v_a": "02010100", "i_a": "02020100", "p": "02030000", "e_import": "00010000"}
DEADLINE_S = 900.0
BLOCK = 100_000


def write_export(path: Path, meters: int) -> None:
    """One day, quantity after quantity, as text."""
    rng = np.random.default_rng(3)
    with path.open("w") as file:
        file.write("meter,date,code," + ",".join(f"P{n + 1}" for n in range(POINTS)) + "\n")
        for name, code in QUANTITIES.items():
            scale = {"v_a": 230, "i_a": 5, "p": 1.2, "e_import": 12345}[name]
            for first in range(0, meters, 1000):
                count = min(1000, meters - first)
                values = scale * rng.uniform(0.95, 1.05, (count, POINTS))
                if name == "e_import":
                    values.sort(axis=1)
                for m in range(count):
                    cells = ",".join(f"{v:.3f}" for v in values[m].tolist())
                    file.write(f"METER-{first + m:06d},2026-03-01,{code},{cells}\n")


def network(meters: int) -> Network:
    return Network(
        devices=tuple(
            Device(f"METER-{i:06d}", interval_s=900.0, delivery_s=86_400.0) for i in range(meters)
        )
    )


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def collect(pipe: Connection, folder: str, meters: int) -> None:
    """A process: take the one file of the folder, say how long it took."""
    metrics = CollectorMetrics()
    place = Path(folder)
    journal = SqliteJournal(place / "journal")
    source = FileSource(place / "inbox", load_layout("wide"), place / "files.sqlite", 0.0, 0.1)
    part = FileCollector(
        source, CollectorSettings(), journal, network(meters), RealClock(), metrics
    )
    mine = metrics.source(part.name)
    stop = threading.Event()
    thread = threading.Thread(target=part.run, args=(stop,))
    pipe.send("ready")
    pipe.recv()
    began = time.perf_counter()
    thread.start()
    while not mine.messages and time.perf_counter() - began < DEADLINE_S:
        time.sleep(0.05)
    pipe.send((time.perf_counter() - began, peak_mib(), mine.readings))
    stop.set()
    thread.join(20)


def store(pipe: Connection, url: str, folder: str, meters: int, rows: int) -> None:
    """A process: the historian until all rows are committed."""
    journal = SqliteJournal(Path(folder) / "journal")
    with Database(url) as database:
        historian = Historian(database, journal, expected=network(meters))
        historian.run_once(1)
        pipe.send("ready")
        pipe.recv()
        began, done = time.perf_counter(), 0
        while done < rows and time.perf_counter() - began < DEADLINE_S:
            step = historian.run_once(500)
            done += step.rows
            if not step.entries:
                time.sleep(0.05)
    pipe.send((time.perf_counter() - began, peak_mib(), done))


def copy_only(url: str, path: Path, meters: int) -> float:
    """Seconds of a plain COPY of the same rows; only the COPY is timed."""
    exports = Exports(RealClock().now_us())
    exports.add(path, load_layout("wide"), path.name)
    columns = ", ".join(["realm, device, time, received, seq, quality", *QUANTITIES])
    statement = f"COPY reading ({columns}) FROM STDIN (FORMAT binary)"
    took = 0.0
    with Database(url, connections_max=1) as database:
        for rows in exports.steps():
            for first in range(0, len(rows), BLOCK):
                part = rows.select(np.arange(first, min(first + BLOCK, len(rows))))
                fields = [
                    binary.Field(part.device + 1),
                    binary.timestamps(part.time),
                    binary.timestamps(part.received),
                    binary.Field(part.seq),
                    binary.Field(part.quality.astype(np.int32)),
                    *(
                        binary.floats(
                            part.values[q].astype(np.float64 if q == "e_import" else np.float32)
                        )
                        for q in QUANTITIES
                    ),
                ]
                stream = binary.pack(1, fields)
                began = time.perf_counter()
                with (
                    database.connection() as connection,
                    connection.cursor() as cursor,
                    cursor.copy(statement) as copy,
                ):
                    copy.write(stream)
                took += time.perf_counter() - began
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5,000 meters")
    parser.add_argument("--meters", type=int, default=100_000)
    chosen = parser.parse_args()
    meters = 5_000 if chosen.quick else chosen.meters
    rows = meters * POINTS
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services", broker=False))
        (folder / "inbox").mkdir()
        path = folder / "inbox" / "day.csv"
        write_export(path, meters)
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
            f"Python {platform.python_version()}, {meters:,} meters, {rows:,} readings, "
            f"{path.stat().st_size / 1e6:,.0f} MB of text\n"
        )
        urls = [services.new_database(name) for name in ("bench_copy", "bench_files")]
        for url in urls:
            with Database(url) as database:
                migrate(database)
        context = multiprocessing.get_context("spawn")
        pipes, processes = [], []
        for target, args in (
            (collect, (str(folder), meters)),
            (store, (urls[1], str(folder), meters, rows)),
        ):
            mine, theirs = context.Pipe()
            process = context.Process(target=target, args=(theirs, *args), daemon=True)
            process.start()
            pipes.append(mine)
            processes.append(process)
        for pipe in pipes:
            pipe.recv()
        for pipe in pipes:
            pipe.send("go")
        collected, stored = [pipe.recv() for pipe in pipes]
        for process in processes:
            process.join(30)
        copied = copy_only(urls[0], path, meters)
        print(f"{'way':<44}{'seconds':>9}{'readings/s':>13}{'of COPY':>9}{'MiB':>7}")
        lines = [
            ("one connection's binary COPY, ready rows", copied, rows, ""),
            ("file to journal (collector)", collected[0], collected[2], f"{collected[1]:.0f}"),
            ("file to committed rows (both)", stored[0], stored[2], f"{stored[1]:.0f}"),
        ]
        for title, seconds, count, memory in lines:
            rate = count / seconds
            share = rate / (rows / copied)
            print(f"{title:<44}{seconds:>9.1f}{rate:>13,.0f}{share:>9.2f}{memory:>7}")
        assert stored[2] == rows == collected[2], "not every reading arrived"


if __name__ == "__main__":
    main()
