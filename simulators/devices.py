"""MQTT meters and gateways: readings as payloads, published with QoS 1 and bounded in flight.

The publisher waits for the broker's acknowledgements when too many are outstanding, so that the
receiver sets the pace. Knows nothing of datasets or clocks.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
import paho.mqtt.client as mqtt
from numpy.typing import NDArray
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from grid.errors import BadInput, ForewattError
from grid.quantities import EVENTS
from grid.readings import ReadingBatch

TOPIC_ROOT = "forewatt/v1"
ROWS_A_BATCH = 2000
BATCH_BYTES_MAX = 900_000  # the contract takes 1 MiB; some room for the broker's own
IN_FLIGHT_MAX = 64
PATIENCE_S = 60.0


def topic_root(realm: str) -> str:
    """Below which topic the devices of a realm speak: the live ones at the root of all.

    >>> topic_root("live"), topic_root("replay-may")
    ('forewatt/v1', 'replay-may/forewatt/v1')
    """
    return TOPIC_ROOT if realm == "live" else f"{realm}/{TOPIC_ROOT}"


class BrokerGone(ForewattError):
    """The broker could not be reached, or stopped acknowledging."""


def reading_message(
    batch: ReadingBatch, row: int, seq: int, root: str = TOPIC_ROOT
) -> tuple[str, bytes]:
    """Topic and payload of one reading of one device, absent quantities left out."""
    values: dict[str, Any] = {"t": milliseconds(int(batch.time[row])), "seq": seq}
    for name, column in batch.values.items():
        x = column[row]
        if not np.isnan(x):
            values[name] = x
    device = batch.names[batch.device[row]]
    payload = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return f"{root}/{device}/readings", payload


def event_message(batch: ReadingBatch, row: int, root: str = TOPIC_ROOT) -> tuple[str, bytes]:
    """Topic and payload of one event of one device."""
    device = batch.names[batch.device[row]]
    body = {"t": milliseconds(int(batch.time[row])), "event": EVENTS[batch.event[row]]}
    return f"{root}/{device}/events", orjson.dumps(body)


def batch_messages(
    gateway: str, batch: ReadingBatch, seq: NDArray[np.int64], root: str = TOPIC_ROOT
) -> Iterator[tuple[str, bytes, int]]:
    """Topic, payload and rows of readings as columns of many devices, each below the limit."""
    names = np.array(batch.names, object)
    columns = [(n, v) for n, v in batch.values.items() if not np.isnan(v).all()]
    times = batch.time // 1000 if not np.any(batch.time % 1000) else batch.time / 1000.0
    at, size = 0, ROWS_A_BATCH
    while at < len(batch):
        rows = slice(at, at + size)
        body: dict[str, Any] = {
            "t": times[rows],
            "device": names[batch.device[rows]].tolist(),
            "seq": np.ascontiguousarray(seq[rows]),
        }
        for name, column in columns:
            part = column[rows]
            if not np.isnan(part).all():
                body[name] = np.ascontiguousarray(part)
        payload = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        if len(payload) > BATCH_BYTES_MAX and size > 1:
            size = max(1, size // 2)
            continue
        yield f"{root}/{gateway}/batch", payload, len(body["device"])
        at += size


def milliseconds(time_us: int) -> int | float:
    """Epoch milliseconds, whole where the time is."""
    return time_us // 1000 if time_us % 1000 == 0 else time_us / 1000.0


class Publisher:
    """A connection to the broker that publishes with QoS 1, at most `in_flight` unacknowledged.

    Reconnects by itself and sends again what was not acknowledged. Use as a context manager;
    raises BrokerGone when nothing is acknowledged for `PATIENCE_S` seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        in_flight: int = IN_FLIGHT_MAX,
        stop: threading.Event | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BadInput(
                f"{url!r} is no broker address", fix="Write it like mqtt://127.0.0.1:1883."
            )
        self.url = url
        self.published = 0
        self.acked = 0
        self._in_flight = in_flight
        self._stop = stop or threading.Event()
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._connected = threading.Event()
        self._refusal = ""
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.max_inflight_messages_set(in_flight)
        self._client.max_queued_messages_set(2 * in_flight)
        self._client.reconnect_delay_set(1, 5)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        if parts.username:
            self._client.username_pw_set(parts.username, parts.password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._address = (parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883))

    def __enter__(self) -> "Publisher":
        try:
            self._client.connect(*self._address, keepalive=30)
        except OSError as problem:
            raise BrokerGone(
                f"no broker answers at {self.url} ({problem}); start it or correct the address"
            ) from problem
        self._client.loop_start()
        if not self._connected.wait(self._patience_s):
            self._client.loop_stop()
            why = self._refusal or "no answer to CONNECT"
            raise BrokerGone(f"the broker at {self.url} lets nobody in: {why}; check its access")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand over one message, waiting while too many are unacknowledged."""
        self._wait_below(self._in_flight)
        with self._changed:
            self.published += 1
        info = self._client.publish(topic, payload, qos=1)
        if info.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            raise BrokerGone(f"publishing to {self.url} failed: {mqtt.error_string(info.rc)}")

    def drain(self) -> None:
        """Wait until everything is acknowledged."""
        self._wait_below(1)

    def _wait_below(self, limit: int) -> None:
        with self._changed:
            last, deadline = self.acked, time.monotonic() + self._patience_s
            while self.published - self.acked >= limit and not self._stop.is_set():
                self._changed.wait(0.2)
                if self.acked != last:
                    last, deadline = self.acked, time.monotonic() + self._patience_s
                elif time.monotonic() > deadline:
                    raise BrokerGone(
                        f"the broker at {self.url} acknowledged nothing for "
                        f"{self._patience_s:g} s; check that it runs and takes QoS 1"
                    )

    def _on_connect(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        else:
            self._connected.set()

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)

    def _on_publish(self, _c: Any, _u: Any, _mid: int, _r: Any, _p: Any) -> None:
        with self._changed:
            self.acked += 1
            self._changed.notify_all()
