"""Contacts from files: `contacts.csv` of the dataset, and exports of other systems by a mapping.

Everything is checked before anything is handed on; an error names file, line, column and the fix.
Columns and kinds are known under the words that such exports use; a mapping adds others.
"""

import csv
import hashlib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

from grid.errors import BadInput, ForewattError
from grid.records import Channel, Contact, ContactKind
from storage.desk_text import nameable, plain

ERRORS_SHOWN: Final = 20
ROWS_MAX: Final = 2_000_000
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("time", "受理时间", "来电时间", "时间"),
    "channel": ("channel", "渠道", "受理渠道", "来源"),
    "external_id": ("external_id", "工单编号", "工单号", "受理编号", "编号"),
    "account": ("account", "户号", "用户编号", "客户编号"),
    "phone": ("phone", "联系电话", "来电号码", "电话"),
    "kind": ("kind", "业务类型", "受理类型", "类型"),
    "text": ("text", "受理内容", "内容", "诉求内容"),
}
KINDS: Final[Mapping[str, ContactKind]] = {
    **{kind: kind for kind in get_args(ContactKind)},
    "故障报修": "fault",
    "报修": "fault",
    "咨询": "enquiry",
    "业务咨询": "enquiry",
    "投诉": "complaint",
    "举报": "complaint",
    "意见": "opinion",
    "建议": "opinion",
    "表扬": "opinion",
    "业务申请": "application",
    "申请": "application",
    "服务申请": "application",
}
CHANNELS: Final[Mapping[str, Channel]] = {
    **{channel: channel for channel in get_args(Channel)},
    "电话": "phone",
    "95598": "phone",
    "营业厅": "counter",
    "网站": "web",
    "网上国网": "app",
    "APP": "app",
    "微信": "app",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What an export calls things. columns : ours to theirs; kinds, channels : theirs to ours;
    time_format : of `datetime.strptime`, None for RFC 3339; zone : of times without one."""

    columns: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, ContactKind] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    time_format: str | None = None
    zone: str | None = None


class ContactErrors(BadInput):
    """Everything wrong with a file, one line each."""

    def __init__(self, errors: Sequence[BadInput]) -> None:
        self.errors = tuple(errors)
        shown = [str(e) for e in self.errors[:ERRORS_SHOWN]]
        if len(self.errors) > ERRORS_SHOWN:
            shown.append(f"... and {len(self.errors) - ERRORS_SHOWN} more")
        ForewattError.__init__(self, "\n".join(shown))


def read_mapping(path: Path) -> Mapped:
    """A mapping file: `[columns]`, `[kinds]`, `[channels]`, `time_format`, `zone`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadInput(str(e), file=str(path), fix="write a TOML file in UTF-8") from e
    odd = set(data) - {"columns", "kinds", "channels", "time_format", "zone"}
    if odd:
        raise BadInput(
            f"unknown key {sorted(odd)[0]!r}",
            file=str(path),
            fix="use columns, kinds, channels, time_format, zone",
        )
    _known(path, "columns", data.get("columns", {}), COLUMNS, keys=True)
    _known(path, "kinds", data.get("kinds", {}), get_args(ContactKind))
    _known(path, "channels", data.get("channels", {}), get_args(Channel))
    return Mapped(**data)


def _known(
    path: Path, part: str, given: Any, known: Collection[str], *, keys: bool = False
) -> None:
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise BadInput(f"[{part}] is no table of texts", file=str(path), fix="write name = text")
    for word in given if keys else given.values():
        if word not in known:
            raise BadInput(
                f"[{part}] names {word!r}", file=str(path), fix=f"use {', '.join(known)}"
            )


def read_contacts(
    path: Path, accounts: Collection[str], zone: str, mapping: Mapped | None = None
) -> list[Contact]:
    """All contacts of a file, oldest first.

    `accounts` are the known ones; `zone` that of times without one. A row without an id gets one
    from what it says, so that the same file again adds nothing. Raises ContactErrors.
    """
    chosen = mapping or Mapped()
    names, rows = _rows(path)
    at = _columns(path, names, chosen)
    reader = _Reader(path, at, set(accounts), ZoneInfo(chosen.zone or zone), chosen)
    found = [reader.row(line, row) for line, row in rows]
    if reader.errors:
        raise ContactErrors(reader.errors)
    return sorted((c for c in found if c is not None), key=lambda c: (c.time_us, c.external_id))


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise BadInput(str(e), file=str(path), fix="name a readable CSV file") from e
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")  # what spreadsheets here write
        except UnicodeDecodeError as e:
            raise BadInput(
                "neither UTF-8 nor GB18030", file=str(path), fix="save it as UTF-8"
            ) from e
    try:
        reader = csv.reader(text.splitlines(keepends=True), strict=True)
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as e:
        raise BadInput(f"not CSV: {e}", file=str(path), fix="check quotes") from e
    if not lines:
        raise BadInput("the file is empty", file=str(path), fix="begin with the column names")
    if len(lines) > ROWS_MAX:
        raise BadInput(f"more than {ROWS_MAX} rows", file=str(path), fix="import it in parts")
    return [name.strip() for name in lines[0][1]], lines[1:]


def _columns(path: Path, names: Sequence[str], mapping: Mapped) -> dict[str, int]:
    found: dict[str, int] = {}
    for ours, theirs in COLUMNS.items():
        wanted = (mapping.columns[ours],) if ours in mapping.columns else theirs
        place = next((names.index(w) for w in wanted if w in names), None)
        if place is not None:
            found[ours] = place
        elif ours in mapping.columns:
            raise BadInput(
                f"there is no column {mapping.columns[ours]!r}",
                file=str(path),
                line=1,
                fix=f"the file has {', '.join(names)}",
            )
    if "time" not in found or not {"account", "phone", "text"} & set(found):
        raise BadInput(
            "it needs the time, and account, phone or text",
            file=str(path),
            line=1,
            fix=f"name the columns in a mapping; the file has {', '.join(names)}",
        )
    return found


class _Reader:
    def __init__(
        self, path: Path, at: Mapping[str, int], accounts: set[str], zone: ZoneInfo, mapping: Mapped
    ) -> None:
        self.path, self.at, self.accounts = path, at, accounts
        self.zone, self.mapping = zone, mapping
        self.errors: list[BadInput] = []
        self.ids: dict[tuple[str, str], int] = {}

    def row(self, line: int, row: Sequence[str]) -> Contact | None:
        """One contact; None with its errors noted."""
        before = len(self.errors)
        cell = {n: plain(row[i]) if i < len(row) else "" for n, i in self.at.items()}
        time_us = self._time(line, cell["time"])
        kinds, channels = {**KINDS, **self.mapping.kinds}, {**CHANNELS, **self.mapping.channels}
        kind = kinds.get(cell.get("kind") or "fault")
        channel = channels.get(cell.get("channel") or "import")
        account = cell.get("account") or None
        if kind is None:
            self._wrong(line, "kind", f"is {cell['kind']!r}", f"use {', '.join(kinds)}")
        if channel is None:
            self._wrong(line, "channel", f"is {cell['channel']!r}", f"use {', '.join(channels)}")
        if account is not None and account not in self.accounts:
            self._wrong(
                line, "account", f"{account!r} is not known", "import customers first, or empty it"
            )
        said = "\0".join(map(str, (time_us, account, cell.get("phone"), cell.get("text"))))
        made = cell.get("external_id") or hashlib.sha256(said.encode()).hexdigest()[:24]
        if not nameable(made) or len(made) > 128:
            self._wrong(line, "external_id", "cannot be kept", "use at most 128 characters")
        first = self.ids.setdefault((str(channel), made), line)
        if first != line and cell.get("external_id"):
            self._wrong(line, "external_id", f"stands on line {first} as well", "keep one of them")
        if len(self.errors) > before or kind is None or channel is None or time_us is None:
            return None
        return Contact(
            channel,
            made,
            time_us,
            kind,
            account,
            (cell.get("phone") or "")[:40],
            cell.get("text") or "",
            taken_by="import",
        )

    def _time(self, line: int, text: str) -> int | None:
        try:
            if self.mapping.time_format:
                at = datetime.strptime(text, self.mapping.time_format)  # noqa: DTZ007
            else:
                at = datetime.fromisoformat(text.replace("/", "-"))
            at = at if at.tzinfo else at.replace(tzinfo=self.zone)
            return int(at.astimezone(UTC).timestamp() * 1e6)
        except (ValueError, OverflowError):
            self._wrong(line, "time", f"{text!r} is no time", "write 2026-03-01T08:00:00+08:00")
            return None

    def _wrong(self, line: int, column: str, problem: str, fix: str) -> None:
        self.errors.append(
            BadInput(f"{column} {problem}", file=self.path.name, line=line, column=column, fix=fix)
        )
