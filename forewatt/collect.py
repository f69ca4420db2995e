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
from typing import Any

import msgspec

from forewatt.config import Config, load_config
from forewatt.health import HealthFile
from forewatt.reload import Request
from forewatt.site import Place, site_network
from forewatt.sources import Share, collector_settings, what_works
from grid.clock import Clock, SimulatedClock
from grid.errors import BadInput, ForewattError
from grid.journal import Record
from ingest.broker_check import probe_broker
from ingest.collector import Collector
from ingest.journal import SqliteJournal
from ingest.metrics import CollectorMetrics, SourceMetrics
from ingest.mqtt_session import source_name
from ingest.settings import MqttSource

REPORT_S = 0.5
TRIAL_END_S = 5.0

log = logging.getLogger(__name__)


def serve(config: Config, place: Place, health: HealthFile, stop: threading.Event) -> None:
    """Until told to stop; what has been received is appended and acknowledged before the end."""
    network = site_network(config)
    clock = config.clock()
    journal = SiteJournal(place.journal, clock, config.journal.max_bytes)
    metrics = CollectorMetrics()
    logging.getLogger("ingest.modbus").addFilter(lambda record: not standing(clock))
    # collect, collect-2, ...: each takes its share of the brokers.
    mine = int(health.role.partition("-")[2] or 1) - 1
    share = Share(mine, config.collect.processes)
    settings = collector_settings(config, journal.uuid, share)
    collector = Collector(settings, journal, network, clock, metrics)
    request = Request(place)
    # Time of a simulation runs too fast to wait for what a broker keeps.
    trial = threading.Thread(target=try_brokers, args=(settings.mqtt, metrics), daemon=True)
    untried = config.site.clock == "real" and bool(settings.mqtt)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="collector") as pool:
            running = pool.submit(collector.run, stop)
            while not wait([running], timeout=REPORT_S).done:
                if request.is_new():
                    troubles = take_over(config.file, share, collector, journal)
                    health.say(reload=request.answer(troubles))
                say(health, metrics, standing(clock))
                if untried and all(s.connections for s in _brokers(metrics)):
                    untried = False
                    trial.start()
        running.result()
    finally:
        journal.close()
        if trial.is_alive():
            trial.join(TRIAL_END_S)


def take_over(file: Path, share: Share, collector: Collector, journal: SqliteJournal) -> list[str]:
    """Read the configuration again and let the collector go on with it; what was not possible.

    A file that cannot be read changes nothing; a broker, bus or folder that is wrong stays as it
    was, and the others change.
    """
    try:
        config = load_config(file)
        network = site_network(config)
    except ForewattError as error:
        return [f"{error} (nothing was changed)"]
    if msgspec.json.encode(network) == msgspec.json.encode(collector.network):
        network = collector.network  # the same things: no source has to begin anew
    settings, troubles = what_works(config, collector.settings, journal.uuid, share)
    journal.max_bytes = config.journal.max_bytes
    try:
        return troubles + collector.change(settings, network)
    except BadInput as error:
        return [*troubles, f"{error} (nothing was changed)"]


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
            records = [
                replace(r, ticks=())
                for r in records
                if len(r.batch) or r.quarantined or len(r.withdrawn)
            ]
        return super().append(records)


def standing(clock: Clock) -> bool:
    """Whether site time stands still or is moved by hand: then no poll is due either, and a bus
    that does not answer yet is no trouble."""
    return isinstance(clock, SimulatedClock) and clock.state.speed == 0


def say(health: HealthFile, metrics: CollectorMetrics, standing: bool = False) -> None:
    """Report: ready once every broker has let us in, then how each source does."""
    sources = metrics.sources
    brokers = _brokers(metrics)
    trouble = [
        f"{name}: {s.trouble}"
        for name, s in sources.items()
        # One silent meter on a bus is the grid's news, not this process's.
        if s.trouble and (s.holding or not s.connected)
        if not (standing and name.startswith("modbus"))
    ]
    appended = max((s.last_append for s in sources.values()), default=0.0)
    health.say(
        ready=all(s.connections for s in brokers),
        waiting_for="; ".join(trouble),
        commit_at=time.time() - (time.monotonic() - appended) if appended else None,
        offset=metrics.journal_head,
        detail=figures(metrics),
    )


def _brokers(metrics: CollectorMetrics) -> list[SourceMetrics]:
    return [s for name, s in metrics.sources.items() if name.startswith("mqtt")]


def try_brokers(sources: Sequence[MqttSource], metrics: CollectorMetrics) -> None:
    """Find out once, beside the collecting, what each broker keeps for one that is absent."""
    for source in sources:
        name = source_name(source)
        try:
            findings = probe_broker(source).findings
        except (OSError, ForewattError) as error:
            log.info("%s: its limits could not be tried: %s", name, error)
            continue
        metrics.source(name).tried = findings
        for finding in findings:
            log.warning("%s: %s", name, finding)


def figures(metrics: CollectorMetrics) -> dict[str, Any]:
    """Counters and gauges by source, unit and device, for `/metrics` and `forewatt status`."""
    sources = metrics.sources
    now = time.monotonic()
    counted = (
        "messages bytes readings events duplicates errors appends connections sequence_gaps "
        "sessions_lost dropped_by_broker"
    ).split()
    polled = ("polls_ok", "polls_partial", "polls_failed", "polls_missed")
    units = {f"{bus} unit {number}": unit for (bus, number), unit in metrics.units.items()}
    return {
        "journal_bytes": metrics.journal_bytes,
        "journal_wal_bytes": metrics.journal_wal_bytes,
        **{
            f"{field}_total": {name: getattr(s, field) for name, s in sources.items()}
            for field in counted
        },
        "quarantined_total": {
            reason: sum(s.quarantined[reason] for s in sources.values())
            for reason in {r for s in sources.values() for r in s.quarantined}
        },
        "connected": {name: int(s.connected) for name, s in sources.items()},
        "holding": {name: int(s.holding) for name, s in sources.items()},
        "waiting": {name: s.queue_depth for name, s in sources.items()},
        "unacknowledged_seconds": {name: s.ack_age_s() for name, s in sources.items()},
        "append_age_seconds": {
            name: now - s.last_append for name, s in sources.items() if s.last_append
        },
        "modbus_requests_total": {name: unit.requests for name, unit in units.items()},
        **{
            f"modbus_{field}_total": {name: getattr(unit, field) for name, unit in units.items()}
            for field in polled
        },
        "modbus_backoff_seconds": {
            name: unit.backoff_s for name, unit in units.items() if unit.backoff_s
        },
        "clock_ahead_seconds": metrics.skewed,
        "troubles": {name: s.trouble for name, s in sources.items() if s.trouble},
        "unit_troubles": {
            f"{name} ({unit.device})": unit.last_error
            for name, unit in units.items()
            if unit.last_error
        },
        "warnings": {
            name: [*s.warnings, *s.tried] for name, s in sources.items() if s.warnings or s.tried
        },
    }
