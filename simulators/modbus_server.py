"""Modbus TCP monitors: one server, many units, registers that follow the site's clock.

Answers function codes 3 and 4. Each unit shows the latest reading whose time has come, unchanged
until the next, so a poll's jitter does not matter. A unit whose transformer is dead is answered
for as gateways do: exception 0x0B, "target device failed to respond". Nothing can be written.
"""

import asyncio
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.clock import Clock
from grid.errors import ForewattError
from simulators.registers import RegisterMap

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, TARGET_SILENT = 1, 2, 3, 0x0B
_HEAD = struct.Struct(">HHHB")
_REQUEST = struct.Struct(">BHH")
_IDLE_S = 300.0
_FAREWELL_S = 5.0


@dataclass(frozen=True, slots=True)
class UnitSeries:
    """What one unit measures: `values` by quantity, each [N], at `times_us` (rising)."""

    times_us: NDArray[np.int64]
    values: Mapping[str, NDArray[np.floating]]
    interval_us: int
    registers: RegisterMap

    def image(self, now_us: int) -> dict[int, int] | None:
        """Register address to word at a time; None while the unit is dead."""
        at = int(np.searchsorted(self.times_us, now_us, side="right")) - 1
        if at < 0 or now_us - int(self.times_us[at]) >= self.interval_us:
            return None
        return self.registers.encode({name: float(v[at]) for name, v in self.values.items()})


class ModbusServer:
    """Serves units on one port from a thread of its own, until `close`."""

    def __init__(
        self, units: Mapping[int, UnitSeries], clock: Clock, port: int, host: str = "127.0.0.1"
    ) -> None:
        self._units = dict(units)
        self._clock = clock
        self._address = (host, port)
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.requests = 0
        self._thread = threading.Thread(target=self._run, name="modbus-server", daemon=True)

    def __enter__(self) -> "ModbusServer":
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._ready.wait(10.0)
        if self._failure is not None:
            raise ForewattError(
                f"Modbus port {self._address[1]} cannot be opened ({self._failure}); "
                "give another --modbus port"
            ) from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10.0)

    @property
    def port(self) -> int:
        """The port that is open (useful when 0 was asked for)."""
        if self._server is None:
            return self._address[1]
        return int(self._server.sockets[0].getsockname()[1])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._serve, *self._address)
            )
        except OSError as problem:
            self._failure = problem
            self._ready.set()
            self._loop.close()
            return
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._server.close()
            # Conversations end because their connection does: a cancelled one would be logged
            # by asyncio as an error.
            for writer in list(self._writers):
                writer.transport.abort()
            talking = asyncio.all_tasks(self._loop)
            if talking:
                self._loop.run_until_complete(asyncio.wait(talking, timeout=_FAREWELL_S))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await asyncio.wait_for(reader.readexactly(_HEAD.size), _IDLE_S)
                transaction, protocol, length, unit = _HEAD.unpack(head)
                if protocol != 0 or not 2 <= length <= 254:
                    return
                pdu = await asyncio.wait_for(reader.readexactly(length - 1), _IDLE_S)
                answer = self.answer(unit, pdu)
                writer.write(_HEAD.pack(transaction, 0, len(answer) + 1, unit) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return  # the other side went away or fell asleep: it may come again
        finally:
            self._writers.discard(writer)
            writer.close()

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """The response PDU to a request PDU."""
        self.requests += 1
        function = pdu[0]
        if function not in (3, 4):
            return bytes((function | 0x80, ILLEGAL_FUNCTION))
        if len(pdu) != _REQUEST.size:
            return bytes((function | 0x80, ILLEGAL_VALUE))
        _, address, count = _REQUEST.unpack(pdu)
        if not 1 <= count <= 125:
            return bytes((function | 0x80, ILLEGAL_VALUE))
        series = self._units.get(unit)
        words = series.image(self._clock.now_us()) if series else None
        if series is None or words is None:
            return bytes((function | 0x80, TARGET_SILENT))
        if not series.registers.serves(function, address, count):
            return bytes((function | 0x80, ILLEGAL_ADDRESS))
        read = [words.get(a, 0) for a in range(address, address + count)]
        return struct.pack(f">BB{count}H", function, 2 * count, *read)
