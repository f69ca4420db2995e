"""Rows into the hypertable: binary COPY, staging when some are there already, bisection when
one of them cannot be stored.

Works inside the transaction of its caller; a savepoint protects each attempt.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import psycopg
from psycopg import sql

from grid.errors import ForewattError
from storage import binary
from storage.database import Connection, patient
from storage.merge import Rows
from storage.queries import queries
from storage.times import moment

# More refused rows than this in one step is no bad row but a broken schema: stop, keep the journal.
REFUSED_MAX = 1000

# The checks before the journal give `p` as the sum of its phases where a device leaves it out.
_PHASES = ("p_a", "p_b", "p_c")
_SUM_TOLERANCE = 1e-5

# What one row can be guilty of; anything else stops the step with nothing committed.
_ROW_ERRORS = (psycopg.DataError, psycopg.IntegrityError, psycopg.InternalError)


class TooManyRefused(ForewattError):
    """The database refuses reading after reading; the rows stay in the journal."""


@dataclass(slots=True, eq=False)
class Stored:
    """What became of the rows of one step."""

    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)  # place in the rows, reason


Way = Callable[[Connection, int, Rows], tuple[int, int, int]]  # new, same, differing rows


class ReadingStore:
    """Puts rows into `reading`; remembers whether duplicates are about."""

    def __init__(self) -> None:
        # After a step with duplicates the next one stages at once: a COPY that fails at its last
        # row has cost as much as one that succeeds.
        self._expect_duplicates = False

    def put(self, connection: Connection, realm: int, rows: Rows) -> Stored:
        """Store all rows that can be stored.

        Raises TooManyRefused, or the psycopg error when the rows are not the reason.
        """
        done = Stored()
        if len(rows):
            self._put_or_split(connection, realm, rows, np.arange(len(rows)), done, self._put)
            self._expect_duplicates = done.duplicates > 0
        return done

    def replace(self, connection: Connection, realm: int, rows: Rows) -> Stored:
        """Store rows that count instead of what is there for their device and time.

        The values that go are recorded as conflicts. Raises as `put` does.
        """
        done = Stored()
        self._put_or_split(connection, realm, rows, np.arange(len(rows)), done, _replace_staged)
        return done

    def withdraw(self, connection: Connection, realm: int, rows: Rows) -> int:
        """Take back what is stored of the quantities that each row names, here and in `latest`.

        The readings stay, without these values; what they were is recorded as conflicts. A sum of
        phases that stood beside them goes with a phase. Returns how many readings lost a value.
        """
        staged = _Staged.of(connection, realm, rows)
        lost = staged.run("record_withdrawn").rowcount
        if lost:
            staged.run("withdraw", assignments=staged.emptied("EXCLUDED", "stored"))
            staged.run("withdraw_latest", assignments=staged.emptied("s", "l"))
        return lost

    def _put_or_split(
        self,
        connection: Connection,
        realm: int,
        rows: Rows,
        which: np.ndarray[tuple[int], np.dtype[np.intp]],
        done: Stored,
        way: Way,
    ) -> None:
        part = rows if which.size == len(rows) else rows.select(which)
        try:
            with connection.transaction():
                new, duplicates, conflicts = way(connection, realm, part)
        except _ROW_ERRORS as e:
            if which.size > 1:
                half = which.size // 2
                self._put_or_split(connection, realm, rows, which[:half], done, way)
                self._put_or_split(connection, realm, rows, which[half:], done, way)
                return
            if len(done.refused) >= REFUSED_MAX:
                raise TooManyRefused(
                    f"the database refused more than {REFUSED_MAX} readings, the last because of "
                    f"{e.diag.message_primary or e}. Look at the table `reading`; the readings "
                    "wait in the journal."
                ) from e
            done.refused.append((int(which[0]), e.diag.message_primary or str(e)))
            return
        done.rows += new
        done.duplicates += duplicates
        done.conflicts += conflicts

    def _put(self, connection: Connection, realm: int, rows: Rows) -> tuple[int, int, int]:
        if not self._expect_duplicates:
            try:
                with connection.transaction():
                    copy_rows(connection, "reading", realm, rows)
                return len(rows), 0, 0
            except psycopg.errors.UniqueViolation:
                self._expect_duplicates = True
        return _put_staged(connection, realm, rows)


def copy_rows(connection: Connection, table: str, realm: int, rows: Rows) -> None:
    """COPY rows into a table with the columns of `reading`."""
    statement = queries("readings").compose(
        "copy_in", table=sql.Identifier(table), quantities=_listed(rows.values)
    )
    no_seq = rows.seq < 0
    fields = [
        binary.Field(rows.device),
        binary.timestamps(rows.time),
        binary.timestamps(rows.received),
        binary.Field(rows.seq, no_seq if no_seq.any() else None),
        binary.Field(rows.quality),
        *(binary.floats(v) for v in rows.values.values()),
    ]
    stream = binary.pack(realm, fields)
    with patient(connection), connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(stream)


@dataclass(frozen=True, slots=True, eq=False)
class _Staged:
    """Rows in the staging table, and how they compare with those stored."""

    connection: Connection
    rows: Rows
    new: int = 0

    @classmethod
    def of(cls, connection: Connection, realm: int, rows: Rows) -> "_Staged":
        """Stage the rows, nothing more."""
        connection.execute(queries("readings")["stage"])
        connection.execute("TRUNCATE reading_stage")
        copy_rows(connection, "reading_stage", realm, rows)
        return cls(connection, rows)

    @classmethod
    def put(cls, connection: Connection, realm: int, rows: Rows) -> "_Staged":
        """Stage the rows and insert those whose key is not there yet."""
        cls.of(connection, realm, rows)
        insert = queries("readings").compose("insert_staged", quantities=_listed(rows.values))
        return cls(connection, rows, connection.execute(insert).rowcount)

    def run(self, name: str, **parts: sql.Composable) -> psycopg.Cursor[tuple[int, ...]]:
        """A statement over staged rows and the stored ones of the same keys."""
        columns = [sql.Identifier(q) for q in self.rows.values]
        # COALESCE: NULL <> x is unknown, and NOT unknown would leave partial rows out.
        differs = sql.SQL("COALESCE({}, false)").format(
            sql.SQL(" OR ").join(sql.SQL("s.{0} <> r.{0}").format(c) for c in columns)
        )
        fills = sql.SQL(" OR ").join(
            sql.SQL("(r.{0} IS NULL AND s.{0} IS NOT NULL)").format(c) for c in columns
        )
        held = sql.SQL(" OR ").join(
            sql.SQL("(s.{0} IS NOT NULL AND r.{0} IS NOT NULL)").format(c) for c in columns
        )
        statement = queries("readings").compose(
            name,
            held=held,
            quantities=sql.SQL(", ").join(columns),
            staged=sql.SQL(", ").join(sql.SQL("s.{}").format(c) for c in columns),
            differs=differs,
            fills=fills,
            **parts,
        )
        time = self.rows.time
        bounds = {"low": moment(int(time.min())), "high": moment(int(time.max()))}
        # Never prepared: a plan for any bounds would look at every chunk there is.
        return self.connection.execute(statement, bounds, prepare=False)

    def emptied(self, named: str, old: str) -> sql.Composable:
        """Each quantity as it was in `old`, but for the values that rows of `named` name."""
        keep = "{0} = CASE WHEN " + named + ".{0} IS NULL THEN " + old + ".{0} END"
        phases = [q for q in _PHASES if q in self.rows.values]
        if not phases:
            return self.assignments(keep)
        others = [q for q in self.rows.values if q != "p"]
        parts: list[sql.Composable] = [sql.SQL(keep).format(sql.Identifier(q)) for q in others]
        phase_gone = " OR ".join(f"{named}.{q} IS NOT NULL" for q in phases)
        total = " + ".join(f"{old}.{q}" for q in _PHASES)
        size = " + ".join(f"abs({old}.{q})" for q in _PHASES)
        parts.append(
            sql.SQL(
                f"p = CASE WHEN {named}.p IS NULL AND NOT (({phase_gone}) AND "
                f"COALESCE(abs({old}.p - ({total})) <= {_SUM_TOLERANCE} * ({size}), false)) "
                f"THEN {old}.p END"
            )
        )
        return sql.SQL(", ").join(parts)

    def assignments(self, form: str) -> sql.Composed:
        """`form` for each quantity, with {0} for its name."""
        columns = [sql.Identifier(q) for q in self.rows.values]
        return sql.SQL(", ").join(sql.SQL(form).format(c) for c in columns)


def _put_staged(connection: Connection, realm: int, rows: Rows) -> tuple[int, int, int]:
    """Insert what is new, complete what is partial, record what differs: new, same, differing."""
    staged = _Staged.put(connection, realm, rows)
    duplicates = len(rows) - staged.new
    if not duplicates or not rows.values:
        return staged.new, duplicates, 0
    differing, completing = staged.run("compare").fetchone() or (0, 0)
    conflicts = staged.run("record_conflicts").rowcount if differing else 0
    if completing:
        filled = staged.assignments("{0} = COALESCE(stored.{0}, EXCLUDED.{0})")
        staged.run("fill_holes", assignments=filled)
    return staged.new, duplicates, conflicts


def _replace_staged(connection: Connection, realm: int, rows: Rows) -> tuple[int, int, int]:
    """Insert what is new, put the rows in place of what differs, and record what that was."""
    staged = _Staged.put(connection, realm, rows)
    duplicates = len(rows) - staged.new
    if not duplicates or not rows.values:
        return staged.new, duplicates, 0
    differing, completing = staged.run("compare").fetchone() or (0, 0)
    conflicts = staged.run("record_conflicts").rowcount if differing else 0
    if differing or completing:
        set_to = staged.assignments("{0} = COALESCE(EXCLUDED.{0}, stored.{0})")
        staged.run("replace_rows", assignments=set_to)
    return staged.new, duplicates, conflicts


def _listed(quantities: Iterable[str]) -> sql.Composable:
    """`, v_a, v_b`: the columns after the fixed ones."""
    parts = [sql.SQL(", {}").format(sql.Identifier(q)) for q in quantities]
    return sql.Composed(parts)
