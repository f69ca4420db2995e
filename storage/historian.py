"""The historian: journal to database, each record once.

One step is one commit: rows, newest rows, events, gaps, quarantine, marks for the rollups, and the
position in the journal. Whenever it is killed, the next step begins after the last commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from grid.journal import Entry, Journal, Quarantined
from grid.network import Network
from grid.quantities import INDEX, NAMES
from grid.readings import Quality, ReadingBatch
from storage.database import Connection, Database
from storage.errors import JournalMismatch
from storage.gap_rows import fill_gaps, open_gaps, undo_gaps
from storage.gaps import DeviceState, find_gaps
from storage.merge import Merged, Rows, merge
from storage.queries import queries
from storage.reading_store import ReadingStore, copy_rows
from storage.realms import realm_id
from storage.refused import refused_row, take_out_unfit, write_quarantine
from storage.times import micros, moment

ROWS_MAX = 250_000  # of one step: bounds its memory and the length of its transaction
BLOCK_BITS = 6  # 64 devices share one mark for the rollups
HOUR_US = 3_600_000_000
RHYTHM_DAYS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class HistorianStep:
    """What one commit did; `entries` 0 means that the journal had nothing new.

    `gaps_closed` counts the gaps that were filled, and those that proved to be a device's rhythm.
    """

    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    events: int = 0
    gaps_opened: int = 0
    gaps_closed: int = 0
    quarantined: int = 0
    offset: int = 0
    entries: int = 0


class _Kept(NamedTuple):
    """What became of some readings."""

    rows: int
    duplicates: int
    conflicts: int
    gaps_opened: int
    gaps_closed: int

    def __add__(self, other: "_Kept") -> "_Kept":  # type: ignore[override]
        return _Kept(*(a + b for a, b in zip(self, other, strict=True)))


class Historian:
    """Moves readings from one journal into one realm of the database.

    Parameters
    ----------
    database, journal
        Where to and where from.
    consumer
        Name under which the position is kept; one for each journal.
    realm
        "live", or the name of a drill or replay.
    expected
        The network: how often each device should report. Without it only jumps of sequence
        numbers and breaks of a device's own rhythm show as gaps.

    Notes
    -----
    What it remembers of devices is a cache of committed rows: after any error it is thrown away
    and read again.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        *,
        consumer: str = "historian",
        realm: str = "live",
        expected: Network | None = None,
    ) -> None:
        self._database, self._journal = database, journal
        self._consumer, self._realm_name = consumer, realm
        self._intervals: dict[str, int] = {}
        self.expect(expected or Network())
        self._store = ReadingStore()
        self._keys: dict[str, int] = {}
        self._realm = 0
        self._state: DeviceState | None = None
        self._ahead: Sequence[Entry] = ()  # read from the journal, too many for the last step
        self._ahead_after = 0

    def expect(self, network: Network) -> None:
        """Take over the reporting intervals of a changed network."""
        self._intervals = {
            d.id: round(d.interval_s * 1e6) for d in network.devices if d.interval_s is not None
        }
        self._state = None

    def run_once(self, limit: int = 256) -> HistorianStep:
        """Read at most `limit` journal entries after the stored position and commit them.

        Raises
        ------
        DatabaseUnavailable
            Nothing was committed; call again later (with back-off), nothing is lost meanwhile.
        JournalMismatch
            The journal is another file than the one this consumer has been reading.
        """
        try:
            with self._database.connection() as connection:
                return self._step(connection, limit)
        except BaseException:
            self._state = None
            self._keys = {}
            self._ahead = ()
            raise

    def _step(self, connection: Connection, limit: int) -> HistorianStep:
        if self._state is None:
            self._load(connection)
        position = self._position(connection)
        entries = self._next(position, limit)
        if not entries:
            return HistorianStep(offset=position)
        connection.execute(queries("readings")["step_settings"])
        batch = ReadingBatch.concat([e.record.batch for e in entries])
        refused = [q for e in entries for q in e.record.quarantined]
        batch, unfit = take_out_unfit(batch)
        refused += unfit
        key = self._device_keys(connection, batch)
        is_reading = batch.event == 0
        replaces = is_reading & ((batch.quality & Quality.REPLACES) != 0)
        plain = is_reading & ~replaces
        kept = self._keep(connection, batch.select(plain), key[plain], refused)
        if replaces.any():
            # The newest version first: of two for one time, the first one stands.
            newest = np.flatnonzero(replaces)[::-1]
            kept += self._keep(connection, batch.select(newest), key[newest], refused, instead=True)
        withdrawn = self._withdraw(connection, entries[-1].record.withdrawn)
        step = HistorianStep(
            rows=kept.rows,
            duplicates=kept.duplicates,
            conflicts=kept.conflicts + withdrawn,
            events=self._write_events(connection, batch.select(~is_reading), key[~is_reading]),
            gaps_opened=kept.gaps_opened,
            gaps_closed=kept.gaps_closed,
            quarantined=write_quarantine(connection, self._realm, refused),
            offset=entries[-1].offset,
            entries=len(entries),
        )
        connection.execute(queries("readings")["move_consumer"], [step.offset, self._consumer])
        return step

    def _keep(
        self,
        connection: Connection,
        readings: ReadingBatch,
        key: NDArray[np.int32],
        refused: list[Quarantined],
        *,
        instead: bool = False,
    ) -> "_Kept":
        """Store readings with all that follows from them; `instead` of what is stored for their
        times. What cannot be stored is added to `refused`."""
        merged = merge(readings, key)
        store = self._store.replace if instead else self._store.put
        done = store(connection, self._realm, merged.rows)
        rows = merged.rows
        if done.refused:
            stored = np.ones(len(rows), np.bool_)
            stored[[i for i, _ in done.refused]] = False
            name_of = {key: name for name, key in self._keys.items()}
            refused += [refused_row(rows, i, name_of, reason) for i, reason in done.refused]
            rows = rows.select(stored)
        state = self._state
        assert state is not None
        gaps = find_gaps(rows, state)
        newest = ~gaps.late
        if instead:
            newest |= rows.time == state.time[rows.device]
        self._write_latest(connection, rows.select(newest), again=instead)
        kept = _Kept(
            done.rows,
            merged.duplicates + done.duplicates,
            self._write_conflicts(connection, merged) + done.conflicts,
            open_gaps(connection, self._realm, gaps),
            fill_gaps(connection, self._realm, rows, gaps)
            + undo_gaps(connection, self._realm, gaps),
        )
        self._mark_dirty(connection, rows)
        return kept

    def _withdraw(self, connection: Connection, batch: ReadingBatch) -> int:
        """Take back stored values; how many readings lost some. What they were stays on record."""
        if not len(batch):
            return 0
        batch, _ = take_out_unfit(batch)
        key = np.array([self._keys.get(name, -1) for name in batch.names], np.int32)[batch.device]
        known = key >= 0
        rows = merge(batch.select(known), key[known]).rows
        if not len(rows):
            return 0
        lost = self._store.withdraw(connection, self._realm, rows)
        if lost:
            self._mark_dirty(connection, rows)
        return lost

    # -- what is known ---------------------------------------------------------------------

    def _load(self, connection: Connection) -> None:
        self._realm = realm_id(connection, self._realm_name)
        named = queries("readings")
        self._keys = {name: key for key, name in connection.execute(named["all_devices"])}
        state = DeviceState()
        state.reserve(max(self._keys.values(), default=0))
        for name, interval in self._intervals.items():
            key = self._keys.get(name)
            if key is not None:
                state.interval[key] = interval
        newest = connection.execute(named["newest_time"], [self._realm]).fetchone()
        since = newest[0] - RHYTHM_DAYS if newest is not None and newest[0] is not None else None
        known = {"realm": self._realm, "since": since}
        # Never prepared, here and below: a plan for any bounds would look at every chunk.
        rows = connection.execute(named["device_state"], known, prepare=False)
        for device, time, seq, earlier in rows:
            times = [micros(t) for t in [*(earlier or []), time]]
            state.remember(device, times, -1 if seq is None else seq)
        self._state = state

    def _position(self, connection: Connection) -> int:
        named = queries("readings")
        row = connection.execute(named["consumer"], [self._consumer]).fetchone()
        if row is None:
            connection.execute(named["add_consumer"], [self._consumer, self._journal.uuid])
            row = connection.execute(named["consumer"], [self._consumer]).fetchone()
            assert row is not None, "the consumer was just added"
        journal, position = row
        if journal != self._journal.uuid:
            raise JournalMismatch(
                f"consumer {self._consumer!r} has read journal {journal}, but the journal at hand "
                f"is {self._journal.uuid}. Give back the journal folder it had; if that is lost, "
                f"forget the position (DELETE FROM consumer WHERE name = '{self._consumer}') to "
                "begin with the new one."
            )
        return int(position)

    def _next(self, position: int, limit: int) -> Sequence[Entry]:
        """As many entries behind `position` as fit into one step, at least one.

        What a step leaves over is kept for the next: a reading of the journal can hold several
        steps, and decoding it again for each would cost more than storing it.
        """
        entries = self._ahead if self._ahead_after == position else ()
        entries = entries or self._journal.read(position, limit)
        rows = 0
        for i, e in enumerate(entries):
            rows += len(e.record.batch)
            # What withdraws values ends a step: what comes behind it may give them again.
            ends = i and len(entries[i - 1].record.withdrawn)
            if ends or (i and (rows > ROWS_MAX or i >= limit)):
                self._ahead, self._ahead_after = entries[i:], entries[i - 1].offset
                return entries[:i]
        self._ahead = ()
        return entries

    def _device_keys(self, connection: Connection, batch: ReadingBatch) -> NDArray[np.int32]:
        """int32[n]: database key of each row; names not seen before get one."""
        used = np.unique(batch.device).tolist()
        unknown = [n for n in (batch.names[i] for i in used) if n not in self._keys]
        if unknown:
            named = queries("readings")
            connection.execute(named["add_devices"], [unknown])
            found: dict[str, int] = dict(
                connection.execute(named["device_keys"], [unknown]).fetchall()
            )
            self._keys.update(found)
            state = self._state
            assert state is not None
            state.reserve(max(found.values()))
            for name, key in found.items():
                state.interval[key] = self._intervals.get(name, 0)
        keys = np.full(len(batch.names), -1, np.int32)
        keys[used] = [self._keys[batch.names[i]] for i in used]
        return keys[batch.device]

    # -- what is written -------------------------------------------------------------------

    def _write_latest(self, connection: Connection, fresh: Rows, *, again: bool) -> None:
        if not len(fresh):
            return
        newest = np.ones(len(fresh), np.bool_)
        newest[:-1] = fresh.device[1:] != fresh.device[:-1]
        named = queries("readings")
        connection.execute(named["latest_stage"])
        if again:
            connection.execute(named["clear_latest_stage"])
        copy_rows(connection, "latest_stage", self._realm, fresh.select(newest))
        names = [sql.Identifier(q) for q in NAMES]
        quantities = sql.SQL(", ").join(names)
        staged = sql.SQL(", ").join(sql.SQL("s.{}").format(n) for n in names)
        # Not prepared: a plan from when the table was small would scan it for every row.
        connection.execute(named["index_joins"], {"join": "off"})
        update = named.compose("update_latest", quantities=quantities, staged=staged)
        old = connection.execute(update, prepare=False).rowcount
        if old < int(newest.sum()):
            insert = named.compose("insert_latest", quantities=quantities)
            connection.execute(insert, prepare=False)
        connection.execute(named["index_joins"], {"join": "on"})

    def _write_conflicts(self, connection: Connection, merged: Merged) -> int:
        with connection.cursor() as cursor:
            for c in merged.conflicts:
                cursor.execute(
                    queries("readings")["conflict"],
                    [
                        self._realm,
                        c.device,
                        moment(c.time_us),
                        Jsonb(dict(c.arrived)),
                        Jsonb(dict(c.stored)),
                        moment(c.received_us),
                    ],
                )
        return len(merged.conflicts)

    def _write_events(
        self, connection: Connection, events: ReadingBatch, key: NDArray[np.int32]
    ) -> int:
        if not len(events):
            return 0
        return connection.execute(
            queries("readings")["add_events"],
            {
                "realm": self._realm,
                "device": key.tolist(),
                "time": [moment(t) for t in events.time.tolist()],
                "event": events.event.tolist(),
                "received": [moment(t) for t in events.received.tolist()],
                "seq": [None if s < 0 else s for s in events.seq.tolist()],
                "quality": events.quality.tolist(),
            },
        ).rowcount

    def _mark_dirty(self, connection: Connection, rows: Rows) -> None:
        if not len(rows):
            return
        block = rows.device.astype(np.int64) >> BLOCK_BITS
        marks = np.unique(block << 32 | rows.time // HOUR_US)
        connection.execute(
            queries("readings")["mark_dirty"],
            {
                "realm": self._realm,
                "block": (marks >> 32).tolist(),
                "hour": [moment(h * HOUR_US) for h in (marks & 0xFFFFFFFF).tolist()],
                "quantities": sum(1 << INDEX[q] for q in rows.values),
            },
        )


def adopt_journal(database: Database, journal: Journal, consumer: str = "historian") -> None:
    """Let a consumer begin with another journal: a decision of a person, never of the program."""
    with database.connection() as connection:
        connection.execute(queries("readings")["adopt_journal"], [consumer, journal.uuid])
