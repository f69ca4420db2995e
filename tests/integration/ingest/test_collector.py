"""The whole collector: all sources into one journal, killed and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.errors import BadInput, ForewattError
from grid.network import Device, Network
from ingest.collector import Collector
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.settings import CollectorSettings, ModbusBus, ModbusUnit, MqttSource
from tests.integration.ingest.fake_modbus import fake_device
from tests.integration.ingest.rig import (
    network_of,
    publish,
    publisher,
    rows,
    running,
    source_of,
)
from tests.waiting import wait_for

REPOSITORY = Path(__file__).resolve().parents[3]


def collector(
    settings: CollectorSettings, journal: SqliteJournal, network: Network | None = None
) -> tuple[Collector, CollectorMetrics]:
    metrics = CollectorMetrics()
    network = network or network_of("M1")
    return Collector(settings, journal, network, RealClock(), metrics), metrics


@pytest.mark.services
def test_mqtt_and_modbus_meet_in_one_journal(mqtt_url: str, tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal")
    network = Network(devices=(Device("C-M1"), Device("C-T1", interval_s=0.5)))
    with fake_device() as device, publisher(mqtt_url) as client:
        device.registers = lambda _u, _f, _a: 0x4100  # 8.0 something
        settings = CollectorSettings(
            mqtt=(source_of(mqtt_url, topics=("forewatt/v1/C-M1/readings",)),),
            modbus=(ModbusBus(device.url, (ModbusUnit(1, "C-T1", "sdm630"),)),),
        )
        both, metrics = collector(settings, journal, network)
        with running(both):
            wait_for(lambda: metrics.sources and metrics.healthy())
            publish(client, [("forewatt/v1/C-M1/readings", {"t": time.time() * 1000, "v_a": 1})])
            wait_for(lambda: {"C-M1", "C-T1"} <= {name for name, _ in rows(journal)})
            wait_for(lambda: metrics.journal_head > 0)

    assert {"mqtt", "modbus"} == {name.split()[0] for name in metrics.sources}
    assert metrics.journal_bytes > 0


def test_a_part_that_ends_by_itself_ends_the_process_loudly(tmp_path: Path) -> None:
    settings = CollectorSettings(mqtt=(MqttSource("mqtt://127.0.0.1:1"),))
    one, _ = collector(settings, SqliteJournal(tmp_path / "journal"))

    def ends(stop: threading.Event) -> None:
        assert not stop.is_set()

    next(iter(one._parts.values())).part.run = ends  # type: ignore[method-assign]

    with pytest.raises(ForewattError, match="ended by itself"):
        one.run(threading.Event())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (CollectorSettings(mqtt=(MqttSource("http://x"),)), "'http://x' is no broker address"),
        (CollectorSettings(mqtt=(MqttSource("mqtt://u:secret@x"),)), "contains a password"),
        (CollectorSettings(mqtt=(MqttSource("mqtt://x:port"),)), "is no broker address"),
        (CollectorSettings(mqtt=(MqttSource("mqtt://x"),) * 2), "is configured twice"),
        (
            CollectorSettings(
                mqtt=(MqttSource("mqtt://x", username="u", password_file=Path("/nowhere")),)
            ),
            "the password cannot be read",
        ),
        (
            CollectorSettings(mqtt=(MqttSource("mqtts://x", ca=Path("/nowhere")),)),
            "the TLS files of mqtt x:8883 cannot be used",
        ),
        (
            CollectorSettings(modbus=(ModbusBus("tcp://x", (ModbusUnit(1, "M1", "sdm630"),)),) * 2),
            "modbus x:502 is configured twice",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(
    settings: CollectorSettings, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        collector(settings, SqliteJournal(tmp_path / "journal"))

    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


_PROCESS = """
import sys, threading
from pathlib import Path
from grid.clock import RealClock
from ingest.collector import Collector
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.settings import CollectorSettings, MqttSource
from tests.integration.ingest.rig import network_of
settings = CollectorSettings(mqtt=(MqttSource(sys.argv[2], client_id="killed"),), linger_ms=5)
print("up", flush=True)
Collector(
    settings, SqliteJournal(Path(sys.argv[1])), network_of("M1"), RealClock(), CollectorMetrics()
).run(threading.Event())
"""


def _start(journal: Path, url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, str(journal), url],
        stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert process.stdout is not None
    assert "up\n" == process.stdout.readline()
    return process


@pytest.mark.services
def test_a_broker_that_dies_does_not_stop_the_other(
    mqtt_url: str, broker: PrivateServices, tmp_path: Path
) -> None:
    journal = SqliteJournal(tmp_path / "journal")
    topics = ("forewatt/v1/C-two/readings",)
    sources = tuple(source_of(url, topics=topics) for url in (mqtt_url, broker.mqtt_url))
    both, metrics = collector(CollectorSettings(mqtt=sources), journal, network_of("C-two"))
    t = time.time_ns() // 1_000_000
    with running(both), publisher(mqtt_url) as client:
        wait_for(lambda: len(metrics.sources) == 2 and metrics.healthy())
        with publisher(broker.mqtt_url) as other:
            publish(other, [(topics[0], {"t": t, "v_a": 1})])
        wait_for(lambda: rows(journal))
        broker.kill_broker()
        wait_for(lambda: not metrics.healthy())
        publish(client, [(topics[0], {"t": t + 1, "v_a": 1})])
        wait_for(lambda: len(rows(journal)) == 2)
        troubles = {name: s.trouble for name, s in metrics.sources.items()}

    assert [("C-two", t), ("C-two", t + 1)] == rows(journal)
    gone = f"mqtt {broker.mqtt_url.removeprefix('mqtt://')}"
    assert "connect" in troubles.pop(gone)
    assert [""] == list(troubles.values())


@pytest.mark.services
def test_kill_9_at_random_moments_loses_no_acknowledged_publish(
    broker: PrivateServices, tmp_path: Path
) -> None:
    """Readings flow at some hundred a second while the collector is killed eight times."""
    seed = random.Random(20)
    path = tmp_path / "journal"
    process = _start(path, broker.mqtt_url)
    journal = SqliteJournal(path)
    begin = time.time_ns() // 1_000_000 - 100_000
    sent = 0
    with publisher(broker.mqtt_url) as client:
        # The session exists from the first connection on: what is published later is kept for us.
        def greeted() -> bool:
            publish(client, [("forewatt/v1/M1/readings", {"t": begin - 1, "v_a": 1})])
            return bool(rows(journal))

        wait_for(greeted, 20)
        for _ in range(8):
            for _ in range(seed.randrange(2, 6)):
                block = [
                    ("forewatt/v1/M1/readings", {"t": begin + sent + i, "v_a": 230})
                    for i in range(100)
                ]
                publish(client, block)
                sent += 100
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
            process = _start(path, broker.mqtt_url)
        expected = {("M1", begin + i) for i in range(sent)}
        wait_for(lambda: expected <= set(rows(journal)), 30, "all readings in the journal")
    process.kill()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()

    assert expected | {("M1", begin - 1)} == set(rows(journal))


@pytest.mark.services
def test_a_broker_without_mqtt_5_is_served_with_3_1_1(tmp_path: Path, mqtt_url: str) -> None:
    """The session asks for the older protocol when it is told to; the same path follows."""
    from paho.mqtt.enums import MQTTProtocolVersion

    from tests.integration.ingest.rig import mqtt_collector

    journal = SqliteJournal(tmp_path / "journal")
    source = replace(source_of(mqtt_url), topics=("forewatt/v1/V311/readings",))
    old, metrics = mqtt_collector(source, journal, network_of("V311"))
    old._protocol = MQTTProtocolVersion.MQTTv311
    old._first = old._new_session()
    now = time.time_ns() // 1_000_000
    with running(old), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        publish(client, [("forewatt/v1/V311/readings", {"t": now - i, "v_a": 1}) for i in range(9)])
        wait_for(lambda: len(rows(journal)) == 9)

    again, metrics = mqtt_collector(source, journal, network_of("V311"))
    again._protocol = MQTTProtocolVersion.MQTTv311
    again._first = again._new_session()
    with running(again):
        wait_for(lambda: metrics.ticks > 0)
    assert 0 == metrics.messages
