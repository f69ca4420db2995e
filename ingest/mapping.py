"""Any other JSON: a mapping says which topic, where the values stand, and in what unit.

A mapping is data (TOML, see docs/payloads.md); `ingest.mapping_files` reads and checks it. Here
it is applied: payload in, checked fields of readings out. The site clock's arrival time stands in
where a device sends no time.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from ingest.slow_json import BadRow
from ingest.times import time_us

TimeForm = Literal["rfc3339", "local", "epoch_s", "epoch_ms", "arrival"]
TIME_FORMS: Final = ("rfc3339", "local", "epoch_s", "epoch_ms", "arrival")
Path = tuple[str, ...]
_PART: Final = re.compile(r"\{(\w+)\}")


def path_of(text: str) -> Path:
    """`ENERGY.Power.0` to its parts; a number is a place in an array.

    >>> path_of("ENERGY.Power.0")
    ('ENERGY', 'Power', '0')
    """
    return tuple(text.split("."))


def look_up(content: Any, path: Path) -> Any:
    """The value at a path, None when it is not there."""
    for part in path:
        if isinstance(content, dict):
            content = content.get(part)
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return None
    return content


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """`tele/{device}/SENSOR`: named parts match one level, `#` at the end any number."""

    text: str

    @property
    def regex(self) -> "re.Pattern[str]":
        """The pattern as a regular expression over whole topics."""
        pieces = _PART.split(self.text)
        out = ""
        for i, piece in enumerate(pieces):
            if i % 2:
                out += f"(?P<{piece}>[^/]+)"
            else:
                rest = ""
                if piece == "#":
                    piece, rest = "", ".*"
                elif piece.endswith("/#"):
                    piece, rest = piece[:-2], "(?:/.*)?"
                out += re.escape(piece).replace(r"\+", "[^/]+") + rest
        return re.compile(out)

    @property
    def subscription(self) -> str:
        """The MQTT topic filter that covers the pattern."""
        levels = self.text.split("/")
        return "/".join("+" if "{" in level else level for level in levels)


@dataclass(frozen=True, slots=True)
class Value:
    """One quantity: the number at the first path that has one, x `scale` + `offset`.

    Numbers in `absent` mean "not available".
    """

    quantity: str
    paths: tuple[Path, ...]
    scale: float = 1.0
    offset: float = 0.0
    absent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeRule:
    """Where the time stands and how it is written; `zone` for local times without one."""

    path: Path = ()
    form: TimeForm = "arrival"
    zone: str = "UTC"

    def read(self, content: Any, received_us: int) -> int:
        """Microseconds UTC; raises ValueError with the reason."""
        if self.form == "arrival":
            return received_us
        given = look_up(content, self.path)
        if given is None:
            raise ValueError(f"there is no time at {'.'.join(self.path)!r}")
        if self.form == "local":
            return _local_us(given, self.zone)
        if self.form == "epoch_s":
            if isinstance(given, bool) or not isinstance(given, int | float):
                raise ValueError(f"time {given!r} is not in epoch seconds")
            return time_us(given * 1000)
        return time_us(given)


def _local_us(given: Any, zone: str) -> int:
    try:
        local = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise ValueError(f"time {str(given)[:40]!r} is not a local date and time") from None
    if local.tzinfo is None:
        local = local.replace(tzinfo=ZoneInfo(zone))
    return round((local - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


@dataclass(frozen=True, slots=True)
class Rule:
    """One mapping.

    Attributes
    ----------
    topic : which messages it takes
    device : a text with `{parts}` of the topic, or empty when `device_path` names a field
    each : path of an array whose elements are readings of their own; empty for one reading
    values : what stands where; a reading without any of them is left aside (`quiet`) or refused
    quiet : messages of this topic that hold no value are nothing to worry about
    """

    name: str
    topic: TopicPattern
    device: str
    values: tuple[Value, ...]
    time: TimeRule = TimeRule()
    device_path: Path = ()
    each: Path = ()
    sequence: Path = ()
    quiet: bool = False
    devices: Mapping[str, str] | None = None  # their name to ours

    def readings(
        self, content: Any, parts: Mapping[str, str], received_us: int
    ) -> Iterator[tuple[str, dict[str, Any]] | BadRow]:
        """(device, checked fields with `t` in ms) of each reading, or why it is none."""
        items: Sequence[Any] = (content,)
        if self.each:
            found = look_up(content, self.each)
            if not isinstance(found, list):
                yield BadRow(f"there is no array at {'.'.join(self.each)!r}", content)
                return
            items = found
        for item in items:
            try:
                reading = self._reading(item, content, parts, received_us)
            except BadRow as bad:
                yield bad
            else:
                if reading is not None:
                    yield reading

    def _reading(
        self, item: Any, content: Any, parts: Mapping[str, str], received_us: int
    ) -> tuple[str, dict[str, Any]] | None:
        fields: dict[str, Any] = {}
        for value in self.values:
            number = _number(value, item)
            if number is not None and number not in value.absent:
                fields[value.quantity] = number * value.scale + value.offset
        if not fields:
            if self.quiet:
                return None
            raise BadRow(f"mapping {self.name!r} finds none of its values in it", item)
        try:
            us = self.time.read(item if look_up(item, self.time.path) else content, received_us)
        except ValueError as error:
            raise BadRow(str(error), item) from None
        fields["t"] = us // 1000 if us % 1000 == 0 else us / 1000
        sequence = look_up(item, self.sequence) if self.sequence else None
        if isinstance(sequence, int) and not isinstance(sequence, bool) and sequence >= 0:
            fields["seq"] = sequence
        return self._device(item, content, parts), fields

    def _device(self, item: Any, content: Any, parts: Mapping[str, str]) -> str:
        if self.device_path:
            given = look_up(item, self.device_path)
            if given is None:
                given = look_up(content, self.device_path)
            if not isinstance(given, str | int) or isinstance(given, bool) or given == "":
                where = ".".join(self.device_path)
                raise BadRow(f"there is no device name at {where!r}", item)
            name = str(given)
        else:
            name = _PART.sub(lambda found: parts[found[1]], self.device)
        return name if self.devices is None else self.devices.get(name, name)


def _number(value: Value, item: Any) -> float | None:
    """The first number found; arrays and objects are passed over, anything else is refused."""
    for path in value.paths:
        given = look_up(item, path)
        if given is None or isinstance(given, list | dict):
            continue
        try:
            if not isinstance(given, bool):
                return float(given)
        except ValueError:
            pass  # a text that is no number: refused below
        except OverflowError:
            reason = f"{value.quantity} is too large for any instrument"
            raise BadRow(reason, item) from None
        where = ".".join(path)
        raise BadRow(f"{value.quantity}: {str(given)[:40]!r} at {where!r} is no number", item)
    return None
