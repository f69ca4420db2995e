"""Save and restore an engine's state by name, so that it survives a restart and an edited network.

The form is a numpy archive with a JSON head. Rows belong to keys (device and place, area, branch,
tree node): what is unchanged is taken over, what has gone is dropped, what is new or moved starts
afresh. A snapshot of other detector sources is refused: replaying the journal is always right.
"""

import io
import json
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Stateful
from detectors.compiled import SOURCE_HASH
from detectors.frames import NEVER, STAMP
from detectors.records import Learned
from grid.errors import ForewattError

if TYPE_CHECKING:
    from detectors.engine import Engine

FORMAT: Final = 1
Array = NDArray[Any]


class StaleSnapshot(ForewattError):
    """The snapshot cannot be used; start without it and replay the journal or the history."""


def save(engine: "Engine") -> bytes:
    """Everything but settings and network."""
    arrays: dict[str, Array] = {}
    for label, part in _parts(engine):
        for name, array in part.state.items():
            arrays[f"{label}/{name}"] = array
        for axis in sorted(set(part.axes.values())):
            arrays[f"{label}@{axis}"] = _pack(part.keys(axis))
    frames = engine.frames
    for g, layout in enumerate(engine.fleet.groups):
        rows = _open_rows(engine, g)
        slots, cell, following = (int(frames.shape[g, k]) for k in (2, 4, 6))
        at = np.flatnonzero(rows) + cell
        slot = (at - cell) // layout.size
        ahead = (slot - following % slots) % slots
        arrays[f"open{g}/frame"] = following + ahead
        arrays[f"open{g}/device"] = (at - cell) % layout.size
        arrays[f"open{g}/words"] = frames.words[at]
        arrays[f"open{g}/names"] = _pack(list(layout.names))
    names = [d.id for d in engine.network.devices]
    head = {
        "format": FORMAT,
        "sources_hash": SOURCE_HASH,
        "sources": engine.sources,
        "newest": engine._newest.tolist(),
        "events": [[t, names[d], code, known] for t, d, code, known in sorted(engine._events)],
        "pulses": sorted(engine._pulses),
        "groups": [
            {
                "step_us": layout.step_us,
                "delay_us": layout.delay_us,
                "next": int(frames.shape[g, 6]),
                "started": engine._started[g],
                "empty_run": engine._empty_run[g],
            }
            for g, layout in enumerate(engine.fleet.groups)
        ],
        "counters": frames.counters.tolist(),
        "learned": [list(astuple(x)) for x in engine.learned.values()],
        "judged": [engine._frames_judged, engine._findings, engine._n_events],
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def load(engine: "Engine", data: bytes, *, learned: bool = True) -> None:
    """Fill a fresh engine from `save`'s bytes; `learned` False keeps its own map."""
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        head = json.loads(archive["head"].tobytes())
    except (ValueError, KeyError, OSError, EOFError) as e:
        raise StaleSnapshot(
            "the detector snapshot is damaged; remove it and the journal is replayed"
        ) from e
    if head["format"] != FORMAT or head["sources_hash"] != SOURCE_HASH:
        raise StaleSnapshot(
            "the detector snapshot was made by another version; remove it and history is replayed"
        )
    if learned and head["learned"]:
        engine.learned = {row[0]: Learned(*row) for row in head["learned"]}
        engine._build()
    for label, part in _parts(engine):
        _take_over(archive, label, part)
    engine.sources = list(head["sources"])
    engine._newest = np.array(head["newest"], np.int64)
    index = engine.network.device_index
    engine._events = [(t, index[d], c, k) for t, d, c, k in head["events"] if d in index]
    engine._pulses = list(head["pulses"])
    engine.frames.counters[:] = head["counters"]
    engine._frames_judged, engine._findings, engine._n_events = head["judged"]
    old = {(g["step_us"], g["delay_us"]): (i, g) for i, g in enumerate(head["groups"])}
    for g, layout in enumerate(engine.fleet.groups):
        found = old.get((layout.step_us, layout.delay_us))
        if found is None:
            continue
        i, group = found
        engine.frames.shape[g, 6] = group["next"]
        engine._started[g] = group["started"]
        engine._empty_run[g] = group["empty_run"]
        _refill(engine, g, archive, i)


def _parts(engine: "Engine") -> list[tuple[str, Stateful]]:
    parts: list[tuple[str, Stateful]] = []
    for layout, detectors in zip(engine.fleet.groups, engine.detectors, strict=True):
        for d in detectors:
            parts.append((f"{d.name}.{d.version}.{layout.step_us}.{layout.delay_us}", d))
    if engine.outage is not None:
        parts.append((f"{engine.outage.name}.{engine.outage.version}", engine.outage))
    return parts


def _take_over(archive: Any, label: str, part: Stateful) -> None:
    state: dict[str, Array] = {}
    places: dict[str, tuple[Array, Array] | None] = {}
    for name, axis in part.axes.items():
        key = f"{label}/{name}"
        if key not in archive:
            continue
        if axis not in places:
            places[axis] = _match(archive[f"{label}@{axis}"], part.keys(axis))
        match = places[axis]
        saved = archive[key]
        if match is None:
            state[name] = saved
        elif saved.shape[1:] == part.state[name].shape[1:]:
            merged = part.state[name].copy()
            merged[match[1]] = saved[match[0]]
            state[name] = merged
    part.restore(state)


def _match(packed: Array, new: list[str]) -> tuple[Array, Array] | None:
    """Rows of the old keys and where they go; None when nothing has changed."""
    if packed.tobytes() == _pack(new).tobytes():
        return None
    old = _unpack(packed)
    at = {k: i for i, k in enumerate(old)}
    pairs = [(at[k], i) for i, k in enumerate(new) if k in at]
    table = np.array(pairs, np.int64).reshape(len(pairs), 2)
    return table[:, 0], table[:, 1]


def _open_rows(engine: "Engine", g: int) -> NDArray[np.bool_]:
    frames = engine.frames
    slots, size, cell = (int(frames.shape[g, k]) for k in (2, 3, 4))
    return np.asarray(frames.words[cell : cell + slots * size, STAMP] > NEVER)


def _refill(engine: "Engine", g: int, archive: Any, old: int) -> None:
    frames = engine.frames
    layout = engine.fleet.groups[g]
    names = _unpack(archive[f"open{old}/names"])
    place = {n: i for i, n in enumerate(layout.names)}
    position = np.array([place.get(n, -1) for n in names], np.int64)
    slots, size, cell, first = (int(frames.shape[g, k]) for k in (2, 3, 4, 5))
    at_device = position[archive[f"open{old}/device"]] if names else np.empty(0, np.int64)
    keep = at_device >= 0
    slot = archive[f"open{old}/frame"][keep] % slots
    at = cell + slot * size + at_device[keep]
    frames.words[at] = archive[f"open{old}/words"][keep]
    np.add.at(frames.filled, first + slot, 1)


def _pack(keys: list[str]) -> Array:
    return np.frombuffer("\n".join(keys).encode(), np.uint8) if keys else np.empty(0, np.uint8)


def _unpack(data: Array) -> list[str]:
    return data.tobytes().decode().split("\n") if data.size else []
