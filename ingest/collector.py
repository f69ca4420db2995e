"""The collector: every configured source in a thread of its own, all into one journal.

Receives settings, journal, network and clock; returns when `stop` is set. It talks to no
database, so it starts and collects while the database is away.
"""

import logging
import threading
import time
from typing import Final, Protocol

from grid.clock import Clock
from grid.errors import BadInput, ForewattError
from grid.journal import Journal
from grid.network import Network
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics
from ingest.modbus import ModbusCollector
from ingest.mqtt import MqttCollector
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

log = logging.getLogger(__name__)


class Part(Protocol):
    """One source: collects in a thread of its own until told to stop."""

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop`."""


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
        self._settings, self._journal, self._metrics = settings, journal, metrics
        self._parts: list[tuple[str, Part]] = []
        for source in settings.mqtt:
            broker = MqttCollector(source, settings, journal, network, clock, metrics)
            self._add(broker.name, broker)
        if settings.modbus:
            modbus = ModbusCollector(settings.modbus, settings, journal, network, clock, metrics)
            names = [lane.name for lane in modbus.lanes]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice:
                raise BadInput(f"{twice} is configured twice", fix="Put its units into one entry")
            self._add("modbus", modbus)
        if settings.files:
            # Only who reads files needs the libraries for them.
            from ingest.files import FileCollector

            for folder in settings.files:
                files = FileCollector(folder, settings, journal, network, clock, metrics)
                self._add(files.name, files)

    def _add(self, name: str, part: Part) -> None:
        if any(name == other for other, _ in self._parts):
            fix = "Keep one [[mqtt]] entry a broker, and folders of different names"
            raise BadInput(f"{name} is configured twice", fix=fix)
        self._parts.append((name, part))

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop`; raises ForewattError when a thread has ended by itself."""
        threads = [
            threading.Thread(target=part.run, args=(stop,), name=name, daemon=True)
            for name, part in self._parts
        ]
        for thread in threads:
            thread.start()
        try:
            while not stop.wait(_LOOK_S):
                self._measure()
                dead = [t.name for t in threads if not t.is_alive()]
                if dead:
                    raise ForewattError(
                        f"the collector of {dead[0]} ended by itself; see the log above. "
                        "The process ends so that it is started anew"
                    )
        finally:
            stop.set()
            until = time.monotonic() + self._settings.stop_s
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    log.error("%s did not stop within %g s", thread.name, self._settings.stop_s)
            self._measure()

    def _measure(self) -> None:
        if isinstance(self._journal, SqliteJournal):
            try:
                sizes = self._journal.sizes()
                self._metrics.journal_head = self._journal.head()
            except ForewattError as error:
                log.warning("journal: %s", error)
                return
            self._metrics.journal_bytes = sizes["live"]
            self._metrics.journal_wal_bytes = sizes["wal"]
