"""Look at meters by hand: who answers on a bus, and what a profile makes of one of them.

For `forewatt modbus scan HOST` and `forewatt modbus read HOST --profile P`. Reads only.
"""

import asyncio
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from grid.quantities import quantity
from ingest.modbus_frame import LinkError, Refused
from ingest.modbus_link import RegisterLink, link_for
from ingest.profile import Profile, Register
from ingest.profile_files import load_profile, profile_names
from ingest.sunspec import SUNSPEC, discover


@dataclass(frozen=True, slots=True)
class Value:
    """One register of a reading: what stood on the wire and what it means."""

    quantity: str
    address: int
    words: tuple[int, ...]
    value: float  # SI, NaN when the meter says "not available"
    trouble: str = ""  # why it could not be read


@dataclass(frozen=True, slots=True)
class Found:
    """A unit that answered; `profiles` are those whose probe value is believable."""

    unit: int
    profiles: tuple[str, ...]
    note: str = ""


def read_table(url: str, unit: int, profile: Profile, *, timeout_s: float = 2.0) -> list[Value]:
    """Every register of a profile, block by block; raises LinkError when nothing answers."""
    return asyncio.run(_read_table(url, unit, profile, timeout_s))


async def _read_table(url: str, unit: int, profile: Profile, timeout_s: float) -> list[Value]:
    _, link = link_for(url)
    values: list[Value] = []
    last: LinkError | None = None
    try:
        if profile.is_discovered:
            await link.connect(timeout_s)
            profile = await discover(link, unit, timeout_s)
        for block in profile.plan():
            try:
                words = await _read(
                    link, unit, block.function, block.address, block.count, timeout_s
                )
            except LinkError as error:
                last = error
                values += [
                    Value(r.quantity, r.address, (), math.nan, str(error)) for r in block.registers
                ]
                continue
            for r in block.registers:
                at = r.address - block.address
                mine = tuple(words[at : at + r.words])
                power = r.power_at(struct.pack(f">{len(words)}H", *words), block.address)
                values.append(Value(r.quantity, r.address, mine, r.decode(mine) * power))
    finally:
        link.close()
    if last is not None and all(v.trouble for v in values):
        raise last
    return values


async def _read(
    link: RegisterLink, unit: int, function: int, address: int, count: int, timeout_s: float
) -> tuple[int, ...]:
    if not link.connected:
        await link.connect(timeout_s)
    return await link.read(unit, function, address, count, timeout_s)


def scan(
    url: str,
    units: Iterable[int] = range(1, 248),
    profiles: Sequence[str | Profile] | None = None,
    *,
    timeout_s: float = 0.5,
    on_unit: Callable[[int], None] | None = None,
) -> list[Found]:
    """The units that answer on a bus, with the profiles whose probe fits; raises LinkError when
    the bus itself cannot be reached."""
    given: Sequence[str | Profile] = (*profile_names(), SUNSPEC) if profiles is None else profiles
    chosen = [p if isinstance(p, Profile) else load_profile(p) for p in given]
    return asyncio.run(_scan(url, units, chosen, timeout_s, on_unit))


async def _scan(
    url: str,
    units: Iterable[int],
    profiles: Sequence[Profile],
    timeout_s: float,
    on_unit: Callable[[int], None] | None,
) -> list[Found]:
    _, link = link_for(url)
    found = []
    try:
        await link.connect(max(timeout_s, 2.0))
        for unit in units:
            if on_unit is not None:
                on_unit(unit)
            answer = await _probe(link, unit, profiles, timeout_s)
            if answer is not None:
                found.append(answer)
    finally:
        link.close()
    return found


async def _probe(
    link: RegisterLink, unit: int, profiles: Sequence[Profile], timeout_s: float
) -> Found | None:
    fitting, note, alive = [], "", False
    asked: dict[tuple[int, int, int], tuple[int, ...] | None] = {}
    for profile in profiles:
        if profile.probe is None:
            continue
        r: Register = profile.probe.register
        key = (r.function, r.address, r.words)
        if key not in asked:
            try:
                asked[key] = await _read(link, unit, *key, timeout_s)
                alive = True
            except Refused as refused:
                asked[key] = None
                if refused.code in (10, 11):
                    return None  # the gateway speaks for a unit that is not there
                alive, note = True, str(refused)
            except LinkError:
                if not alive:
                    return None  # silent at the first question: nobody is asked ten times
                asked[key] = None
        words = asked[key]
        if words is not None and profile.probe.low <= r.decode(words) <= profile.probe.high:
            fitting.append(profile.name)
    if not alive:
        return None
    if any(profile.is_discovered for profile in profiles):
        try:
            if not link.connected:
                await link.connect(max(timeout_s, 2.0))
            fitting.append((await discover(link, unit, timeout_s)).name)
        except LinkError as error:
            note = note or str(error)
    return Found(unit, tuple(fitting), "" if fitting else note)


def table_lines(values: Sequence[Value]) -> list[str]:
    """The reading as lines for a terminal: quantity, value, unit, address, raw words."""
    lines = []
    for v in values:
        raw = " ".join(f"{w:04X}" for w in v.words)
        if v.trouble:
            shown = v.trouble
        elif math.isnan(v.value):
            shown = "not available"
        else:
            shown = f"{v.value:>14.6g} {quantity(v.quantity).unit}"
        lines.append(f"{v.quantity:<12} {shown:<24} at 0x{v.address:04X}  {raw}".rstrip())
    return lines
