"""A collector in a thread, a publisher and a journal to look into, for the integration tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from grid.clock import Clock, RealClock
from grid.journal import Entry, Journal, Record
from grid.network import Device, Network
from ingest.journal import JournalFull, SqliteJournal
from ingest.metrics import CollectorMetrics, SourceMetrics
from ingest.mqtt import MqttCollector
from ingest.settings import CollectorSettings, MqttSource

_numbers = count(1)


def network_of(*names: str) -> Network:
    return Network(devices=tuple(Device(name, interval_s=900) for name in names))


def source_of(url: str, **changes: Any) -> MqttSource:
    """Client id of its own: the broker of the session is shared."""
    return replace(MqttSource(url, client_id=f"test-collector-{next(_numbers)}"), **changes)


def mqtt_collector(
    source: MqttSource,
    journal: Journal,
    network: Network,
    clock: Clock | None = None,
    **settings: Any,
) -> tuple[MqttCollector, SourceMetrics]:
    metrics = CollectorMetrics()
    collector = MqttCollector(
        source, CollectorSettings(**settings), journal, network, clock or RealClock(), metrics
    )
    return collector, metrics.source(collector.name)


@contextmanager
def running(collector: Any) -> Iterator[threading.Event]:
    """`collector.run` in a thread; stopped and joined at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive(), "the collector did not stop within 20 s"


@contextmanager
def publisher(url: str) -> Iterator[paho.Client]:
    parts = urlsplit(url)
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"test-publisher-{next(_numbers)}",
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    client.max_inflight_messages_set(1000)
    client.connect(str(parts.hostname), int(parts.port or 1883))
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(client: paho.Client, messages: Sequence[tuple[str, Any]]) -> None:
    """Publish with QoS 1 and wait until the broker has taken all of them."""
    sent = [
        client.publish(topic, body if isinstance(body, bytes) else json.dumps(body), qos=1)
        for topic, body in messages
    ]
    for info in sent:
        info.wait_for_publish(20)


def entries(journal: Journal) -> list[Entry]:
    out: list[Entry] = []
    while found := journal.read(out[-1].offset if out else 0, 1000):
        out.extend(found)
    return out


def rows(journal: Journal) -> list[tuple[str, int]]:
    """(device, time in ms) of every row in the journal, in its order."""
    return [
        (str(name), int(time) // 1000)
        for entry in entries(journal)
        for name, time in zip(
            entry.record.batch.device_names(), entry.record.batch.time, strict=True
        )
    ]


class FussyJournal(SqliteJournal):
    """A journal whose disk is full while `full` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = threading.Event()
        self.refused = 0

    def append(self, records: Sequence[Record]) -> int:
        if self.full.is_set():
            self.refused += 1
            raise JournalFull("the disk of the test is full")
        return super().append(records)
