"""Show what a sample becomes under a mapping: for `forewatt config try-mapping`."""

from collections.abc import Sequence

import numpy as np

from grid.quantities import quantity
from ingest.mapping import Rule
from ingest.payloads import PayloadDecoder


def try_mapping(rules: Sequence[Rule], topic: str, payload: bytes, received_us: int) -> list[str]:
    """Lines for people: the readings of a sample message, or the reasons why there are none."""
    decoder = PayloadDecoder(rules=rules)
    decoder.add(topic, payload, received_us)
    decoded = decoder.take()
    rows = decoded.rows
    lines = []
    for i in range(len(rows)):
        stamp = np.datetime64(int(rows.time[i]), "us")
        lines.append(f"device {rows.names[rows.device[i]]}, time {stamp}Z")
        for name, column in rows.values.items():
            if not np.isnan(column[i]):
                lines.append(f"  {name:<12} {column[i]:>14.6g} {quantity(name).unit}")
    lines += [f"refused: {q.reason}" for q in decoded.quarantined]
    if not lines:
        lines.append("nothing: the mapping is quiet about messages without its values")
    return lines
