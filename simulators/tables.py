"""TOML tables to frozen dataclasses, strictly: an unknown key or impossible value is refused.

The dataclass says which keys exist; the message names file, key and the nearest valid key.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from grid.errors import BadInput

T = TypeVar("T")


def read_table(cls: type[T], table: Mapping[str, Any], *, file: str, where: str) -> T:
    """Build `cls` from a TOML table; nested dataclasses and tuples of them are followed.

    Raises BadInput naming file, key and fix for unknown keys, wrong types and missing keys.
    """
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            fix = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(fields)}."
            raise BadInput(f"unknown key {_path(where, key)!r}", file=file, fix=fix)
    values: dict[str, Any] = {}
    for name, f in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], file, _path(where, name))
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise BadInput(
                f"key {_path(where, name)!r} is missing", file=file, fix=f"Add {name} = ..."
            )
    try:
        return cls(**values)
    except ValueError as problem:
        text, _, fix = str(problem).partition("; ")
        raise BadInput(f"{where or 'top level'}: {text}", file=file, fix=fix or None) from problem


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _convert(hint: Any, value: Any, file: str, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [o for o in typing.get_args(hint) if o is not type(None)]
        for option in options:
            if _fits(option, value):
                return _convert(option, value, file, where)
        return _wrong(" or ".join(_say(o) for o in options), value, file, where)
    if origin is typing.Literal:
        allowed = typing.get_args(hint)
        if value in allowed:
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in allowed], 1)
        fix = (
            f"Did you mean {near[0]!r}?" if near else f"Use one of: {', '.join(map(str, allowed))}."
        )
        raise BadInput(f"{where} = {value!r} is not known", file=file, fix=fix)
    if origin is tuple:
        if not isinstance(value, list):
            return _wrong("a list", value, file, where)
        args = typing.get_args(hint)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], v, file, f"{where}[{i}]") for i, v in enumerate(value))
        if len(args) != len(value):
            return _wrong(f"a list of {len(args)}", value, file, where)
        return tuple(
            _convert(a, v, file, f"{where}[{i}]")
            for i, (a, v) in enumerate(zip(args, value, strict=True))
        )
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            return _wrong("a table", value, file, where)
        return read_table(typing.cast(type[Any], hint), value, file=file, where=where)
    if not _fits(hint, value):
        return _wrong(_say(hint), value, file, where)
    if hint is float and not math.isfinite(value):
        return _wrong("a finite number", value, file, where)
    return float(value) if hint is float else value


def _fits(hint: Any, value: Any) -> bool:
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, datetime):
        return isinstance(value, hint)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list)
    if typing.get_origin(hint) is typing.Literal:
        return isinstance(value, type(typing.get_args(hint)[0]))
    return dataclasses.is_dataclass(hint) and isinstance(value, dict)


def _say(hint: Any) -> str:
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    if hint is datetime:
        return "a date and time with zone"
    return names.get(hint, "a list" if typing.get_origin(hint) is tuple else "a table")


def _wrong(expected: str, value: Any, file: str, where: str) -> Any:
    raise BadInput(f"{where} = {value!r}", file=file, fix=f"Write {expected}.")
