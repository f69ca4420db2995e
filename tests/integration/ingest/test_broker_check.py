"""The self-test tells which promise a broker's settings break, and the setting to change."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from forewatt.services import find_or_fetch
from forewatt.services.ports import free_port, is_listening
from ingest.broker_check import PROBE_MESSAGES, probe_broker, promises
from ingest.journal import SqliteJournal
from tests.integration.ingest.rig import (
    mqtt_collector,
    network_of,
    publish,
    publisher,
    running,
    source_of,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.services


@contextmanager
def mosquitto(folder: Path, settings: str) -> Iterator[str]:
    """A broker with settings of its own."""
    port = free_port()
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{settings}\n")
    process = subprocess.Popen(
        [find_or_fetch().mosquitto, "-c", file],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: is_listening(port))
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def test_the_shipped_settings_keep_every_message(mqtt_url: str) -> None:
    probe = probe_broker(source_of(mqtt_url))

    assert (PROBE_MESSAGES, PROBE_MESSAGES, ()) == (probe.sent, probe.returned, probe.findings)


def test_the_defaults_of_mosquitto_are_found_out(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "") as url:
        probe = probe_broker(source_of(url))

    assert PROBE_MESSAGES == probe.sent  # every one was acknowledged to the sender
    assert 1000 == probe.returned
    (finding,) = probe.findings
    assert "of 1,200 messages sent to an absent collector 1,000 came back" in finding
    assert "set max_queued_messages 0" in finding


def test_a_broker_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        probe_broker(source_of("mqtt://127.0.0.1:1"))


def test_a_small_packet_limit_is_named_at_connection(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "max_packet_size 20000") as url:
        journal = SqliteJournal(tmp_path / "journal")
        collector, metrics = mqtt_collector(source_of(url), journal, network_of())
        with running(collector):
            wait_for(lambda: metrics.connected)

    assert 1 == len(metrics.warnings)
    assert "messages of at most 20,000 bytes" in metrics.warnings[0]


def test_messages_dropped_by_the_broker_are_counted(tmp_path: Path) -> None:
    """Mosquitto tells on $SYS how many it dropped; a growing number is acknowledged data lost."""
    with mosquitto(tmp_path, "sys_interval 1") as url:
        journal = SqliteJournal(tmp_path / "journal")
        collector, metrics = mqtt_collector(source_of(url), journal, network_of())
        with running(collector):
            wait_for(lambda: metrics.connected)
            wait_for(lambda: collector._dropped is not None)
            probe_broker(source_of(url))  # its absent session loses 200
            wait_for(lambda: metrics.dropped_by_broker == 200)

    assert 0 == metrics.quarantined.total()


def test_the_small_window_of_an_old_protocol_does_not_slow_the_collector(tmp_path: Path) -> None:
    """MQTT 3.1.1 and twenty messages in flight: who waits for the linger here waits an hour."""
    with mosquitto(tmp_path, "max_inflight_messages 20\nmax_queued_messages 0") as url:
        journal = SqliteJournal(tmp_path / "journal")
        source = source_of(url)
        old, metrics = mqtt_collector(source, journal, network_of("M1"), linger_ms=3_600_000)
        old._protocol = MQTTProtocolVersion.MQTTv311
        old._first = old._new_session()
        t = time.time_ns() // 1_000_000
        with running(old), publisher(url) as client:
            wait_for(lambda: metrics.connected)
            messages = [("forewatt/v1/M1/readings", {"t": t - i, "v_a": 1}) for i in range(600)]
            publish(client, messages)
            wait_for(lambda: metrics.readings == 600, 60, "all without lingering")


class Answer:
    SessionExpiryInterval = 60
    MaximumQoS = 0
    WildcardSubscriptionAvailable = 0


def test_every_broken_promise_of_the_answer_is_a_sentence() -> None:
    found = promises(Answer(), source_of("mqtt://h"))

    assert 3 == len(found)
    assert "keeps our session for 60 s instead of 604,800" in found[0]
    assert "QoS 0 only" in found[1]
    assert "no wildcards" in found[2]
    assert [] == promises(None, source_of("mqtt://h"))
