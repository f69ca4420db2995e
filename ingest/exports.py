"""Read exports of a head-end: CSV or XLSX in any layout, to rows in order of time.

A file is read in blocks into arrays, one a quantity, so a day of 100,000 meters fits into memory;
`Exports.steps` hands it out by quarters of an hour, all meters together, because event time must
not run ahead of the meters that stand further down in the file.
Knows nothing of folders, journals or clocks.
"""

import codecs
import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from grid.journal import Quarantined
from grid.quantities import INDEX, QUANTITIES
from ingest.checks import CURRENT_RATIO, POWER_RATIO, VOLTAGE_RATIO
from ingest.codes import Meaning, meaning
from ingest.layout import Layout, Names
from ingest.rows import REFUSALS_MAX, Origin, Rows, crowd, refusal

STEP_US: Final = 900_000_000
SUFFIXES: Final = (".csv", ".txt", ".tsv", ".xlsx", ".xlsm")
_BLOCK_BYTES: Final = 4 << 20
_HEAD_BYTES: Final = 1 << 20
_ABSENT: Final = ["", "-", "--", "/", "null", "NULL", "NaN", "nan", "N/A", "#N/A", "None", "无"]
_LINE_MAX: Final = 16 << 10  # of a refused line so much is kept


class BadExport(Exception):
    """The file as a whole cannot be read; the text says why."""


@dataclass(slots=True, eq=False)
class _Piece:
    """Lines of one block: `values[quantity][line, point]`, NaN = absent."""

    device: NDArray[np.int32]
    base_us: NDArray[np.int64]
    step_us: int
    values: dict[str, NDArray[Any]]
    origin: int
    quality: int


@dataclass(slots=True)
class Exports:
    """What some files hold, and what had to be refused of them."""

    received_us: int
    refused: list[Quarantined] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)
    _pieces: list[_Piece] = field(default_factory=list)
    _origins: list[Origin] = field(default_factory=list)

    @property
    def names(self) -> Sequence[str]:
        """The devices named in the files."""
        return tuple(self._names)

    def add(self, file: Path | bytes, layout: Layout, name: str, *, quality: int = 0) -> int:
        """Read one file; returns how many lines it has. Raises BadExport with nothing added.

        `name` is the file's, also where the bytes are given; `quality` marks all of its rows.
        """
        lines = _lines_of(file, layout, name)
        source = f"file {layout.name} {name}"
        reader = _Reader(lines, layout, self._names, len(self._origins), quality)
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
        parts: defaultdict[int, list[tuple[_Piece, int, Any]]] = defaultdict(list)
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

    def _joined(self, parts: Sequence[tuple[_Piece, int, Any]], names: Sequence[str]) -> Rows:
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


# -- text ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lines:
    """A file as lines of text: its headings and how to read on."""

    file: Path | bytes
    encoding: str
    delimiter: str
    header_line: int
    head: str
    invalid: dict[int, str] = field(default_factory=dict)  # physical line: its text

    @property
    def headings(self) -> list[str]:
        try:
            return next(csv.reader([self.head], delimiter=self.delimiter), [])
        except csv.Error as error:
            raise BadExport(f"its heading cannot be read: {error}") from error

    def open(self) -> Any:
        """A stream of bytes for pyarrow."""
        if isinstance(self.file, bytes):
            return pa.BufferReader(self.file)
        return pa.OSFile(str(self.file))

    def refusals(self, source: str, bad: Mapping[int, str], received_us: int) -> list[Quarantined]:
        """One entry a refused line, or one for the file when they are too many.

        `bad` names lines by their place among those that could be cut into columns.
        """
        reasons = {
            line: f"line {line}: it has another number of columns than the heading"
            for line in self.invalid
        }
        texts = dict(self.invalid)
        if bad and len(bad) + len(reasons) <= REFUSALS_MAX:
            for place, line, text in self._places():
                if place in bad:
                    reasons[line], texts[line] = f"line {line}: {bad[place]}", text
        elif bad:
            line = self.header_line + 1 + min(bad)
            reasons |= {-place - 1: f"line {line}: {bad[min(bad)]}" for place in bad}
        if len(reasons) > REFUSALS_MAX:
            first = next(iter(reasons.values()))
            text = crowd(len(reasons), first).replace("rows of this message", "lines of this file")
            return [refusal(source, text, self.head.encode(), received_us)]
        return [
            refusal(source, reason, f"{self.head}\n{texts[line]}"[:_LINE_MAX].encode(), received_us)
            for line, reason in sorted(reasons.items())
        ]

    def _places(self) -> Iterator[tuple[int, int, str]]:
        """(place among good lines, physical line, text) of every line below the heading."""
        raw = io.BytesIO(self.file) if isinstance(self.file, bytes) else self.file.open("rb")
        place = 0
        with io.TextIOWrapper(raw, self.encoding, errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                text = line.rstrip("\r\n")
                if number <= self.header_line or not text or number in self.invalid:
                    continue
                yield place, number, text
                place += 1


def _lines_of(file: Path | bytes, layout: Layout, name: str) -> _Lines:
    if name.lower().endswith((".xlsx", ".xlsm")):
        file = _workbook_as_csv(file, layout.sheet)
        return _with_head(file, "utf-8", ",", layout)
    encoding = layout.encoding if layout.encoding != "auto" else _encoding_of(file)
    return _with_head(file, encoding, layout.delimiter, layout)


def _with_head(file: Path | bytes, encoding: str, delimiter: str, layout: Layout) -> _Lines:
    raw = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
    with raw:
        text = raw.read(_HEAD_BYTES).decode(encoding, errors="replace")
    lines = text.split("\n", layout.header_line)
    if len(lines) < layout.header_line or not lines[layout.header_line - 1].strip():
        raise BadExport(f"it has no heading in line {layout.header_line}")
    head = lines[layout.header_line - 1].strip("\r").lstrip("\ufeff")
    if delimiter == "auto":
        delimiter = max(",;\t|", key=head.count)
    return _Lines(file, encoding, delimiter, layout.header_line, head)


def _encoding_of(file: Path | bytes) -> str:
    """UTF-8 if all of it is, UTF-16 by its mark, else GB18030 (which holds GBK and GB2312)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    raw = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
    with raw:
        start = raw.read(2)
        if start in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
        raw.seek(0)
        try:
            while block := raw.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "gb18030"
    return "utf-8"


def _workbook_as_csv(file: Path | bytes, sheet: str) -> bytes:
    """A sheet as CSV text: whole numbers without a point, times as ISO 8601."""
    import python_calamine as calamine

    try:
        source = io.BytesIO(file) if isinstance(file, bytes) else str(file)
        book = calamine.CalamineWorkbook.from_object(source)
        names = book.sheet_names
        if sheet and sheet not in names:
            raise BadExport(f"it has no sheet {sheet!r}, only {', '.join(names)}")
        cells = book.get_sheet_by_name(sheet or names[0]).to_python(skip_empty_area=False)
    except BadExport:
        raise
    except Exception as error:  # the library has no root of its own
        raise BadExport(f"it is no workbook that can be read: {error}") from error
    out = io.StringIO()
    csv.writer(out).writerows([_cell(c) for c in row] for row in cells)
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


# -- columns -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A quantity (None: the code of the line says which) in `places`, one a point."""

    meaning: Meaning | None
    absent: tuple[float, ...]
    places: tuple[int, ...]


class _Reader:
    """Reads one file's lines into pieces."""

    def __init__(
        self, lines: _Lines, layout: Layout, names: dict[str, int], origin: int, quality: int
    ) -> None:
        self._lines, self._layout = lines, layout
        self._names, self._origin, self._quality = names, origin, quality
        self.pieces: list[_Piece] = []
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
            for number in column.absent:
                values[values == number] = np.nan
            if column.meaning is not None:
                self._keep(device, base, good, column.meaning, values, ratio)
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
                    self._keep(device, base, mine, known, values, ratio)

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
            _Piece(
                device[which],
                base[which] + round(points.first_s * 1e6),
                points.step_us,
                {name: scaled},
                self._origin,
                self._quality,
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


def _plain(heading: str) -> str:
    """Full-width letters, cases and blanks make no difference."""
    return "".join(unicodedata.normalize("NFKC", heading).split()).lower()
