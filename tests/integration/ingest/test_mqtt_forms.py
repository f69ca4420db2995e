"""Sparkplug B, mappings and older brokers over real sockets."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from ingest.journal import SqliteJournal
from ingest.mapping_files import load_mappings
from ingest.sparkplug import encode_metric, encode_payload
from tests.integration.ingest.rig import (
    mqtt_collector,
    network_of,
    publish,
    publisher,
    rows,
    running,
    source_of,
)
from tests.integration.ingest.test_mqtt import now_ms
from tests.waiting import wait_for

FLOAT = 9


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "journal")


@pytest.mark.services
def test_a_sparkplug_node_met_in_the_middle_is_asked_for_its_births(
    mqtt_url: str, journal: SqliteJournal
) -> None:
    """The collector starts after the node: the alias means nothing until the node is born again."""
    t = now_ms()
    source = source_of(mqtt_url, topics=("spBv1.0/lv/#",))
    collector, metrics = mqtt_collector(source, journal, network_of("SP-M1"))
    asked = threading.Event()
    with running(collector), publisher(mqtt_url) as node:
        node.on_message = lambda *_: asked.set()
        node.subscribe("spBv1.0/lv/NCMD/e1", qos=1)
        wait_for(lambda: metrics.connected)
        data = encode_payload(t, 5, [encode_metric(230.0, FLOAT, alias=1)])
        node.publish("spBv1.0/lv/DDATA/e1/SP-M1", data, qos=0)
        assert asked.wait(10), "no rebirth request"
        birth = encode_metric(231.0, FLOAT, name="v_a", alias=1)
        node.publish("spBv1.0/lv/NBIRTH/e1", encode_payload(t, 0, []), qos=0)
        node.publish("spBv1.0/lv/DBIRTH/e1/SP-M1", encode_payload(t, 1, [birth]), qos=0)
        later = encode_payload(t + 1, 2, [encode_metric(232.0, FLOAT, alias=1)])
        node.publish("spBv1.0/lv/DDATA/e1/SP-M1", later, qos=0)
        wait_for(lambda: len(rows(journal)) == 2)

    assert [("SP-M1", t), ("SP-M1", t + 1)] == rows(journal)
    assert 1 == metrics.quarantined.total()


@pytest.mark.services
def test_the_topics_of_a_mapping_are_subscribed_and_understood(
    mqtt_url: str, journal: SqliteJournal
) -> None:
    source = source_of(mqtt_url, topics=(), rules=load_mappings("shelly"))
    collector, metrics = mqtt_collector(source, journal, network_of("shelly-77"))
    with running(collector), publisher(mqtt_url) as client:
        wait_for(lambda: metrics.connected)
        publish(client, [("shelly-77/status/em1:0", {"voltage": 230.0, "act_power": 12.5})])
        wait_for(lambda: len(rows(journal)) == 1)

    assert "shelly-77" == rows(journal)[0][0]


class OldBroker:
    """Knows MQTT 3.1.1 only: refuses version 5, then grants a session and a subscription."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.sock.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        while True:
            connection, _ = self.sock.accept()
            with connection:
                first = connection.recv(4096)
                if not first:
                    return  # the test has ended
                version = first[first.index(b"MQTT") + 4]
                self.versions.append(version)
                if version == 5:
                    connection.sendall(b"\x20\x03\x00\x84\x00")
                    continue
                connection.sendall(b"\x20\x02\x00\x00")
                subscribe = connection.recv(4096)
                connection.sendall(b"\x90\x06" + subscribe[2:4] + b"\x01\x01\x01\x01")
                while connection.recv(4096):
                    pass

    def close(self) -> None:
        with socket.create_connection(self.sock.getsockname()):
            pass
        self.thread.join(10)
        self.sock.close()


def test_a_broker_without_mqtt_5_is_met_again_with_3_1_1(journal: SqliteJournal) -> None:
    broker = OldBroker()
    broker.thread.start()
    collector, metrics = mqtt_collector(source_of(broker.url), journal, network_of())
    with running(collector):
        wait_for(lambda: metrics.connected)
    broker.close()

    assert [5, 4] == broker.versions
