"""Save and restore an engine's state by name, so that it survives a restart and an edited network.

The form is a JSON head and the raw arrays behind it, so that reading is one copy. Rows belong to
keys (device and place, area, branch, tree node): what is unchanged is taken over, what has gone is
dropped, what is new or moved starts afresh. In an unchanged network no key is even looked at. A
snapshot of other detector sources is refused: replaying the journal is always right.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Stateful
from detectors.compiled import SOURCE_HASH
from detectors.frames import Frames
from grid.errors import ForewattError

FORMAT: Final = 2
MAGIC: Final = b"FWD2"
ALIGNED: Final = 64
Array = NDArray[Any]
Parts = Sequence[tuple[str, Stateful]]


class StaleSnapshot(ForewattError):
    """The snapshot cannot be used; start without it and replay the journal or the history."""


class Keys:
    """Whose state the rows of each part's axes are; many parts share one list, kept once."""

    def __init__(self) -> None:
        self.packed: dict[str, Array] = {}
        self._digest: dict[tuple[str, Axis], str] = {}

    def of(self, label: str, part: Stateful, axis: Axis) -> str:
        """The digest under which the key list is found in `packed`."""
        known = self._digest.get((label, axis))
        if known is None:
            text = _pack(part.keys(axis))
            known = hashlib.blake2b(text, digest_size=16).hexdigest()
            self.packed.setdefault(known, np.frombuffer(text, np.uint8))
            self._digest[label, axis] = known
        return known


def save(parts: Parts, frames: Frames, keys: Keys, head: Mapping[str, Any]) -> bytes:
    """Detectors, open frames and what else the engine knows (`head`, for JSON)."""
    arrays: dict[str, Array] = {}
    used: dict[str, str] = {}
    for label, part in parts:
        for name, array in part.state.items():
            arrays[f"{label}/{name}"] = array
        for axis in sorted(set(part.axes.values())):
            used[f"{label}@{axis}"] = keys.of(label, part, axis)
    for digest in sorted(set(used.values())):
        arrays[f"keys/{digest}"] = keys.packed[digest]
    for g, layout in enumerate(frames.fleet.groups):
        frame, device, words = frames.open_readings(g)
        arrays[f"open{g}/frame"], arrays[f"open{g}/device"] = frame, device
        arrays[f"open{g}/words"] = words
        names = np.frombuffer(_pack(list(layout.names)), np.uint8)
        arrays[f"open{g}/names"] = names
    text = json.dumps({
        "format": FORMAT,
        "sources_hash": SOURCE_HASH,
        "fleet": frames.fleet.identity,
        "keys": used,
        "arrays": [[name, a.dtype.str, a.shape] for name, a in arrays.items()],
        "engine": head,
    }).encode()  # fmt: skip
    out: list[bytes | memoryview] = [MAGIC, len(text).to_bytes(8, "little"), text]
    at = sum(map(len, out))
    for array in arrays.values():
        out += [bytes(-at % ALIGNED), np.ascontiguousarray(array).reshape(-1).view(np.uint8).data]
        at += -at % ALIGNED + array.nbytes
    return b"".join(out)


class Snapshot:
    """`save`'s bytes, opened; raises StaleSnapshot for what cannot be used."""

    def __init__(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            if bytes(view[:4]) != MAGIC:
                raise ValueError("no snapshot")
            at = 12 + int.from_bytes(view[4:12], "little")
            head = json.loads(bytes(view[12:at]))
            usable = head["format"] == FORMAT and head["sources_hash"] == SOURCE_HASH
            self._arrays: dict[str, Array] = {}
            for name, dtype, shape in head["arrays"] if usable else ():
                at += -at % ALIGNED
                count = int(np.prod(shape, dtype=np.int64))
                self._arrays[name] = np.frombuffer(view, dtype, count, at).reshape(shape)
                at += self._arrays[name].nbytes
        except (ValueError, KeyError, TypeError) as e:
            raise StaleSnapshot(
                "the detector snapshot is damaged; remove it and the journal is replayed"
            ) from e
        if not usable:
            raise StaleSnapshot(
                "the detector snapshot was made by another version; remove it and history is "
                "replayed"
            )
        self.engine: dict[str, Any] = head["engine"]
        self._keys: dict[str, str] = head["keys"]
        self._fleet: str = head["fleet"]

    def take_over(self, parts: Parts, frames: Frames) -> None:
        """Fill the state of detectors that still exist."""
        same = self._fleet == frames.fleet.identity
        for label, part in parts:
            state: dict[str, Array] = {}
            places: dict[str, tuple[Array, Array]] = {}
            for name, axis in part.axes.items():
                saved = self._arrays.get(f"{label}/{name}")
                if saved is None:
                    continue
                if same:
                    state[name] = saved
                elif saved.shape[1:] == part.state[name].shape[1:]:
                    if axis not in places:
                        old = self._arrays[f"keys/{self._keys[f'{label}@{axis}']}"]
                        places[axis] = _match(_unpack(old), part.keys(axis))
                    before, now = places[axis]
                    merged = part.state[name].copy()
                    merged[now] = saved[before]
                    state[name] = merged
            part.restore(state)
            if not same and f"{label}@device" in self._keys:
                old = self._arrays[f"keys/{self._keys[f'{label}@device']}"]
                part.edited(_unpack(old), part.keys("device"))

    def refill(self, frames: Frames, g: int, old: int) -> None:
        """Put the open readings of the snapshot's group `old` into the frames of group `g`."""
        frame, device, words = (
            self._arrays[f"open{old}/{k}"] for k in ("frame", "device", "words")
        )
        if self._fleet != frames.fleet.identity:
            names = _unpack(self._arrays[f"open{old}/names"])
            place = {n: i for i, n in enumerate(frames.fleet.groups[g].names)}
            position = np.array([place.get(n, -1) for n in names], np.int64)
            device = position[device] if names else np.empty(0, np.int64)
            keep = device >= 0
            frame, device, words = frame[keep], device[keep], words[keep]
        slots, following = int(frames.shape[g, 2]), int(frames.shape[g, 6])
        if frame.size and int(frame.max()) >= following + slots:
            # Two frames would share a slot, and readings stand at a time that is not theirs.
            raise StaleSnapshot(
                "the detector snapshot waits longer for late readings than the settings do now; "
                "remove it and history is replayed"
            )
        frames.reopen(g, frame, device, words)


def _match(old: list[str], new: list[str]) -> tuple[Array, Array]:
    """Rows of the old keys that are still there, and where they go."""
    at = {k: i for i, k in enumerate(old)}
    pairs = [(at[k], i) for i, k in enumerate(new) if k in at]
    table = np.array(pairs, np.int64).reshape(len(pairs), 2)
    return table[:, 0], table[:, 1]


def _pack(keys: list[str]) -> bytes:
    return "\n".join(keys).encode()


def _unpack(data: Array) -> list[str]:
    return data.tobytes().decode().split("\n") if data.size else []
