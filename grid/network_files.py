"""Read a network from the dataset folder; every error names file, line, column and the fix.

All files are checked before anything is returned, so a broken folder loads nothing.
"""

import csv
import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from grid.errors import BadInput, ForewattError
from grid.network import (
    Alias,
    Customer,
    Device,
    Feeder,
    Network,
    PlannedWork,
    Section,
    Team,
    Transformer,
    UsagePoint,
    _parents_first,
)

ERRORS_SHOWN = 20
ID_MAX = 200  # characters; what a message or an index entry can still hold


class NetworkErrors(BadInput):
    """Everything wrong with a network folder, one line each, so that one round mends it."""

    def __init__(self, errors: Sequence[BadInput]) -> None:
        self.errors = tuple(errors)
        shown = [str(e) for e in self.errors[:ERRORS_SHOWN]]
        if len(self.errors) > ERRORS_SHOWN:
            shown.append(f"... and {len(self.errors) - ERRORS_SHOWN} more")
        ForewattError.__init__(self, "\n".join(shown))


def load_network(folder: Path) -> Network:
    """Load `folder` (or `folder/network`) as laid out in the dataset contract.

    Raises
    ------
    NetworkErrors
        With all mistakes found, each naming file, line, column and fix; nothing is loaded.
    """
    folder = Path(folder)
    if (folder / "network").is_dir():
        folder = folder / "network"
    if not folder.is_dir():
        raise BadInput(
            "no such folder", file=str(folder), fix="give a folder with network CSV files"
        )
    if not (folder / "devices.csv").is_file():
        raise BadInput(
            "devices.csv is missing",
            file=str(folder),
            fix="a network needs at least devices.csv; see docs/dataset.md for the columns",
        )
    return _Loader(folder).load()


def parse_time(text: str) -> int:
    """RFC 3339 with zone to microseconds UTC; raises ValueError saying what is missing.

    >>> parse_time("2026-01-01T08:00:00+08:00")
    1767225600000000
    """
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + moment.microsecond


class _Rows:
    """One CSV file: iterates (line, row) and parses cells, collecting errors.

    `unreadable` once some of the file could not be read: what it lists is not known then.
    """

    def __init__(self, path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
        self.path, self.columns = path, tuple(columns)
        self.errors: list[BadInput] = []
        self.notes: list[str] = []
        self.unreadable = False
        self.line = 1
        self.row: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        self._required = required

    def error(self, problem: str, column: str | None, fix: str, line: int | None = None) -> None:
        at = line or self.line
        self.errors.append(BadInput(problem, file=str(self.path), line=at, column=column, fix=fix))

    def unread(self, problem: str, fix: str) -> None:
        self.unreadable = True
        self.error(problem, None, fix)

    def __iter__(self) -> Iterator[None]:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as e:
            self.unread(f"byte {e.start} is not UTF-8", "save the file as UTF-8")
            return
        if "\0" in text:
            self.unread("the file holds NUL characters", "save the file as plain UTF-8 text")
            return
        reader = csv.reader(text.splitlines(), strict=True)
        try:
            header = [c.strip() for c in next(reader, [])]
        except csv.Error as e:
            self.unread(f"the header cannot be read ({e})", "check the quotes in line 1")
            return
        for name in self._required:
            if name not in header:
                near = difflib.get_close_matches(name, header, 1)
                hint = f"rename {near[0]!r}" if near else "add it"
                self.error(f"column {name!r} is missing", name, f"{hint} in the first line", 1)
        for name in self.columns:
            if header.count(name) > 1:
                fix = "delete or rename one of the two"
                self.error(f"column {name!r} stands twice", name, fix, 1)
        if self.errors:
            self.unreadable = True
            return
        unknown = [c for c in header if c and c not in self.columns]
        if unknown:
            self.notes.append(f"{self.path}: left aside {', '.join(unknown)}")
        seen: dict[str, int] = {}
        key = self._required[0] if self._required else None
        try:
            for cells in reader:
                self.line = reader.line_num
                if not any(c.strip() for c in cells):
                    continue
                if len(cells) > len(header):
                    self.error(
                        f"{len(cells)} cells where the header has {len(header)}",
                        None,
                        "quote cells that contain a comma",
                    )
                    continue
                self.row = {
                    h: c.strip() for h, c in zip(header, cells, strict=False) if h in self.columns
                }
                if key is not None and key in (
                    "feeder",
                    "section",
                    "transformer",
                    "usage_point",
                    "device",
                    "account",
                    "team",
                ):
                    value = self.row.get(key, "")
                    if not value:
                        self.error(f"{key} is empty", key, "give every row its id")
                        continue
                    if len(value) > ID_MAX or not value.isprintable():
                        shown = f"{value[:20]!r}{'...' * (len(value) > 20)}"
                        fix = f"use at most {ID_MAX} printable characters"
                        self.error(f"{key} {shown} is no usable name", key, fix)
                        continue
                    if value in seen:
                        self.error(
                            f"{key} {value!r} stands in line {seen[value]} already",
                            key,
                            "delete one of the two rows",
                        )
                        continue
                    seen[value] = self.line
                    self.lines[value] = self.line
                yield
        except csv.Error as e:
            self.line = reader.line_num
            self.unread(f"the row cannot be read ({e})", "check the quotes in this row")

    def text(self, column: str, default: str = "") -> str:
        return self.row.get(column, "") or default

    def optional(self, column: str) -> str | None:
        return self.row.get(column, "") or None

    def number(self, column: str, low: float, high: float) -> float | None:
        raw = self.row.get(column, "")
        if not raw:
            return None
        try:
            value = float(raw)
        except ValueError:
            self.error(f"{raw!r} is not a number", column, "write a plain number or leave it empty")
            return None
        if not low <= value <= high:
            self.error(f"{raw} is outside {low:g}..{high:g}", column, "check the unit of the value")
            return None
        return value

    def word(self, column: str, allowed: Sequence[str], default: str) -> Any:
        raw = self.row.get(column, "")
        if not raw:
            return default
        if raw in allowed:
            return raw
        near = difflib.get_close_matches(raw, allowed, 1)
        fix = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(allowed)}"
        self.error(f"{raw!r} is not known", column, fix)
        return default

    def time(self, column: str) -> int | None:
        raw = self.row.get(column, "")
        try:
            return parse_time(raw)
        except ValueError:
            fix = "write RFC 3339 with zone, such as 2026-03-01T08:00:00+08:00"
            self.error(f"{raw!r} is not a time with zone", column, fix)
            return None


class _Loader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors: list[BadInput] = []
        self.notes: list[str] = []
        self.unreadable: set[str] = set()

    def _read(
        self,
        name: str,
        columns: str,
        required: str,
        make: Callable[[_Rows], Any],
    ) -> tuple[list[Any], _Rows]:
        rows = _Rows(self.folder / name, columns.split(), required.split())
        out: list[Any] = []
        if rows.path.is_file():
            for _ in rows:
                made = make(rows)
                if made is not None:
                    out.append(made)
        self.errors.extend(rows.errors)
        self.notes.extend(rows.notes)
        if rows.unreadable:
            self.unreadable.add(name)
        return out, rows

    def _refer(
        self,
        rows: _Rows,
        items: Iterable[Any],
        key: str,
        column: str,
        known: Iterable[str],
        where: str,
    ) -> None:
        """Check `column` of `items` against the ids of the file `where`, if that could be read."""
        if where in self.unreadable:
            return
        names = set(known)
        for item in items:
            value = getattr(item, column)
            if value and value not in names:
                near = difflib.get_close_matches(value, sorted(names), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"add it to {self.folder / where}"
                line = rows.lines.get(getattr(item, key))
                rows.error(f"{column} {value!r} does not exist", column, hint, line)
                self.errors.append(rows.errors[-1])

    def load(self) -> Network:
        feeders, _ = self._read(
            "feeders.csv",
            "feeder name substation",
            "feeder",
            lambda r: Feeder(r.text("feeder"), r.text("name"), r.text("substation")),
        )
        sections, section_rows = self._read(
            "sections.csv",
            "section feeder parent switch name",
            "section feeder",
            lambda r: Section(
                r.text("section"),
                r.text("feeder"),
                r.optional("parent"),
                r.optional("switch"),
                r.text("name"),
            ),
        )
        transformers, transformer_rows = self._read(
            "transformers.csv",
            "transformer feeder section name rated_kva nominal_v area_class latitude longitude"
            " team manager",
            "transformer",
            _transformer,
        )
        points, point_rows = self._read(
            "usage_points.csv",
            "usage_point transformer branch node phase account",
            "usage_point",
            lambda r: UsagePoint(
                r.text("usage_point"),
                r.optional("transformer"),
                r.optional("branch"),
                r.optional("node"),
                r.word("phase", ("a", "b", "c", "abc", "unknown"), "unknown"),
                r.optional("account"),
            ),
        )
        devices, device_rows = self._read(
            "devices.csv",
            "device kind usage_point transformer section interval_s delivery_s wiring sampling"
            " ct_ratio pt_ratio address unit profile",
            "device",
            _device,
        )
        customers, _ = self._read(
            "customers.csv",
            "account name phone address category flags supply_status",
            "account",
            _customer,
        )
        teams, _ = self._read(
            "teams.csv",
            "team name phone area",
            "team",
            lambda r: Team(r.text("team"), r.text("name"), r.text("phone"), r.text("area")),
        )
        planned, _ = self._read(
            "planned.csv", "asset_kind asset from to reason", "asset_kind asset from to", _planned
        )
        aliases, _ = self._read(
            "aliases.csv",
            "kind id system external_id",
            "kind id system external_id",
            lambda r: Alias(r.text("kind"), r.text("id"), r.text("system"), r.text("external_id")),
        )
        if not devices and not self.errors:
            device_rows.error(
                "the file names no device", None, "export it again: a network needs devices", 1
            )
            self.errors.append(device_rows.errors[-1])
        # A feeder that only transformers or sections mention is real, just unnamed.
        feeder_ids = {f.id for f in feeders}
        if not (self.folder / "feeders.csv").is_file():
            mentioned = dict.fromkeys(x.feeder for x in (*sections, *transformers) if x.feeder)
            feeders = [Feeder(f) for f in mentioned]
            feeder_ids = set(mentioned)
        section_ids = {s.id for s in sections}
        area_ids = {t.id for t in transformers}
        refer = self._refer
        refer(section_rows, sections, "id", "feeder", feeder_ids, "feeders.csv")
        refer(section_rows, sections, "id", "parent", section_ids, "sections.csv")
        refer(transformer_rows, transformers, "id", "feeder", feeder_ids, "feeders.csv")
        refer(transformer_rows, transformers, "id", "section", section_ids, "sections.csv")
        refer(point_rows, points, "id", "transformer", area_ids, "transformers.csv")
        point_ids = {u.id for u in points}
        refer(device_rows, devices, "id", "usage_point", point_ids, "usage_points.csv")
        refer(device_rows, devices, "id", "transformer", area_ids, "transformers.csv")
        refer(device_rows, devices, "id", "section", section_ids, "sections.csv")
        if not self.errors:
            try:
                _parents_first(sections)
            except ValueError as e:
                section_rows.error(str(e), "parent", "let one of them hang on the feeder")
                self.errors.append(section_rows.errors[-1])
        if self.errors:
            raise NetworkErrors(self.errors)
        return Network(
            tuple(feeders),
            tuple(sections),
            tuple(transformers),
            tuple(points),
            tuple(devices),
            tuple(customers),
            tuple(planned),
            tuple(teams),
            tuple(aliases),
            tuple(self.notes),
        )


def _transformer(r: _Rows) -> Transformer:
    return Transformer(
        r.text("transformer"),
        r.optional("feeder"),
        r.optional("section"),
        r.text("name"),
        r.number("rated_kva", 1, 100_000),
        r.number("nominal_v", 50, 1000),
        r.word("area_class", ("urban", "rural", "remote"), "urban"),
        r.number("latitude", -90, 90),
        r.number("longitude", -180, 180),
        r.optional("team"),
        r.optional("manager"),
    )


def _device(r: _Rows) -> Device:
    unit = r.number("unit", 0, 255)
    return Device(
        r.text("device"),
        r.word("kind", ("meter", "transformer_monitor", "switch", "gateway"), "meter"),
        r.optional("usage_point"),
        r.optional("transformer"),
        r.optional("section"),
        r.number("interval_s", 1, 86_400),
        r.number("delivery_s", 0, 31 * 86_400),
        r.word("wiring", ("1p", "3p3w", "3p4w"), "1p"),
        r.word("sampling", ("instant", "mean"), "mean"),
        r.number("ct_ratio", 1e-3, 1e5),
        r.number("pt_ratio", 1e-3, 1e5),
        r.optional("address"),
        None if unit is None else int(unit),
        r.optional("profile"),
    )


def _customer(r: _Rows) -> Customer:
    flags = frozenset(f.strip() for f in r.text("flags").split(";") if f.strip())
    categories = ("residential", "commercial", "industrial", "hospital", "school")
    return Customer(
        r.text("account"),
        r.text("name"),
        r.text("phone"),
        r.text("address"),
        r.word("category", categories, "residential"),
        flags,
        r.word("supply_status", ("active", "arrears_off", "closed"), "active"),
    )


def _planned(r: _Rows) -> PlannedWork | None:
    start, end = r.time("from"), r.time("to")
    kinds = ("feeder", "section", "transformer", "branch", "usage_point", "device")
    kind = r.word("asset_kind", kinds, "transformer")
    if start is None or end is None:
        return None
    if end <= start:
        r.error("the work ends before it begins", "to", "exchange 'from' and 'to'")
        return None
    return PlannedWork(kind, r.text("asset"), start, end, r.text("reason"))
