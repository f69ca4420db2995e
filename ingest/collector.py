"""The collector: every configured source in a thread of its own, all into one journal.

Receives settings, journal, network and clock; returns when `stop` is set. It talks to no
database, so it starts and collects while the database is away. Settings can be exchanged while it
runs: only the sources that changed are stopped and started, and what they had not acknowledged is
sent to their successors.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from grid.clock import Clock
from grid.errors import BadInput, ForewattError
from grid.journal import Journal
from grid.network import Network
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.modbus import ModbusCollector
from ingest.modbus_link import link_for
from ingest.mqtt import MqttCollector
from ingest.mqtt_session import Endpoint, source_name
from ingest.settings import CollectorSettings, ModbusBus, ModbusUnit, MqttSource

__all__ = [
    "Collector",
    "CollectorMetrics",
    "CollectorSettings",
    "ModbusBus",
    "ModbusUnit",
    "MqttSource",
]

_LOOK_S: Final = 0.5
_SKEW_EVERY_S: Final = 10.0

log = logging.getLogger(__name__)


class Part(Protocol):
    """One source: collects in a thread of its own until told to stop."""

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop`."""

    def skewed(self) -> list[tuple[str, float]]:
        """Devices whose clocks are known to be wrong, seconds ahead."""


@dataclass(slots=True)
class _Running:
    """A part, what it was made of, and its thread once it has one."""

    part: Part
    names: tuple[str, ...]  # of its sources, as the metrics have them
    made_of: object
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        self.thread = threading.Thread(
            target=self.part.run, args=(self.stop,), name=name, daemon=True
        )
        self.thread.start()

    def end(self, until: float) -> None:
        self.stop.set()
        if self.thread is None:
            return
        self.thread.join(max(0.0, until - time.monotonic()))
        if self.thread.is_alive():
            log.error("%s did not stop in time", self.thread.name)


class Collector:
    """All sources of one process; see the module.

    Raises BadInput at construction for settings that cannot work (addresses, profiles, files).
    """

    def __init__(
        self,
        settings: CollectorSettings,
        journal: Journal,
        network: Network,
        clock: Clock,
        metrics: CollectorMetrics,
    ) -> None:
        self.settings, self.network = settings, network
        self._journal, self._clock, self._metrics = journal, clock, metrics
        self._lock = threading.Lock()
        self._started = self._ending = False
        self._skew_at = 0.0
        self._parts: dict[str, _Running] = {}
        for name, made_of, make in self._wanted(settings, network):
            self._parts[name] = self._made(make(), made_of)

    @staticmethod
    def _made(part: Part, made_of: object) -> _Running:
        names = tuple(lane.name for lane in getattr(part, "lanes", ())) or (part.name,)  # type: ignore[attr-defined]
        return _Running(part, names, made_of)

    def _wanted(
        self, settings: CollectorSettings, network: Network
    ) -> Iterator[tuple[str, object, Callable[[], Part]]]:
        """(name, what it is made of, how to make it) of every part."""
        common = (replace(settings, mqtt=(), modbus=(), files=()), id(network))
        given = (settings, self._journal, network, self._clock, self._metrics)
        seen = set[str]()
        for source in settings.mqtt:
            name = source_name(source)
            client = f"{Endpoint.of(source.url).name} as {source.client_id}"
            if name in seen or client in seen:
                # Two sessions under one name would evict each other without end.
                fix = "Keep one [[mqtt]] entry a broker, or give each its own client_id"
                raise BadInput(f"{client} is configured twice", fix=fix)
            seen |= {name, client}
            yield name, (source, common), lambda source=source: MqttCollector(source, *given)  # type: ignore[misc]
        if settings.modbus:
            lines = [link_for(bus.url)[0] for bus in settings.modbus]
            twice = next((line for line in lines if lines.count(line) > 1), None)
            if twice:
                fix = "Put its units into one entry"
                raise BadInput(f"modbus {twice} is configured twice", fix=fix)
            yield (
                "modbus",
                (settings.modbus, common),
                lambda: ModbusCollector(settings.modbus, *given),
            )
        if settings.files:
            # Only who reads files needs the libraries for them.
            from ingest.files import FileCollector
        for folder in settings.files:
            name = f"files {folder.path.name}"
            if name in seen:
                raise BadInput(f"{name} is configured twice", fix="Give folders different names")
            seen.add(name)
            yield name, (folder, common), lambda folder=folder: FileCollector(folder, *given)  # type: ignore[misc]

    def change(self, settings: CollectorSettings, network: Network) -> list[str]:
        """Go on with other settings; returns what could not be taken over, in sentences.

        A source that did not change goes on undisturbed; another `network` object counts as a
        change for all. A source whose settings cannot work stays as it was.
        """
        troubles: list[str] = []
        with self._lock:
            if self._ending:
                return ["the collector is ending"]
            wanted = list(self._wanted(settings, network))
            for name in self._parts.keys() - {name for name, _, _ in wanted}:
                self._leave(name)
            for name, made_of, make in wanted:
                old = self._parts.get(name)
                if old is not None and old.made_of == made_of:
                    continue
                try:
                    new = self._made(make(), made_of)
                except ForewattError as error:
                    kept = "it goes on as it was" if old else "it is left out"
                    troubles.append(f"{name}: {error} ({kept})")
                    continue
                if old is not None:
                    self._leave(name, new.names)
                self._parts[name] = new
                if self._started:
                    new.start(name)
                log.info("%s: %s", name, "changed" if old else "new")
            self.settings, self.network = settings, network
        return troubles

    def _leave(self, name: str, followed_by: Sequence[str] = ()) -> None:
        """End a part; the counters of sources that its successor has as well go on."""
        part = self._parts.pop(name)
        part.end(time.monotonic() + self.settings.stop_s)
        for source in set(part.names).difference(followed_by):
            self._metrics.forget(source)
        log.info("%s: ended", name)

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop`; raises ForewattError when a thread has ended by itself."""
        with self._lock:
            self._started = True
            for name, part in self._parts.items():
                part.start(name)
        try:
            while not stop.wait(_LOOK_S):
                self._measure()
                with self._lock:
                    dead = [
                        name
                        for name, part in self._parts.items()
                        if part.thread is None or not part.thread.is_alive()
                    ]
                if dead:
                    raise ForewattError(
                        f"the collector of {dead[0]} ended by itself; see the log above. "
                        "The process ends so that it is started anew"
                    )
        finally:
            with self._lock:
                self._ending = True
                parts = list(self._parts.values())
            for part in parts:
                part.stop.set()
            until = time.monotonic() + self.settings.stop_s
            for part in parts:
                part.end(until)
            self._measure()

    def _measure(self) -> None:
        if time.monotonic() >= self._skew_at:
            self._skew_at = time.monotonic() + _SKEW_EVERY_S
            with self._lock:
                parts = [part.part for part in self._parts.values()]
            self._metrics.skewed = dict(pair for part in parts for pair in part.skewed())
        if isinstance(self._journal, SqliteJournal):
            try:
                sizes = self._journal.sizes()
                self._metrics.journal_head = self._journal.head()
            except ForewattError as error:
                log.warning("journal: %s", error)
                return
            self._metrics.journal_bytes = sizes["live"]
            self._metrics.journal_wal_bytes = sizes["wal"]
