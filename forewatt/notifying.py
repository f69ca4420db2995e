"""Notices on their way out: drafted, announced to other systems, delivered; beside the judging.

A thread of the watch with its own turns: a receiver that hangs delays notices, never judging.
What is due is found in the database, so a restart loses nothing and repeats nothing.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import orjson

from alerts.announce import Receiver, announce
from alerts.notices import NoticeSettings, draft_notices
from desk.delivery import Delivered, DeliveryFailed, Queue, Sender, deliver
from desk.senders import EmailSender, WebhookSender
from forewatt.config import Config
from forewatt.desk_config import NotifyConfig
from grid.clock import Clock
from grid.errors import ForewattError
from grid.network import Network
from ingest.publisher import NotPublished, Publisher
from storage.database import Database
from storage.desk_notices import NoticeQueue
from storage.desk_records import LeasedNotice
from storage.ledger import PostgresLedger

EVERY_S: Final = 2.0
CUSTOMERS: Final = "customers"

log = logging.getLogger(__name__)


class MqttSender:
    """Publishes the payload as JSON with its stable id; QoS 1."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher, self._topic = publisher, topic

    def send(self, notice: LeasedNotice) -> None:
        """Any failure is tried again: a broker refuses nothing for good."""
        body = {"id": f"forewatt-{notice.id}", **notice.payload}
        try:
            self._publisher.publish(self._topic, orjson.dumps(body))
        except NotPublished as e:
            raise DeliveryFailed(str(e)) from e


def sender_of(receiver: NotifyConfig) -> Sender:
    """The way to a receiver, by its address."""
    parts = urlsplit(receiver.url)
    secret = _secret(receiver.secret_file)
    if parts.scheme in ("http", "https"):
        return WebhookSender(receiver.url, now_s=time.time, secret=secret)
    if parts.scheme.startswith("smtp"):
        tls = parts.scheme == "smtp+tls"
        return EmailSender(
            parts.hostname or "",
            parts.port or (587 if tls else 25),
            receiver.sender or "",
            receiver.to or "",
            user=receiver.user or "",
            password=secret if receiver.user else "",
            tls=tls,
        )
    user = f"{receiver.user}@" if receiver.user else ""
    place = urlunsplit((parts.scheme, f"{user}{parts.netloc}", "", "", ""))
    publisher = Publisher(place, password_file=receiver.secret_file if receiver.user else None)
    return MqttSender(publisher, parts.path.strip("/"))


def _secret(path: Path | None) -> str:
    return "" if path is None else path.read_text(encoding="utf-8").strip()


def notice_settings(config: Config) -> NoticeSettings:
    """How customers are told: by the receiver that is for them, by night hours of the site."""
    channel = next((r.name for r in config.notify if r.what == CUSTOMERS), "sms")
    return config.desk.notices(config.site.time_zone, config.site.language, channel)


def receivers_of(configured: Sequence[NotifyConfig]) -> list[Receiver]:
    """Who is told of alerts; each has a channel of its own name."""
    return [
        Receiver(r.name, r.name, r.severity, r.tickets_only, frozenset(r.faults) or None)
        for r in configured
        if r.what == "alerts"
    ]


@dataclass(frozen=True, slots=True)
class Round:
    """What one turn has done."""

    drafted: int
    announced: int
    delivered: Delivered


class Notifier:
    """Everything that goes out of one realm."""

    def __init__(
        self,
        ledger: PostgresLedger,
        network: Network,
        clock: Clock,
        queue: Queue,
        receivers: Sequence[Receiver],
        senders: Mapping[str, Sender],
        settings: NoticeSettings,
        site_url: str,
    ) -> None:
        self._ledger, self._network, self._clock, self._queue = ledger, network, clock, queue
        self._receivers, self._senders = receivers, senders
        self._settings, self._site_url = settings, site_url

    def turn(self) -> Round:
        """Draft, announce, deliver what is due now."""
        now_us = self._clock.now_us()
        drafted = draft_notices(self._ledger, self._network, now_us, settings=self._settings)
        announced = announce(self._ledger, self._receivers, now_us, site_url=self._site_url)
        sent = deliver(self._queue, self._senders, now_us)
        return Round(len(drafted), announced, sent)


def notifier_of(
    config: Config, database: Database, network: Network, clock: Clock, site_url: str
) -> Notifier:
    """The notifier of an installation."""
    site = config.site
    return Notifier(
        PostgresLedger(database, site.realm),
        network,
        clock,
        NoticeQueue(database, site.realm),
        receivers_of(config.notify),
        {r.name: sender_of(r) for r in config.notify},
        notice_settings(config),
        site_url,
    )


class NotifierThread(threading.Thread):
    """Turns until told to stop; a failure is said once and tried again."""

    def __init__(self, notifier: Notifier, say: Callable[[Round], None]) -> None:
        super().__init__(name="notices", daemon=True)
        self._notifier, self._say = notifier, say
        self._stop_asked = threading.Event()
        self._failing = ""

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self._say(self._notifier.turn())
                self._failing = ""
            except ForewattError as error:
                if str(error) != self._failing:
                    log.warning("notices wait: %s", error)
                self._failing = str(error)
            except Exception:
                # Our mistake must not end the thread silently; the log says it every time.
                log.exception("a round of notices failed")
            self._stop_asked.wait(EVERY_S)

    def stop(self, timeout_s: float) -> None:
        """Let the turn at hand end; what was leased is sent again later under the same id."""
        self._stop_asked.set()
        self.join(timeout_s)
