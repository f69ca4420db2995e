"""The process that collects: MQTT and Modbus in, journal out. It knows no database.

The database is asked once, for a network that no folder gives; when it is away, the copy kept
beside the journal serves.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from forewatt.config import Config, FilesConfig, ModbusConfig, MqttConfig
from forewatt.health import HealthFile
from forewatt.site import Place, site_network
from grid.clock import Clock, SimulatedClock
from grid.journal import Record
from ingest.checks import CheckSettings
from ingest.collector import Collector
from ingest.journal import SqliteJournal
from ingest.layout_files import load_layout
from ingest.mapping_files import load_mappings, load_sparkplug
from ingest.metrics import CollectorMetrics
from ingest.modbus_link import link_for
from ingest.profile_files import load_profile
from ingest.settings import CollectorSettings, FileSource, ModbusBus, ModbusUnit, MqttSource
from ingest.sparkplug import SparkplugRules

REPORT_S = 0.5
# At sixty times real time a second is a minute in which nobody is told.
REAL = {"tick_s": 1.0, "settle_s": 1.0}
SIMULATED = {"tick_s": 0.2, "settle_s": 0.4}


def serve(config: Config, place: Place, health: HealthFile, stop: threading.Event) -> None:
    """Until told to stop; what has been received is appended and acknowledged before the end."""
    network = site_network(config)
    clock = config.clock()
    journal = SiteJournal(place.journal, clock, config.journal.max_bytes)
    metrics = CollectorMetrics()
    logging.getLogger("ingest.modbus").addFilter(lambda record: not standing(clock))
    settings = collector_settings(config, journal.uuid)
    collector = Collector(settings, journal, network, clock, metrics)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="collector") as pool:
            running = pool.submit(collector.run, stop)
            while not wait([running], timeout=REPORT_S).done:
                say(health, metrics, standing(clock))
        running.result()
    finally:
        journal.close()


def collector_settings(config: Config, journal: str) -> CollectorSettings:
    """What the collector is told; `journal` names the broker session that belongs to it."""
    return CollectorSettings(
        mqtt=tuple(mqtt_source(config, source, journal) for source in config.mqtt),
        modbus=tuple(_modbus(config, bus) for bus in config.modbus),
        files=tuple(_files(config, files) for files in config.files),
        batch_messages=config.collect.batch_messages,
        linger_ms=config.collect.linger_ms,
        **(REAL if config.site.clock == "real" else SIMULATED),
        checks=CheckSettings(future_s=config.collect.future_s, late_s=config.collect.late_s),
    )


def realm_topics(topics: tuple[str, ...], realm: str) -> tuple[str, ...]:
    """Topic filters of a realm: another than live hears `forewatt replay --realm` as well.

    >>> realm_topics(("forewatt/v1/+/events",), "drill-1")
    ('forewatt/v1/+/events', 'drill-1/forewatt/v1/+/events')
    """
    if realm == "live":
        return topics
    return (*topics, *(f"{realm}/{t}" for t in topics if t.startswith("forewatt/")))


def check_parts(config: Config) -> None:
    """Read every mapping and profile that the configuration names; raises BadInput, with nothing
    started, for the first that is wrong."""
    collector_settings(config, "check")
    for bus in config.modbus:
        link_for(bus.url)
        for unit in bus.units:
            load_profile(config.named(unit.profile))


def mqtt_source(config: Config, source: MqttConfig, journal: str) -> MqttSource:
    """One broker with its mappings read; raises BadInput naming what is wrong in them."""
    return MqttSource(
        url=source.url,
        username=source.username,
        password_file=source.password_file,
        ca=source.ca,
        cert=source.cert,
        key=source.key,
        client_id=source.client_id or f"forewatt-{journal[:13]}",
        topics=realm_topics(source.topics, config.site.realm),
        receive_maximum=source.receive_maximum,
        session_expiry_s=source.session_expiry_s,
        keepalive_s=source.keepalive_s,
        rules=tuple(rule for name in source.mappings for rule in load_mappings(config.named(name))),
        sparkplug=load_sparkplug(source.sparkplug) if source.sparkplug else SparkplugRules(),
    )


def _modbus(config: Config, bus: ModbusConfig) -> ModbusBus:
    units = tuple(
        ModbusUnit(u.unit, u.device, config.named(u.profile), u.interval_s) for u in bus.units
    )
    return ModbusBus(url=bus.url, units=units, timeout_s=bus.timeout_s)


def _files(config: Config, files: FilesConfig) -> FileSource:
    return FileSource(
        path=files.path,
        layout=load_layout(config.named(files.mapping)),
        ledger=config.journal.path / "files.sqlite",
        settle_s=files.settle_s,
        every_s=files.every_s,
    )


class SiteJournal(SqliteJournal):
    """The journal of a site whose clock may be moved by hand.

    While it is, nobody can say "everything up to now has come": a replay may have moved the clock
    and not yet sent what happened. So ticks are left out then, and event time follows the readings.
    """

    def __init__(self, path: Path, clock: Clock, max_bytes: int) -> None:
        super().__init__(path, max_bytes=max_bytes)
        self._clock = clock

    def append(self, records: Sequence[Record]) -> int:
        """As the journal's own, without ticks while the clock stands."""
        if standing(self._clock):
            records = [replace(r, ticks=()) for r in records if len(r.batch) or r.quarantined]
        return super().append(records)


def standing(clock: Clock) -> bool:
    """Whether site time stands still or is moved by hand: then no poll is due either, and a bus
    that does not answer yet is no trouble."""
    return isinstance(clock, SimulatedClock) and clock.state.speed == 0


def say(health: HealthFile, metrics: CollectorMetrics, standing: bool = False) -> None:
    """Report: ready once every broker has let us in, then how each source does."""
    sources = metrics.sources
    brokers = [s for name, s in sources.items() if name.startswith("mqtt")]
    trouble = [
        f"{name}: {s.trouble}"
        for name, s in sources.items()
        # One silent meter on a bus is the grid's news, not this process's.
        if s.trouble and (s.holding or not s.connected)
        if not (standing and name.startswith("modbus"))
    ]
    appended = max((s.last_append for s in sources.values()), default=0.0)
    health.say(
        ready=bool(sources) and all(s.connections for s in brokers),
        waiting_for="; ".join(trouble),
        commit_at=time.time() - (time.monotonic() - appended) if appended else None,
        offset=metrics.journal_head,
        detail={
            "journal_bytes": metrics.journal_bytes,
            "journal_wal_bytes": metrics.journal_wal_bytes,
            **{
                f"{field}_total": {name: getattr(s, field) for name, s in sources.items()}
                for field in ("messages", "readings", "events", "duplicates", "errors")
            },
            "quarantined_total": {
                reason: sum(s.quarantined[reason] for s in sources.values())
                for reason in {r for s in sources.values() for r in s.quarantined}
            },
            "connected": {name: int(s.connected) for name, s in sources.items()},
            "unacknowledged_seconds": {name: s.ack_age_s() for name, s in sources.items()},
        },
    )
