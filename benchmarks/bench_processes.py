"""Do two collecting processes take more than one where a core is free?

Messages wait in the sessions of a private Mosquitto and the publisher has finished; there is no
historian and no database. What is timed is the draining into the journal (fsync before the
acknowledgement): by one process with both topic filters, and by two with one filter each into the
same journal, as `[collect] processes = 2` runs them. Processes have started, and the clock runs
from their first connection to the last append. Mosquitto is one thread and takes part of a core;
its share is shown, for with one reading a message it is the larger part of the work.

Seed 1, 5,000 meters; the ways take turns, the best round of each is shown.

With `--journal /dev/shm` the fsync costs nothing: what is left is the processor's part.

Run: python benchmarks/bench_processes.py [--quick] [--journal FOLDER]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ingest_site import (
    QUANTITIES,
    TICKS,
    BareSender,
    Message,
    batch,
    encoded,
    single,
)
from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.network import Device, Network
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.mqtt import MqttCollector
from ingest.settings import CollectorSettings, MqttSource
from tests.waiting import wait_for

METERS = 5_000
ROOTS = ("a", "b")
WAIT_S = 300.0
SINGLE, COLUMNS = "one reading a message", "100 readings a message, JSON columns"


def filters(root: str) -> tuple[str, ...]:
    return (f"{root}/forewatt/v1/+/readings", f"{root}/forewatt/v1/+/batch")


def messages(form: str, count: int, round_: int) -> list[Message]:
    """Half of them below each root; every reading once in a session's life."""
    rng = np.random.default_rng(1)
    start_ms = time.time_ns() // 1_000_000 - 7_200_000 + 60_000 * round_
    out = []
    for i in range(count):
        if form == SINGLE:
            row = rng.uniform(200, 240, len(QUANTITIES)).round(2).tolist()
            topic, body = single(i % METERS, start_ms + i // METERS, i, row)
        else:
            columns = rng.uniform(200, 240, (len(QUANTITIES), 100)).round(2).tolist()
            first = i * 100 % METERS
            topic, body = batch(first, 100, start_ms + i * 100 // METERS, columns, pack=False)
        out.append((f"{ROOTS[i % 2]}/{topic}", body))
    return out


def collect(pipe: Connection, url: str, topics: tuple[str, ...], client: str, path: str) -> None:
    """A process: on each "go" collect until so many messages are in the journal."""
    network = Network(devices=tuple(Device(f"M{i}", interval_s=900) for i in range(METERS)))
    source = MqttSource(url, client_id=client, topics=topics)
    pipe.send("ready")
    while (expected := pipe.recv()) is not None:
        metrics, stop = CollectorMetrics(), threading.Event()
        journal = SqliteJournal(Path(path))
        part = MqttCollector(source, CollectorSettings(), journal, network, RealClock(), metrics)
        mine = metrics.source(part.name)
        thread = threading.Thread(target=part.run, args=(stop,))
        began, cpu = time.time(), time.process_time()
        thread.start()
        wait_for(lambda m=mine: m.connected and m.messages >= expected, WAIT_S, "all messages")  # type: ignore[misc]
        since = time.monotonic() - mine.last_append if mine.last_append else 0.0
        pipe.send((began, time.time() - since, time.process_time() - cpu, mine.readings))
        stop.set()
        thread.join(20)
        journal.close()


class Way:
    """Some collecting processes with one journal."""

    def __init__(self, url: str, name: str, parts: Sequence[tuple[str, ...]], folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.name, self._pipes, self._processes = name, [], []
        for k, topics in enumerate(parts):
            mine, theirs = context.Pipe()
            args = (theirs, url, topics, f"{name}-{k}", str(folder / name))
            process = context.Process(target=collect, args=args, daemon=True)
            process.start()
            self._pipes.append(mine)
            self._processes.append(process)
        for pipe in self._pipes:
            assert pipe.recv() == "ready"

    def drain(self, count: int) -> tuple[float, float, int]:
        """Wall clock and processor seconds until all have `count` messages; readings."""
        for pipe in self._pipes:
            pipe.send(count // len(self._pipes))
        done = [pipe.recv() for pipe in self._pipes]
        took = max(end for _, end, _, _ in done) - min(began for began, _, _, _ in done)
        return took, sum(cpu for _, _, cpu, _ in done), sum(n for _, _, _, n in done)

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join(30)


def broker_s(services: PrivateServices) -> float:
    """Processor seconds of Mosquitto so far."""
    fields = Path(f"/proc/{services.broker_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(services: PrivateServices, folder: Path, form: str, count: int, rounds: int) -> None:
    url = services.mqtt_url
    both = filters("a") + filters("b")
    name = form.split()[0]
    ways = [
        Way(url, f"one-{name}", [both], folder),
        Way(url, f"two-{name}", [filters("a"), filters("b")], folder),
    ]
    best: dict[str, tuple[float, float, float, int]] = {}
    for way in ways:
        way.drain(0)  # the sessions exist from now on
    for round_ in range(rounds):
        sender = BareSender(url, f"bench-{name}-{round_}")
        sender.send(encoded(messages(form, count, round_)))
        sender.drain(count)
        sender.close()
        for way in ways:
            before = broker_s(services)
            took, cpu, readings = way.drain(count)
            found = (took, cpu, broker_s(services) - before, readings)
            best[way.name] = min(best.get(way.name, found), found)
    for way in ways:
        way.close()
    print(f"{form}, {count:,} messages")
    alone = best[ways[0].name]
    for way, title in zip(ways, ("one process", "two processes, one journal"), strict=True):
        took, cpu, broker, readings = best[way.name]
        print(
            f"  {title:<28}{readings / took:>10,.0f} readings/s {alone[0] / took:>6.2f}  "
            f"collectors {cpu / took:.2f}, broker {broker / took:.2f} of a core"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of it, one round")
    parser.add_argument("--journal", type=Path, help="where the journals lie; default: beside all")
    chosen = parser.parse_args()
    quick = chosen.quick
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services", database=False))
        if chosen.journal is not None:
            folder = Path(
                ending.enter_context(
                    tempfile.TemporaryDirectory(prefix="forewatt-bench-", dir=chosen.journal)
                )
            )
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
            f"Python {platform.python_version()}\n"
        )
        for form, count in ((SINGLE, 100_000), (COLUMNS, 10_000)):
            measure(services, folder, form, count // 4 if quick else count, 1 if quick else 3)


if __name__ == "__main__":
    main()
