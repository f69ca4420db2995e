"""Read exports of a head-end: CSV or XLSX in any layout, to rows in order of time.

A file is read in blocks into arrays, one a quantity, so a day of 100,000 meters fits into memory;
`Exports.steps` hands it out by quarters of an hour, all meters together, because event time must
not run ahead of the meters that stand further down in the file.
Knows nothing of folders, journals or clocks.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.journal import Quarantined
from ingest.export_reader import ExportReader, Piece
from ingest.export_text import BadExport, lines_of
from ingest.layout import Layout
from ingest.rows import Origin, Rows

__all__ = ["SUFFIXES", "BadExport", "Exports"]

STEP_US: Final = 900_000_000
_PHASES: Final = ("p_a", "p_b", "p_c")
SUFFIXES: Final = (".csv", ".txt", ".tsv", ".xlsx", ".xlsm")


@dataclass(slots=True)
class Exports:
    """What some files hold, and what had to be refused of them."""

    received_us: int
    refused: list[Quarantined] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)
    _pieces: list[Piece] = field(default_factory=list)
    _origins: list[Origin] = field(default_factory=list)

    @property
    def names(self) -> Sequence[str]:
        """The devices named in the files."""
        return tuple(self._names)

    def add(self, file: Path | bytes, layout: Layout, name: str, *, quality: int = 0) -> int:
        """Read one file; returns how many lines it has. Raises BadExport with nothing added.

        `name` is the file's, also where the bytes are given; `quality` marks all of its rows.
        """
        lines = lines_of(file, layout, name)
        source = f"file {layout.name} {name}"
        reader = ExportReader(lines, layout, self._names, len(self._origins), quality)
        try:
            count = reader.read()
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise BadExport(f"it cannot be read as {lines.encoding} text: {error}") from error
        self._origins.append(Origin(source, None, columns=True, message=name.encode()))
        self._pieces += reader.pieces
        self.refused += lines.refusals(source, reader.bad, self.received_us)
        return count

    def steps(self, step_us: int = STEP_US) -> Iterator[Rows]:
        """All rows, a step of time after the other, within a step by time."""
        parts: defaultdict[int, list[tuple[Piece, int, Any]]] = defaultdict(list)
        for piece in self._pieces:
            points = next(iter(piece.values.values())).shape[1]
            for n in range(points):
                step = (piece.base_us + n * piece.step_us) // step_us
                for number, which in _segments(step):
                    parts[number].append((piece, n, which))
        names = self.names
        for number in sorted(parts):
            rows = self._joined(parts.pop(number), names)
            if len(rows):
                yield rows

    def _joined(self, parts: Sequence[tuple[Piece, int, Any]], names: Sequence[str]) -> Rows:
        """Rows of one step; lines of different quantities of one meter and time become one."""
        device = np.concatenate([piece.device[which] for piece, _, which in parts])
        time = np.concatenate([p.base_us[which] + n * p.step_us for p, n, which in parts])
        sizes = [len(piece.device[which]) for piece, _, which in parts]
        quality = np.repeat([piece.quality for piece, _, _ in parts], sizes)
        origin = np.repeat([piece.origin for piece, _, _ in parts], sizes)
        order = np.lexsort((device, time))
        first = np.ones(order.size, bool)
        first[1:] = (np.diff(device[order]) != 0) | (np.diff(time[order]) != 0)
        row = np.empty(order.size, np.intp)
        row[order] = np.cumsum(first) - 1
        lead = order[first]
        values: dict[str, NDArray[np.float64]] = {}
        at = 0
        for (piece, n, which), size in zip(parts, sizes, strict=True):
            place = row[at : at + size]
            for name, column in piece.values.items():
                given = column[which, n]
                there = ~np.isnan(given)
                if there.any():
                    filled = values.setdefault(name, np.full(lead.size, np.nan))
                    filled[place[there]] = given[there]
            at += size
        known = np.zeros(lead.size, bool)
        for column in values.values():
            known |= ~np.isnan(column)
        rows = Rows.of(
            names,
            device[lead],
            time[lead],
            values,
            received=self.received_us,
            quality=quality[lead],
            origin=origin[lead],
            origins=self._origins,
        )
        return rows if known.all() else rows.select(known)

    def withdrawn(self) -> Iterator[Rows]:
        """The cells that mended files have emptied, as rows with a number for each quantity.

        A value that another line gives for the same meter and time stands, and so does the total
        where all three phases are given: the checks make it of them.
        """
        holding: defaultdict[str, list[Piece]] = defaultdict(list)
        for piece in self._pieces:
            for name in piece.values:
                holding[name].append(piece)
        for name in dict.fromkeys(q for piece in self._pieces for q in piece.empty or ()):
            given = holding[name]
            for piece in given:
                if piece.empty is None or not piece.empty[name].any():
                    continue
                line, point = np.nonzero(piece.empty[name])
                device = piece.device[line]
                time = piece.base_us[line] + point * piece.step_us
                gone = ~_is_given(device, time, name, given)
                if name == "p" and all(q in holding for q in _PHASES):
                    summed = [_is_given(device, time, q, holding[q]) for q in _PHASES]
                    gone &= ~np.logical_and.reduce(summed)
                if gone.any():
                    yield Rows.of(
                        self.names,
                        device[gone],
                        time[gone],
                        {name: np.ones(int(gone.sum()))},
                        received=self.received_us,
                        quality=piece.quality,
                        origin=piece.origin,
                        origins=self._origins,
                    )


def _is_given(
    device: NDArray[np.int32], time: NDArray[np.int64], name: str, pieces: Iterable[Piece]
) -> NDArray[np.bool_]:
    """bool[n]: do these pieces hold a number of this quantity for the device and time?"""
    times = np.unique(time)
    key = device.astype(np.int64) * times.size + np.searchsorted(times, time)
    out = np.zeros(device.size, bool)
    for piece in pieces:
        line = np.flatnonzero(np.isin(piece.device, device))
        values = piece.values[name][line]
        at = piece.base_us[line, None] + np.arange(values.shape[1]) * piece.step_us
        rank = np.minimum(np.searchsorted(times, at), times.size - 1)
        there = ~np.isnan(values) & (times[rank] == at)
        out |= np.isin(key, (piece.device[line, None].astype(np.int64) * times.size + rank)[there])
    return out


def _segments(step: NDArray[np.int64]) -> Iterable[tuple[int, Any]]:
    """Each number with the places where it stands."""
    if not step.size:
        return
    if (step == step[0]).all():
        yield int(step[0]), slice(None)
        return
    order = np.argsort(step, kind="stable")
    cuts = np.flatnonzero(np.diff(step[order])) + 1
    for which in np.split(order, cuts):
        yield int(step[which[0]]), which
