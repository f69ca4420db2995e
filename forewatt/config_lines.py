"""The configuration as loaded, one line a key, for the administrator's page: secrets stay files."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from forewatt.config import Config
from web.settings import ConfigLine

LENGTH_MAX: Final = 300
CHINESE: Final = Path(__file__).parent / "config.zh-CN.toml"


@cache
def meanings_zh() -> dict[str, dict[str, str]]:
    """What each key means in Chinese, by table (`modbus.units`; "" for the tables themselves)."""
    return tomllib.loads(CHINESE.read_text(encoding="utf-8"))


def config_lines(config: Config) -> list[ConfigLine]:
    """Every key with its value, whether that is the default, and what it means."""
    return list(_lines(config, ""))


def _lines(part: Any, section: str) -> Iterator[ConfigLine]:
    for field in dataclasses.fields(part):
        if "doc" not in field.metadata:
            continue
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from _lines(value, f"{section}.{field.name}".strip("."))
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for n, one in enumerate(value, 1):
                yield from _lines(one, f"{section}.{field.name}[{n}]".strip("."))
        else:
            zh = meanings_zh().get(re.sub(r"\[\d+\]", "", section), {}).get(field.name, "")
            doc = str(field.metadata["doc"])
            yield ConfigLine(section, field.name, _shown(value), value == field.default, doc, zh)


def _shown(value: Any) -> str:
    """The value as text; an address without its password.

    >>> _shown("postgresql://fw:secret@db/forewatt"), _shown(None), _shown(("a", "b"))
    ('postgresql://fw:***@db/forewatt', '', 'a, b')
    """
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(_shown(x) for x in value)[:LENGTH_MAX]
    text = str(value)
    if "://" in text:
        parts = urlsplit(text)
        if parts.password is not None:
            place = f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"
            text = urlunsplit(parts._replace(netloc=place))
    return text[:LENGTH_MAX]
