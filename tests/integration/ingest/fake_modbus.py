"""A Modbus TCP device that can misbehave in every way seen in the field.

Register a holds `word(unit, function, a)`, so a value from a wrong place cannot go unnoticed.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from ingest.modbus_frame import crc16

HEAD = struct.Struct(">HHHB")
READ = struct.Struct(">BHH")


def word(unit: int, function: int, address: int) -> int:
    return (unit * 7919 + function * 104_729 + address * 31) & 0xFFFF


def frame(
    transaction: int, unit: int, body: bytes, *, protocol: int = 0, length: int = -1
) -> bytes:
    return HEAD.pack(transaction, protocol, len(body) + 1 if length < 0 else length, unit) + body


class FakeDevice:
    """Answers on one port. `modes` are used up one a request; then it behaves."""

    def __init__(self, *, rtu: bool = False) -> None:
        self.rtu = rtu  # RTU frames through a transparent gateway, instead of Modbus TCP
        self.modes: deque[str] = deque()
        self.unit_modes: dict[int, str] = {}  # a unit that misbehaves for good
        self.absent: set[int] = set()  # a read that touches one of these is refused: exception 2
        self.registers: Callable[[int, int, int], int] = word
        self.requests: list[tuple[int, int, int, int]] = []  # unit, function, address, count
        self.per_unit: Counter[int] = Counter()
        self.delay_s = 0.0
        self.late_s = 0.6
        self.port = 0
        self.forbidden: list[bytes] = []  # any frame with a function other than 3 and 4
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: dict[asyncio.StreamWriter, None] = {}  # oldest connection first

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = None
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                if self.rtu:
                    head = await reader.readexactly(8)
                    assert crc16(head[:-2]) == head[-2:]
                    transaction, unit, body = 0, head[0], head[1:-2]
                else:
                    head = await reader.readexactly(HEAD.size)
                    transaction, _, length, unit = HEAD.unpack(head)
                    body = await reader.readexactly(length - 1)
                if body[0] not in (3, 4):
                    self.forbidden.append(head + body)
                await self._answer(writer, transaction, unit, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the collector closed the connection: that is its right
        finally:
            self._writers.pop(writer, None)
            self._tasks.discard(task)
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, transaction: int, unit: int, body: bytes
    ) -> None:
        function, address, count = READ.unpack(body)
        self.requests.append((unit, function, address, count))
        self.per_unit[unit] += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        mode = self.unit_modes.get(unit) or (self.modes.popleft() if self.modes else "good")
        words = [self.registers(unit, function, address + i) for i in range(count)]
        good = bytes([function, 2 * count]) + struct.pack(f">{count}H", *words)
        if mode == "good" and any(address <= a < address + count for a in self.absent):
            mode = "exception 2"

        def made(body: bytes, *, unit: int = unit, transaction: int = transaction) -> bytes:
            if self.rtu:
                return bytes([unit]) + body + crc16(bytes([unit]) + body)
            return frame(transaction, unit, body)

        out = made(good)
        if mode == "silence":
            return
        if mode == "close":
            writer.close()
            return
        if mode == "close in the middle":
            writer.write(out[: len(out) // 2])
            await writer.drain()
            writer.close()
            return
        if mode == "half and silence":
            out = out[: len(out) // 2]
        elif mode == "late":
            await asyncio.sleep(self.late_s)
            if self.rtu:  # a transparent gateway answers on whatever connection there is now
                writer = next(reversed(self._writers))
        elif mode in ("trickle", "byte by byte"):
            for i in range(len(out)):
                writer.write(out[i : i + 1])
                await asyncio.sleep(0.3 if mode == "trickle" else 0.001)
            return
        elif mode.startswith("exception ") and mode[-1].isdigit():
            out = made(bytes([function | 0x80, int(mode.split()[1])]))
        else:
            out = {
                "good": out,
                "garbage": b"\x99\x13\x37garbage that is no frame at all",
                "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
                "wrong transaction": made(good, transaction=transaction ^ 1),
                "wrong unit": made(good, unit=unit + 1),
                "wrong function": made(bytes([function ^ 7]) + good[1:]),
                "wrong checksum": out[:-1] + bytes([out[-1] ^ 1]),
                "noise in front": b"\x00\xff" + out,
                "wrong protocol": frame(transaction, unit, good, protocol=1),
                "length 0": frame(transaction, unit, good, length=0),
                "length 65535": frame(transaction, unit, good, length=65_535),
                "few registers": made(bytes([function, 2]) + good[2:4]),
                "many registers": made(bytes([function, 2 * count + 2]) + good[2:] + b"\x00\x01"),
                "wrong byte count": made(bytes([function, 1]) + good[2:]),
                "exception of another function": made(b"\x81\x02"),
                "babble behind": out + b"\x00\x00",
                "twice": out + out,
            }[mode]
        writer.write(out)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)  # let connections that are being accepted find their server
        if self._server is not None:
            self._server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in list(self._writers):
                writer.transport.abort()
            for task in self._tasks:  # one that is being accepted is let finish first
                task.cancel()
            await asyncio.wait(others, timeout=0.02)
        for _ in range(3):
            await asyncio.sleep(0)  # aborted transports close their sockets in the next rounds

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def go_away(self) -> None:
        """Close the port and all connections, as a device without power does."""
        self._call(self._stop())

    def come_back(self) -> None:
        """Open the same port again."""
        self._call(self._start())

    @contextmanager
    def running(self) -> Iterator[FakeDevice]:
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            self._call(self._start())
            yield self
        finally:
            self._call(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"


@contextmanager
def fake_device(*, rtu: bool = False) -> Iterator[FakeDevice]:
    with FakeDevice(rtu=rtu).running() as device:
        yield device
