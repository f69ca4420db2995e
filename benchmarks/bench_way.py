"""From a meter's message to committed rows: how does Forewatt stand beside simpler programs?

Everything runs on one machine: publisher, a private Mosquitto and PostgreSQL with TimescaleDB, and
the way under test. The clock runs from the first publish to the last message counted or the last
row committed.

1. One reading of eight quantities a message, QoS 1. Beside `forewatt run --only collect,historian`
   (acknowledged after an fsync): a paho subscriber that only counts, and paho + json + COPY of
   10,000 rows a commit, which acknowledges before anything is stored.
2. 100 readings a message, as JSON columns and packed, beside one connection's binary COPY of the
   same rows (ready made) into the same hypertable.
3. The database is away while messages come at full speed, then comes back: how fast is what
   waited stored while 1,000 messages a second go on coming, and how much memory does it take?
4. 10,000 meters at one reading a minute: which share of a core do collector and historian use?

Seed 1, 5,000 meters (10,000 for 4).

Run: python benchmarks/bench_way.py [--quick] [--only peers,outage,idle] [--outage-minutes 10]
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ingest_site import (
    QUANTITIES,
    BareSender,
    IngestSite,
    Message,
    Publisher,
    batch,
    encoded,
    single,
)
from forewatt.services import PrivateServices
from storage import binary
from storage.database import Database
from storage.migrate import migrate
from tests.waiting import wait_for

METERS = 5_000
COPY_ROWS = 10_000
WAIT_S = 600.0
BROKER_HOLDS = 300_000  # messages, well below its 256 MiB


def singles(count: int, start_ms: int, meters: int = METERS) -> list[Message]:
    rng = np.random.default_rng(1)
    values = rng.uniform(200, 240, (count, len(QUANTITIES))).round(2).tolist()
    return [
        single(i % meters, start_ms + 1000 * (i // meters), i // meters, row)
        for i, row in enumerate(values)
    ]


def batches(count: int, rows: int, start_ms: int, *, pack: bool) -> list[Message]:
    rng = np.random.default_rng(1)
    out = []
    for i in range(count):
        values = rng.uniform(200, 240, (len(QUANTITIES), rows)).round(2).tolist()
        first, turn = i * rows % METERS, i * rows // METERS
        out.append(batch(first, rows, start_ms + 1000 * turn, values, pack=pack))
    return out


# -- the peers -----------------------------------------------------------------------------


def _peer(pipe: Connection, mqtt_url: str, database_url: str | None, expected: int) -> None:
    """A paho subscriber: counts, or also decodes and copies `COPY_ROWS` a commit."""
    rows: list[tuple[object, ...]] = []
    seen = 0
    database = psycopg.connect(database_url) if database_url else None
    columns = ", ".join(("realm, device, time, received, seq", *QUANTITIES))

    def flush() -> None:
        assert database is not None
        with database.cursor() as cursor, cursor.copy(f"COPY reading ({columns}) FROM STDIN") as c:
            for row in rows:
                c.write_row(row)
        database.commit()
        rows.clear()

    def on_message(_c: object, _u: object, message: paho.MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        if database is not None:
            found = json.loads(message.payload)
            meter = int(message.topic.split("/")[2][1:])
            stamp = np.datetime64(found["t"], "ms").item().isoformat() + "Z"
            values = (found[q] for q in QUANTITIES)
            rows.append((1, meter + 1, stamp, stamp, found["seq"], *values))
            if len(rows) >= COPY_ROWS or seen == expected:
                flush()
        if seen == expected:
            pipe.send("done")

    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"peer-{os.getpid()}",
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe("forewatt/v1/+/readings", qos=1)
    client.on_subscribe = lambda *_: pipe.send("ready")
    parts = urlsplit(mqtt_url)
    client.connect(str(parts.hostname), int(parts.port or 1883))
    client.loop_forever()


def peer_s(services: PrivateServices, packets: list[bytes], database_url: str | None) -> float:
    """Seconds from the first publish until the peer has counted (or stored) the last one."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    args = (theirs, services.mqtt_url, database_url, len(packets))
    process = context.Process(target=_peer, args=args, daemon=True)
    process.start()
    assert pipe.recv() == "ready"
    publisher = Publisher(services.mqtt_url, packets)
    began = time.perf_counter()
    publisher.go()
    assert pipe.poll(WAIT_S), "the peer lost messages"
    pipe.recv()
    took = time.perf_counter() - began
    publisher.finish()
    process.terminate()
    process.join(10)
    return took


def forewatt_s(
    services: PrivateServices, site: IngestSite, packets: list[bytes], rows: int
) -> tuple[float, dict[str, float]]:
    """Seconds until all rows are committed, and processor seconds of each process."""
    before, cpu = site.stored(), site.cpu_s()
    publisher = Publisher(services.mqtt_url, packets)
    began = time.time()
    publisher.go()
    wait_for(lambda: site.stored() >= before + rows, WAIT_S, "all rows")
    took = site.last_commit() - began
    publisher.finish()
    return took, {role: s - cpu[role] for role, s in site.cpu_s().items()}


def copy_s(database_url: str, count: int, rows: int) -> float:
    """Seconds of one connection's binary COPY of ready rows, 10,000 a commit."""
    rng = np.random.default_rng(1)
    columns = ", ".join(("realm, device, time, received, seq, quality", *QUANTITIES))
    statement = f"COPY reading ({columns}) FROM STDIN (FORMAT binary)"
    start_us = int(time.time() * 1e6) - 7_200_000_000
    took, total = 0.0, count * rows
    with psycopg.connect(database_url) as connection:
        for first in range(0, total, COPY_ROWS):
            n = min(COPY_ROWS, total - first)
            number = first + np.arange(n)
            stamps = start_us + number // METERS * 1_000_000
            order = np.lexsort((stamps, number % METERS))
            fields = [
                binary.Field((number % METERS + 1)[order].astype(np.int32)),
                binary.timestamps(stamps[order]),
                binary.timestamps(stamps[order]),
                binary.Field(number[order]),
                binary.Field(np.zeros(n, np.int32)),
            ]
            for q in QUANTITIES:
                kind = np.float64 if q == "e_import" else np.float32
                fields.append(binary.floats(rng.uniform(200, 240, n).astype(kind)))
            stream = binary.pack(1, fields)
            began = time.perf_counter()
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(stream)
            connection.commit()
            took += time.perf_counter() - began
    return took


# -- the questions -------------------------------------------------------------------------


def beside_peers(services: PrivateServices, folder: Path, count: int, many: int) -> None:
    start_ms = int(time.time() * 1000) - 3_600_000
    packets = encoded(singles(count, start_ms))
    urls = {name: services.new_database(name) for name in ("way_peer", "way_copy", "way")}
    for url in urls.values():
        with Database(url) as database:
            migrate(database)
    print(f"{'way':<58}{'rows/s':>10}{'of':>8}  us a message: collect, historian")
    with IngestSite(folder / "way", urls["way"], services.mqtt_url, METERS) as site:
        ours, cpu = forewatt_s(services, site, packets, count)
        kept = {}
        for pack in (False, True):
            made = batches(many, 100, start_ms - 7_200_000 * (1 + pack), pack=pack)
            kept[pack] = forewatt_s(services, site, encoded(made), many * 100)
    counted = peer_s(services, packets, None)
    copied = peer_s(services, packets, urls["way_peer"])
    plain = copy_s(urls["way_copy"], many, 100)

    def line(title: str, rate: float, share: str, cpu: dict[str, float] | None, n: int) -> None:
        micros = "" if cpu is None else ", ".join(f"{s / n * 1e6:.0f}" for s in cpu.values())
        print(f"{title:<58}{rate:>10,.0f}{share:>8}  {micros}")

    print(f"one reading a message, {count:,} messages")
    line("  paho that only counts", count / counted, "1.00", None, count)
    line("  paho + json + COPY 10,000, acknowledged at once", count / copied,
         f"{counted / copied:.2f}", None, count)  # fmt: skip
    line("  forewatt, acknowledged after fsync", count / ours, f"{counted / ours:.2f}", cpu, count)
    print(f"  forewatt beside paho + COPY: {copied / ours:.2f}")
    print(f"100 readings a message, {many * 100:,} readings")
    line("  one connection's binary COPY, ready rows", many * 100 / plain, "1.00", None, many)
    for pack, (took, spent) in kept.items():
        title = f"  forewatt, {'packed' if pack else 'JSON columns'}"
        line(title, many * 100 / took, f"{plain / took:.2f}", spent, many)


def collected(site: IngestSite) -> int:
    return int(sum(site.reports()["collect"].detail["readings_total"].values()))


def outage(services: PrivateServices, folder: Path, count: int) -> None:
    url = services.new_database("way_outage")
    start_ms = int(time.time() * 1000) - 3_600_000
    with IngestSite(folder / "outage", url, services.mqtt_url, METERS) as site:
        services.stop_database("immediate")
        sender = BareSender(services.mqtt_url, "outage")
        step, began = 20_000, time.perf_counter()
        for first in range(0, count, step):
            n = min(step, count - first)
            sender.send(encoded(singles(n, start_ms + 1000 * (first // METERS)), first))
            # More than the broker may queue would be dropped: `max_queued_bytes` is its bound.
            wait_for(lambda k=first + n: collected(site) > k - BROKER_HOLDS, WAIT_S, "the journal")  # type: ignore[misc]
        sender.drain(count)
        wait_for(lambda: collected(site) >= count, WAIT_S, "all in the journal")
        filled = time.perf_counter() - began
        live = int(min(30.0, count / 20_000) * 1000)
        more = encoded(singles(live, start_ms + 1000 * (count // METERS + 1)), count)
        services.start_database()
        back = time.time()
        sender.send(more, a_second=1_000)
        patience_s = WAIT_S * max(1.0, count / 600_000)
        wait_for(lambda: site.stored() >= count + live, patience_s, "drained")
        drained = site.last_commit() - back
        memory = {role: site.peak_mib(role) for role in ("collect", "historian")}
        rows = site.rows()
        sender.close()
    lost = count + live - rows
    print(
        f"outage: {count:,} messages ({count / 60_000:.0f} minutes at 1,000/s) journaled in "
        f"{filled:.0f} s with the database away"
    )
    print(
        f"  back: {count + live:,} rows in {drained:.0f} s = {(count + live) / drained:,.0f}/s "
        f"while 1,000/s go on coming, lost {lost}; largest memory "
        + ", ".join(f"{role} {mib:.0f} MiB" for role, mib in memory.items())
    )


def idle(services: PrivateServices, folder: Path, seconds: float) -> None:
    meters = 10_000
    url = services.new_database("way_idle")
    with IngestSite(folder / "idle", url, services.mqtt_url, meters) as site:
        count = round(meters / 60 * seconds)
        packets = encoded(singles(count, int(time.time() * 1000) - 60_000, meters))
        sender = BareSender(services.mqtt_url, "idle")
        time.sleep(5)
        before, began = site.cpu_s(), time.perf_counter()
        sender.send(packets, a_second=meters / 60)
        took = time.perf_counter() - began
        shares = {role: (s - before[role]) / took for role, s in site.cpu_s().items()}
        sender.close()
    print(
        f"idle: {meters:,} meters, one reading a minute, {took:.0f} s: "
        + ", ".join(f"{role} {100 * share:.1f} %" for role, share in shares.items())
        + f", together {100 * sum(shares.values()):.1f} % of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--only", default="peers,outage,idle", help="some of the questions")
    parser.add_argument("--outage-minutes", type=int, default=10, help="of 1,000 messages a second")
    chosen = parser.parse_args()
    part, only = 10 if chosen.quick else 1, chosen.only.split(",")
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services"))
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
            f"Python {platform.python_version()}\n"
        )
        if "peers" in only:
            beside_peers(services, folder, 100_000 // part, 10_000 // part)
        if "outage" in only:
            outage(services, folder, chosen.outage_minutes * 60_000 // part)
        if "idle" in only:
            idle(services, folder, 60 / min(part, 3))


if __name__ == "__main__":
    main()
