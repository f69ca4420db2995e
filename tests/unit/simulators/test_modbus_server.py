"""The Modbus server of the simulated monitors: answers, refusals, and a quiet end."""

import logging
import socket
import struct

import numpy as np
import pytest

from simulators.modbus_server import ModbusServer, UnitSeries
from simulators.pace import PacedClock
from simulators.registers import Register, RegisterMap

MAP = RegisterMap((Register("v_a", 0, "float32"), Register("f", 6, "uint16", scale=0.01)))


class StandingClock:
    """Site time that a test sets."""

    def __init__(self, now_us: int) -> None:
        self.now = now_us

    def now_us(self) -> int:
        return self.now

    def real_seconds_until(self, site_us: int) -> float:
        return 0.0 if site_us <= self.now else float("inf")


def _server(clock: StandingClock) -> ModbusServer:
    times = np.array([100, 200], np.int64)
    values = {"v_a": np.array([230.0, 231.0]), "f": np.array([50.0, 49.98])}
    return ModbusServer({7: UnitSeries(times, values, 100, MAP)}, clock, 0)


@pytest.mark.parametrize(("now", "volts"), [(100, 230.0), (199, 230.0), (200, 231.0)])
def test_a_value_stands_from_its_time_until_the_next(now: int, volts: float) -> None:
    """A late or early poll within the interval reads the same."""
    answer = _server(StandingClock(now)).answer(7, struct.pack(">BHH", 4, 0, 2))

    assert struct.pack(">BBf", 4, 4, volts) == answer


@pytest.mark.parametrize("now", [99, 300])
def test_a_unit_without_a_reading_is_as_dead_as_its_transformer(now: int) -> None:
    """The gateway says that the device behind it failed to respond."""
    answer = _server(StandingClock(now)).answer(7, struct.pack(">BHH", 4, 0, 2))

    assert bytes((0x84, 0x0B)) == answer


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (struct.pack(">BHH", 6, 0, 1), 1),  # nothing can be written
        (struct.pack(">BHH", 4, 6, 2), 2),  # past the last register
        (struct.pack(">BHH", 3, 0, 2), 2),  # the map has input registers only
        (struct.pack(">BHH", 4, 0, 126), 3),
        (struct.pack(">BHH", 4, 0, 0), 3),
        (b"\x04\x00", 3),
    ],
)
def test_a_wrong_request_is_answered_with_its_exception(pdu: bytes, code: int) -> None:
    """By the codes of the protocol."""
    answer = _server(StandingClock(100)).answer(7, pdu)

    assert bytes((pdu[0] | 0x80, code)) == answer


def test_closing_with_open_connections_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever stops a replay sees no traceback."""
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        with ModbusServer({}, PacedClock(0, 1.0), 0) as server:
            clients = [
                socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(3)
            ]
            for client in clients:
                client.sendall(struct.pack(">HHHB", 1, 0, 6, 9) + struct.pack(">BHH", 4, 0, 2))
                assert len(client.recv(16)) == 9
        for client in clients:
            client.close()

    assert [] == [r.message for r in caplog.records if r.levelno >= logging.WARNING]
