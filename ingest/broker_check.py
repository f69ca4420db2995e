"""Does this broker keep what it promises? Checked by what it says, and on demand by experiment.

`promises` reads the answer to a connection; `probe_broker` lets a session of its own be absent and
counts what comes back. Each finding is a sentence with the setting to change (Mosquitto's names).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.mqtt_session import CONNECT_TIMEOUT_S, Endpoint, read_password
from ingest.payloads import PAYLOAD_BYTES_MAX
from ingest.settings import MqttSource

PROBE_MESSAGES: Final = 1_200  # more than Mosquitto's default queue of 1,000
DEADLINE_S: Final = 20.0
QUIET_S: Final = 2.0  # nothing came for this long: nothing more is coming
_REFUSED: Final = 0x80


def promises(properties: Any, source: MqttSource) -> list[str]:
    """What the broker's answer to our connection (MQTT 5) falls short of."""
    found = []

    def given(name: str, default: int) -> int:
        return int(getattr(properties, name, default))

    expiry = given("SessionExpiryInterval", source.session_expiry_s)
    if expiry < source.session_expiry_s:
        found.append(
            f"the broker keeps our session for {expiry:,} s instead of {source.session_expiry_s:,}:"
            " what is sent while no collector runs is lost sooner; raise"
            " persistent_client_expiration"
        )
    if given("MaximumQoS", 2) < 1:
        found.append("the broker allows QoS 0 only: nothing is sent again after a break")
    if given("WildcardSubscriptionAvailable", 1) == 0:
        found.append("the broker allows no wildcards: name each topic in `topics`")
    largest = given("MaximumPacketSize", PAYLOAD_BYTES_MAX)
    if largest < PAYLOAD_BYTES_MAX:
        found.append(
            f"the broker takes messages of at most {largest:,} bytes, Forewatt of"
            f" {PAYLOAD_BYTES_MAX:,}: larger ones end at the sender; raise max_packet_size"
        )
    return found


@dataclass(frozen=True, slots=True)
class BrokerProbe:
    """What the experiment gave: `findings` empty when nothing is wrong."""

    sent: int
    returned: int
    findings: tuple[str, ...]


class _Part:
    """One short connection of the experiment, driven by paho's own thread."""

    def __init__(self, source: MqttSource, client_id: str, expiry_s: int, clean: bool) -> None:
        endpoint = Endpoint.of(source.url)
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.connect_timeout = CONNECT_TIMEOUT_S
        self.client.max_inflight_messages_set(100)
        username = source.username or endpoint.username
        if username is not None:
            self.client.username_pw_set(username, read_password(source.password_file))
        if endpoint.tls:
            files = [None if f is None else str(f) for f in (source.ca, source.cert, source.key)]
            self.client.tls_set(ca_certs=files[0], certfile=files[1], keyfile=files[2])
        self.received = 0
        self.acknowledged = 0
        self.refused = ""
        self.answer: Any = None
        self.answer_refused = False
        self.subscribed = False
        self._change = threading.Condition()
        self.client.on_message = self._message
        self.client.on_connect = self._connected
        self.client.on_publish = self._published
        self.client.on_subscribe = self._subscribed
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = expiry_s
        properties.ReceiveMaximum = source.receive_maximum
        self.client.connect(endpoint.host, endpoint.port, clean_start=clean, properties=properties)
        self.client.loop_start()

    def _connected(self, _c: Any, _u: Any, _f: Any, reason: Any, properties: Any) -> None:
        with self._change:
            if reason.is_failure:
                self.refused = f"the broker refused the connection: {reason}"
            self.answer_refused = bool(reason.is_failure)
            self.answer = properties
            self._change.notify()

    def _message(self, *_: Any) -> None:
        with self._change:
            self.received += 1
            self._change.notify()

    def _published(self, _c: Any, _u: Any, _mid: int, reason: Any, _p: Any) -> None:
        with self._change:
            self.acknowledged += 1
            if reason.value >= _REFUSED:
                self.refused = f"the broker refused a message: {reason}"
            self._change.notify()

    def _subscribed(self, _c: Any, _u: Any, _mid: int, reasons: Any, _p: Any) -> None:
        with self._change:
            if any(reason.value >= _REFUSED for reason in reasons):
                self.refused = f"the broker refused the subscription: {reasons[0]}"
            self.subscribed = True
            self._change.notify()

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Sleep until `done`, a refusal or the deadline; polling would starve paho's thread."""
        with self._change:
            self._change.wait_for(lambda: done() or bool(self.refused), seconds)
        return done()

    def end(self) -> str:
        """Close the connection; why the broker refused something, or ""."""
        self.client.disconnect()
        self.client.loop_stop()
        return self.refused


def probe_broker(source: MqttSource) -> BrokerProbe:
    """Leave a session alone, send it messages, come back and count (a second or two).

    Uses a topic and a session of its own and removes both; needs the right to publish below
    `forewatt/selftest/`. Raises OSError when the broker cannot be reached.
    """
    topic = f"forewatt/selftest/{uuid4()}"
    name = f"{source.client_id}-selftest"
    findings: list[str] = []
    absent = _Part(source, name, 3_600, True)
    absent.wait(lambda: absent.answer is not None, CONNECT_TIMEOUT_S)
    if absent.answer is None or absent.answer_refused:
        refused = absent.end()
        return BrokerProbe(0, 0, (refused or "the broker did not answer",))
    findings += promises(absent.answer, replace(source, session_expiry_s=3_600))
    absent.client.subscribe(topic, qos=1)
    absent.wait(lambda: absent.subscribed, CONNECT_TIMEOUT_S)
    refused = absent.end()
    if refused:
        return BrokerProbe(0, 0, (*findings, f"{refused}; allow forewatt/selftest/#"))

    sender = _Part(source, f"{name}-sender", 0, True)
    sender.wait(lambda: sender.answer is not None, CONNECT_TIMEOUT_S)
    for i in range(PROBE_MESSAGES):
        sender.client.publish(topic, str(i), qos=1)
    sender.wait(lambda: sender.acknowledged >= PROBE_MESSAGES, DEADLINE_S)
    refused = sender.end()
    sent = sender.acknowledged
    if refused:
        return BrokerProbe(sent, 0, (*findings, f"{refused}; allow forewatt/selftest/#"))

    back = _Part(source, name, 0, False)  # expiry 0: the session ends with this connection
    until, before = time.monotonic() + DEADLINE_S, -1
    while back.received > before and time.monotonic() < until:  # as long as more are coming
        before = back.received
        if back.wait(lambda: back.received >= sent, QUIET_S):
            break
    back.end()
    if back.received < sent:
        findings.append(
            f"of {sent:,} messages sent to an absent collector {back.received:,} came back, and"
            " all were acknowledged to the sender: set max_queued_messages 0 and"
            " max_queued_bytes 268435456 (docs/mosquitto.conf)"
        )
    return BrokerProbe(sent, back.received, tuple(findings))
