"""A paho client for receiving fast: large reads, PUBLISH packets taken as they lie in the buffer,
many acknowledgements in one write.

paho 2.2 spends about 90 µs of processor time on each MQTT 5 message (half of it on properties that
are not there) and one system call on each acknowledgement; this path takes about 3 µs
(benchmarks/README.md). Connection, session, keep-alive and every other packet stay paho's. The
private seams used here (`_create_socket`, `_packet_queue`, `_in_packet`) are covered by tests, and
paho is pinned below its next major version.
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

_READ_BYTES: Final = 1 << 17
_LARGE_BYTES: Final = 1 << 18  # larger packets are put together by paho
_PUBACK: Final = 0x40
_PUBLISH: Final = 0x30
_PUBLISH_MASK: Final = 0xF4  # packet type and the bit of QoS 2; DUP, QoS 1 and RETAIN may be set
_QOS_1: Final = 0x02


class Message(NamedTuple):
    """A received message; `mid` is 0 when it wants no acknowledgement (QoS 0)."""

    topic: str
    payload: bytes
    mid: int
    received_us: int


def _words(error: OSError) -> str:
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return f"TLS: {reason}" if reason else error.strerror or str(error)


class BufferedSocket:
    """A socket that reads ahead; everything else is the socket's own."""

    __slots__ = ("at", "data", "sock", "trouble")

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.data = b""
        self.at = 0
        self.trouble = ""  # why reading or writing failed; paho only says that it did

    def fill(self) -> bool:
        """Read what is there behind the bytes kept; False when the connection has ended."""
        try:
            more = self._more()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        self.data = self.data[self.at :] + more if self.at < len(self.data) else more
        self.at = 0
        return bool(more)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; raises like the socket when there are none."""
        at = self.at
        if at == len(self.data):
            self.data = self._more()
            self.at = at = 0
        out = self.data[at : at + size]
        self.at = at + len(out)
        return out

    def _more(self) -> bytes:
        try:
            more: bytes = self.sock.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.trouble = _words(error)
            raise
        return more

    def send(self, buffer: bytes | bytearray) -> int:
        """Write like the socket; what the other side said before it hung up is the reason."""
        try:
            return int(self.sock.send(buffer))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.trouble = _words(error)
            if self.sock.fileno() >= 0:
                self.fill()
            raise

    def pending(self) -> int:
        """Bytes read ahead, plus those that TLS has decoded already."""
        left = len(self.data) - self.at
        inner = getattr(self.sock, "pending", None)
        return left + (inner() if inner is not None else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class ReceivingClient(paho.Client):
    """`paho.Client` with `receive` and `ack_many`; used without paho's own threads.

    `connection` is the socket of the newest connection, also when it has ended already.
    """

    connection: BufferedSocket | None = None

    def _create_socket(self) -> Any:
        sock: Any = self._create_socket_connection()
        if self._ssl:
            context = self._ssl_context
            assert context is not None, "tls_set came first"
            try:
                # Not paho's own: it leaves the socket open when the handshake fails.
                sock = context.wrap_socket(sock, server_hostname=self._host)
            except BaseException:
                sock.close()
                raise
        self.connection = BufferedSocket(sock)
        return self.connection

    def pending(self) -> int:
        """Bytes that can be read without asking the system."""
        sock = self.socket()
        return sock.pending() if isinstance(sock, BufferedSocket) else 0

    def receive(
        self, sink: Callable[[Message], None], limit: int, received_us: int
    ) -> MQTTErrorCode:
        """Read once from the socket and hand on at most `limit` messages.

        Other packets, large ones and malformed ones go through paho and its callbacks. What does
        not fit into `limit` stays in the buffer (`pending`).
        """
        sock = self.socket()
        if not isinstance(sock, BufferedSocket):
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        stands = sock.fill()
        v5 = self.protocol == MQTTProtocolVersion.MQTTv5
        began = limit
        while limit > 0:
            # A packet that paho has begun to read is paho's to finish.
            if self._in_packet["command"] == 0:
                limit -= _take_publishes(sock, sink, limit, received_us, v5)
                if sock.at == len(sock.data) or limit <= 0 or _is_short_publish(sock):
                    break
            elif sock.at == len(sock.data):
                break
            code = self.loop_read()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
                return code
        if not stands and limit == began:
            return self.loop_read()  # the end of the connection, as paho understands it
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def ack_many(self, mids: Sequence[int]) -> MQTTErrorCode:
        """Send the PUBACKs of QoS 1 messages, in the given order, as one write.

        The caller makes sure that all were received on the present connection.
        """
        if not mids:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        packets = np.empty((len(mids), 4), np.uint8)
        packets[:, 0] = _PUBACK
        packets[:, 1] = 2
        packets[:, 2:] = np.array(mids, ">u2")[:, None].view(np.uint8)
        return self._packet_queue(_PUBACK, packets.tobytes(), mids[-1], 1)


def _length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, place behind it) of a variable-length integer; place -1 when it is cut short."""
    value = shift = 0
    for i in range(at, min(at + 4, end)):
        byte = data[i]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, i + 1
        shift += 7
    return value, -1


def _is_short_publish(sock: BufferedSocket) -> bool:
    """Whether the buffer holds the beginning of an ordinary PUBLISH that `fill` will complete."""
    data, at, end = sock.data, sock.at, len(sock.data)
    if data[at] & _PUBLISH_MASK != _PUBLISH:
        return False
    size, start = _length(data, at + 1, end)
    if start < 0:
        return end - at < 5
    return size <= _LARGE_BYTES and start + size > end


def _take_publishes(
    sock: BufferedSocket,
    sink: Callable[[Message], None],
    limit: int,
    received_us: int,
    v5: bool,
) -> int:
    """Hand on the complete PUBLISH packets (QoS 0 and 1) at the front of the buffer."""
    data, at, end = sock.data, sock.at, len(sock.data)
    taken = 0
    while taken < limit and at < end:
        command = data[at]
        if command & _PUBLISH_MASK != _PUBLISH:
            break
        size, start = _length(data, at + 1, end)
        stop = start + size
        if start < 0 or stop > end or size > _LARGE_BYTES or size < 2:
            break
        place = start + 2 + (data[start] << 8 | data[start + 1])
        topic = data[start + 2 : place]
        mid = 0
        if command & _QOS_1:
            if place + 2 > stop:
                break
            mid = data[place] << 8 | data[place + 1]
            place += 2
            if mid == 0:
                break
        if v5:
            if place >= stop:
                break
            skip, behind = _length(data, place, stop)
            if behind < 0:
                break
            place = behind + skip
        if place > stop:
            break
        sink(Message(topic.decode(errors="replace"), data[place:stop], mid, received_us))
        taken += 1
        at = stop
    sock.at = at
    return taken
