"""How fast do readings come in, acknowledged after the fsync of the journal?

Question 1: how much of a bare subscriber's speed is left when every message is decoded, checked
and made durable before it is acknowledged? Messages wait in the session of a private Mosquitto;
what is timed is the draining, so that no publisher competes for the cores. "process" is processor
time of the receiving side for one message.
Question 2: how many register reads a second does one process keep up on 200 buses whose devices
answer after 50 ms (4,000 a second at most)? What do coalescing and one silent unit cost?

    python benchmarks/bench_ingest.py [--quick] [--messages 40000] [--rounds 3]

Fixed data (seed 1), 5,000 devices; rounds of the ways alternate, the best of each is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.network import Device, Network
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.modbus import ModbusCollector
from ingest.modbus_link import tcp_link
from ingest.mqtt import MqttCollector
from ingest.packed import encode_packed
from ingest.profile_files import load_profile
from ingest.settings import CollectorSettings, ModbusBus, ModbusUnit, MqttSource
from tests.integration.ingest.fake_modbus import fake_device

DEVICES = 5_000
RECEIVE_MAXIMUM = 5_000
QUANTITIES = ("v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "p", "e_import")
DEADLINE_S = 300.0
BUSES, ANSWER_S = 200, 0.05


class Took(NamedTuple):
    """Wall clock and processor seconds."""

    wall_s: float
    process_s: float


def singles(count: int) -> list[tuple[str, bytes]]:
    """One reading of eight quantities a message."""
    rng = np.random.default_rng(1)
    values = rng.uniform(200, 240, (count, len(QUANTITIES))).round(2).tolist()
    start = time.time_ns() // 1_000_000 - 10_000_000
    return [
        (
            f"forewatt/v1/M{i % DEVICES}/readings",
            json.dumps(
                {"t": start + i, "seq": i // DEVICES} | dict(zip(QUANTITIES, row, strict=True))
            ).encode(),
        )
        for i, row in enumerate(values)
    ]


def batches(count: int, rows: int) -> list[tuple[str, bytes]]:
    """Columnar messages of `rows` readings of eight quantities."""
    rng = np.random.default_rng(1)
    start = time.time_ns() // 1_000_000 - 10_000_000
    out = []
    for i in range(count // rows):
        first = i * rows % DEVICES
        columns: dict[str, object] = {
            q: rng.uniform(200, 240, rows).round(2).tolist() for q in QUANTITIES
        }
        head = {"t": start + i, "device": [f"M{(first + k) % DEVICES}" for k in range(rows)]}
        out.append(("forewatt/v1/G1/batch", json.dumps(head | columns).encode()))
    return out


def packed(count: int, rows: int) -> list[tuple[str, bytes]]:
    """The same as `batches`, in the packed form."""
    rng = np.random.default_rng(1)
    start = time.time_ns() // 1_000_000 - 10_000_000
    out = []
    for i in range(count // rows):
        first = i * rows % DEVICES
        names = [f"M{(first + k) % DEVICES}" for k in range(rows)]
        columns = {q: rng.uniform(200, 240, rows).round(2) for q in QUANTITIES}
        payload = encode_packed(names, range(rows), start + i, columns)
        out.append(("forewatt/v1/G1/packed", payload))
    return out


def send(url: str, messages: list[tuple[str, bytes]]) -> None:
    """Publish with QoS 1 over a bare socket and wait for every acknowledgement."""
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 1883))) as sock:
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + b"\x00\x05bench"
        sock.sendall(b"\x10" + bytes([len(body)]) + body)
        sock.settimeout(30)
        assert sock.recv(4)[3] == 0

        def count_acks() -> None:
            left = 4 * len(messages)
            while left:
                left -= len(sock.recv(65536))

        counter = threading.Thread(target=count_acks)
        counter.start()
        piece = bytearray()
        for i, (topic, payload) in enumerate(messages):
            name = topic.encode()
            head = struct.pack("!H", len(name)) + name + struct.pack("!H", i % 65_535 + 1)
            size = len(head) + len(payload)
            piece.append(0x32)
            while True:
                size, digit = size >> 7, size & 127
                piece.append(digit | (128 if size else 0))
                if not size:
                    break
            piece += head + payload
            if len(piece) > 1 << 18:
                sock.sendall(piece)
                piece.clear()
        sock.sendall(piece)
        counter.join(DEADLINE_S)
        sock.sendall(b"\xe0\x00")


def count_only(url: str, expected: int) -> Callable[[], Took]:
    """A paho subscriber that counts and lets paho acknowledge at once."""

    def subscribe(until: int) -> Took:
        done = threading.Event()
        seen = 0

        def on_message(_c: object, _u: object, _m: object) -> None:
            nonlocal seen
            seen += 1
            if seen >= until:
                done.set()

        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="count", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_message = on_message
        client.on_connect = lambda c, *_: c.subscribe("forewatt/v1/#", qos=1)
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        parts = urlsplit(url)
        client.connect(
            str(parts.hostname), int(parts.port or 1883), clean_start=False, properties=properties
        )
        began, cpu = time.perf_counter(), time.process_time()
        client.loop_start()
        subscribed.wait(10)
        if until:
            assert done.wait(DEADLINE_S), f"{seen} of {until} messages"
        took = Took(time.perf_counter() - began, time.process_time() - cpu)
        client.disconnect()
        client.loop_stop()
        return took

    subscribe(0)  # the session exists from now on
    return lambda: subscribe(expected)


def collect(url: str, expected: int, rows: int, folder: Path) -> Callable[[], Took]:
    """Forewatt's collector into a journal with fsync."""
    network = Network(devices=tuple(Device(f"M{i}", interval_s=900) for i in range(DEVICES)))
    source = MqttSource(url, client_id="collect", receive_maximum=RECEIVE_MAXIMUM)

    def run(until: int) -> Took:
        metrics = CollectorMetrics()
        journal = SqliteJournal(folder / "journal")
        settings = CollectorSettings()
        part = MqttCollector(source, settings, journal, network, RealClock(), metrics)
        mine = metrics.source(part.name)
        stop = threading.Event()
        began, cpu = time.perf_counter(), time.process_time()
        thread = threading.Thread(target=part.run, args=(stop,))
        thread.start()
        deadline = began + DEADLINE_S
        while (mine.messages < until or not mine.connected) and time.perf_counter() < deadline:
            time.sleep(0.01)
        took = Took(time.perf_counter() - began, time.process_time() - cpu)
        stop.set()
        thread.join(20)
        assert mine.readings == until * rows, f"{mine.readings} of {until * rows} readings"
        journal.trim(journal.head() + 1)
        journal.close()
        return took

    run(0)
    return lambda: run(expected)


def modbus(folder: Path, seconds: float) -> tuple[float, float]:
    """(reads a second, processor seconds a second) of 200 lanes over two-request profiles."""
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    server = context.Process(target=slow_devices, args=(child, BUSES, ANSWER_S), daemon=True)
    server.start()
    ports: list[int] = parent.recv()
    network = Network(devices=tuple(Device(f"T{i}") for i in range(BUSES)))
    buses = tuple(
        ModbusBus(f"tcp://127.0.0.1:{port}", (ModbusUnit(1, f"T{i}", "sdm630", 0.1),))
        for i, port in enumerate(ports)
    )
    metrics = CollectorMetrics()
    journal = SqliteJournal(folder / "modbus")
    part = ModbusCollector(buses, CollectorSettings(), journal, network, RealClock(), metrics)
    for lane in part.lanes:  # due again at once: what is asked is how much the process can carry
        for unit in lane.units:
            unit.interval_us, unit.phase_us = 1_000, 10
    stop = threading.Event()
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()

    def requests() -> int:
        return sum(unit.requests for unit in metrics.units.values())

    deadline = time.monotonic() + 30
    while requests() < 2 * BUSES and time.monotonic() < deadline:
        time.sleep(0.01)
    first, began, cpu = requests(), time.perf_counter(), time.process_time()
    time.sleep(seconds)
    took = time.perf_counter() - began
    rate, load = (requests() - first) / took, (time.process_time() - cpu) / took
    stop.set()
    thread.join(20)
    server.terminate()
    server.join(10)
    journal.close()
    failed = sum(unit.polls_failed + unit.polls_partial for unit in metrics.units.values())
    assert failed == 0, f"{failed} polls failed"
    return rate, load


def coalescing() -> tuple[float, float]:
    """Seconds for all values of an SDM630 that answers in 50 ms: coalesced, and one a request."""
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    server = context.Process(target=slow_devices, args=(child, 1, ANSWER_S), daemon=True)
    server.start()
    (port,) = parent.recv()
    profile = load_profile("sdm630")

    async def read(requests: list[tuple[int, int, int]]) -> float:
        link = tcp_link("127.0.0.1", port)
        await link.connect(5.0)
        began = time.perf_counter()
        for function, address, count in requests:
            await link.read(1, function, address, count, 5.0)
        took = time.perf_counter() - began
        link.close()
        return took

    blocks = [(b.function, b.address, b.count) for b in profile.plan()]
    singly = [(r.function, r.address, r.words) for r in profile.registers]
    try:
        return asyncio.run(read(blocks)), asyncio.run(read(singly))
    finally:
        server.terminate()
        server.join(10)


def silent_unit(folder: Path, seconds: float) -> str:
    """What one silent unit costs the four others on its bus, polled twice a second."""
    units, silent = range(1, 6), 3
    network = Network(devices=tuple(Device(f"T{n}") for n in units))
    metrics = CollectorMetrics()
    journal = SqliteJournal(folder / "silent")
    stop = threading.Event()
    with fake_device() as device:
        device.unit_modes[silent] = "silence"
        bus = ModbusBus(
            device.url, tuple(ModbusUnit(n, f"T{n}", "sdm630", 0.5) for n in units), timeout_s=0.5
        )
        part = ModbusCollector((bus,), CollectorSettings(), journal, network, RealClock(), metrics)
        thread = threading.Thread(target=part.run, args=(stop,))
        thread.start()
        time.sleep(seconds)
        stop.set()
        thread.join(20)
    journal.close()
    found = {number: unit for (_, number), unit in metrics.units.items()}
    others = [unit for number, unit in found.items() if number != silent]
    missed, polled = sum(u.polls_missed for u in others), sum(u.polls_ok for u in others)
    return (
        f"one silent unit among {len(units)}, {seconds:.0f} s: {found[silent].polls_failed} "
        f"time-outs of 0.5 s, the others made {polled} polls and missed {missed}"
    )


def slow_devices(pipe: Connection, count: int, answer_s: float) -> None:
    """`count` Modbus TCP devices on ports of their own; every register is zero."""

    class Device(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            words = data[11]
            body = data[6:8] + bytes([2 * words]) + b"\x41\x20" * words
            reply = data[:4] + struct.pack(">H", len(body)) + body
            asyncio.get_running_loop().call_later(answer_s, self.transport.write, reply)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Device, "127.0.0.1", 0) for _ in range(count)]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.sleep(3600)

    asyncio.run(serve())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 10,000 messages")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.messages, chosen.rounds = 10_000, 1
    folder = Path(tempfile.mkdtemp(prefix="forewatt-bench-"))
    folder.chmod(0o711)
    best: dict[str, Took] = {}
    readings: dict[str, tuple[int, int]] = {}
    try:
        with PrivateServices.start(folder / "services", database=False) as services:
            url = services.mqtt_url
            n = chosen.messages
            for name, messages, rows in (
                ("one reading a message", singles(n), 1),
                ("100 a message, JSON columns", batches(n * 5, 100), 100),
                ("100 a message, packed", packed(n * 5, 100), 100),
            ):
                ways = {
                    f"{name}: paho that only counts": count_only(url, len(messages)),
                    f"{name}: collector, journal, ack": collect(url, len(messages), rows, folder),
                }
                for _ in range(chosen.rounds):
                    for label, way in ways.items():
                        send(url, messages)
                        took = way()
                        readings[label] = (len(messages), rows)
                        best[label] = min(best.get(label, took), took)
                        for other in ways.values():
                            if other is not way:
                                other()  # empties its own session, not timed
        reads, load = modbus(folder, 5.0)
        together, singly = coalescing()
        silent = silent_unit(folder, 12.0)
    finally:
        shutil.rmtree(folder)
    versions = f"Python {platform.python_version()}, paho-mqtt {version('paho-mqtt')}"
    print(f"{platform.platform()}, {os.cpu_count()} cores, {versions}")
    print(f"{'way':<54}{'readings/s':>12}{'of counting':>13}{'process µs':>12}")
    for label, took in best.items():
        count, rows = readings[label]
        base = best[f"{label.rsplit(':', 1)[0]}: paho that only counts"]
        micros = took.process_s / count * 1e6
        rate = count * rows / took.wall_s
        print(f"{label:<54}{rate:>12,.0f}{base.wall_s / took.wall_s:>13.2f}{micros:>12.1f}")
    ideal = BUSES / ANSWER_S
    print(
        f"Modbus, {BUSES} buses answering in {ANSWER_S * 1000:g} ms: {reads:,.0f} reads/s, "
        f"{reads / ideal:.2f} of {ideal:,.0f}, {load:.2f} of a core"
    )
    print(
        f"all 17 values of an SDM630 answering in {ANSWER_S * 1000:g} ms: {together:.2f} s "
        f"coalesced, {singly:.2f} s one value a request ({singly / together:.1f} times as long)"
    )
    print(silent)


if __name__ == "__main__":
    main()
