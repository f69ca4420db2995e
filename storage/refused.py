"""What the historian cannot store as a reading goes to quarantine, ready to be sent again."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from grid.journal import Quarantined
from grid.readings import ReadingBatch
from storage.database import Connection
from storage.merge import Rows, sound_time
from storage.queries import queries
from storage.times import moment

NAME_MAX = 200  # characters; no meter's name is longer, and an index entry has its limit


def take_out_unfit(batch: ReadingBatch) -> tuple[ReadingBatch, list[Quarantined]]:
    """The rows that can be stored, and the others with the reason."""
    sound = sound_time(batch.time)
    short = np.array([len(name) <= NAME_MAX for name in batch.names], np.bool_)
    fit = sound & short[batch.device]
    if fit.all():
        return batch, []
    unfit = []
    for i in np.flatnonzero(~fit).tolist():
        name = batch.names[batch.device[i]]
        reason = (
            f"the device's name has more than {NAME_MAX} characters"
            if sound[i]
            else "its time is outside 1990 to 2100: the device's clock is wrong"
        )
        values = {k: float(v[i]) for k, v in batch.values.items() if not np.isnan(v[i])}
        unfit.append(_as_sent(name, int(batch.time[i]), values, int(batch.received[i]), reason))
    return batch.select(fit), unfit


def refused_row(rows: Rows, place: int, name_of: Mapping[int, str], reason: str) -> Quarantined:
    """A row that the database did not take, with its reason."""
    return _as_sent(
        name_of[int(rows.device[place])],
        int(rows.time[place]),
        rows.row_values(place),
        int(rows.received[place]),
        f"the database refused it: {reason}",
    )


def _as_sent(
    device: str, time_us: int, values: Mapping[str, float], received_us: int, reason: str
) -> Quarantined:
    payload = json.dumps({"device": device, "time_us": time_us, **values}, ensure_ascii=False)
    return Quarantined("historian", reason, payload.encode(), received_us, device)


def write_quarantine(connection: Connection, realm: int, refused: Sequence[Quarantined]) -> int:
    """Keep payloads with their reasons; one that is there already is counted."""
    if refused:
        with connection.cursor() as cursor:
            cursor.executemany(
                queries("readings")["add_quarantine"],
                [
                    [
                        realm,
                        q.hash,
                        _text(q.source),
                        _text(q.reason),
                        None if q.device is None else _text(q.device),
                        q.payload,
                        moment(q.received_us),
                    ]
                    for q in refused
                ],
            )
    return len(refused)


def _text(text: str) -> str:
    """PostgreSQL's text cannot hold NUL; it is shown instead of dropped."""
    return text.replace("\0", "\\0")
