"""A paho client for receiving: large reads from the socket, many acknowledgements in one write.

paho reads each packet with three `recv` calls and writes each PUBACK with a call of its own; at
thousands of messages a second these calls cost more than the messages (benchmarks/README.md).
The two seams used here (`_create_socket`, `_packet_queue`) are private to paho and covered by
tests/integration/ingest; paho is pinned below the next major version.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

_READ_BYTES: Final = 1 << 17
_PUBACK: Final = 0x40


class BufferedSocket:
    """A socket that reads ahead; everything else is the socket's own."""

    __slots__ = ("_at", "_data", "_sock")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._data = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; raises like the socket when there are none."""
        at = self._at
        if at == len(self._data):
            self._data = self._sock.recv(_READ_BYTES)
            self._at = at = 0
        out = self._data[at : at + size]
        self._at = at + len(out)
        return out

    def pending(self) -> int:
        """Bytes read ahead, plus those that TLS has decoded already."""
        left = len(self._data) - self._at
        inner = getattr(self._sock, "pending", None)
        return left + (inner() if inner is not None else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class ReceivingClient(paho.Client):
    """`paho.Client` with `pending` and `ack_many`; used without paho's own threads."""

    def _create_socket(self) -> Any:
        return BufferedSocket(super()._create_socket())

    def pending(self) -> int:
        """Bytes that can be read without asking the system."""
        sock = self.socket()
        return sock.pending() if isinstance(sock, BufferedSocket) else 0

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
