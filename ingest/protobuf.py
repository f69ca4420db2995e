"""The part of the protobuf wire format that Sparkplug B payloads use, by hand.

About twenty fields are all that is needed, so no generated code and no library. Numbers are kept
as they stand on the wire; `ingest.sparkplug` knows what they mean.
"""

import struct
from collections.abc import Iterator
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX: Final = 10


class Malformed(ValueError):
    """Not a protobuf message; the text says where."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place behind it); raises Malformed when it is cut short or too long."""
    value = shift = 0
    for i in range(at, min(at + _VARINT_BYTES_MAX, len(data))):
        byte = data[i]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, i + 1
        shift += 7
    raise Malformed(f"a number at byte {at} has no end")


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value) of each field; unknown ones come along."""
    at, end = 0, len(data)
    while at < end:
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Malformed(f"field 0 before byte {at}")
        if wire == VARINT:
            value, at = varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = varint(data, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise Malformed(f"wire type {wire} before byte {at}")
        if at + size > end:
            raise Malformed(f"{size} bytes announced at byte {at}, {end - at} left")
        yield number, wire, data[at : at + size]
        at += size


def put_varint(value: int) -> bytes:
    """An unsigned number."""
    out = bytearray()
    while True:
        value, digit = value >> 7, value & 127
        out.append(digit | (128 if value else 0))
        if not value:
            return bytes(out)


def put(number: int, value: int | float | bool | str | bytes, *, double: bool = False) -> bytes:
    """One field: whole numbers as varint, floats fixed (32 bits unless `double`), text as bytes."""
    if isinstance(value, bool | int):
        return put_varint(number << 3 | VARINT) + put_varint(int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        wire, form = (FIXED64, "<d") if double else (FIXED32, "<f")
        return put_varint(number << 3 | wire) + struct.pack(form, value)
    raw = value.encode() if isinstance(value, str) else value
    return put_varint(number << 3 | BYTES) + put_varint(len(raw)) + raw
