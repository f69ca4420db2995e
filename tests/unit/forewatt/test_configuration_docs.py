"""docs/configuration.md explains every key that the program reads, and no other."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from forewatt.config import ClockFile, Config, UnitConfig
from forewatt.config_lines import meanings_zh

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def tables() -> Iterator[tuple[str, Any]]:
    """Each heading of the page with the dataclass it explains."""
    hints = get_type_hints(Config)
    for field in dataclasses.fields(Config):
        if not field.init:
            continue
        hint = hints[field.name]
        if get_origin(hint) in (Union, types.UnionType):
            hint = get_args(hint)[0]
        if get_origin(hint) is tuple:
            yield f"[[{field.name}]]", get_args(hint)[0]
        else:
            yield f"[{field.name}]", hint
    yield "site.clock = { ... }", ClockFile
    yield "[[modbus]] units = [{ ... }]", UnitConfig


def sections() -> dict[str, dict[str, str]]:
    """The page as heading: key: meaning."""
    found: dict[str, dict[str, str]] = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading = part.splitlines()[0].strip("`")
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", part, re.MULTILINE)
        found[heading] = dict(rows)
    return found


def test_every_key_is_explained_in_chinese_too() -> None:
    english = {name.strip("[]"): kind for name, kind in tables()}
    english["site.clock"] = english.pop("site.clock = { ... }")
    english["modbus.units"] = english.pop("modbus]] units = [{ ... }")
    english[""] = Config
    expected = {
        name: {f.name for f in dataclasses.fields(kind) if "doc" in f.metadata}
        for name, kind in english.items()
    }

    assert expected == {name: set(given) for name, given in meanings_zh().items()}


def test_every_key_is_explained_in_the_words_of_the_program() -> None:
    expected = {
        heading: {f.name: f.metadata["doc"] for f in dataclasses.fields(kind)}
        for heading, kind in tables()
    }

    assert expected == sections()
