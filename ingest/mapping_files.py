"""Read mappings from TOML; every mistake names file, mapping, field and fix.

A file holds `[[mapping]]` tables (docs/payloads.md). Ready ones lie in mappings/.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from grid.errors import BadInput
from grid.quantities import INDEX
from ingest.mapping import _PART, TIME_FORMS, Rule, TimeRule, TopicPattern, Value, path_of
from ingest.sparkplug import SparkplugRules
from ingest.toml_place import line_of

FOLDER: Final = Path(__file__).parent / "mappings"
_RULE: Final = frozenset(
    ["name", "topic", "device", "device_path", "devices", "each", "sequence", "time", "values",
     "quiet"]
)  # fmt: skip
_TIME: Final = frozenset(["path", "form", "zone"])
_VALUE: Final = frozenset(["path", "scale", "offset", "absent"])


def mapping_names() -> list[str]:
    """The mappings that come with Forewatt."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


class Sample(NamedTuple):
    """A message to try a mapping with."""

    topic: str
    payload: bytes


def find_mapping(name_or_path: str | Path, folder: Path = FOLDER) -> Path:
    """The file of a shipped mapping by name, or of any by path; raises BadInput."""
    text = str(name_or_path)
    shipped = folder / f"{text}.toml"
    path = shipped if "/" not in text and shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        names = sorted(found.stem for found in folder.glob("*.toml"))
        near = get_close_matches(text, names, 1)
        hint = f"Did you mean {near[0]!r}" if near else f"Shipped: {', '.join(names)}"
        raise BadInput(f"no mapping {text!r}", fix=f"{hint}; or give the path of a file")
    return path


def read_toml_file(path: Path) -> tuple[dict[str, Any], str]:
    """A TOML file and its text; raises BadInput."""
    try:
        content = path.read_text(encoding="utf-8")
        return tomllib.loads(content), content
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"not a TOML file: {error}", file=str(path)) from error


def load_mappings(name_or_path: str | Path) -> tuple[Rule, ...]:
    """The rules of a shipped mapping by name, or of any file by path; raises BadInput."""
    path = find_mapping(name_or_path)
    table, content = read_toml_file(path)
    given = table.get("mapping")
    if not isinstance(given, list) or not given or not set(table) <= {"mapping", "sample"}:
        raise BadInput(
            "it holds no [[mapping]] tables, or something else", file=str(path),
            fix="Write [[mapping]] with name, topic, device and [mapping.values]",
        )  # fmt: skip
    return tuple(_Reader(str(path), content, i).rule(t) for i, t in enumerate(given, 1))


def load_samples(name_or_path: str | Path) -> tuple[Sample, ...]:
    """The `[[sample]]` messages that a mapping file brings along to be tried with."""
    path = find_mapping(name_or_path)
    table, content = read_toml_file(path)
    samples = []
    for i, given in enumerate(table.get("sample", []), 1):
        topic, payload = given.get("topic"), given.get("payload")
        if not isinstance(topic, str) or not isinstance(payload, str) or len(given) != 2:
            raise BadInput(
                f"sample {i} does not have a topic and a payload, both texts",
                file=str(path), line=line_of(content, ("topic",), "sample", i),
                fix="Write [[sample]] with topic = \"...\" and payload = '''{...}'''",
            )  # fmt: skip
        samples.append(Sample(topic, payload.encode()))
    return tuple(samples)


def load_sparkplug(path: Path) -> SparkplugRules:
    """Names for Sparkplug: `[metrics]` name = quantity or { quantity, scale }, `[devices]`."""
    table, content = read_toml_file(path)

    def bad(key: str, problem: str, fix: str) -> BadInput:
        line = line_of(content, (key,))
        return BadInput(f"{key!r} {problem}", file=str(path), line=line, fix=fix)

    unknown = next((key for key in table if key not in ("metrics", "devices")), None)
    if unknown:
        raise bad(unknown, "is not known", "Write [metrics] and [devices]")
    metrics = {}
    for name, given in table.get("metrics", {}).items():
        rule = {"quantity": given} if isinstance(given, str) else given
        if not isinstance(rule, dict) or not set(rule) <= {"quantity", "scale"}:
            raise bad(name, f"is {given!r}", 'Write "v_a", or { quantity = "p", scale = 1000 }')
        quantity, scale = rule.get("quantity"), rule.get("scale", 1.0)
        if quantity not in INDEX:
            near = get_close_matches(str(quantity), INDEX, 1)
            fix = f"Did you mean {near[0]!r}?" if near else "See the list in docs/payloads.md"
            raise bad(name, f"names {quantity!r}, which is no quantity", fix)
        if type(scale) not in (int, float) or not math.isfinite(scale) or scale == 0:
            raise bad(name, f"has the scale {scale!r}", "Write a number other than 0")
        metrics[name] = (str(quantity), float(scale))
    devices = table.get("devices", {})
    wrong = next((key for key, name in devices.items() if not isinstance(name, str)), None)
    if wrong:
        raise bad(wrong, "is no name", 'Write "edge/device" = "our name"')
    return SparkplugRules(metrics, dict(devices))


class _Reader:
    def __init__(self, file: str, content: str, nth: int) -> None:
        self.file, self.where = file, f"mapping {nth}"
        self._content, self._nth = content, nth

    def bad(self, field: str, problem: str, fix: str) -> BadInput:
        line = line_of(self._content, re.findall(r"\w+", field), "mapping", self._nth)
        return BadInput(f"{self.where}: {field} {problem}", file=self.file, line=line, fix=fix)

    def keys(self, table: Mapping[str, Any], known: frozenset[str], field: str) -> None:
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, 1)
                fix = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}"
                raise self.bad(f"{field}{key!r}", "is no field of a mapping", fix)

    def text(self, table: Mapping[str, Any], key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise self.bad(key, f"is {value!r}", f'Write {key} = "..."')
        return value

    def rule(self, table: Any) -> Rule:
        if not isinstance(table, dict):
            raise self.bad("it", "is not a table", "Write it as [[mapping]]")
        self.keys(table, _RULE, "")
        name = self.text(table, "name")
        self.where = f"{self.where} ({name})"
        topic = self.text(table, "topic")
        parts = _PART.findall(topic)
        if len(set(parts)) != len(parts) or any(p.isdigit() for p in parts):
            raise self.bad("topic", f"{topic!r} names a part twice", "Name each part once")
        if "#" in topic[:-1]:
            raise self.bad("topic", f"{topic!r} has a # before its end", "Put # last")
        device, device_path = self.text(table, "device", ""), self.text(table, "device_path", "")
        if bool(device) == bool(device_path):
            fix = 'Write device = "{device}" with a part of the topic, or device_path = "a.b"'
            raise self.bad("device", "must be given one way", fix)
        for part in _PART.findall(device):
            if part not in parts:
                fix = f"The topic names {', '.join(parts) or 'no part'}"
                raise self.bad("device", f"uses {{{part}}}, which the topic does not name", fix)
        quiet = table.get("quiet", False)
        if not isinstance(quiet, bool):
            raise self.bad("quiet", f"is {quiet!r}", "Write true or false")
        return Rule(
            name,
            TopicPattern(topic),
            device,
            self.values(table.get("values")),
            self.time(table.get("time", {})),
            path_of(device_path) if device_path else (),
            self.path(table, "each"),
            self.path(table, "sequence"),
            quiet,
            self.devices(table.get("devices")),
        )

    def path(self, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        text = self.text(table, key, "")
        return path_of(text) if text else ()

    def devices(self, given: Any) -> Mapping[str, str] | None:
        if given is None:
            return None
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise self.bad("devices", "is not a table of names", 'Write "theirs" = "ours" lines')
        return dict(given)

    def values(self, given: Any) -> tuple[Value, ...]:
        if not isinstance(given, dict) or not given:
            raise self.bad("values", "are missing", 'Write [mapping.values] with v_a = "path"')
        out = []
        for quantity, spec in given.items():
            if quantity not in INDEX:
                near = get_close_matches(quantity, INDEX, 1)
                fix = f"Did you mean {near[0]!r}?" if near else "See the list in docs/payloads.md"
                raise self.bad(f"values: {quantity!r}", "is no quantity", fix)
            table = {"path": spec} if isinstance(spec, str | list) else spec
            if not isinstance(table, dict):
                fix = 'Write "path", or { path = "...", scale = 1000 }'
                raise self.bad(f"values: {quantity}", f"is {spec!r}", fix)
            self.keys(table, _VALUE, f"values: {quantity}: ")
            absent = table.get("absent", [])
            numbers: Sequence[Any] = [table.get("scale", 1.0), table.get("offset", 0.0)]
            if not isinstance(absent, list):
                raise self.bad(f"values: {quantity}: absent", f"is {absent!r}", "Write a list")
            for number in [*numbers, *absent]:
                if type(number) not in (int, float) or not math.isfinite(number):
                    raise self.bad(f"values: {quantity}", f"holds {number!r}", "Write a number")
            if numbers[0] == 0:
                raise self.bad(f"values: {quantity}: scale", "is 0", "Then nothing would be left")
            scale, offset = map(float, numbers)
            paths = self.paths(table, f"values: {quantity}: path")
            out.append(Value(quantity, paths, scale, offset, tuple(map(float, absent))))
        return tuple(out)

    def paths(self, table: Mapping[str, Any], field: str) -> tuple[tuple[str, ...], ...]:
        given = table.get("path")
        texts = given if isinstance(given, list) else [given]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            fix = 'Write "a.b", or ["a.0", "a"] where the first that is there counts'
            raise self.bad(field, f"is {given!r}", fix)
        return tuple(map(path_of, texts))

    def time(self, given: Any) -> TimeRule:
        if not isinstance(given, dict):
            raise self.bad("time", "is not a table", 'Write time = { path = "...", form = "..." }')
        self.keys(given, _TIME, "time: ")
        form = given.get("form", "rfc3339" if "path" in given else "arrival")
        if form not in TIME_FORMS:
            raise self.bad("time: form", f"is {form!r}", f"Known: {', '.join(TIME_FORMS)}")
        path = self.text(given, "path", "")
        if bool(path) == (form == "arrival"):
            fix = 'Give a path, or form = "arrival" alone'
            raise self.bad("time", "has a form that does not fit its path", fix)
        zone = self.text(given, "zone", "UTC")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            fix = "Write a name such as Asia/Shanghai"
            raise self.bad("time: zone", f"{zone!r} is not known", fix) from error
        return TimeRule(path_of(path) if path else (), form, zone)
