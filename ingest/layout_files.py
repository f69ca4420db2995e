"""Read layouts of exports from TOML; every mistake names file, line, field and fix."""

import codecs
import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from grid.errors import BadInput
from grid.quantities import INDEX
from ingest.codes import Meaning
from ingest.layout import TIME_FORMS, Layout, Names, Points, TimeColumn, ValueColumn
from ingest.mapping_files import find_mapping, read_toml_file
from ingest.toml_place import line_of

FOLDER: Final = Path(__file__).parent / "layouts"
_TOP: Final = (
    "name device devices time values points code codes ct_ratio pt_ratio primary absent encoding "
    "delimiter decimal header_line sheet"
).split()


def load_layout(name_or_path: str | Path) -> Layout:
    """A shipped layout by name, or any by path; raises BadInput."""
    path = find_mapping(name_or_path, FOLDER)
    table, content = read_toml_file(path)
    return _Reader(str(path), content).layout(table)


class _Reader:
    def __init__(self, file: str, content: str) -> None:
        self._file, self._content = file, content

    def bad(self, field: str, problem: str, fix: str) -> BadInput:
        line = line_of(self._content, re.findall(r"\w+", field))
        return BadInput(f"{field} {problem}", file=self._file, line=line, fix=fix)

    def keys(self, table: Any, known: list[str], field: str) -> None:
        if not isinstance(table, dict):
            raise self.bad(field or "it", f"is {table!r}", f"Write [{field}]")
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, 1)
                fix = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}"
                name = f"{field}: {key!r}" if field else repr(key)
                raise self.bad(name, "is no field of a layout", fix)

    def layout(self, table: dict[str, Any]) -> Layout:
        self.keys(table, _TOP, "")
        code = self.names(table, "code", "")
        points = self.points(table.get("points"))
        values = self.values(table.get("values", {}), points.count)
        if points.count > 1 and not code and not values:
            fix = 'Name the column that tells it: code = "...", or give [values] v_a = "UA{n}"'
            raise self.bad("code", "is missing: which quantity is in a line?", fix)
        if code and not points.column:
            fix = 'Write [points] column = "value" (or "P{n}")'
            raise self.bad("points", "are missing: a line with a code needs its column", fix)
        name = self.text(table, "name", "", None)
        if len(name.split()) != 1:
            raise self.bad("name", f"is {name!r}", "Write one word: it marks refused lines")
        return Layout(
            name=name,
            device=self.names(table, "device", "", needed=True),
            time=self.time(table.get("time")),
            values=values,
            points=points,
            code=code,
            codes=self.codes(table.get("codes", {})),
            devices=self.devices(table.get("devices", {})),
            ct_ratio=self.names(table, "ct_ratio", ""),
            pt_ratio=self.names(table, "pt_ratio", ""),
            primary=self.flag(table, "primary") or "ct_ratio" in table or "pt_ratio" in table,
            absent=self.absent(table, ""),
            encoding=self.encoding(table),
            delimiter=self.text(table, "delimiter", "", "auto"),
            decimal=self.decimal(table),
            header_line=self.whole(table, "header_line", "", 1, 1, 1000),
            sheet=self.text(table, "sheet", "", ""),
        )

    def text(self, table: Mapping[str, Any], key: str, where: str, default: str | None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise self.bad(where + key, f"is {value!r}", f'Write {key} = "..."')
        return value

    def flag(self, table: Mapping[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self.bad(key, f"is {value!r}", "Write true or false")
        return value

    def whole(
        self, table: Mapping[str, Any], key: str, where: str, default: int, low: int, high: int
    ) -> int:
        value = table.get(key, default)
        if type(value) is not int or not low <= value <= high:
            fix = f"Write a whole number from {low} to {high}"
            raise self.bad(where + key, f"is {value!r}", fix)
        return value

    def number(self, table: Mapping[str, Any], key: str, where: str, default: float) -> float:
        value = table.get(key, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.bad(where + key, f"is {value!r}", "Write a number")
        return float(value)

    def names(
        self, table: Mapping[str, Any], key: str, where: str, *, needed: bool = False
    ) -> Names:
        given = table.get(key, [] if not needed else None)
        names = [given] if isinstance(given, str) else given
        if (
            not isinstance(names, list)
            or not all(isinstance(n, str) and n for n in names)
            or (needed and not names)
        ):
            fix = f'Write {key} = "heading", or a list of which the first that is there counts'
            raise self.bad(where + key, f"is {given!r}", fix)
        return tuple(names)

    def absent(self, table: Mapping[str, Any], where: str) -> tuple[float, ...]:
        given = table.get("absent", [])
        if not isinstance(given, list) or not all(type(n) in (int, float) for n in given):
            raise self.bad(where + "absent", f"is {given!r}", "Write numbers, such as [-9999]")
        return tuple(map(float, given))

    def encoding(self, table: Mapping[str, Any]) -> str:
        name = self.text(table, "encoding", "", "auto")
        if name != "auto":
            try:
                codecs.lookup(name)
            except LookupError as error:
                fix = 'Write "auto", "utf-8" or "gb18030"'
                raise self.bad("encoding", f"{name!r} is not known", fix) from error
        return name

    def decimal(self, table: Mapping[str, Any]) -> str:
        point = self.text(table, "decimal", "", ".")
        if point not in (".", ","):
            raise self.bad("decimal", f"is {point!r}", 'Write "." or ","')
        return point

    def time(self, given: Any) -> TimeColumn:
        if given is None:
            raise self.bad("time", "is missing", 'Write [time] with column = "..."')
        self.keys(given, ["column", "clock", "form", "zone", "format"], "time")
        form = given.get("form", "local")
        if form not in TIME_FORMS:
            raise self.bad("time: form", f"is {form!r}", f"Known: {', '.join(TIME_FORMS)}")
        zone = self.text(given, "zone", "time: ", "UTC")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            fix = "Write a name such as Asia/Shanghai"
            raise self.bad("time: zone", f"{zone!r} is not known", fix) from error
        return TimeColumn(
            self.names(given, "column", "time: ", needed=True),
            self.names(given, "clock", "time: "),
            form,
            zone,
            self.text(given, "format", "time: ", ""),
        )

    def points(self, given: Any) -> Points:
        if given is None:
            return Points()
        self.keys(given, ["column", "first", "count", "first_s"], "points")
        count = self.whole(given, "count", "points: ", 1, 1, 86_400)
        if 86_400 % count:
            fix = "Write a divisor of 86400, such as 24, 48, 96 or 288"
            raise self.bad("points: count", f"is {count}, which cuts no day evenly", fix)
        column = self.names(given, "column", "points: ")
        if count > 1 and any("{n}" not in name for name in column):
            raise self.bad("points: column", "lacks {n}", 'Write "P{n}"')
        return Points(
            column,
            self.whole(given, "first", "points: ", 1, 0, 1000),
            count,
            self.number(given, "first_s", "points: ", 0.0),
        )

    def values(self, given: Any, count: int) -> tuple[ValueColumn, ...]:
        self.keys(given, list(INDEX), "values")
        out = []
        for quantity, spec in given.items():
            where = f"values: {quantity}: "
            table = {"column": spec} if isinstance(spec, str | list) else spec
            self.keys(table, ["column", "scale", "absent"], f"values: {quantity}")
            column = self.names(table, "column", where, needed=True)
            if count > 1 and any("{n}" not in name for name in column):
                raise self.bad(where + "column", "lacks {n}", 'Write "UA{n}"')
            scale = self.scale(table, where)
            out.append(ValueColumn(quantity, column, scale, self.absent(table, where)))
        return tuple(out)

    def scale(self, table: Mapping[str, Any], where: str) -> float:
        scale = self.number(table, "scale", where, 1.0)
        if scale == 0:
            raise self.bad(where + "scale", "is 0", "Then nothing would be left")
        return scale

    def codes(self, given: Any) -> Mapping[str, Meaning]:
        if not isinstance(given, dict):
            raise self.bad("codes", "is not a table", 'Write "their word" = "v_a" lines')
        out = {}
        for word, spec in given.items():
            table = {"quantity": spec} if isinstance(spec, str) else spec
            self.keys(table, ["quantity", "scale"], f"codes: {word}")
            quantity = table.get("quantity")
            if quantity not in INDEX:
                near = get_close_matches(str(quantity), INDEX, 1)
                fix = f"Did you mean {near[0]!r}?" if near else "See the list in docs/payloads.md"
                raise self.bad(f"codes: {word}", f"names {quantity!r}, which is no quantity", fix)
            out[word] = Meaning(quantity, self.scale(table, f"codes: {word}: "))
        return out

    def devices(self, given: Any) -> Mapping[str, str]:
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise self.bad("devices", "is not a table of names", 'Write "theirs" = "ours" lines')
        return dict(given)
