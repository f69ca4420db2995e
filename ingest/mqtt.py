"""The MQTT collector: message, check, journal, and only then the acknowledgement.

One thread a broker runs `MqttCollector.run`: read messages into a bounded queue, take a batch,
decode and check it, append it to the journal (one fsync), acknowledge it. Ticks follow when
everything that was sent has been appended.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from grid.clock import Clock
from grid.journal import Journal, Quarantined, Record, Tick
from grid.network import Network
from grid.readings import ReadingBatch
from ingest.backoff import Backoff
from ingest.broker_check import promises
from ingest.checks import Checked, Checks
from ingest.journal import JournalError
from ingest.metrics import CollectorMetrics
from ingest.mqtt_client import Message
from ingest.mqtt_session import (
    ConnectionLost,
    Endpoint,
    MqttSession,
    WrongProtocol,
    source_name,
)
from ingest.payloads import PayloadDecoder
from ingest.rows import refusal
from ingest.settings import CollectorSettings, MqttSource
from ingest.sparkplug import NAMESPACE, SparkplugHost

RECONNECT_FIRST_S: Final = 0.25
RECONNECT_MOST_S: Final = 15.0
BATCH_BYTES: Final = 8 << 20  # of payload in one journal append
OLD_WINDOW: Final = 20  # messages that Mosquitto sends ahead by default
FEW, FEW_BYTES = 32, 8 << 10  # of a linger: so little is not worth waking for each message
_LAST_LOOK_S: Final = 0.002
_STEADY_S: Final = 10.0  # a connection that stood so long was a good one

log = logging.getLogger(__name__)


class MqttCollector:
    """Collects from one broker; see the module."""

    def __init__(
        self,
        source: MqttSource,
        settings: CollectorSettings,
        journal: Journal,
        network: Network,
        clock: Clock,
        metrics: CollectorMetrics,
    ) -> None:
        self._source, self._settings = source, settings
        self._journal, self._clock = journal, clock
        self._endpoint = Endpoint.of(source.url)
        self.name = source_name(source)
        self._metrics = metrics.source(self.name)
        self._network = network
        wanted = any(topic.startswith(NAMESPACE + "/") for topic in source.filters())
        self._sparkplug = SparkplugHost(source.sparkplug) if wanted else None
        self._start_afresh()
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._tick_us = -(1 << 63)
        self._connected_once = False
        self._dropped: int | None = None
        # Reads certificates and password now: what is wrong in the configuration shows at start.
        self._first: MqttSession | None = self._new_session()

    def _start_afresh(self) -> None:
        """Forget what was decoded and seen: after a failure the memory of repeats may hold rows
        that never reached the journal, and their redelivery must not be taken for a repeat."""
        self._decoder = PayloadDecoder(rules=self._source.rules, sparkplug=self._sparkplug)
        self._checks = Checks(self._network, self._clock, self._settings.checks)

    def _new_session(self) -> MqttSession:
        return MqttSession(self._source, self._endpoint, self._clock, self._protocol)

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop`; every trouble is shown in the metrics and tried again."""
        backoff = Backoff(RECONNECT_FIRST_S, RECONNECT_MOST_S)
        while not stop.is_set():
            began = time.monotonic()
            try:
                self._one_connection(stop)
            except WrongProtocol:
                if self._protocol == MQTTProtocolVersion.MQTTv5:
                    log.info("%s: no MQTT 5 there; using 3.1.1", self.name)
                    self._protocol = MQTTProtocolVersion.MQTTv311
                else:
                    self._trouble("the broker speaks neither MQTT 5 nor 3.1.1")
            except ConnectionLost as lost:
                self._trouble(str(lost))
            except Exception as error:
                self._metrics.errors += 1
                self._start_afresh()
                self._trouble(f"unexpected {type(error).__name__}: {error}")
                log.exception("%s: unexpected trouble, connecting anew", self.name)
            finally:
                self._metrics.connected = False
            if time.monotonic() - began > _STEADY_S:
                backoff.reset()
            stop.wait(backoff.wait_s())

    def skewed(self) -> list[tuple[str, float]]:
        """Devices whose clocks are known to be wrong, seconds ahead."""
        return self._checks.skewed()

    def _trouble(self, text: str) -> None:
        if text != self._metrics.trouble:
            log.warning("%s: %s", self.name, text)
        self._metrics.trouble = text

    def _one_connection(self, stop: threading.Event) -> None:
        session = self._first or self._new_session()
        self._first = None
        session.connect()
        try:
            self._serve(session, stop)
        finally:
            # What has arrived is appended even when it can no longer be acknowledged: the broker
            # may have lost it, and its redelivery is recognised.
            self._metrics.connected = False
            while session.queue and self._commit(session, stop, connected=stop.is_set()):
                pass
            session.close()

    def _serve(self, session: MqttSession, stop: threading.Event) -> None:
        settings, metrics = self._settings, self._metrics
        linger_s = settings.linger_ms / 1000
        first_at = 0.0  # when the oldest message of the queue came
        greeted = settled = False
        quiet_from, quiet_us = time.monotonic(), self._clock.now_us()
        drained_us: int | None = None
        next_tick = 0.0
        v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        calm = v5  # the last batch was small
        while not stop.is_set():
            now = time.monotonic()
            wait_s = first_at + linger_s - now if session.queue else settings.quiet_s
            if session.queue and calm and wait_s > 0 and _is_little(session):
                # With little to do, what comes meanwhile is read together at the end of the linger:
                # waking for each message would cost more than the messages.
                stop.wait(min(wait_s, settings.quiet_s))
                wait_s = 0.0
            if not v5 and len(session.queue) >= OLD_WINDOW:
                wait_s = min(wait_s, _LAST_LOOK_S)
            came = session.pump(min(wait_s, settings.quiet_s), settings.batch_messages)
            now = time.monotonic()
            if session.subscribed and not greeted:
                greeted = True
                self._greet(session)
                quiet_from, quiet_us = now, self._clock.now_us()
            if came:
                if came == len(session.queue):
                    first_at = metrics.oldest_unacked = now
                quiet_from, quiet_us, drained_us = now, self._clock.now_us(), None
            if session.dropped is not None:
                self._note_dropped(session)
            waiting = len(session.queue)
            metrics.queue_depth = waiting
            full = waiting >= settings.batch_messages or session.queued_bytes >= BATCH_BYTES
            if waiting >= OLD_WINDOW and not came and not v5:
                full = True  # 3.1.1 has no receive maximum: the broker may be waiting for us
            if waiting and (full or now - first_at >= linger_s):
                calm = v5 and _is_little(session)
                if not self._commit(session, stop, connected=True):
                    return
                if time.monotonic() - now > settings.settle_s:
                    settled = False  # held for a while: a backlog has built up at the broker
                first_at = metrics.oldest_unacked = now if session.queue else 0.0
            if not session.queue and session.subscribed:
                need_s = settings.quiet_s if settled else settings.settle_s
                if now - quiet_from >= need_s:
                    settled = True
                    drained_us = quiet_us
                    quiet_from, quiet_us = now, self._clock.now_us()
                if drained_us is not None and now >= next_tick:
                    next_tick = now + settings.tick_s
                    self._tick(drained_us, stop, session)

    def _greet(self, session: MqttSession) -> None:
        metrics = self._metrics
        metrics.connected = True
        metrics.connections += 1
        metrics.trouble = ""
        metrics.warnings = tuple(promises(session.answer, self._source))
        for warning in metrics.warnings:
            log.warning("%s: %s", self.name, warning)
        if self._connected_once and not session.session_present:
            metrics.sessions_lost += 1
            log.warning(
                "%s: the broker has forgotten this collector; what it held is lost and shows as "
                "gaps. Check its persistence and session expiry (docs/mosquitto.conf)",
                self.name,
            )
        self._connected_once = True
        log.info(
            "%s: connected, session %s", self.name, "resumed" if session.session_present else "new"
        )

    def _note_dropped(self, session: MqttSession) -> None:
        """Mosquitto counts what it dropped: any growth is data that was acknowledged and lost."""
        now, session.dropped = session.dropped or 0, None
        if self._dropped is not None and now > self._dropped:
            self._metrics.dropped_by_broker += now - self._dropped
            log.warning(
                "%s: the broker dropped %d messages; raise max_queued_messages and "
                "max_queued_bytes (docs/mosquitto.conf)",
                self.name,
                now - self._dropped,
            )
        self._dropped = now

    # -- a batch ---------------------------------------------------------------------------

    def _commit(self, session: MqttSession, stop: threading.Event, *, connected: bool) -> bool:
        """Journal the next batch of the queue and acknowledge it; False when it must stay."""
        queue = session.queue
        batch = session.take(self._settings.batch_messages, BATCH_BYTES)
        checked, quarantined = self._read(batch)
        record = Record(self.name, checked.batch, tuple(quarantined))
        if (len(checked.batch) or quarantined) and not self._append(
            [record], stop, session if connected else None
        ):
            return False
        metrics = self._metrics
        metrics.count(checked, quarantined)
        metrics.messages += len(batch)
        metrics.bytes += sum(len(message.payload) for message in batch)
        metrics.queue_depth = len(queue)
        if connected:
            session.ack([message.mid for message in batch if message.mid])
            if self._sparkplug is not None:
                metrics.sequence_gaps = self._sparkplug.gaps
                session.publish(self._sparkplug.take_requests())
        return True

    def _read(self, messages: Sequence[Message]) -> tuple[Checked, list[Quarantined]]:
        try:
            return self._decode(messages)
        except Exception:
            # A fault of ours must neither stop the others nor come back for ever: one by one.
            self._metrics.errors += 1
            log.exception("%s: a batch could not be decoded; taking it one by one", self.name)
        self._start_afresh()
        batches, quarantined, duplicates = [], [], 0
        for message in messages:
            try:
                checked, refused = self._decode([message])
            except Exception as error:
                log.exception("%s: a message could not be decoded", self.name)
                self._start_afresh()
                reason = f"Forewatt failed on it: {type(error).__name__}: {error}; please report"
                topic, received_us = f"mqtt {message.topic}", message.received_us
                quarantined.append(refusal(topic, reason, message.payload, received_us))
                continue
            batches.append(checked.batch)
            quarantined += refused
            duplicates += checked.duplicates
        return Checked(ReadingBatch.concat(batches), [], duplicates), quarantined

    def _decode(self, messages: Sequence[Message]) -> tuple[Checked, list[Quarantined]]:
        decoder = self._decoder
        for message in messages:
            decoder.add(message.topic, message.payload, message.received_us)
        decoded = decoder.take()
        checked = self._checks.apply(decoded.rows)
        return checked, decoded.quarantined + checked.quarantined

    def _append(
        self, records: Sequence[Record], stop: threading.Event, session: MqttSession | None
    ) -> bool:
        """Append, holding and trying again while the journal has no room; False on `stop`."""
        metrics = self._metrics
        while True:
            try:
                self._journal.append(records)
            except JournalError as error:
                metrics.holding = True
                self._trouble(str(error))
                if not self._hold(stop, session):
                    return False
                continue
            if metrics.holding:
                metrics.holding = False
                metrics.trouble = ""
                log.info("%s: the journal takes records again", self.name)
            metrics.appends += 1
            metrics.last_append = time.monotonic()
            return True

    def _hold(self, stop: threading.Event, session: MqttSession | None) -> bool:
        """Wait for the next attempt, keeping the connection alive; False on `stop`."""
        until = time.monotonic() + self._settings.retry_s
        while (left_s := until - time.monotonic()) > 0:
            if stop.is_set():
                return False
            if session is None:
                stop.wait(left_s)
                continue
            try:
                session.pump(min(left_s, 0.1), self._settings.batch_messages)
            except ConnectionLost as lost:
                # Still holding: the batch will be appended, only not acknowledged.
                if self._metrics.connected:
                    log.warning("%s: while holding: %s", self.name, lost)
                self._metrics.connected = False
                session = None
        return not stop.is_set()

    def _tick(self, up_to_us: int, stop: threading.Event, session: MqttSession) -> None:
        if up_to_us <= self._tick_us:
            return  # a held clock, or one that was set back
        record = Record(self.name, ticks=(Tick(self.name, up_to_us),))
        if self._append([record], stop, session):
            self._tick_us = up_to_us
            self._metrics.ticks += 1
            self._metrics.tick_us = up_to_us


def _is_little(session: MqttSession) -> bool:
    return len(session.queue) <= FEW and session.queued_bytes <= FEW_BYTES
