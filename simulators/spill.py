"""Readings of one area on disk until all areas are merged, in small pieces ordered by arrival.

Written by the process that simulated the area, read back piece by piece: memory stays bounded
whatever the size of the town.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grid.readings import ReadingBatch

PIECE_ROWS = 4_000


@dataclass(frozen=True, slots=True)
class Spill:
    """One area's file: offsets and last arrival of its pieces, `rows` in all."""

    path: Path
    rows: int
    offsets: tuple[int, ...]
    last_us: tuple[int, ...]


def write_spill(path: Path, readings: ReadingBatch) -> Spill:
    """Write readings that are ordered by arrival."""
    offsets, last = [0], []
    with path.open("wb") as file:
        for at in range(0, len(readings), PIECE_ROWS):
            piece = readings.select(slice(at, at + PIECE_ROWS))
            file.write(piece.to_bytes())
            offsets.append(file.tell())
            last.append(int(piece.received[-1]))
    return Spill(path, len(readings), tuple(offsets), tuple(last))


class _Reader:
    """Takes a spill's rows below rising cuts."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._next = 0
        self._rest = ReadingBatch.empty()

    def below(self, cut_us: int) -> ReadingBatch:
        parts = [self._rest]
        with self._spill.path.open("rb") as file:
            while self._next < len(self._spill.last_us):
                if len(parts[-1]) and parts[-1].received[-1] >= cut_us:
                    break
                begin, end = self._spill.offsets[self._next : self._next + 2]
                file.seek(begin)
                parts.append(ReadingBatch.from_bytes(file.read(end - begin)))
                self._next += 1
        whole = ReadingBatch.concat(parts)
        at = int(np.searchsorted(whole.received, cut_us))
        self._rest = whole.select(slice(at, None))
        return whole.select(slice(0, at))


def merged(spills: list[Spill], rows_a_piece: int) -> Iterator[ReadingBatch]:
    """All rows in windows of arrival time, each of about `rows_a_piece` rows."""
    last = np.sort(np.array([t for s in spills for t in s.last_us], np.int64))
    if not last.size:
        return
    every = max(1, rows_a_piece // PIECE_ROWS)
    cuts = np.unique(np.append(last[every - 1 :: every], last[-1] + 1))
    readers = [_Reader(s) for s in spills]
    for cut in cuts.tolist():
        piece = ReadingBatch.concat([r.below(cut) for r in readers])
        if len(piece):
            yield piece
