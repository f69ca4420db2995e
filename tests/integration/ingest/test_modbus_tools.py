"""Scan a bus and read one meter by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from ingest.modbus_frame import LinkError
from ingest.modbus_tools import Found, read_table, scan, table_lines
from ingest.profile_files import load_profile
from tests.integration.ingest.fake_modbus import FakeDevice, fake_device
from tests.unit.ingest.test_profiles import SDM630_GOLDEN, image_of

IMAGE = image_of(SDM630_GOLDEN)


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as running:
        running.registers = lambda _unit, _function, address: IMAGE.get(address, 0)
        yield running


def test_a_meter_is_read_with_raw_words_and_si_values(device: FakeDevice) -> None:
    values = read_table(device.url, 1, load_profile("sdm630"))

    assert {q: pytest.approx(v, rel=1e-6) for _, _, _, q, v in SDM630_GOLDEN} == {
        v.quantity: v.value for v in values
    }
    (line,) = [text for text in table_lines(values) if text.startswith("e_import")]
    assert "1.23457e+07 Wh" in line
    assert line.endswith("at 0x0048  4640 E6B7")


def test_registers_that_are_refused_say_why(device: FakeDevice) -> None:
    device.absent = {0x00E0}

    values = {v.quantity: v for v in read_table(device.url, 1, load_profile("sdm630"))}

    assert math.isnan(values["i_n"].value)
    assert "an address that the device does not have" in values["thd_v"].trouble
    assert "" == values["v_a"].trouble


def test_a_meter_that_does_not_answer_is_an_error(device: FakeDevice) -> None:
    device.unit_modes[1] = "silence"

    with pytest.raises(LinkError, match="no answer within"):
        read_table(device.url, 1, load_profile("sdm630"), timeout_s=0.1)


def test_a_scan_finds_who_is_there_and_what_kind_it_may_be(device: FakeDevice) -> None:
    device.unit_modes |= {2: "silence", 3: "exception 11", 4: "exception 1"}
    seen: list[int] = []

    found = scan(device.url, range(1, 5), ["sdm630", "abb-b23"], timeout_s=0.1, on_unit=seen.append)

    assert [1, 2, 3, 4] == seen
    assert Found(1, ("sdm630",)) == found[0]
    assert [1, 4] == [f.unit for f in found]
    assert "the device does not know this function" in found[1].note
    assert 1 == device.per_unit[2]  # a silent unit is asked once


def test_a_bus_that_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(LinkError, match="cannot connect"):
        scan("tcp://127.0.0.1:1", [1])
