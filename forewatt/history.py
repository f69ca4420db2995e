"""History judged again: what `watch` does when its state is lost and the journal has been trimmed.

Receives stored readings and events, hands them to the judge in the order in which they had
arrived. Alerts that the database knows already change nothing; after it, the journal goes on from
where the historian stands (`forewatt rebuild` asks for it by hand).
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from alerts.apply import apply_events
from alerts.places import Places
from forewatt.config import Config
from forewatt.judging import Judge
from grid.journal import Journal, Record
from grid.network import Network
from grid.readings import ReadingBatch
from ingest.modbus_link import link_for
from ingest.mqtt_session import Endpoint
from storage.database import Database
from storage.ledger import PostgresLedger
from storage.queries import queries
from storage.read_back import read_back, stored_span

DAY_US = 86_400_000_000
HOLD_ROWS = 5_000_000  # late rows held until their turn; more of them are judged a little early
SLICE_US = 60_000_000  # several sources take turns of so much time of arrival
HISTORIAN = "historian"
LOOK_ENTRIES = 50

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What judging history again came to; the journal goes on after `offset`."""

    days: float
    rows: int
    events: int
    new: int
    offset: int

    @property
    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.days:.1f} days of history judged again: {self.rows} rows, {self.events} alert "
            f"events, {self.new} of them new"
        )


def journal_is_short(database: Database, journal: Journal, realm: str) -> bool:
    """Whether history holds what the journal does not: judging the journal would not be enough."""
    span = stored_span(database, realm)
    if span is None:
        return False
    entries = journal.read(0, LOOK_ENTRIES)
    if (entries[0].offset if entries else journal.head() + 1) > 1:
        return True
    arrived = [int(e.record.batch.received.min()) for e in entries if len(e.record.batch)]
    # Readings may have been a day on their way; what is older came through another journal.
    return not arrived or span[0] < min(arrived) - DAY_US


def historian_offset(database: Database, journal: Journal) -> int:
    """The last entry of this journal that history holds; 0 if it has read another one."""
    with database.connection() as connection:
        row = connection.execute(queries("readings")["consumer"], [HISTORIAN]).fetchone()
    return int(row[1]) if row is not None and row[0] == journal.uuid else 0


def judge_history(
    judge: Judge,
    config: Config,
    network: Network,
    journal: Journal,
    database: Database,
    ledger: PostgresLedger,
    *,
    stop: threading.Event,
    progress: Callable[[float], None] = lambda done: None,
) -> Rebuilt | None:
    """Judge the last `[detectors] rebuild_days` of history; None when told to stop.

    `judge` must be fresh; `progress` is given 0 to 1. Nothing says when a source was connected
    then, so time follows the readings; ticks come with the journal.
    """
    # The position first: what is stored after it comes again from the journal, which does no harm.
    offset = historian_offset(database, journal)
    span = stored_span(database, config.site.realm)
    if span is None:
        return Rebuilt(0.0, 0, 0, 0, offset)
    end = span[1] + 1
    start = max(span[0], end - round(config.detectors.rebuild_days * DAY_US))
    sources = source_of_devices(config, network)
    places = Places(network)
    rows = events = new = 0
    history = read_back(database, start, end, config.site.realm)
    for batch in in_received_order(history, round(config.collect.future_s * 1e6)):
        if stop.is_set():
            return None
        found = judge.records(records(batch, sources))
        applied = apply_events(found, ledger, network, places=places)
        rows, events, new = rows + len(batch), events + len(found), new + applied.new
        progress(float(int(batch.time.max()) - start) / (end - start))
    return Rebuilt((end - start) / DAY_US, rows, events, new, offset)


def in_received_order(
    batches: Iterable[ReadingBatch], ahead_us: int, hold_rows: int = HOLD_ROWS
) -> Iterator[ReadingBatch]:
    """Rows in order of arrival out of batches in order of event time.

    No row arrives more than `ahead_us` before its event time (the collector refuses it), so what
    arrived earlier than that before a batch's last event is complete. Late rows wait for their
    turn, at most `hold_rows` of them.
    """
    held = ReadingBatch.empty()
    for batch in batches:
        complete_us = int(batch.time.max()) - ahead_us
        held = ReadingBatch.concat([held, batch]).sort(by="received")
        ready = int(np.searchsorted(held.received, complete_us, side="left"))
        ready = max(ready, len(held) - hold_rows)
        if ready:
            yield held.select(slice(0, ready))
            held = held.select(slice(ready, None))
    if len(held):
        yield held


def source_of_devices(config: Config, network: Network) -> Mapping[str, str]:
    """The name under which the collector hands on each device, as it is configured now."""
    first = Endpoint.of(config.mqtt[0].url).name if config.mqtt else "history"
    sources = dict.fromkeys((d.id for d in network.devices), first)
    for bus in config.modbus:
        name = f"modbus {link_for(bus.url)[0]}"
        sources.update((unit.device, name) for unit in bus.units)
    return sources


def records(batch: ReadingBatch, sources: Mapping[str, str]) -> Iterator[Record]:
    """A batch as records of its sources, which take turns so that none runs ahead of the others."""
    default = next(iter(sources.values()), "history")
    of_name = [sources.get(name, default) for name in batch.names]
    names = list(dict.fromkeys(of_name))
    if len(names) == 1:
        yield Record(names[0], batch)
        return
    place = np.array([names.index(s) for s in of_name], np.int32)[batch.device]
    turn = batch.received // SLICE_US
    edges = np.flatnonzero(np.diff(turn)) + 1
    for low, high in zip([0, *edges.tolist()], [*edges.tolist(), len(batch)], strict=True):
        mine = place[low:high]
        for k in np.unique(mine).tolist():
            yield Record(names[k], batch.select(low + np.flatnonzero(mine == k)))
