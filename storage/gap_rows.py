"""Gaps in their table: opened, taken back, filled and closed, in the transaction of a step."""

import numpy as np

from storage.database import Connection
from storage.gaps import GapsFound
from storage.merge import Rows
from storage.queries import queries
from storage.times import moment


def open_gaps(connection: Connection, realm: int, gaps: GapsFound) -> int:
    """Write down what devices owe; how many gaps are new."""
    if not gaps.device.size:
        return 0
    return connection.execute(
        queries("readings")["open_gaps"],
        {
            "realm": realm,
            "device": gaps.device.tolist(),
            "after": [moment(t) for t in gaps.after.tolist()],
            "before": [moment(t) for t in gaps.before.tolist()],
            "reason": ["sequence" if s else "interval" for s in gaps.by_sequence.tolist()],
            "missing": np.minimum(gaps.missing, 2**31 - 1).tolist(),
        },
    ).rowcount


def undo_gaps(connection: Connection, realm: int, gaps: GapsFound) -> int:
    """Take back steps that proved to be the rhythm of their device; how many gaps."""
    if not gaps.undone_device.size:
        return 0
    return connection.execute(
        queries("readings")["undo_gaps"],
        {
            "realm": realm,
            "device": gaps.undone_device.tolist(),
            "after": [moment(t) for t in gaps.undone_after.tolist()],
        },
    ).rowcount


def fill_gaps(connection: Connection, realm: int, rows: Rows, gaps: GapsFound) -> int:
    """Recount the gaps into which late rows fall; how many are full now."""
    if not gaps.late.any():
        return 0
    late = rows.select(gaps.late)
    first = np.ones(len(late), np.bool_)
    first[1:] = late.device[1:] != late.device[:-1]
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(late)) - 1
    found = connection.execute(
        queries("readings")["late_gaps"],
        {
            "realm": realm,
            "device": late.device[starts].tolist(),
            "low": [moment(t) for t in late.time[starts].tolist()],
            "high": [moment(t) for t in late.time[ends].tolist()],
        },
    ).fetchall()
    if not found:
        return 0
    closed = connection.execute(
        queries("readings")["fill_gaps"],
        {
            "realm": realm,
            "ids": [id for id, _, _ in found],
            "low": min(after for _, after, _ in found),
            "high": max(before for _, _, before in found),
        },
        prepare=False,
    ).fetchall()
    return sum(bool(c) for (c,) in closed)
