"""Read one TOML file into a tree of frozen dataclasses, with an error a person can act on.

Receives text and a dataclass; hands on an instance. Every mistake names the file, the line, the
key path and the fix. What a field means stands in its metadata (`setting`), so that the reader,
the documentation test and `forewatt config check` share one source.
"""

import dataclasses
import difflib
import math
import re
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from grid.errors import BadInput

T = TypeVar("T")


def setting(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    default_factory: Any = dataclasses.MISSING,
    secret_file: bool = False,
) -> Any:
    """A dataclass field with its meaning and range (`low`, `high` inclusive).

    `secret_file` marks a path to a secret: the file must be readable by its owner only.
    """
    metadata = {"doc": doc, "low": low, "high": high, "secret_file": secret_file}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the text came from: paths in it are relative to the file's folder."""

    file: str
    folder: Path
    lines: tuple[str, ...]

    def error(self, path: str, problem: str, fix: str) -> BadInput:
        """A BadInput at the line on which the last key of `path` stands, if it can be found."""
        return BadInput(f"{path}: {problem}", file=self.file, line=self._line(path), fix=fix)

    def _line(self, path: str) -> int | None:
        table, _, rest = path.partition(".")
        name, _, nth = table.rstrip("]").partition("[")
        key = re.sub(r"\[\d+\]", "", rest or name).rpartition(".")[2]
        entry = re.compile(rf"(?:^|[.{{,])\s*{re.escape(key)}\s*=")
        heading = re.compile(rf"\s*\[+\s*{re.escape(name)}\s*\]+")
        top, inside, seen, found = True, False, 0, None
        for n, line in enumerate(self.lines, 1):
            if line.lstrip().startswith("["):
                top = False
                inside = bool(heading.match(line))
                seen += inside
                inside = inside and seen == int(nth or seen)
                found = n if inside and found is None else found
            if ((inside and rest) or top) and entry.search(line):
                return n
        return found


def read_toml(path: Path) -> tuple[dict[str, Any], Source]:
    """The parsed document and its source; BadInput when it is missing, unreadable or not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(
            "no such file",
            file=str(path),
            fix="name it with --config, or start from docs/forewatt.toml",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise BadInput(reason, file=str(path), fix="make it a readable UTF-8 file") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(
            f"not valid TOML: {error}", file=str(path), fix="strings need quotes, tables [brackets]"
        ) from error
    return document, Source(str(path), path.resolve().parent, tuple(text.splitlines()))


def build(kind: type[T], table: Mapping[str, Any], source: Source, path: str = "") -> T:
    """Make a `kind` from a TOML table.

    Raises
    ------
    BadInput
        For an unknown key (with the nearest valid one), a missing key, a wrong type or range.
    """
    assert dataclasses.is_dataclass(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    hints = get_type_hints(kind)
    for key in table:
        if key not in fields:
            raise _unknown(key, list(fields), source, path)
    given: dict[str, Any] = {}
    for name, field in fields.items():
        where = f"{path}.{name}" if path else name
        if name in table:
            given[name] = _value(hints[name], table[name], field.metadata, source, where)
        elif _required(field):
            raise source.error(where, "is missing", f"add it: {field.metadata.get('doc', name)}")
        elif dataclasses.is_dataclass(hints[name]):
            given[name] = build(cast(type, hints[name]), {}, source, where)
        elif isinstance(field.default, Path):
            given[name] = source.folder / field.default
    return kind(**given)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _unknown(key: str, known: list[str], source: Source, path: str) -> BadInput:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    where = f"{path}.{key}" if path else key
    fix = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return source.error(where, "unknown key", fix)


def _value(hint: Any, value: Any, meta: Mapping[str, Any], source: Source, path: str) -> Any:
    """`value` as the type `hint` asks for, checked against the field's range."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _value(_alternative(hint, value), value, meta, source, path)
    if origin is Literal:
        return _word(get_args(hint), value, source, path)
    if origin is tuple:
        return _items(get_args(hint)[0], value, meta, source, path)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _wrong(value, "a table", source, path)
        return build(cast(type, hint), value, source, path)
    if hint is Path:
        return _path(value, meta, source, path)
    if hint is bool or hint is str:
        if not isinstance(value, hint):
            raise _wrong(value, "true or false" if hint is bool else "a string", source, path)
        return value
    return _number(hint, value, meta, source, path)


def _alternative(hint: Any, value: Any) -> Any:
    """The member of a union that fits the TOML type of `value`, else the first one."""
    members = [m for m in get_args(hint) if m is not type(None)]
    for member in members:
        if dataclasses.is_dataclass(member) and isinstance(value, Mapping):
            return member
        if get_origin(member) is Literal and isinstance(value, str):
            return member
        if member in (str, Path) and isinstance(value, str):
            return member
    return members[0]


def _wrong(value: Any, expected: str, source: Source, path: str) -> BadInput:
    return source.error(path, f"is {_shown(value)}, expected {expected}", "correct the value")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value!r}" if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def _word(words: tuple[Any, ...], value: Any, source: Source, path: str) -> Any:
    if value in words and not isinstance(value, bool):
        return value
    near = difflib.get_close_matches(str(value), [str(w) for w in words], 1, 0.5)
    fix = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(map(repr, words))}"
    raise source.error(path, f"is {_shown(value)}", fix)


def _items(
    hint: Any, value: Any, meta: Mapping[str, Any], source: Source, path: str
) -> tuple[Any, ...]:
    if not isinstance(value, list):
        name = path.rpartition(".")[2]
        form = f"[[{name}]] tables" if dataclasses.is_dataclass(hint) else "a list"
        raise _wrong(value, form, source, path)
    return tuple(
        _value(hint, item, meta, source, f"{path}[{n}]") for n, item in enumerate(value, 1)
    )


def _path(value: Any, meta: Mapping[str, Any], source: Source, path: str) -> Path:
    if not isinstance(value, str) or not value:
        raise _wrong(value, "a path", source, path)
    found = Path(value).expanduser()
    found = found if found.is_absolute() else source.folder / found
    if meta.get("secret_file"):
        check_secret(found, source, path)
    return found


def check_secret(file: Path, source: Source, path: str) -> None:
    """Refuse a secret that is missing or that others on the machine can read."""
    try:
        mode = file.stat().st_mode & 0o777
    except OSError:
        raise source.error(
            path, f"{file} cannot be read", "write the secret there, chmod 600"
        ) from None
    if mode & 0o077:
        raise source.error(
            path, f"{file} is readable by others (mode {mode:o})", f"run: chmod 600 {file}"
        )


def _number(hint: Any, value: Any, meta: Mapping[str, Any], source: Source, path: str) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or (hint is int and not isinstance(value, int)) or not math.isfinite(value):
        raise _wrong(value, "a whole number" if hint is int else "a number", source, path)
    low, high = meta.get("low"), meta.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"{low:g} or more" if high is None else f"{low or 0:g} to {high:g}"
        raise source.error(path, f"is {value}", f"use {span}")
    return float(value) if hint is float else value
