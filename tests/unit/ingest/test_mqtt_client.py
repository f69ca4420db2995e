"""The fast path through the receive buffer sees the same messages as paho's own reader."""

import itertools
import struct
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from ingest.mqtt_client import BufferedSocket, Message, ReceivingClient

PINGRESP = b"\xd0\x00"


class FakeSocket:
    """Hands out the given pieces one `recv` at a time, then nothing for now."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.sent = b""

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            raise BlockingIOError
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]

    def send(self, data: bytes) -> int:
        self.sent += bytes(data)
        return len(data)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.pieces.clear()


def length(size: int) -> bytes:
    out = b""
    while True:
        size, digit = size >> 7, size & 127
        out += bytes([digit | (128 if size else 0)])
        if not size:
            return out


def publish(
    topic: str, payload: bytes, mid: int, *, v5: bool, properties: bytes = b"", dup: bool = False
) -> bytes:
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + (struct.pack("!H", mid) if mid else b"")
    if v5:
        body += length(len(properties)) + properties
    body += payload
    return bytes([0x30 | (2 if mid else 0) | (8 if dup else 0)]) + length(len(body)) + body


def receive_all(pieces: list[bytes], *, v5: bool = True, limit: int = 3) -> list[Message]:
    """Everything that `receive` and paho's callback hand on."""
    client = ReceivingClient(
        CallbackAPIVersion.VERSION2,
        client_id="x",
        clean_session=None if v5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        manual_ack=True,
    )
    client._sock = BufferedSocket(FakeSocket(pieces))
    seen: list[Message] = []

    def on_message(_c: Any, _u: Any, m: paho.MQTTMessage) -> None:
        seen.append(Message(m.topic, bytes(m.payload), m.mid if m.qos else 0, 7))

    client.on_message = on_message
    for _ in range(10_000):
        assert MQTTErrorCode.MQTT_ERR_SUCCESS == client.receive(seen.append, limit, 7)
        if not pieces and not client.pending():
            return seen
        if not pieces and client.pending() and len(seen) > 10_000:
            break
    raise AssertionError(f"bytes are left over: {client.pending()}")


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(p % (len(stream) + 1) for p in places)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


_messages = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=20),
        st.binary(max_size=300),
        st.integers(0, 65_535),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)
# content type "x", message expiry interval, user property "a" = "b"
_PROPERTIES = b"\x03\x00\x01x" + b"\x02\x00\x00\x00\x09" + b"\x26\x00\x01a\x00\x01b"


@settings(max_examples=200, deadline=None)
@given(_messages, st.lists(st.integers(0, 5000), max_size=20), st.booleans())
def test_messages_are_the_same_however_the_stream_is_cut(
    messages: list[tuple[str, bytes, int, bool, bool]], places: list[int], v5: bool
) -> None:
    stream = b""
    for topic, payload, mid, extra, dup in messages:
        properties = _PROPERTIES if extra else b""
        stream += publish(topic, payload, mid, v5=v5, properties=properties, dup=dup and mid > 0)
        stream += PINGRESP if extra else b""

    seen = receive_all(cut(stream, places), v5=v5)

    assert [Message(t, p, m, 7) for t, p, m, _, _ in messages] == seen


def test_a_large_message_arrives_whole_among_small_ones() -> None:
    big = bytes(range(256)) * 3000
    stream = publish("a", b"1", 1, v5=True) + publish("b", big, 2, v5=True)
    stream += publish("c", b"3", 3, v5=True)

    seen = receive_all(cut(stream, list(range(0, len(stream), 70_000))))

    assert [("a", b"1", 1), ("b", big, 2), ("c", b"3", 3)] == [m[:3] for m in seen]


def test_a_topic_that_is_not_utf_8_does_not_stop_the_reader() -> None:
    packet = publish("ab", b"1", 1, v5=True).replace(b"ab", b"\xff\xfe")

    (seen,) = receive_all([packet])

    assert "��" == seen.topic


@pytest.mark.parametrize("kept", [b"", b"\x32", publish("a", b"12345", 1, v5=True)[:-2]])
def test_the_end_of_the_connection_is_reported_also_inside_a_packet(kept: bytes) -> None:
    client = ReceivingClient(
        CallbackAPIVersion.VERSION2, client_id="x", protocol=MQTTProtocolVersion.MQTTv5
    )
    whole = publish("b", b"1", 2, v5=True)
    client._sock = BufferedSocket(FakeSocket([whole + kept, b"", b"", b""]))
    seen: list[Message] = []

    codes = [client.receive(seen.append, 9, 7) for _ in range(3)]

    assert [("b", b"1", 2)] == [m[:3] for m in seen]
    assert MQTTErrorCode.MQTT_ERR_SUCCESS == codes[0]
    assert MQTTErrorCode.MQTT_ERR_CONN_LOST in codes[1:]


def test_many_acknowledgements_are_the_single_ones_in_a_row() -> None:
    client = ReceivingClient(
        CallbackAPIVersion.VERSION2,
        client_id="x",
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=True,
    )
    sock = FakeSocket([])
    client._sock = BufferedSocket(sock)
    mids = [1, 2, 258, 65_535]

    client.ack_many(mids)
    together, sock.sent = sock.sent, b""
    for mid in mids:
        client.ack(mid, 1)

    assert sock.sent == together
    client.ack_many([])
    assert sock.sent == together
