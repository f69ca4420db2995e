"""The lines of one export, in blocks, to arrays: which column is what, and what cannot be read."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from grid.quantities import INDEX, QUANTITIES
from grid.readings import Quality
from ingest.checks import CURRENT_RATIO, POWER_RATIO, VOLTAGE_RATIO
from ingest.codes import Meaning, meaning
from ingest.export_text import BadExport, Lines
from ingest.layout import Layout, Names

_BLOCK_BYTES: Final = 1 << 20  # with 4 MiB the holes they left made up 80 MB of a large file
_ABSENT: Final = ["", "-", "--", "/", "null", "NULL", "NaN", "nan", "N/A", "#N/A", "None", "无"]


@dataclass(slots=True, eq=False)
class Piece:
    """Lines of one block: `values[quantity][line, point]`, NaN = absent.

    Of a mended file `empty[quantity][line, point]` tells the cells that hold nothing (one that
    holds no number is none of them).
    """

    device: NDArray[np.int32]
    base_us: NDArray[np.int64]
    step_us: int
    values: dict[str, NDArray[Any]]
    origin: int
    quality: int
    empty: dict[str, NDArray[np.bool_]] | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    """A quantity (None: the code of the line says which) in `places`, one a point."""

    meaning: Meaning | None
    absent: tuple[float, ...]
    places: tuple[int, ...]


class ExportReader:
    """Reads one file's lines into pieces."""

    def __init__(
        self, lines: Lines, layout: Layout, names: dict[str, int], origin: int, quality: int
    ) -> None:
        self._lines, self._layout = lines, layout
        self._names, self._origin, self._quality = names, origin, quality
        self.pieces: list[Piece] = []
        self.bad: dict[int, str] = {}  # place of a line: why it is refused, in whole or in part
        self._headings = {_plain(h): i for i, h in reversed(list(enumerate(lines.headings)))}
        self._device = self._needed(layout.device, "the meter")
        self._time = self._needed(layout.time.column, "the time")
        self._clock = self._place(layout.time.clock)
        self._code = self._needed(layout.code, "the quantity") if layout.code else None
        self._ct, self._pt = self._place(layout.ct_ratio), self._place(layout.pt_ratio)
        self._columns = self._find_columns()
        self._times: dict[str, int | str] = {}
        self._codes: dict[str, Meaning | None] = {}

    def _place(self, names: Names) -> int | None:
        found = (self._headings.get(_plain(name)) for name in names)
        return next((place for place in found if place is not None), None)

    def _needed(self, names: Names, what: str) -> int:
        place = self._place(names)
        if place is None:
            there = ", ".join(repr(h) for h in self._lines.headings[:12])
            raise BadExport(
                f"no column for {what}: looked for {', '.join(map(repr, names))}, there are {there}"
            )
        return place

    def _points(self, names: Names) -> tuple[int, ...] | None:
        """The places of a heading with `{n}`, all points or none."""
        points = self._layout.points
        for name in names:
            if points.count == 1 and "{n}" not in name:
                places = [self._place((name,))]
            else:
                numbers = range(points.first, points.first + points.count)
                places = [self._place((name.replace("{n}", str(n)),)) for n in numbers]
            if places[0] is not None:
                lacking = next((n for n, p in enumerate(places, points.first) if p is None), None)
                if lacking is not None:
                    missing = name.replace("{n}", str(lacking))
                    raise BadExport(f"there is {name!r}, but no column {missing!r}")
                return tuple(p for p in places if p is not None)
        return None

    def _find_columns(self) -> list[_Column]:
        layout = self._layout
        if self._code is not None:
            places = self._points(layout.points.column)
            if places is None:
                raise BadExport(f"no column {layout.points.column[0]!r} for the values")
            return [_Column(None, layout.absent, places)]
        out = []
        for value in layout.values:
            places = self._points(value.column)
            if places is not None:
                absent = (*layout.absent, *value.absent)
                out.append(_Column(Meaning(value.quantity, value.scale), absent, places))
        if layout.points.count == 1:
            out += self._by_code({c.meaning.quantity for c in out if c.meaning})
        if not out:
            raise BadExport("no column is headed by a quantity, a known code or a name of [values]")
        return out

    def _by_code(self, there: set[str]) -> Iterator[_Column]:
        for place, heading in enumerate(self._lines.headings):
            known = meaning(heading)
            if known is not None and known.quantity not in there:
                there.add(known.quantity)
                yield _Column(known, self._layout.absent, (place,))

    # -- blocks ----------------------------------------------------------------------------

    def read(self) -> int:
        """All blocks; returns the number of lines."""
        try:
            return self._blocks(plain=True)
        except pa.ArrowInvalid:
            # Some cell is no number. Once more as text, to find out which, and keep the others.
            self.pieces, self.bad = [], {}
            self._lines.invalid.clear()
            return self._blocks(plain=False)

    def _blocks(self, *, plain: bool) -> int:
        keys = [p for p in (self._device, self._time, self._clock, self._code) if p is not None]
        numbers = [p for column in self._columns for p in column.places]
        numbers += [p for p in (self._ct, self._pt) if p is not None]
        count = len(self._lines.headings)
        types = {str(p): pa.float64() if plain else pa.string() for p in numbers}
        types |= {str(p): pa.string() for p in keys}
        reader = pacsv.open_csv(
            self._lines.open(),
            pacsv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                skip_rows=self._lines.header_line,
                column_names=[str(i) for i in range(count)],
                encoding=self._lines.encoding,
            ),
            pacsv.ParseOptions(delimiter=self._lines.delimiter, invalid_row_handler=self._invalid),
            pacsv.ConvertOptions(
                include_columns=list(types),
                column_types=types,
                null_values=_ABSENT,
                decimal_point=self._layout.decimal,
            ),
        )
        at = 0
        with reader:
            for block in reader:
                self._block(block, at, plain=plain)
                at += block.num_rows
        return at

    def _invalid(self, row: Any) -> str:
        number = row.number if row.number is not None else -len(self._lines.invalid) - 1
        self._lines.invalid[number] = row.text
        return "skip"

    def _block(self, block: Any, at: int, *, plain: bool) -> None:
        device, base, good = self._keys(block, at)
        if not good.any():
            return
        columns = {
            name: block.column(name) if plain else self._numbers(block.column(name), name, at)
            for name in self._number_names()
        }
        ratio = {
            key: np.ones(len(good)) if p is None else _floats(columns[str(p)], 1.0)
            for key, p in (("ct", self._ct), ("pt", self._pt))
        }
        for column in self._columns:
            values = np.column_stack([_floats(columns[str(p)]) for p in column.places])
            empty = None
            if self._quality & Quality.REPLACES:
                empty = np.column_stack([_nothing(columns[str(p)]) for p in column.places])
            for number in column.absent:
                gone = values == number
                values[gone] = np.nan
                if empty is not None:
                    empty |= gone
            if column.meaning is not None:
                self._keep(device, base, good, column.meaning, values, ratio, empty)
                continue
            assert self._code is not None
            codes = block.column(str(self._code)).dictionary_encode()
            words = codes.dictionary.to_pylist()
            place = codes.indices.to_numpy(zero_copy_only=False)
            for i, word in enumerate(words):
                mine = good & (place == i)
                known = self._meaning(word)
                if known is None:
                    for k in np.flatnonzero(mine).tolist():
                        self.bad[at + k] = (
                            f"{word[:40]!r} is no known quantity or code; name it in [codes]"
                        )
                else:
                    self._keep(device, base, mine, known, values, ratio, empty)

    def _number_names(self) -> set[str]:
        places = {p for column in self._columns for p in column.places}
        return {str(p) for p in (*places, self._ct, self._pt) if p is not None}

    def _meaning(self, word: str) -> Meaning | None:
        if word not in self._codes:
            text = word.strip()
            self._codes[word] = self._layout.codes.get(text) or meaning(text)
        return self._codes[word]

    def _keep(
        self,
        device: NDArray[np.int32],
        base: NDArray[np.int64],
        which: NDArray[np.bool_],
        known: Meaning,
        values: NDArray[np.float64],
        ratio: Mapping[str, NDArray[np.float64]],
        empty: NDArray[np.bool_] | None,
    ) -> None:
        if not which.any():
            return
        name, factor = known.quantity, np.full(which.size, float(known.scale))
        if name in CURRENT_RATIO or name in POWER_RATIO:
            factor *= ratio["ct"]
        if name in VOLTAGE_RATIO or name in POWER_RATIO:
            factor *= ratio["pt"]
        dtype = np.float64 if QUANTITIES[INDEX[name]].double else np.float32
        with np.errstate(over="ignore"):  # absurd numbers become infinite and are refused later
            scaled = (values[which] * factor[which, None]).astype(dtype)
        points = self._layout.points
        self.pieces.append(
            Piece(
                device[which],
                base[which] + round(points.first_s * 1e6),
                points.step_us,
                {name: scaled},
                self._origin,
                self._quality,
                None if empty is None else {name: empty[which]},
            )
        )

    def _keys(
        self, block: Any, at: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
        """Device and time of each line, and which lines have both."""
        named = block.column(str(self._device)).dictionary_encode()
        of_name = np.array([self._name(n) for n in named.dictionary.to_pylist()], np.int32)
        device = of_name[named.indices.to_numpy(zero_copy_only=False)]
        stamp = block.column(str(self._time))
        if self._clock is not None:
            stamp = pc.binary_join_element_wise(stamp, block.column(str(self._clock)), " ")
        stamps = stamp.dictionary_encode()
        found = [self._instant(text) for text in stamps.dictionary.to_pylist()]
        of_stamp = np.array([0 if isinstance(t, str) else t for t in found], np.int64)
        wrong = np.array([isinstance(t, str) for t in found], bool)
        place = stamps.indices.to_numpy(zero_copy_only=False)
        good = (device >= 0) & ~wrong[place]
        for k in np.flatnonzero(~good).tolist():
            reason = found[place[k]]
            self.bad[at + k] = "it names no meter" if device[k] < 0 else str(reason)
        return device, of_stamp[place], good

    def _name(self, text: str) -> int:
        name = text.strip()
        if not name:
            return -1
        name = self._layout.devices.get(name, name)
        return self._names.setdefault(name, len(self._names))

    def _instant(self, text: str) -> int | str:
        found = self._times.get(text)
        if found is None:
            try:
                found = self._layout.time.read(text)
            except ValueError as error:
                found = str(error)
            if len(self._times) > 1_000_000:
                self._times.clear()
            self._times[text] = found
        return found

    def _numbers(self, column: Any, name: str, at: int) -> Any:
        """A column of text as numbers; a cell that is none is absent and named."""
        out: list[float | None] = []
        heading = self._lines.headings[int(name)]
        for k, text in enumerate(column.to_pylist()):
            value = None
            if text is not None and text.strip() not in _ABSENT:
                try:
                    value = float(text.strip().replace(self._layout.decimal, "."))
                except ValueError:
                    value = float("nan")  # something stands there: not the same as nothing
                    self.bad.setdefault(
                        at + k,
                        f"{text[:40]!r} under {heading!r} is no number; the rest of the line is "
                        "taken",
                    )
            out.append(value)
        return pa.array(out, pa.float64())


def _floats(column: Any, absent: float = float("nan")) -> NDArray[np.float64]:
    out: NDArray[np.float64] = column.fill_null(absent).to_numpy(zero_copy_only=False)
    return out


def _nothing(column: Any) -> NDArray[np.bool_]:
    """bool[n]: where the cell is empty."""
    out: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return out


def _plain(heading: str) -> str:
    """Full-width letters, cases and blanks make no difference."""
    return "".join(unicodedata.normalize("NFKC", heading).split()).lower()
