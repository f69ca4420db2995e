"""Our link against pymodbus's server: an implementation that shares no line with ours."""

from __future__ import annotations

import asyncio
import struct

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ingest.modbus_frame import Refused
from ingest.modbus_link import link_for

VALUES = [230.5, 229.25, 231.75, -12.5]


@pytest.mark.parametrize(("scheme", "framer"), [("tcp", "SOCKET"), ("rtu+tcp", "RTU")])
def test_registers_and_exceptions_of_pymodbus_are_understood(scheme: str, framer: str) -> None:
    async def story() -> tuple[list[float], int]:
        device = SimDevice(7, simdata=[SimData(0, values=VALUES, datatype=DataType.FLOAT32)])
        server = ModbusTcpServer(device, framer=FramerType[framer], address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        assert isinstance(server.transport, asyncio.Server)
        port = server.transport.sockets[0].getsockname()[1]
        _, link = link_for(f"{scheme}://127.0.0.1:{port}")
        try:
            await link.connect(2.0)
            words = await link.read(7, 4, 0, 8, 2.0)
            with pytest.raises(Refused) as refused:
                await link.read(7, 4, 1000, 2, 2.0)
            again = await link.read(7, 3, 0, 8, 2.0)
            assert words == again
        finally:
            link.close()
            await server.shutdown()  # type: ignore[no-untyped-call]
        return list(struct.unpack(">4f", struct.pack(">8H", *words))), refused.value.code

    assert (VALUES, 2) == asyncio.run(story())
