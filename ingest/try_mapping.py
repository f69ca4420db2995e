"""Show what a sample becomes under a mapping: for `forewatt config try-mapping`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grid.quantities import quantity
from ingest.exports import Exports
from ingest.layout import Layout
from ingest.mapping import Rule
from ingest.payloads import PayloadDecoder
from ingest.rows import Rows


def try_mapping(rules: Sequence[Rule], topic: str, payload: bytes, received_us: int) -> list[str]:
    """Lines for people: the readings of a sample message, or the reasons why there are none."""
    decoder = PayloadDecoder(rules=rules)
    decoder.add(topic, payload, received_us)
    decoded = decoder.take()
    lines = _shown(decoded.rows)
    lines += [f"refused: {q.reason}" for q in decoded.quarantined]
    if not lines:
        lines.append("nothing: the mapping is quiet about messages without its values")
    return lines


def try_layout(layout: Layout, file: Path, received_us: int, *, most: int = 5) -> list[str]:
    """Lines for people: the first readings of an export, how many there are, what is refused.

    Raises BadExport when the file as a whole cannot be read.
    """
    exports = Exports(received_us)
    count = exports.add(file, layout, file.name)
    total, lines, first, last = 0, list[str](), None, None
    for rows in exports.steps():
        if total < most:
            lines += _shown(rows.select(np.arange(min(len(rows), most - total))))
        first = int(rows.time[0]) if first is None else first
        last = int(rows.time[-1])
        total += len(rows)
    if total > most:
        lines.append("...")
    lines.append(f"{count:,} lines, {len(exports.names):,} meters, {total:,} readings")
    if first is not None and last is not None:
        lines.append(f"from {_stamp(first)} to {_stamp(last)}")
    return lines + [f"refused: {q.reason}" for q in exports.refused]


def _shown(rows: Rows) -> list[str]:
    lines = []
    for i in range(len(rows)):
        lines.append(f"device {rows.names[rows.device[i]]}, time {_stamp(int(rows.time[i]))}")
        for name, column in rows.values.items():
            if not np.isnan(column[i]):
                lines.append(f"  {name:<12} {column[i]:>14.6g} {quantity(name).unit}")
    return lines


def _stamp(time_us: int) -> str:
    return f"{np.datetime64(time_us, 'us')}Z"
