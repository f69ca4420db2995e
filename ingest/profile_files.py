"""Read meter profiles from their files; every mistake names file, field and fix.

The format is described in docs/modbus.md; the profiles that come with Forewatt lie in profiles/.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from grid.errors import BadInput
from grid.quantities import INDEX
from ingest.profile import FUNCTIONS, TYPES, WORDS_MAX, Probe, Profile, Register
from ingest.sunspec import SUNSPEC
from ingest.toml_place import line_of

EVERY_MAX: Final = 10_000
FOLDER: Final = Path(__file__).parent / "profiles"
_TOP: Final = frozenset(
    ["name", "title", "source", "function", "type", "word_order", "max_words", "fill",
     "forbidden", "sentinels", "probe", "registers"]
)  # fmt: skip
_REGISTER: Final = frozenset(
    ["quantity", "address", "type", "scale", "sign", "function", "sentinels", "word_order", "every"]
)
_PROBE: Final = frozenset(["address", "type", "function", "low", "high", "scale"])


def profile_names() -> list[str]:
    """The profiles that come with Forewatt."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """A shipped profile by name, or any profile file by path; raises BadInput with the fix."""
    text = str(name_or_path)
    if text == SUNSPEC.name:
        return SUNSPEC
    shipped = FOLDER / f"{text}.toml"
    path = shipped if "/" not in text and shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        near = get_close_matches(text, profile_names(), 1)
        hint = f"Did you mean {near[0]!r}" if near else f"Shipped: {', '.join(profile_names())}"
        raise BadInput(f"no meter profile {text!r}", fix=f"{hint}; or give the path of a file")
    try:
        content = path.read_text(encoding="utf-8")
        table = tomllib.loads(content)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"not a TOML file: {error}", file=str(path)) from error
    return _Reader(str(path), content).profile(table)


class _Reader:
    """Checks a profile table; each complaint names the file and the field."""

    def __init__(self, file: str, content: str) -> None:
        self.file, self._content = file, content

    def bad(self, field: str, problem: str, fix: str) -> BadInput:
        register = re.match(r"register (\d+): ", field)
        words = re.findall(r"\w+", field)
        if register:
            line = line_of(self._content, words[2:], "registers", int(register[1]))
        else:
            line = line_of(self._content, words)
        return BadInput(f"{field} {problem}", file=self.file, line=line, fix=fix)

    def keys(self, table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, 1)
                fix = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}"
                raise self.bad(f"{where}{key!r}", "is no field of a profile", fix)

    def integer(
        self, table: Mapping[str, Any], key: str, where: str, low: int, high: int, default: int
    ) -> int:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            fix = f"Write a whole number from {low} to {high}"
            raise self.bad(f"{where}{key}", f"is {value!r}", fix)
        return value

    def number(self, table: Mapping[str, Any], key: str, where: str, default: float) -> float:
        value = table.get(key, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.bad(f"{where}{key}", f"is {value!r}", "Write a number")
        return float(value)

    def text(self, table: Mapping[str, Any], key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.bad(key, "is missing or empty", f'Write {key} = "..."')
        return value

    def profile(self, table: Mapping[str, Any]) -> Profile:
        self.keys(table, _TOP, "")
        given = table.get("registers")
        if not isinstance(given, list) or not given:
            raise self.bad("registers", "are missing", "Add [[registers]] tables")
        registers = tuple(
            self.register(item, table, f"register {i + 1}: ") for i, item in enumerate(given)
        )
        self.once(registers)
        max_words = self.integer(table, "max_words", "", 1, WORDS_MAX, WORDS_MAX)
        widest = max(registers, key=lambda r: r.words)
        if widest.words > max_words:
            raise self.bad("max_words", f"is {max_words}, but {widest.quantity} takes "
                           f"{widest.words}", "Raise max_words")  # fmt: skip
        return Profile(
            self.text(table, "name"),
            self.text(table, "title"),
            self.text(table, "source"),
            registers,
            max_words,
            self.integer(table, "fill", "", 0, WORDS_MAX, 0),
            self.ranges(table.get("forbidden", [])),
            self.probe(table),
        )

    def once(self, registers: Sequence[Register]) -> None:
        seen: dict[str, int] = {}
        for i, r in enumerate(registers, 1):
            if r.quantity in seen:
                first = seen[r.quantity]
                raise self.bad(f"register {i}: quantity {r.quantity!r}",
                               f"is already register {first}", "Keep one of them")  # fmt: skip
            seen[r.quantity] = i

    def register(
        self, item: Any, table: Mapping[str, Any], where: str, quantity: str | None = None
    ) -> Register:
        if not isinstance(item, dict):
            raise self.bad(where + "it", "is not a table", "Write it as [[registers]]")
        if quantity is None:
            self.keys(item, _REGISTER, where)
            quantity = item.get("quantity")
            if not isinstance(quantity, str) or quantity not in INDEX:
                near = get_close_matches(str(quantity), INDEX, 1)
                fix = f"Did you mean {near[0]!r}?" if near else "See the list in docs/payloads.md"
                raise self.bad(f"{where}quantity", f"is {quantity!r}", fix)
        if "address" not in item:
            raise self.bad(f"{where}address", "is missing", "Write the address, counted from 0")
        kind = item.get("type", table.get("type"))
        if not isinstance(kind, str) or kind not in TYPES:
            raise self.bad(f"{where}type", f"is {kind!r}", f"Known: {', '.join(TYPES)}")
        inherited = {**{k: table[k] for k in ("function",) if k in table}, **item}
        order = item.get("word_order", table.get("word_order", "big"))
        if order not in ("big", "little"):
            raise self.bad(f"{where}word_order", f"is {order!r}", 'Write "big" or "little"')
        sign = self.integer(item, "sign", where, -1, 1, 1)
        scale = self.number(item, "scale", where, 1.0)
        if sign == 0 or scale == 0:
            raise self.bad(f"{where}sign or scale", "is 0", "Then nothing would be left")
        sentinels = item.get("sentinels", table.get("sentinels", []))
        if not isinstance(sentinels, list) or not all(type(s) is int for s in sentinels):
            fix = "Write whole numbers, such as [0x7FFFFFFF]"
            raise self.bad(f"{where}sentinels", f"are {sentinels!r}", fix)
        words = TYPES[kind][1]
        return Register(
            quantity,
            self.integer(item, "address", where, 0, 65_536 - words, 0),
            kind,
            self.function(inherited, where),
            scale,
            sign,
            tuple(sentinels),
            order == "little",
            self.integer(item, "every", where, 1, EVERY_MAX, 1),
        )

    def function(self, item: Mapping[str, Any], where: str) -> int:
        value = item.get("function", 4)
        if type(value) is not int or value not in FUNCTIONS:
            fix = "Write 3 (holding registers) or 4 (input registers); Forewatt only reads"
            raise self.bad(f"{where}function", f"is {value!r}", fix)
        return value

    def ranges(self, given: Any) -> tuple[tuple[int, int], ...]:
        fix = "Write pairs [first, last], such as [[0x2C, 0x2D]]"
        out = []
        for pair in given if isinstance(given, list) else [None]:
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(type(v) is int for v in pair)
                or not 0 <= pair[0] <= pair[1] <= 65_535
            ):
                raise self.bad("forbidden", f"holds {pair!r}", fix)
            out.append((pair[0], pair[1]))
        return tuple(out)

    def probe(self, table: Mapping[str, Any]) -> Probe | None:
        item = table.get("probe")
        if item is None:
            return None
        if not isinstance(item, dict):
            raise self.bad("probe", "is not a table", "Write it as [probe]")
        self.keys(item, _PROBE, "probe: ")
        register = self.register(item, table, "probe: ", quantity="probe")
        low = self.number(item, "low", "probe: ", 0.0)
        high = self.number(item, "high", "probe: ", 0.0)
        if not low < high:
            raise self.bad("probe: low", "is not below high", "Write low and high")
        return Probe(register, low, high)
