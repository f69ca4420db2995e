"""How fast do readings go from the broker into the journal, acknowledged after the fsync?

Question: how much of a bare subscriber's speed is left when every message is decoded, checked
and made durable before it is acknowledged? Messages wait in the session of a private Mosquitto;
what is timed is the draining, so that no publisher competes for the cores.

    python -m benchmarks.bench_ingest [--messages 100000] [--rounds 3]

Fixed data (seed 1), 5,000 devices; the best of the rounds of each way is shown, rounds alternate.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.network import Device, Network
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.mqtt import MqttCollector
from ingest.settings import CollectorSettings, MqttSource

DEVICES = 5_000
RECEIVE_MAXIMUM = 5_000
QUANTITIES = ("v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "p", "e_import")
DEADLINE_S = 300.0


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


def count_only(url: str, expected: int) -> Callable[[], float]:
    """A paho subscriber that counts and lets paho acknowledge at once."""

    def subscribe(until: int) -> float:
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
        began = time.perf_counter()
        client.loop_start()
        subscribed.wait(10)
        if until:
            assert done.wait(DEADLINE_S), f"{seen} of {until} messages"
        took = time.perf_counter() - began
        client.disconnect()
        client.loop_stop()
        return took

    subscribe(0)  # the session exists from now on
    return lambda: subscribe(expected)


def collect(url: str, expected: int, rows: int, folder: Path) -> Callable[[], float]:
    """Forewatt's collector into a journal with fsync."""
    network = Network(devices=tuple(Device(f"M{i}", interval_s=900) for i in range(DEVICES)))
    source = MqttSource(url, client_id="collect", receive_maximum=RECEIVE_MAXIMUM)

    def run(until: int) -> float:
        metrics = CollectorMetrics()
        journal = SqliteJournal(folder / "journal")
        settings = CollectorSettings()
        part = MqttCollector(source, settings, journal, network, RealClock(), metrics)
        mine = metrics.source(part.name)
        stop = threading.Event()
        began = time.perf_counter()
        thread = threading.Thread(target=part.run, args=(stop,))
        thread.start()
        deadline = began + DEADLINE_S
        while (mine.messages < until or not mine.connected) and time.perf_counter() < deadline:
            time.sleep(0.002)
        took = time.perf_counter() - began
        stop.set()
        thread.join(20)
        assert mine.readings == until * rows, f"{mine.readings} of {until * rows} readings"
        journal.trim(journal.head() + 1)
        journal.close()
        return took

    run(0)
    return lambda: run(expected)


@dataclass
class Line:
    """One row of the table."""

    name: str
    rates: list[float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="forewatt-bench-"))
    folder.chmod(0o711)
    lines: dict[str, Line] = {}
    try:
        with PrivateServices.start(folder / "services", database=False) as services:
            url = services.mqtt_url
            loads = [("one reading a message", singles(chosen.messages), 1)]
            loads += [
                (f"{n} a message, JSON columns", batches(chosen.messages * 5, n), n) for n in (100,)
            ]
            for name, messages, rows in loads:
                ways = {
                    f"{name}: paho that only counts": count_only(url, len(messages)),
                    f"{name}: collector, journal, ack": collect(url, len(messages), rows, folder),
                }
                for _ in range(chosen.rounds):
                    for label, way in ways.items():
                        send(url, messages)
                        rate = len(messages) * rows / way()
                        lines.setdefault(label, Line(label, [])).rates.append(rate)
                        for other in ways.values():
                            if other is not way:
                                other()  # empties its own session, not timed
    finally:
        shutil.rmtree(folder)
    print(f"{platform.platform()}, Python {platform.python_version()}, paho {paho.__name__}")
    print(f"{'way':<58}{'readings/s':>12}{'of counting':>13}")
    best = {label: max(line.rates) for label, line in lines.items()}
    for label, rate in best.items():
        base = best[f"{label.rsplit(':', 1)[0]}: paho that only counts"]
        print(f"{label:<58}{rate:>12,.0f}{rate / base:>13.2f}")


if __name__ == "__main__":
    main()
