"""Meter profiles: which register means what, and in how few requests it can be read.

`Profile.plan` groups the registers into the fewest requests the map allows, `Block.decode` turns
words into SI units. Profiles come from data files: `ingest.profile_files`.
"""

import math
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
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
_EXPONENT_MAX: Final = 10  # SunSpec's own bound; 0x8000 means "not implemented"
FUNCTIONS: Final = (3, 4)  # holding and input registers; Forewatt has no other function code


@dataclass(frozen=True, slots=True)
class Register:
    """One value: `quantity` = number at `address` x `scale` x `sign`.

    `sentinels` are raw numbers that mean "not available"; so do NaN and infinity. It is read at
    every `every`-th poll: a register that moves slowly need not cost a request each time.
    `exponent_at` is the address of an int16 that gives the power of ten (SunSpec), read along.
    """

    quantity: str
    address: int
    type: str
    function: int = 4
    scale: float = 1.0
    sign: int = 1
    sentinels: tuple[int, ...] = ()
    low_word_first: bool = False
    every: int = 1
    exponent_at: int | None = None

    @property
    def span(self) -> tuple[int, int]:
        """First address, and the one after the last, that a request for it must cover."""
        first, end = self.address, self.address + self.words
        if self.exponent_at is None:
            return first, end
        return min(first, self.exponent_at), max(end, self.exponent_at + 1)

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

    def power_at(self, raw: bytes, first: int) -> float:
        """The factor of `exponent_at`, from the bytes of a block that begins at `first`; NaN when
        the device does not tell it."""
        if self.exponent_at is None:
            return 1.0
        (exponent,) = struct.unpack_from(">h", raw, 2 * (self.exponent_at - first))
        return float(10.0**exponent) if -_EXPONENT_MAX <= exponent <= _EXPONENT_MAX else math.nan


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
            value = r.decode_at(raw, r.address - self.address) * r.power_at(raw, self.address)
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
    is_discovered: bool = False  # its registers are asked of the device (SunSpec)

    @property
    def rates(self) -> tuple[int, ...]:
        """The different `every` of its registers."""
        return tuple(sorted({r.every for r in self.registers}))

    def plan(
        self, rates: Collection[int] | None = None, absent: Collection[str] = ()
    ) -> tuple[Block, ...]:
        """The fewest requests: one pass by address, holes up to `fill` words read along.

        A hole over a forbidden address ends the block: a read across an undefined address fails
        as a whole. Extending each block as far as it goes leaves the fewest blocks. `rates` picks
        the registers by their `every`; without it all are read, but for the `absent` quantities.
        """
        chosen = [
            r
            for r in self.registers
            if (rates is None or r.every in rates) and r.quantity not in absent
        ]
        return tuple(_block(group) for group in self._groups(chosen))

    def _groups(self, registers: Sequence[Register]) -> Iterator[list[Register]]:
        group: list[Register] = []
        for r in sorted(registers, key=lambda r: (r.function, r.address)):
            if group:
                start, end = min(g.span[0] for g in group), max(g.span[1] for g in group)
                first, after = r.span
                fits = (
                    r.function == group[0].function
                    and first - end <= self.fill
                    and max(end, after) - min(start, first) <= self.max_words
                    and not any(low < first and high >= end for low, high in self.forbidden)
                )
                if not fits:
                    yield group
                    group = []
            group.append(r)
        if group:
            yield group


def _block(registers: Sequence[Register]) -> Block:
    start = min(r.span[0] for r in registers)
    end = max(r.span[1] for r in registers)
    return Block(registers[0].function, start, end - start, tuple(registers))
