"""Modbus RTU, through a gateway and on a serial line: the frames carry no request number."""

from __future__ import annotations

import asyncio
import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingest.modbus_frame import LinkBroken, LinkError, LinkTimeout, Refused, RtuFraming, crc16
from ingest.modbus_link import RegisterLink, link_for, tcp_link
from tests.integration.ingest.fake_modbus import READ, FakeDevice, fake_device, word

TIMEOUT_S = 0.4  # for answers that never come
PATIENCE_S = 30.0  # for those that do, on the slowest machine
GUARD_S = 0.1


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device(rtu=True) as running:
        yield running


def expected(address: int, count: int, unit: int = 3) -> tuple[int, ...]:
    return tuple(word(unit, 4, address + i) for i in range(count))


async def read(
    link: RegisterLink, address: int, count: int, unit: int = 3, timeout_s: float = PATIENCE_S
) -> tuple[int, ...]:
    if not link.connected:
        await link.connect(PATIENCE_S)
    return await link.read(unit, 4, address, count, timeout_s)


def test_the_checksum_is_that_of_the_specification() -> None:
    """The request example of the Modbus serial line guide: 02 07 gives 41 12."""
    assert b"\x41\x12" == crc16(b"\x02\x07")


@pytest.mark.parametrize(
    ("mode", "error", "text"),
    [
        ("silence", LinkTimeout, "no answer within"),
        ("half and silence", LinkTimeout, "no answer within"),
        ("close", LinkBroken, "the device closed it"),
        ("garbage", LinkBroken, "an answer of unit 153"),
        ("noise in front", LinkBroken, "an answer of unit 0 where 3"),
        ("wrong unit", LinkBroken, "an answer of unit 4 where 3 was asked"),
        ("wrong function", LinkBroken, "an answer to function 3 where 4 was asked"),
        ("wrong checksum", LinkBroken, "wrong checksum"),
        ("few registers", LinkBroken, "1 registers where 4 were asked"),
        ("many registers", LinkBroken, "5 registers where 4 were asked"),
        ("wrong byte count", LinkBroken, "registers where 4 were asked"),
        ("exception of another function", LinkBroken, "an answer to function 129"),
        ("babble behind", LinkBroken, "2 bytes behind the answer"),
        ("twice", LinkBroken, "bytes behind the answer"),
        ("exception 2", Refused, "an address that the device does not have"),
    ],
)
def test_a_misbehaving_answer_is_an_error_and_the_next_read_is_right(
    device: FakeDevice, mode: str, error: type[LinkError], text: str
) -> None:
    device.modes.extend(["good", mode])

    async def story() -> None:
        link = tcp_link("127.0.0.1", device.port, RtuFraming(GUARD_S))
        assert expected(0, 2) == await read(link, 0, 2)
        with pytest.raises(error, match=text):
            patience_s = TIMEOUT_S if error is LinkTimeout else PATIENCE_S
            await read(link, 10, 4, timeout_s=patience_s)
        assert link.connected == (error is Refused)
        for address in range(20, 30, 2):
            assert expected(address, 2) == await read(link, address, 2)
        link.close()

    asyncio.run(story())


def test_a_late_answer_is_never_the_value_of_another_register(device: FakeDevice) -> None:
    """Same unit, same count: nothing in the frame tells that it answers the request before."""
    device.late_s = TIMEOUT_S + 0.1
    device.modes.extend(["late", "good", "late"])
    late = (0, 4)  # addresses of the first and the third request

    async def story() -> tuple[int, int]:
        link = tcp_link("127.0.0.1", device.port, RtuFraming(guard_s=1.5))
        wrong = right = 0
        for address in range(0, 24, 2):
            try:
                patience_s = TIMEOUT_S if address in late else PATIENCE_S
                values = await read(link, address, 2, timeout_s=patience_s)
            except LinkTimeout:
                continue
            right += values == expected(address, 2)
            wrong += values != expected(address, 2)
        link.close()
        return wrong, right

    assert (0, 10) == asyncio.run(story())


@contextmanager
def serial_device() -> Iterator[str]:
    """A pseudo terminal with a unit that answers reads on its other end."""
    ours, theirs = pty.openpty()
    stop = threading.Event()

    def answer() -> None:
        data = b""
        while not stop.is_set():
            try:
                data += os.read(ours, 100)
            except OSError:
                return  # the last user of the other end has closed it
            while len(data) >= 8:
                asked, data = data[:8], data[8:]
                _, address, count = READ.unpack(asked[1:6])
                body = bytes([asked[0], asked[1], 2 * count])
                for i in range(count):
                    body += word(asked[0], asked[1], address + i).to_bytes(2, "big")
                os.write(ours, body + crc16(body))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        stop.set()
        os.close(theirs)
        thread.join(10)
        os.close(ours)


def test_a_serial_line_is_read_like_any_other_bus() -> None:
    with serial_device() as path:
        name, link = link_for(f"serial://{path}?baud=19200&parity=E&stop=2")

        async def story() -> list[tuple[int, ...]]:
            try:
                return [await read(link, a, 10, unit=7) for a in (0, 100, 200)]
            finally:
                link.close()

        found = asyncio.run(story())

    assert path == name
    assert [expected(a, 10, unit=7) for a in (0, 100, 200)] == found


def test_a_serial_line_that_is_not_there_is_an_error_with_its_reason() -> None:
    _, link = link_for("serial:///dev/ttyNOWHERE")

    async def story() -> None:
        with pytest.raises(LinkBroken, match="cannot connect: No such file"):
            await link.connect(1.0)

    asyncio.run(story())


def test_a_file_that_is_no_serial_line_is_refused() -> None:
    _, link = link_for("serial:///dev/null")

    async def story() -> None:
        with pytest.raises(LinkBroken, match="is no serial line"):
            await link.connect(1.0)

    asyncio.run(story())
