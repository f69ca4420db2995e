"""Sparkplug B: births, aliases, sequence, rebirth; metrics become readings.

Receives topic and payload; hands on rows, quarantined payloads and the rebirth requests that must
be published. State is kept per edge node. Sparkplug data has QoS 0, so the sequence is the only
witness of loss: a gap is counted and answered with a rebirth request.
Source: Eclipse Sparkplug 3.0.0, chapters 4 to 6; field numbers from its protobuf schema.
"""

import math
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from grid.journal import Quarantined
from grid.quantities import EVENT_CODE, INDEX, NAMES
from grid.readings import Quality
from ingest.protobuf import FIXED32, FIXED64, VARINT, Malformed, fields, put
from ingest.rows import Origin, Rows, refusal
from ingest.times import MILLISECONDS_MAX

NAMESPACE: Final = "spBv1.0"
TOPIC: Final = f"{NAMESPACE}/#"
REBIRTH_WAIT_S: Final = 10.0  # between two requests to one edge node
NODES_MAX: Final = 10_000  # edge nodes remembered; the one born longest ago goes first
METRICS_MAX: Final = 10_000
_REBIRTH: Final = "Node Control/Rebirth"
_SIGNED_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}  # data types Int8, Int16, Int32, Int64
_NUMBERS: Final = frozenset([*range(1, 11)])  # integers, Float 9, Double 10
_KINDS: Final = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH")


@dataclass(slots=True)
class Metric:
    """One metric of a payload; `value` None when it is null or no number."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    historical: bool = False
    value: float | None = None


@dataclass(slots=True)
class Node:
    """What is known of an edge node; `devices` tells which of those that reported are alive."""

    born: bool = False
    seq: int = -1
    aliases: dict[int, tuple[str, int]] = field(default_factory=dict)  # alias: name, data type
    devices: dict[str, bool] = field(default_factory=dict)
    asked: float = -math.inf  # monotonic time of the last rebirth request


@dataclass(frozen=True, slots=True)
class SparkplugRules:
    """How metric and device names become ours.

    `metrics` maps metric names to (quantity, scale); without an entry the last part of a name
    (`Phase A/v_a`) counts when it is a quantity, in any case. `devices` maps `edge/device` (or
    `edge`) to our names; without an entry the device's own name is used, or the edge node's.
    """

    metrics: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)


class SparkplugHost:
    """State of all edge nodes heard by one collector."""

    def __init__(self, rules: SparkplugRules | None = None) -> None:
        self.rules = rules or SparkplugRules()
        self.nodes: dict[str, Node] = {}
        self.gaps = 0  # sequence numbers that did not follow
        self.rebirths = 0  # requests made
        self._requests: list[tuple[str, bytes]] = []

    def take_requests(self) -> list[tuple[str, bytes]]:
        """Rebirth requests to publish (QoS 0), each once."""
        requests, self._requests = self._requests, []
        return requests

    def decode(
        self, source: str, topic: str, payload: bytes, received_us: int
    ) -> tuple[Rows, list[Quarantined]]:
        """The readings and events of one message, and what had to be refused of it."""
        parts = topic.split("/")
        if len(parts) not in (4, 5) or parts[2] not in _KINDS or "" in parts:
            return Rows.empty(), []  # STATE and commands of other hosts are no readings
        kind, edge = parts[2], f"{parts[1]}/{parts[3]}"
        device = self._device(parts)
        try:
            sent, seq, metrics = read_payload(payload)
        except (Malformed, UnicodeDecodeError) as error:
            reason = f"the Sparkplug payload cannot be read: {error}"
            return Rows.empty(), [refusal(source, reason, payload, received_us, device)]
        node = self._node(edge)
        origin = Origin(source, payload)
        if kind.endswith("DEATH"):
            if kind == "NDEATH":
                node.born = False
            else:
                self._follow(node, parts, seq)
            return _lost(node, device if kind == "DDEATH" else None, received_us, origin), []
        trouble = self._trouble(kind, node, parts, seq, metrics)
        if trouble:
            return Rows.empty(), [refusal(source, trouble, payload, received_us, device)]
        rows = self._rows(node, device, sent, metrics, received_us, origin)
        if len(rows):
            if node.devices.get(device) is False:
                rows = Rows.concat([_event(device, "comms_back", received_us, origin), rows])
            node.devices[device] = True
        return rows, []

    def _device(self, parts: list[str]) -> str:
        key = "/".join(parts[3:])
        return self.rules.devices.get(key, parts[-1])

    def _node(self, edge: str) -> Node:
        node = self.nodes.pop(edge, None) or Node()
        if len(self.nodes) >= NODES_MAX:
            del self.nodes[next(iter(self.nodes))]
        self.nodes[edge] = node
        return node

    def _trouble(
        self, kind: str, node: Node, parts: list[str], seq: int | None, metrics: list[Metric]
    ) -> str:
        """Follow the node's sequence and aliases; why the message cannot be understood, or ""."""
        if kind == "NBIRTH":
            node.born, node.seq, node.aliases = True, -1 if seq is None else seq, {}
        else:
            self._follow(node, parts, seq)
        if kind.endswith("BIRTH"):
            for m in metrics:
                if m.alias is not None and m.name:
                    node.aliases[m.alias] = (m.name, m.datatype)
            return ""
        unknown = [m.alias for m in metrics if not m.name and m.alias not in node.aliases]
        if unknown:
            self._ask(node, parts)
            return f"alias {unknown[0]} was never announced; a rebirth has been requested"
        return ""

    def _follow(self, node: Node, parts: list[str], seq: int | None) -> None:
        if not node.born:
            self._ask(node, parts)
        elif seq is not None and seq != (node.seq + 1) % 256:
            self.gaps += 1
            self._ask(node, parts)
        if seq is not None:
            node.seq = seq

    def _ask(self, node: Node, parts: list[str]) -> None:
        now = time.monotonic()
        if now - node.asked < REBIRTH_WAIT_S:
            return
        node.asked = now
        self.rebirths += 1
        # A boolean metric (data type 11) that is true: the one command a host may always send.
        metric = put(1, _REBIRTH) + put(4, 11) + put(14, True)
        topic = f"{NAMESPACE}/{parts[1]}/NCMD/{parts[3]}"
        self._requests.append((topic, put(1, time.time_ns() // 1_000_000) + put(2, metric)))

    def _rows(
        self,
        node: Node,
        device: str,
        sent: int | None,
        metrics: list[Metric],
        received_us: int,
        origin: Origin,
    ) -> Rows:
        """One row a time stamp (and historical flag), in order of first appearance."""
        found: dict[tuple[int, bool], dict[str, float]] = {}
        for m in metrics:
            name, datatype = m.name, m.datatype
            if not name and m.alias is not None:
                name, datatype = node.aliases[m.alias]
            quantity, scale = self._quantity(name)
            value = _number(m, datatype)
            if not quantity or value is None:
                continue
            stamp = m.timestamp if m.timestamp is not None else sent
            us = received_us if stamp is None else stamp * 1000
            found.setdefault((us, m.historical), {})[quantity] = value * scale
        if not found:
            return Rows.empty()
        keys = list(found)
        return Rows.of(
            (device,),
            0,
            [us for us, _ in keys],
            {
                q: [found[key].get(q, math.nan) for key in keys]
                for q in NAMES
                if any(q in values for values in found.values())
            },
            received=received_us,
            quality=[Quality.BACKFILL if historical else 0 for _, historical in keys],
            origins=(origin,),
        )

    def _quantity(self, name: str) -> tuple[str, float]:
        chosen = self.rules.metrics.get(name)
        if chosen is not None:
            return chosen
        last = name.rsplit("/", 1)[-1].lower()
        return (last, 1.0) if last in INDEX else ("", 1.0)


def _lost(node: Node, device: str | None, received_us: int, origin: Origin) -> Rows:
    """`comms_lost` for a device, or for all devices of the node, where they were alive."""
    gone = [d for d, alive in node.devices.items() if alive and device in (None, d)]
    node.devices.update(dict.fromkeys(gone, False))
    return Rows.concat([_event(d, "comms_lost", received_us, origin) for d in gone])


def _event(device: str, event: str, received_us: int, origin: Origin) -> Rows:
    return Rows.of(
        (device,), 0, [received_us], {},
        received=received_us, event=EVENT_CODE[event], origins=(origin,),
    )  # fmt: skip


def _number(m: Metric, datatype: int) -> float | None:
    """The metric's value as a float, with the sign that its data type gives to a bare integer."""
    if m.value is None or datatype not in _NUMBERS | {0}:
        return None
    bits = _SIGNED_BITS.get(datatype)
    if bits and isinstance(m.value, int):
        whole = m.value & ((1 << bits) - 1)
        return float(whole - (1 << bits) if whole >> (bits - 1) else whole)
    value = float(m.value)
    return value if math.isfinite(value) else None


def read_payload(payload: bytes) -> tuple[int | None, int | None, list[Metric]]:
    """(timestamp in ms, sequence, metrics) of a payload; raises Malformed."""
    sent = seq = None
    metrics: list[Metric] = []
    for number, wire, value in fields(payload):
        if number == 1 and wire == VARINT:
            sent = _milliseconds(value)
        elif number == 3 and wire == VARINT and isinstance(value, int):
            seq = value & 0xFF
        elif number == 2 and isinstance(value, bytes):
            if len(metrics) >= METRICS_MAX:
                raise Malformed(f"more than {METRICS_MAX:,} metrics")
            metrics.append(_metric(value))
    return sent, seq, metrics


def _milliseconds(value: Any) -> int:
    if not isinstance(value, int) or value > MILLISECONDS_MAX:
        raise Malformed(f"the time {value!r} is not in epoch milliseconds")
    return value


def _metric(data: bytes) -> Metric:
    m = Metric()
    null = False
    for number, wire, value in fields(data):
        if wire == VARINT and isinstance(value, int):
            if number == 2:
                m.alias = value
            elif number == 3:
                m.timestamp = _milliseconds(value)
            elif number == 4:
                m.datatype = value
            elif number == 5:
                m.historical = bool(value)
            elif number == 7:
                null = bool(value)
            elif number in (10, 11):
                m.value = value
        elif isinstance(value, bytes):
            if number == 1:
                m.name = value.decode()
            elif number == 12 and wire == FIXED32:
                (m.value,) = struct.unpack("<f", value)
            elif number == 13 and wire == FIXED64:
                (m.value,) = struct.unpack("<d", value)
    if null:
        m.value = None
    return m


def encode_payload(
    sent_ms: int | None, seq: int | None, metrics: Iterator[bytes] | list[bytes]
) -> bytes:
    """A payload of encoded metrics (see `encode_metric`): for simulated nodes and tests."""
    out = b"" if sent_ms is None else put(1, sent_ms)
    out += b"".join(put(2, m) for m in metrics)
    return out + (b"" if seq is None else put(3, seq))


def encode_metric(
    value: float | int | bool | None,
    datatype: int,
    *,
    name: str = "",
    alias: int | None = None,
    timestamp_ms: int | None = None,
    historical: bool = False,
) -> bytes:
    """One metric; float data types are 9 (Float) and 10 (Double), integers 1 to 8."""
    out = put(1, name) if name else b""
    out += b"" if alias is None else put(2, alias)
    out += b"" if timestamp_ms is None else put(3, timestamp_ms)
    out += put(4, datatype) + (put(5, True) if historical else b"")
    if value is None:
        return out + put(7, True)
    if isinstance(value, bool):
        return out + put(14, value)
    if datatype in (9, 10):
        return out + put(12 if datatype == 9 else 13, float(value), double=datatype == 10)
    bits = _SIGNED_BITS.get(datatype, 64)
    return out + put(10 if datatype not in (4, 8) else 11, int(value) & ((1 << bits) - 1))
