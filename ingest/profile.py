"""Meter profiles: which register means what, and in how few requests it can be read.

`Profile.plan` groups the registers into the fewest requests the map allows, `Block.decode` turns
words into SI units. Profiles come from data files: `ingest.profile_files`.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WORDS_MAX: Final = 125  # Modbus: a response carries at most 125 registers
# type: (struct code, words)
TYPES: Final[Mapping[str, tuple[str, int]]] = {
    "int16": ("h", 1),
    "uint16": ("H", 1),
    "int32": ("i", 2),
    "uint32": ("I", 2),
    "int64": ("q", 4),
    "uint64": ("Q", 4),
    "float32": ("f", 2),
    "float64": ("d", 4),
}
FUNCTIONS: Final = (3, 4)  # holding and input registers; Forewatt has no other function code


@dataclass(frozen=True, slots=True)
class Register:
    """One value: `quantity` = number at `address` x `scale` x `sign`.

    `sentinels` are raw numbers that mean "not available"; so do NaN and infinity.
    """

    quantity: str
    address: int
    type: str
    function: int = 4
    scale: float = 1.0
    sign: int = 1
    sentinels: tuple[int, ...] = ()
    low_word_first: bool = False

    @property
    def words(self) -> int:
        """How many 16-bit registers it takes."""
        return TYPES[self.type][1]

    def decode(self, words: Sequence[int]) -> float:
        """The value in SI units; NaN for "not available"."""
        return self.decode_at(struct.pack(f">{len(words)}H", *words), 0)

    def decode_at(self, raw: bytes, at: int) -> float:
        """The same from the bytes of a block, `at` words behind its beginning."""
        code, words = TYPES[self.type]
        if self.low_word_first and words > 1:
            mine = raw[2 * at : 2 * (at + words)]
            raw = b"".join(mine[i : i + 2] for i in range(2 * words - 2, -2, -2))
            at = 0
        (number,) = struct.unpack_from(f">{code}", raw, 2 * at)
        if number in self.sentinels or not math.isfinite(number):
            return math.nan
        return float(number) * self.scale * self.sign


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` words from `address`, and the registers that it answers."""

    function: int
    address: int
    count: int
    registers: tuple[Register, ...]

    def decode(self, words: Sequence[int]) -> dict[str, float]:
        """Quantity to value for all registers of the block that have one."""
        found = {}
        raw = struct.pack(f">{len(words)}H", *words)
        for r in self.registers:
            value = r.decode_at(raw, r.address - self.address)
            if not math.isnan(value):
                found[r.quantity] = value
        return found

    def halves(self) -> tuple["Block", ...]:
        """The block as two, each as short as its registers; itself when it has one register."""
        if len(self.registers) < 2:
            return (self,)
        middle = len(self.registers) // 2
        return tuple(_block(part) for part in (self.registers[:middle], self.registers[middle:]))


@dataclass(frozen=True, slots=True)
class Probe:
    """A register that tells whether this kind of meter answers: its value lies in low..high."""

    register: Register
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A meter type: see docs/modbus.md for the file behind it."""

    name: str
    title: str
    source: str
    registers: tuple[Register, ...]
    max_words: int = WORDS_MAX
    fill: int = 0
    forbidden: tuple[tuple[int, int], ...] = ()
    probe: Probe | None = None

    def plan(self) -> tuple[Block, ...]:
        """The fewest requests: one pass by address, holes up to `fill` words read along.

        A hole over a forbidden address ends the block: a read across an undefined address fails
        as a whole. Extending each block as far as it goes leaves the fewest blocks.
        """
        return tuple(_block(group) for group in self._groups())

    def _groups(self) -> Iterator[list[Register]]:
        group: list[Register] = []
        for r in sorted(self.registers, key=lambda r: (r.function, r.address)):
            if group:
                start, end = group[0].address, max(g.address + g.words for g in group)
                fits = (
                    r.function == group[0].function
                    and r.address - end <= self.fill
                    and r.address + r.words - start <= self.max_words
                    and not any(first < r.address and last >= end for first, last in self.forbidden)
                )
                if not fits:
                    yield group
                    group = []
            group.append(r)
        if group:
            yield group


def _block(registers: Sequence[Register]) -> Block:
    start = registers[0].address
    end = max(r.address + r.words for r in registers)
    return Block(registers[0].function, start, end - start, tuple(registers))
