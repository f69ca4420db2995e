"""Modbus frames of the two read functions: made and judged against the one open request.

`TcpFraming` is Modbus TCP; `RtuFraming` is Modbus RTU, on a serial line or through a transparent
TCP gateway. `judge` says "more bytes", gives the registers, or raises: it never guesses, and it
never looks for a frame inside other bytes, because that is how a late reply becomes a wrong value.
"""

import struct
from dataclasses import dataclass
from typing import Final, Protocol

_HEAD: Final = struct.Struct(">HHHB")  # transaction, protocol 0, length from here on, unit
_REQUEST: Final = struct.Struct(">HHHBBHH")
_RTU_REQUEST: Final = struct.Struct(">BBHH")
_LENGTH_MAX: Final = 254
_EXCEPTION_BIT: Final = 0x80
EXCEPTIONS: Final = {
    1: "the device does not know this function",
    2: "an address that the device does not have",
    3: "a count that the device does not allow",
    4: "the device failed on it",
    5: "the device needs longer",
    6: "the device is busy",
    10: "the gateway has no path to the device",
    11: "the gateway got no answer from the device",
}


class LinkError(Exception):
    """The read failed; the text says how, for people."""


class Refused(LinkError):
    """The device answered with a Modbus exception; the connection is good."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code}: {EXCEPTIONS.get(code, 'unknown to Modbus')}")


class LinkTimeout(LinkError):
    """No full answer in time; the connection has been closed."""


class LinkBroken(LinkError):
    """The connection ended, or something came that was not asked for; it has been closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A read of `count` registers; `transaction` is used by Modbus TCP only."""

    transaction: int
    unit: int
    function: int
    address: int
    count: int


class Framing(Protocol):
    """How requests and replies look on the wire."""

    # How long a reply may come late and be mistaken for the next one, seconds; 0 where it cannot.
    guard_s: float

    def request(self, r: Request) -> bytes:
        """The bytes to send."""

    def judge(self, data: bytes, r: Request) -> tuple[int, ...] | None:
        """The registers, None while more bytes must come; raises Refused or LinkBroken."""


def _registers(body: bytes, r: Request) -> tuple[int, ...]:
    """Of a whole reply from its function code on."""
    if body[0] == r.function | _EXCEPTION_BIT and len(body) == 2:
        raise Refused(body[1])
    if body[0] != r.function:
        raise LinkBroken(f"an answer to function {body[0]} where {r.function} was asked")
    if len(body) != 2 + 2 * r.count or body[1] != 2 * r.count:
        raise LinkBroken(f"{(len(body) - 2) / 2:g} registers where {r.count} were asked")
    return struct.unpack_from(f">{r.count}H", body, 2)


class TcpFraming:
    """Modbus TCP: every reply carries the number of its request."""

    guard_s = 0.0

    def request(self, r: Request) -> bytes:
        """Header and read request."""
        return _REQUEST.pack(r.transaction, 0, 6, r.unit, r.function, r.address, r.count)

    def judge(self, data: bytes, r: Request) -> tuple[int, ...] | None:
        """See `Framing.judge`."""
        if len(data) < _HEAD.size:
            return None
        transaction, protocol, length, unit = _HEAD.unpack_from(data)
        if protocol != 0 or not 3 <= length <= _LENGTH_MAX:
            raise LinkBroken(f"no Modbus frame (protocol {protocol}, length {length})")
        if transaction != r.transaction:
            raise LinkBroken(f"the answer to another request ({transaction}, not {r.transaction})")
        if unit != r.unit:
            raise LinkBroken(f"an answer of unit {unit} where {r.unit} was asked")
        if len(data) > length + 6:
            raise LinkBroken(f"{len(data) - length - 6} bytes behind the answer")
        return _registers(data[_HEAD.size :], r) if len(data) == length + 6 else None


class RtuFraming:
    """Modbus RTU: a reply carries unit, function and checksum, but not which request it answers.

    After a time-out the line is therefore listened to for `guard_s` before it is used again, and
    the unit that was late is left alone as long.
    """

    def __init__(self, guard_s: float = 1.0) -> None:
        self.guard_s = guard_s

    def request(self, r: Request) -> bytes:
        """Read request with its checksum."""
        frame = _RTU_REQUEST.pack(r.unit, r.function, r.address, r.count)
        return frame + crc16(frame)

    def judge(self, data: bytes, r: Request) -> tuple[int, ...] | None:
        """See `Framing.judge`."""
        if len(data) < 2:
            return None
        if data[0] != r.unit:
            raise LinkBroken(f"an answer of unit {data[0]} where {r.unit} was asked")
        refused = data[1] == r.function | _EXCEPTION_BIT
        if not refused and data[1] != r.function:
            raise LinkBroken(f"an answer to function {data[1]} where {r.function} was asked")
        whole = 5 if refused else 5 + 2 * r.count
        if not refused and len(data) > 2 and data[2] != 2 * r.count:
            raise LinkBroken(f"{data[2] / 2:g} registers where {r.count} were asked")
        if len(data) > whole:
            raise LinkBroken(f"{len(data) - whole} bytes behind the answer")
        if len(data) < whole:
            return None
        if crc16(data[:-2]) != data[-2:]:
            raise LinkBroken("an answer with a wrong checksum")
        return _registers(data[1:-2], r)


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes) -> bytes:
    """The checksum of Modbus RTU, low byte first.

    >>> crc16(b"\\x01\\x04\\x00\\x00\\x00\\x02").hex()
    '71cb'
    """
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")
