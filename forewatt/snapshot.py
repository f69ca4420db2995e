"""The detectors' and the book's state in one local file, with the journal offset it stands for.

Written beside, synced, renamed: after any crash there is the old file or the new one, whole. Its
head alone says how far the journal may be trimmed.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from grid.errors import ForewattError

_MAGIC = b"forewatt snapshot 1\n"


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """What a snapshot stands for.

    Attributes
    ----------
    journal : uuid of the journal
    offset : the last entry whose consequences are in the state
    """

    journal: str
    offset: int


class SnapshotDamaged(ForewattError):
    """The snapshot cannot be used; the journal is judged again from its oldest entry."""


def write_snapshot(path: Path, head: SnapshotHead, engine: bytes, book: bytes) -> int:
    """Replace the snapshot durably; returns its size in bytes."""
    body = engine + book
    text = json.dumps(
        {
            "journal": head.journal,
            "offset": head.offset,
            "engine": len(engine),
            "book": len(book),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    ).encode()
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        file.write(_MAGIC + text + b"\n" + body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut before the journal is trimmed
    finally:
        os.close(folder)
    return len(_MAGIC) + len(text) + 1 + len(body)


def _split(path: Path) -> tuple[dict[str, object], memoryview] | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("it does not begin as a snapshot")
        end = data.index(b"\n", len(_MAGIC))
        head: dict[str, object] = json.loads(data[len(_MAGIC) : end])
        body = memoryview(data)[end + 1 :]  # gigabytes of a large fleet: no copy
        if hashlib.sha256(body).hexdigest() != head["sha256"]:
            raise ValueError("its checksum does not match")
    except (ValueError, KeyError) as error:
        raise SnapshotDamaged(
            f"{path} is damaged ({error}); move it away, the journal is judged again"
        ) from error
    return head, body


def read_snapshot(path: Path) -> tuple[SnapshotHead, bytes | memoryview, bytes] | None:
    """Head, engine state and book state; None without a file; SnapshotDamaged if it is broken."""
    found = _split(path)
    if found is None:
        return None
    head, body = found
    cut = int(str(head["engine"]))
    return _head(head), body[:cut], bytes(body[cut:])


def read_snapshot_head(path: Path) -> SnapshotHead | None:
    """Only the head, without reading the state; None when there is none to rely on."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return None
            head = json.loads(file.readline(100_000))
            return _head(head)
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _head(head: dict[str, object]) -> SnapshotHead:
    return SnapshotHead(str(head["journal"]), int(str(head["offset"])))
