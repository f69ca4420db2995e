"""Whatever a device answers: the right values or a typed error, never a wrong value or a hang."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ingest.modbus_link import LinkBroken, LinkError, LinkTimeout, Refused, StreamLink, tcp_link
from tests.integration.ingest.fake_modbus import FakeDevice, fake_device, word

TIMEOUT_S = 0.4  # for answers that never come
PATIENCE_S = 30.0  # for those that do, on the slowest machine


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as running:
        yield running


def expected(address: int, count: int, unit: int = 3, function: int = 4) -> tuple[int, ...]:
    return tuple(word(unit, function, address + i) for i in range(count))


async def read(
    link: StreamLink, address: int, count: int, timeout_s: float = PATIENCE_S
) -> tuple[int, ...]:
    if not link.connected:
        await link.connect(PATIENCE_S)
    return await link.read(3, 4, address, count, timeout_s)


MODES: list[tuple[str, type[LinkError], str]] = [
    ("silence", LinkTimeout, "no answer within"),
    ("half and silence", LinkTimeout, "no answer within"),
    ("trickle", LinkTimeout, "no answer within"),
    ("late", LinkTimeout, "no answer within"),
    ("close", LinkBroken, "the device closed it"),
    ("close in the middle", LinkBroken, "the device closed it"),
    ("garbage", LinkBroken, "no Modbus frame"),
    ("text", LinkBroken, "no Modbus frame"),
    ("wrong transaction", LinkBroken, "the answer to another request"),
    ("wrong unit", LinkBroken, "an answer of unit 4 where 3 was asked"),
    ("wrong function", LinkBroken, "an answer to function 3 where 4 was asked"),
    ("wrong protocol", LinkBroken, "no Modbus frame"),
    ("length 0", LinkBroken, "no Modbus frame"),
    ("length 65535", LinkBroken, "no Modbus frame"),
    ("few registers", LinkBroken, "1 registers where 4 were asked"),
    ("many registers", LinkBroken, "5 registers where 4 were asked"),
    ("wrong byte count", LinkBroken, "registers where 4 were asked"),
    ("exception of another function", LinkBroken, "an answer to function 129"),
    ("babble behind", LinkBroken, "2 bytes behind the answer"),
    ("twice", LinkBroken, "bytes behind the answer"),
    ("exception 2", Refused, "an address that the device does not have"),
    ("exception 4", Refused, "the device failed on it"),
    ("exception 11", Refused, "the gateway got no answer"),
]


@pytest.mark.parametrize(("mode", "error", "text"), MODES)
def test_a_misbehaving_answer_is_an_error_and_the_next_read_is_right(
    device: FakeDevice, mode: str, error: type[LinkError], text: str
) -> None:
    device.modes.extend(["good", mode])

    async def story() -> None:
        link = tcp_link("127.0.0.1", device.port)
        assert expected(0, 2) == await read(link, 0, 2)
        patience_s = TIMEOUT_S if error is LinkTimeout else PATIENCE_S
        async with asyncio.timeout(2 * PATIENCE_S):
            with pytest.raises(error, match=text):
                await read(link, 10, 4, patience_s)
        assert link.connected == (error is Refused)
        for address in range(20, 40, 2):
            assert expected(address, 2) == await read(link, address, 2)
        link.close()

    asyncio.run(story())


def test_a_good_answer_may_come_byte_by_byte(device: FakeDevice) -> None:
    device.modes.append("byte by byte")

    async def story() -> tuple[int, ...]:
        link = tcp_link("127.0.0.1", device.port)
        try:
            return await read(link, 5, 2)
        finally:
            link.close()

    assert expected(5, 2) == asyncio.run(story())


def test_a_late_answer_never_becomes_the_value_of_the_next_register(device: FakeDevice) -> None:
    """With a kept connection one late reply shifts every later value by one request."""
    device.late_s = TIMEOUT_S + 0.1
    device.modes.extend(["late"] * 3)

    async def story() -> None:
        link = tcp_link("127.0.0.1", device.port)
        wrong, right = 0, 0
        for address in range(0, 40, 2):
            try:
                values = await read(link, address, 2, TIMEOUT_S if address < 6 else PATIENCE_S)
            except LinkTimeout:
                continue
            right += values == expected(address, 2)
            wrong += values != expected(address, 2)
        assert (0, 17) == (wrong, right)
        link.close()

    asyncio.run(story())


def test_bytes_between_two_requests_break_the_connection(device: FakeDevice) -> None:
    device.late_s = 0.05
    device.modes.append("good")

    async def story() -> None:
        link = tcp_link("127.0.0.1", device.port)
        await read(link, 0, 1)
        assert link._connection is not None
        link._connection.data_received(b"noise")
        assert not link.connected
        with pytest.raises(LinkBroken, match="nobody asked for"):
            await link.read(3, 4, 0, 1, TIMEOUT_S)

    asyncio.run(story())


def test_a_device_that_is_not_there_is_an_error_with_its_reason() -> None:
    async def story() -> None:
        with pytest.raises(LinkBroken, match="cannot connect"):
            await tcp_link("127.0.0.1", 1).connect(1.0)

    asyncio.run(story())


@pytest.mark.parametrize("function", [0, 1, 2, 5, 6, 15, 16, 22, 23, 43])
def test_no_function_but_the_two_reads_can_be_sent(device: FakeDevice, function: int) -> None:
    async def story() -> None:
        link = tcp_link("127.0.0.1", device.port)
        await link.connect(1.0)
        with pytest.raises(ValueError, match="is never sent"):
            await link.read(3, function, 0, 1, 1.0)
        link.close()

    asyncio.run(story())
    assert ([], []) == (device.forbidden, device.requests)
