"""The encode side of a meter profile: quantities to 16-bit registers.

Reads the same profile files as the collectors do (TOML, see docs/meter-profiles.md), so that what
is simulated is what a real meter of that make would answer.
"""

import struct
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grid.errors import BadInput
from grid.quantities import INDEX

_FORMS = {
    "float32": (">f", 2),
    "float64": (">d", 4),
    "uint16": (">H", 1),
    "int16": (">h", 1),
    "uint32": (">I", 2),
    "int32": (">i", 2),
    "uint64": (">Q", 4),
    "int64": (">q", 4),
}


@dataclass(frozen=True, slots=True)
class Register:
    """One value: the quantity is the register's number times `scale`."""

    quantity: str
    address: int
    type: str
    scale: float = 1.0
    function: int = 4

    @property
    def words(self) -> int:
        """How many 16-bit registers it takes."""
        return _FORMS[self.type][1]


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """All registers of a meter type."""

    registers: tuple[Register, ...]
    low_word_first: bool = False

    def encode(self, values: Mapping[str, float]) -> dict[int, int]:
        """Address to word for the values given; absent quantities read as zero or NaN."""
        words: dict[int, int] = {}
        for r in self.registers:
            form, count = _FORMS[r.type]
            value = values.get(r.quantity, float("nan")) / r.scale
            if "f" not in form and "d" not in form:
                value = 0 if np.isnan(value) else round(value)
            raw = struct.unpack(f">{count}H", struct.pack(form, value))
            ordered = raw[::-1] if self.low_word_first else raw
            words.update(zip(range(r.address, r.address + count), ordered, strict=True))
        return words

    def serves(self, function: int, address: int, count: int) -> bool:
        """Whether a block may be read: inside the span of the registers of that function."""
        mine = [r for r in self.registers if r.function == function]
        if not mine:
            return False
        low = min(r.address for r in mine)
        high = max(r.address + r.words for r in mine)
        return low <= address and address + count <= high


def load_register_map(path: Path) -> RegisterMap:
    """Read a profile file. Raises BadInput naming the file and what to correct."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise BadInput(
            "no such meter profile", file=str(path), fix="Use a profile that stands beside it."
        ) from problem
    except tomllib.TOMLDecodeError as problem:
        raise BadInput(f"not valid TOML: {problem}", file=str(path)) from problem
    found = [_register(item, table, path) for item in table.get("registers", [])]
    if not found:
        raise BadInput("no registers", file=str(path), fix="Add [[registers]] tables.")
    return RegisterMap(tuple(found), table.get("word_order", "big") == "little")


def _register(item: dict[str, Any], table: dict[str, Any], path: Path) -> Register:
    name, kind = item.get("quantity"), item.get("type", table.get("type"))
    if name not in INDEX or kind not in _FORMS:
        raise BadInput(
            f"register {item} has an unknown quantity or type",
            file=str(path),
            fix=f"Use a quantity of the vocabulary and one of: {', '.join(_FORMS)}.",
        )
    return Register(
        name,
        int(item["address"]),
        kind,
        float(item.get("scale", 1.0)),
        int(item.get("function", table.get("function", 4))),
    )
