"""An export as lines of text: encoding, separator and heading found, workbooks turned into CSV."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from grid.journal import Quarantined
from ingest.layout import Layout
from ingest.rows import REFUSALS_MAX, crowd, refusal

_BLOCK_BYTES: Final = 4 << 20
_HEAD_BYTES: Final = 1 << 20
_LINE_MAX: Final = 16 << 10  # of a refused line so much is kept


class BadExport(Exception):
    """The file as a whole cannot be read; the text says why."""


@dataclass(slots=True)
class Lines:
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


def lines_of(file: Path | bytes, layout: Layout, name: str) -> Lines:
    if name.lower().endswith((".xlsx", ".xlsm")):
        file = _workbook_as_csv(file, layout.sheet)
        return _with_head(file, "utf-8", ",", layout)
    encoding = layout.encoding if layout.encoding != "auto" else _encoding_of(file)
    return _with_head(file, encoding, layout.delimiter, layout)


def _with_head(file: Path | bytes, encoding: str, delimiter: str, layout: Layout) -> Lines:
    raw = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
    with raw:
        text = raw.read(_HEAD_BYTES).decode(encoding, errors="replace")
    lines = text.split("\n", layout.header_line)
    if len(lines) < layout.header_line or not lines[layout.header_line - 1].strip():
        raise BadExport(f"it has no heading in line {layout.header_line}")
    head = lines[layout.header_line - 1].strip("\r").lstrip("\ufeff")
    if delimiter == "auto":
        delimiter = max(",;\t|", key=head.count)
    return Lines(file, encoding, delimiter, layout.header_line, head)


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
