"""The broker keeps what a collector has not taken yet, and keeps devices apart."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from forewatt.services import PrivateServices
from forewatt.services.ports import LOOPBACK, free_port, is_listening
from ingest.journal import SqliteJournal
from tests.integration.ingest.rig import mqtt_collector, network_of, running, source_of
from tests.waiting import wait_for

REPOSITORY = Path(__file__).resolve().parents[3]
MESSAGES = 3_000
TOPIC = "forewatt/v1/M1/readings"


class Client:
    """A paho client that is connected inside `with` and collects what arrives."""

    def __init__(self, name: str, port: int, *, user: str = "", keep: bool = False) -> None:
        self.received: list[bytes] = []
        self.paho = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self.paho.on_message = self._on_message
        if user:
            self.paho.username_pw_set(user, f"{user}-password")
        self._port, self._keep = port, keep

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.received.append(bytes(message.payload))

    def __enter__(self) -> Client:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if self._keep else 0
        self.paho.connect(LOOPBACK, self._port, clean_start=not self._keep, properties=properties)
        self.paho.loop_start()
        wait_for(self.paho.is_connected, message="the client to be connected")
        return self

    def __exit__(self, *_: object) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def subscribe(self, topic: str) -> None:
        granted: list[object] = []
        self.paho.on_subscribe = lambda *arguments: granted.append(arguments)
        self.paho.subscribe(topic, qos=1)
        wait_for(lambda: granted, message="the subscription to be granted")

    def publish(self, topic: str, payloads: list[bytes]) -> None:
        sent = [self.paho.publish(topic, payload, qos=1) for payload in payloads]
        for one in sent:
            one.wait_for_publish(30)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_thousands_of_readings_wait_for_an_absent_collector_over_a_restart(
    broker: PrivateServices,
) -> None:
    """Mosquitto's own default keeps 1,000 and forgets them when it is restarted."""
    port = _port(broker.mqtt_url)
    with Client("collector", port, keep=True) as collector:
        collector.subscribe("forewatt/v1/#")
    sent = [b"%d" % number for number in range(MESSAGES)]

    with Client("meter", port) as meter:
        meter.publish(TOPIC, sent)
    broker.stop_broker()
    broker.start_broker()
    with Client("collector", port, keep=True) as collector:
        wait_for(lambda: len(collector.received) >= MESSAGES, 30, "the waiting readings")

    assert sent == collector.received


@pytest.fixture
def shipped_broker(services: PrivateServices, tmp_path: Path) -> Iterator[int]:
    """A broker with docs/mosquitto.conf, its paths and certificates replaced; its port."""

    def entry(user: str) -> str:
        salt = os.urandom(12)
        digest = hashlib.pbkdf2_hmac("sha512", f"{user}-password".encode(), salt, 101)
        words = [base64.b64encode(part).decode() for part in (salt, digest)]
        return f"{user}:$7$101${words[0]}${words[1]}\n"

    port = free_port()
    users = ("M1", "M2", "forewatt")
    (tmp_path / "passwords").write_text("".join(map(entry, users)), encoding="ascii")
    (tmp_path / "passwords").chmod(0o600)
    shipped = (REPOSITORY / "docs/mosquitto.conf").read_text(encoding="utf-8")
    access = [line[1:].strip() for line in shipped.splitlines() if line.startswith("#   ")]
    (tmp_path / "access").write_text("\n".join([*access, ""]), encoding="ascii")
    (tmp_path / "access").chmod(0o600)
    replaced = {
        "listener": f"listener {port} {LOOPBACK}",
        "password_file": f"password_file {tmp_path}/passwords",
        "acl_file": f"acl_file {tmp_path}/access",
        "persistence_location": f"persistence_location {tmp_path}/",
        "log_dest": "log_dest stderr",
    }
    encryption = ("cafile", "certfile", "keyfile", "tls_version")
    lines = [
        replaced.get(line.split(" ")[0], line)
        for line in shipped.splitlines()
        if not line.startswith(("#", *encryption))
    ]
    if os.geteuid() == 0:
        lines.append("user root")
    (tmp_path / "mosquitto.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
    command = [str(services.toolchain.mosquitto), "-c", str(tmp_path / "mosquitto.conf")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_for(lambda: process.poll() is not None or is_listening(port), message="the broker")
        yield port
        process.terminate()


def test_the_shipped_access_list_lets_a_device_write_only_below_its_own_name(
    shipped_broker: int,
) -> None:
    def sent_by(user: str) -> Callable[[str, bytes], None]:
        def send(topic: str, payload: bytes) -> None:
            with Client(f"{user}-client", shipped_broker, user=user) as device:
                device.publish(topic, [payload])

        return send

    with Client("collector", shipped_broker, user="forewatt", keep=True) as collector:
        collector.subscribe("forewatt/v1/#")

        sent_by("M2")("forewatt/v1/M1/readings", b"in another's name")
        sent_by("M1")("forewatt/v1/M1/readings", b"in its own name")
        wait_for(lambda: collector.received, message="the reading of M1")

    assert [b"in its own name"] == collector.received


@pytest.mark.parametrize(("password", "trouble"), [("forewatt-password", ""), ("guess", "refused")])
def test_a_collector_signs_in_with_the_password_of_a_file(
    shipped_broker: int, tmp_path: Path, password: str, trouble: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{password}\n", encoding="ascii")
    secret.chmod(0o600)
    source = source_of(
        f"mqtt://{LOOPBACK}:{shipped_broker}", username="forewatt", password_file=secret
    )
    journal = SqliteJournal(tmp_path / "journal")
    collector, metrics = mqtt_collector(source, journal, network_of("M1"))
    with running(collector):
        wait_for(lambda: metrics.connected or metrics.trouble)
        found = (metrics.connected, metrics.trouble)
    journal.close()

    assert (not trouble) == found[0]
    assert trouble in found[1] and password not in found[1]
