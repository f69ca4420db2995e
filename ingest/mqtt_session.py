"""One connection to a broker: connect, subscribe, read into a bounded queue, acknowledge.

Knows nothing of payloads or journals. A session object lives as long as its connection, so an
acknowledgement can never cross to the next one, where the same packet ids mean other messages.
"""

import logging
import select
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from grid.clock import Clock
from grid.errors import BadInput
from ingest.mqtt_client import BufferedSocket, Message, ReceivingClient
from ingest.settings import MqttSource

CONNECT_TIMEOUT_S: Final = 5.0
PACKET_BYTES_MAX: Final = 16 << 20  # refused by the broker beyond this; quarantined from 1 MiB on
QUEUE_BYTES_MAX: Final = 64 << 20  # beyond this reading stops until some are in the journal
_MISC_S: Final = 1.0
_QOS: Final = 1
SYS_DROPPED: Final = "$SYS/broker/publish/messages/dropped"
_FAILURE: Final = 0x80  # reason codes from here on are refusals

log = logging.getLogger(__name__)


class ConnectionLost(Exception):
    """The connection is gone or was refused; the text says why, for people."""


class WrongProtocol(ConnectionLost):
    """The broker does not speak this version of MQTT."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker is, read from an mqtt:// or mqtts:// address."""

    host: str
    port: int
    tls: bool
    username: str | None

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Raises BadInput for anything that is not such an address."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == -1:
            raise BadInput(
                f"{url!r} is no broker address",
                fix="Write mqtt://host:port, or mqtts://host:port with TLS",
            )
        if parts.password:
            raise BadInput(
                f"the broker address of {parts.hostname!r} contains a password",
                fix="Put it into a file and name that with password_file",
            )
        tls = parts.scheme == "mqtts"
        name = unquote(parts.username) if parts.username else None
        return cls(parts.hostname, port or (8883 if tls else 1883), tls, name)

    @property
    def name(self) -> str:
        """The source name that records and ticks carry."""
        return f"mqtt {self.host}:{self.port}"


def source_name(source: MqttSource) -> str:
    """The name that records and ticks of a source carry."""
    return " ".join(filter(None, (Endpoint.of(source.url).name, source.label)))


def read_password(path: Path | None) -> str | None:
    """The first line of a password file; raises BadInput when it cannot be read."""
    if path is None:
        return None
    try:
        return path.read_text().split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the password cannot be read: {error}",
            file=str(path),
            fix="Let password_file name a text file that this account may read",
        ) from error


class MqttSession:
    """A connection and the messages received on it that are not yet acknowledged.

    Attributes
    ----------
    queue : messages, oldest first
    subscribed : True once the broker has granted all subscriptions
    session_present : whether the broker still knew us
    """

    def __init__(
        self,
        source: MqttSource,
        endpoint: Endpoint,
        clock: Clock,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.queue: deque[Message] = deque()  # bounded by `pump`, in messages and bytes
        self.queued_bytes = 0
        self.answer: Any = None  # properties of the broker's answer to our connection
        self.dropped: int | None = None  # messages that the broker says it has dropped (Mosquitto)
        self.subscribed = False
        self.session_present = False
        self.protocol = protocol
        # The broker stops at the receive maximum; QoS 0 and MQTT 3.1.1 know none, so reading stops.
        self.queue_max = source.receive_maximum + 1_000
        self._source, self._endpoint, self._clock = source, endpoint, clock
        self._topics = source.filters()
        self._lost = ""
        self._answered = False  # the broker has let us in
        self._misc_at = 0.0
        self._now_us = 0
        self._poller = select.poll()
        self._client = self._make_client()

    def _make_client(self) -> ReceivingClient:
        source, v5 = self._source, self.protocol == MQTTProtocolVersion.MQTTv5
        client = ReceivingClient(
            CallbackAPIVersion.VERSION2,
            client_id=source.client_id,
            clean_session=None if v5 else False,
            protocol=self.protocol,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        username = source.username or self._endpoint.username
        if username is not None:
            client.username_pw_set(username, read_password(source.password_file))
        if self._endpoint.tls:
            files = [None if f is None else str(f) for f in (source.ca, source.cert, source.key)]
            try:
                client.tls_set(ca_certs=files[0], certfile=files[1], keyfile=files[2])
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise BadInput(
                    f"the TLS files of {self._endpoint.name} cannot be used: {error}",
                    fix="Check ca, cert and key of this [[mqtt]] entry",
                ) from error
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    # -- callbacks: they only note what happened -------------------------------------------

    def _on_message(self, _c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        """The few messages that `ReceivingClient.receive` leaves to paho (large ones)."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = message._topic.decode(errors="replace")
        mid = message.mid if message.qos == _QOS else 0
        self._keep(Message(topic, bytes(message.payload), mid, self._now_us))

    def _keep(self, message: Message) -> None:
        if message.topic == SYS_DROPPED:
            digits = message.payload.strip()
            if digits.isdigit():
                self.dropped = int(digits)
            return
        self.queue.append(message)
        self.queued_bytes += len(message.payload)

    def take(self, messages: int, payload_bytes: int) -> list[Message]:
        """The oldest messages: at most so many, and about so many bytes of payload."""
        batch: list[Message] = []
        size = 0
        while self.queue and len(batch) < messages and size < payload_bytes:
            batch.append(self.queue.popleft())
            size += len(batch[-1].payload)
        self.queued_bytes -= size
        return batch

    def _on_connect(
        self, client: paho.Client, _u: Any, flags: Any, reason: Any, answer: Any
    ) -> None:
        if reason.is_failure:
            if reason.getName() == "Unsupported protocol version":
                self._lost = "protocol"
            else:
                self._lost = f"the broker refused the connection: {reason}"
            return
        self._answered = True
        self.session_present = bool(flags.session_present)
        self.answer = answer
        if self.protocol == MQTTProtocolVersion.MQTTv5:
            # A retained message is sent for a new subscription only, not at each reconnection.
            options = SubscribeOptions(qos=_QOS, retainHandling=1)
            client.subscribe(
                [*((topic, options) for topic in self._topics), (SYS_DROPPED, SubscribeOptions(0))]
            )
        else:
            client.subscribe([*((topic, _QOS) for topic in self._topics), (SYS_DROPPED, 0)])

    def _on_subscribe(
        self, _c: paho.Client, _u: Any, _mid: int, reasons: Sequence[Any], _p: Any
    ) -> None:
        for topic, reason in zip(self._topics, reasons, strict=False):
            if reason.value >= _FAILURE:
                self._lost = (
                    f"the broker refused the subscription {topic!r}: {reason}; "
                    "check its access list for this user"
                )
                return
        self.subscribed = True

    def _on_disconnect(self, _c: paho.Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if self._lost:
            return
        # paho knows no more than "unspecified error" of what its socket met.
        self._lost = f"the connection ended: {self._socket_trouble() or reason}"
        source = self._source
        if self._endpoint.tls and not self._answered and not source.cert:
            # A broker may hang up without a word, or its words be lost with the connection.
            self._lost += "; if the broker asks for a client certificate, name it in cert and key"
        if str(reason) == "Session taken over":
            self._lost = (
                f"another client connected as {self._source.client_id!r}; two collectors with one "
                "client_id evict each other: give each its own"
            )

    def _socket_trouble(self) -> str:
        connection = self._client.connection
        return "" if connection is None else connection.trouble

    # -- the connection --------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection; raises ConnectionLost with the reason in words."""
        source, client = self._source, self._client
        try:
            if self.protocol == MQTTProtocolVersion.MQTTv5:
                properties = Properties(PacketTypes.CONNECT)
                properties.SessionExpiryInterval = source.session_expiry_s
                properties.ReceiveMaximum = source.receive_maximum
                properties.MaximumPacketSize = PACKET_BYTES_MAX
                client.connect_async(
                    self._endpoint.host,
                    self._endpoint.port,
                    source.keepalive_s,
                    clean_start=False,
                    properties=properties,
                )
            else:
                client.connect_async(self._endpoint.host, self._endpoint.port, source.keepalive_s)
            client.reconnect()
        except ssl.SSLError as error:
            raise ConnectionLost(f"TLS failed: {error.reason or error}") from error
        except OSError as error:
            raise ConnectionLost(f"cannot connect: {error.strerror or error}") from error
        sock = client.socket()
        if sock is None:
            raise ConnectionLost(self._lost or "the connection ended at once")
        assert isinstance(sock, BufferedSocket)
        self._fd = sock.fileno()
        self._poller.register(self._fd, select.POLLIN)

    def pump(self, timeout_s: float, limit: int) -> int:
        """Serve the network for at most `timeout_s`; return how many messages came.

        Reading stops when `limit` messages came in this call or the queue is full. Raises
        ConnectionLost.
        """
        client, queue = self._client, self.queue
        before = len(queue)
        room = before < self.queue_max and self.queued_bytes < QUEUE_BYTES_MAX
        self._check(MQTTErrorCode.MQTT_ERR_SUCCESS)
        readable = room and client.pending() > 0
        if not readable:
            wanted = (select.POLLIN if room else 0) | (select.POLLOUT if client.want_write() else 0)
            self._poller.modify(self._fd, wanted)
            for _, event in self._poller.poll(max(0.0, timeout_s) * 1000):
                if event & select.POLLOUT:
                    self._check(client.loop_write())
                if event & select.POLLIN:
                    readable = True
                elif event & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                    raise ConnectionLost(self._lost or "the connection ended")
        if readable:
            self._now_us = self._clock.now_us()
            most = min(before + limit, self.queue_max)
            self._check(client.receive(self._keep, most - before, self._now_us))
        now = time.monotonic()
        if now >= self._misc_at:
            self._misc_at = now + _MISC_S
            self._check(client.loop_misc())
        return len(queue) - before

    def _check(self, code: MQTTErrorCode) -> None:
        if self._lost == "protocol":
            raise WrongProtocol("the broker does not speak this version of MQTT")
        if self._lost:
            raise ConnectionLost(self._lost)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            raise ConnectionLost(f"the connection ended: {paho.error_string(code)}")

    def ack(self, mids: Sequence[int]) -> None:
        """Acknowledge messages of this connection; a lost connection shows at the next `pump`."""
        if not self._lost:
            self._client.ack_many(mids)

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send messages with QoS 0 (Sparkplug rebirth requests), while the connection stands."""
        for topic, payload in messages:
            if not self._lost:
                self._client.publish(topic, payload, qos=0)

    def close(self, deadline_s: float = 1.0) -> None:
        """Say goodbye if the connection still stands (the broker keeps the session)."""
        until = time.monotonic() + deadline_s
        if not self._lost:
            self._client.disconnect()
            while self._client.socket() is not None and time.monotonic() < until:
                self._poller.modify(self._fd, select.POLLOUT)
                if self._poller.poll(50):
                    self._client.loop_write()
        sock = self._client.socket()
        if sock is not None:
            sock.close()
