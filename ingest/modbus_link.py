"""One Modbus TCP connection that believes only the reply it asked for.

`RegisterLink` is the seam between the poller and a transport. `TcpLink` speaks Modbus TCP itself,
because it must refuse what pymodbus 3.16 lets pass: replies of another function code, of too few
registers, with bytes behind them, and the silence with which it skips the frames of other units
and transactions until the time-out (docs/modbus.md).
Forewatt is read-only towards the field: `read` refuses every function but 3 and 4.
"""

import asyncio
import struct
from typing import Final, Protocol

from ingest.profile import FUNCTIONS, WORDS_MAX

_HEAD: Final = struct.Struct(">HHHB")  # transaction, protocol 0, length from here on, unit
_REQUEST: Final = struct.Struct(">HHHBBHH")
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


class RegisterLink(Protocol):
    """What the poller needs of a transport; one request at a time."""

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""

    async def connect(self, timeout_s: float) -> None:
        """Open the connection; raises LinkTimeout or LinkBroken."""

    async def read(
        self, unit: int, function: int, address: int, count: int, timeout_s: float
    ) -> tuple[int, ...]:
        """`count` registers; raises LinkError. After any but `Refused` the link is closed."""

    def close(self) -> None:
        """Close the connection, if any."""


class _Connection(asyncio.Protocol):
    """Bytes of one connection; judges each frame against the one request that is open."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.trouble = ""
        self._buffer = bytearray()
        self._expected: tuple[int, int, int, int] | None = None  # transaction, unit, function, n
        self._reply: asyncio.Future[tuple[int, ...]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection ended: {error}" if error else "the device closed it")

    def ask(
        self, transaction: int, unit: int, function: int, address: int, count: int
    ) -> asyncio.Future[tuple[int, ...]]:
        assert self.transport is not None
        self._expected = (transaction, unit, function, count)
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(_REQUEST.pack(transaction, 0, 6, unit, function, address, count))
        return self._reply

    def data_received(self, data: bytes) -> None:
        if self.trouble:
            return
        self._buffer += data
        if self._reply is None or self._reply.done() or self._expected is None:
            self._fail(f"{len(data)} bytes that nobody asked for")
            return
        if len(self._buffer) < _HEAD.size:
            return
        transaction, protocol, length, unit = _HEAD.unpack_from(self._buffer)
        asked_transaction, asked_unit, function, count = self._expected
        if protocol != 0 or not 3 <= length <= _LENGTH_MAX:
            self._fail(f"no Modbus frame (protocol {protocol}, length {length})")
        elif transaction != asked_transaction:
            self._fail(f"the answer to another request ({transaction}, not {asked_transaction})")
        elif unit != asked_unit:
            self._fail(f"an answer of unit {unit} where {asked_unit} was asked")
        elif len(self._buffer) > length + 6:
            self._fail(f"{len(self._buffer) - length - 6} bytes behind the answer")
        elif len(self._buffer) == length + 6:
            self._judge(bytes(self._buffer[_HEAD.size :]), function, count)

    def _judge(self, body: bytes, function: int, count: int) -> None:
        self._buffer.clear()
        assert self._reply is not None
        if body[0] == function | _EXCEPTION_BIT and len(body) == 2:
            self._reply.set_exception(Refused(body[1]))
        elif body[0] != function:
            self._fail(f"an answer to function {body[0]} where {function} was asked")
        elif len(body) != 2 + 2 * count or body[1] != 2 * count:
            self._fail(f"{(len(body) - 2) / 2:g} registers where {count} were asked")
        else:
            self._reply.set_result(struct.unpack_from(f">{count}H", body, 2))

    def _fail(self, text: str) -> None:
        self.trouble = self.trouble or text
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(LinkBroken(self.trouble))
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


class TcpLink:
    """`RegisterLink` over Modbus TCP."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._connection: _Connection | None = None
        self._transaction = 0

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        return self._connection is not None and not self._connection.trouble

    async def connect(self, timeout_s: float) -> None:
        """Open the connection; raises LinkTimeout or LinkBroken."""
        self.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, self._connection = await loop.create_connection(
                    _Connection, self._host, self._port
                )
        except TimeoutError:
            raise LinkTimeout(f"no connection within {timeout_s:g} s") from None
        except OSError as error:
            raise LinkBroken(f"cannot connect: {error.strerror or error}") from error

    async def read(
        self, unit: int, function: int, address: int, count: int, timeout_s: float
    ) -> tuple[int, ...]:
        """`count` registers from `address`; see `RegisterLink.read`."""
        if function not in FUNCTIONS or not 0 < count <= WORDS_MAX:
            raise ValueError(f"function {function} with {count} registers is never sent")
        connection = self._connection
        if connection is None or connection.trouble:
            raise LinkBroken(connection.trouble if connection else "not connected")
        self._transaction = self._transaction % 0xFFFF + 1
        try:
            async with asyncio.timeout(timeout_s):
                return await connection.ask(self._transaction, unit, function, address, count)
        except TimeoutError:
            self.close()  # a late answer must not meet the next request
            raise LinkTimeout(f"no answer within {timeout_s:g} s") from None
        except LinkBroken:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if any."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.trouble = connection.trouble or "closed"
            connection.abort()
