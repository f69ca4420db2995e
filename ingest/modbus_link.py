"""One Modbus connection that believes only the reply it asked for.

`RegisterLink` is the seam between the poller and a transport: TCP (Modbus TCP, or RTU through a
transparent gateway) and serial lines. The frames are judged in `ingest.modbus_frame`, because they
must be refused where pymodbus 3.16 lets them pass: replies of another function code, of too few
registers, with bytes in front of or behind them, late ones on RTU (docs/modbus.md).
Forewatt is read-only towards the field: `read` refuses every function but 3 and 4.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from grid.errors import BadInput
from ingest.modbus_frame import (
    Framing,
    LinkBroken,
    LinkError,
    LinkTimeout,
    Refused,
    Request,
    RtuFraming,
    TcpFraming,
)
from ingest.modbus_serial import SerialLine, open_serial
from ingest.profile import FUNCTIONS, WORDS_MAX

__all__ = ["LinkBroken", "LinkError", "LinkTimeout", "Refused", "RegisterLink", "link_for"]

_QUIET_S: Final = 0.05  # a line is quiet when nothing came for this long


class RegisterLink(Protocol):
    """What the poller needs of a transport; one request at a time."""

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""

    @property
    def guard_s(self) -> float:
        """How long a unit must be left alone after it was late; 0 where nothing can be mistaken."""

    async def connect(self, timeout_s: float) -> None:
        """Open the connection; raises LinkTimeout or LinkBroken."""

    async def read(
        self, unit: int, function: int, address: int, count: int, timeout_s: float
    ) -> tuple[int, ...]:
        """`count` registers; raises LinkError. After any but `Refused` the link is closed."""

    def close(self) -> None:
        """Close the connection, if any."""


class _Connection(asyncio.Protocol):
    """Bytes of one connection; each frame is judged against the one request that is open."""

    def __init__(self, framing: Framing) -> None:
        self.transport: asyncio.Transport | None = None
        self.trouble = ""
        self.heard = 0.0  # monotonic time of the last bytes
        self.listening = False  # bytes are let pass: the line is being cleared
        self._framing = framing
        self._buffer = b""
        self._request: Request | None = None
        self._reply: asyncio.Future[tuple[int, ...]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection ended: {error}" if error else "the device closed it")

    def ask(self, request: Request) -> asyncio.Future[tuple[int, ...]]:
        assert self.transport is not None
        self._request = request
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(self._framing.request(request))
        return self._reply

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        if self.trouble or self.listening:
            return
        if self._reply is None or self._reply.done() or self._request is None:
            self._fail(f"{len(data)} bytes that nobody asked for")
            return
        self._buffer += data
        try:
            registers = self._framing.judge(self._buffer, self._request)
        except Refused as refused:
            self._buffer = b""
            self._reply.set_exception(refused)
        except LinkBroken as broken:
            self._fail(str(broken))
        else:
            if registers is not None:
                self._buffer = b""
                self._reply.set_result(registers)

    def _fail(self, text: str) -> None:
        self.trouble = self.trouble or text
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(LinkBroken(self.trouble))
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


Opener = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]


class StreamLink:
    """`RegisterLink` over any byte stream that `opener` connects to a protocol."""

    def __init__(self, opener: Opener, framing: Framing) -> None:
        self._opener, self._framing = opener, framing
        self._connection: _Connection | None = None
        self._transaction = 0
        self._clear_until = 0.0  # a late reply may come until then

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        return self._connection is not None and not self._connection.trouble

    @property
    def guard_s(self) -> float:
        """See `RegisterLink.guard_s`."""
        return self._framing.guard_s

    async def connect(self, timeout_s: float) -> None:
        """Open the connection; raises LinkTimeout or LinkBroken."""
        self.close()
        connection = _Connection(self._framing)
        try:
            async with asyncio.timeout(timeout_s):
                await self._opener(lambda: connection)
        except TimeoutError:
            raise LinkTimeout(f"no connection within {timeout_s:g} s") from None
        except OSError as error:
            raise LinkBroken(f"cannot connect: {error.strerror or error}") from error
        self._connection = connection
        if self.guard_s:
            await self._clear(connection)

    async def _clear(self, connection: _Connection) -> None:
        """Let late bytes of before pass by: until they can no longer come, and it is quiet."""
        connection.listening = True
        limit = max(self._clear_until, time.monotonic()) + 20 * _QUIET_S
        while (now := time.monotonic()) < limit:
            left_s = max(self._clear_until, connection.heard + _QUIET_S) - now
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        connection.listening = False

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
        request = Request(self._transaction, unit, function, address, count)
        try:
            async with asyncio.timeout(timeout_s):
                return await connection.ask(request)
        except TimeoutError:
            self._spoiled()
            raise LinkTimeout(f"no answer within {timeout_s:g} s") from None
        except LinkBroken:
            self._spoiled()
            raise

    def _spoiled(self) -> None:
        self._clear_until = time.monotonic() + self.guard_s
        self.close()

    def close(self) -> None:
        """Close the connection, if any."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.trouble = connection.trouble or "closed"
            connection.abort()


def tcp_link(host: str, port: int, framing: Framing | None = None) -> StreamLink:
    """Modbus TCP, or RTU through a transparent gateway with `RtuFraming`."""

    async def opener(factory: Callable[[], asyncio.Protocol]) -> object:
        return await asyncio.get_running_loop().create_connection(factory, host, port)

    return StreamLink(opener, framing or TcpFraming())


def serial_link(line: SerialLine) -> StreamLink:
    """Modbus RTU on a serial line."""

    async def opener(factory: Callable[[], asyncio.Protocol]) -> object:
        return open_serial(line, factory)

    return StreamLink(opener, RtuFraming())


def link_for(url: str) -> tuple[str, RegisterLink]:
    """(name of the bus, link) of tcp://host:port, rtu+tcp://host:port or serial:///dev/x?baud=n.

    Raises BadInput for anything else.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme == "serial" and parts.path:
        line = SerialLine.of(parts.path, dict(parse_qsl(parts.query)), url)
        return line.path, serial_link(line)
    if parts.scheme not in ("tcp", "rtu+tcp") or not parts.hostname or port == -1:
        raise BadInput(
            f"{url!r} is no Modbus address",
            fix="Write tcp://host:port, rtu+tcp://host:port or serial:///dev/ttyUSB0?baud=9600",
        )
    framing = RtuFraming() if parts.scheme == "rtu+tcp" else TcpFraming()
    port = port or 502
    return f"{parts.hostname}:{port}", tcp_link(parts.hostname, port, framing)
