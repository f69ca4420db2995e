"""Housekeeping of the big tables: retention by whole chunks, compression where the edition has it.

Called now and then by the program; TimescaleDB's own policies and jobs need the community edition
and are never used.
"""

import re
from typing import Literal

from storage.database import Database
from storage.queries import queries
from storage.rollups import RollupWorker
from storage.times import moment

Relation = Literal["reading", "reading_5min", "reading_hour", "device_event"]

DAY_US = 86_400_000_000
# Before it, rows that met a conflict in a compressed chunk took the rows behind them along
# (timescaledb issue 7672).
COMPRESSION_OLDEST = (2, 18)
_SUM_UP_STEPS = 10_000  # marks of 64 each: far more than can wait, but an end


def edition(database: Database) -> Literal["apache", "community"]:
    """Which edition the server runs; decides whether compression is switched on."""
    with database.connection() as connection:
        row = connection.execute(queries("maintain")["license"]).fetchone()
    return "community" if row is not None and row[0] == "timescale" else "apache"


def retention(database: Database, before_us: int, relation: Relation = "reading") -> int:
    """Drop the chunks of a table that hold nothing newer than `before_us`; how many went.

    Readings are summed up first, so their summaries stay complete; a reading that arrives for a
    dropped time is stored again but no longer changes its summary.
    """
    before = moment(before_us // DAY_US * DAY_US)
    named = queries("maintain")
    if relation == "reading":
        _sum_up_before(database, before_us)
    with database.connection() as connection:
        connection.execute(named["remember_floor"], {"relation": relation, "before": before})
        given = {"relation": relation, "before": before}
        return len(connection.execute(named["drop_chunks"], given).fetchall())


def _sum_up_before(database: Database, before_us: int) -> None:
    worker = RollupWorker(database, settle_s=0.0)
    for _ in range(_SUM_UP_STEPS):
        with database.connection() as connection:
            row = connection.execute(
                queries("maintain")["dirty_before"], [moment(before_us)]
            ).fetchone()
        if row is None or not row[0] or not worker.run_once():
            return


def can_compress(database: Database) -> bool:
    """Whether this server has compression, in a version that loses nothing by it."""
    if edition(database) != "community":
        return False
    with database.connection() as connection:
        row = connection.execute(queries("maintain")["version"]).fetchone()
    version = tuple(int(part) for part in re.findall(r"\d+", row[0] if row else "")[:2])
    return version >= COMPRESSION_OLDEST


def compress(database: Database, before_us: int) -> int:
    """Compress old chunks of readings; how many. 0 where the server cannot (see `can_compress`).

    Leave a week or more: late readings into compressed chunks are slow. They are taken all the
    same, the historian lifts the limit on what one statement may unpack (`step_settings`).
    """
    if not can_compress(database):
        return 0
    named = queries("maintain")
    with database.connection() as connection:
        row = connection.execute(named["compression_allowed"]).fetchone()
        if row is None or not row[0]:
            connection.execute(named["allow_compression"])
    with database.connection() as connection:
        return len(connection.execute(named["compress"], [moment(before_us)]).fetchall())
