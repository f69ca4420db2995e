"""A SunSpec device tells its own register map; the model definitions are pysunspec2's."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from sunspec2.device import get_model_def

from ingest.modbus_frame import LinkError
from ingest.modbus_tools import read_table, scan
from ingest.profile_files import load_profile
from ingest.sunspec import BASES, METERS, profile_of
from tests.integration.ingest.fake_modbus import FakeDevice, fake_device

SUNSPEC = load_profile("sunspec")


class Map:
    """The registers of a device with some models; what is not there is refused."""

    def __init__(self, base: int = 40_000) -> None:
        self.words: dict[int, int] = {}
        self._at = base
        self.put(0x5375, 0x6E53)

    def put(self, *words: int) -> None:
        for word in words:
            self.words[self._at] = word & 0xFFFF
            self._at += 1

    def model(self, number: int, **values: float) -> None:
        """A model with these points, every other one "not implemented"."""
        points = get_model_def(number)["group"]["points"]
        length = sum(p["size"] for p in points) - 2
        for point in points:
            name, kind = point["name"], point["type"]
            if name in ("ID", "L"):
                self.put(number if name == "ID" else length)
            elif kind == "float32":
                raw = struct.pack(">f", values.get(name, float("nan")))
                self.put(*struct.unpack(">2H", raw))
            elif kind in ("int16", "sunssf"):
                self.put(int(values.get(name, -0x8000)))
            elif kind == "acc32":
                value = int(values.get(name, 0))
                self.put(value >> 16, value)
            else:
                self.put(*[int(values.get(name, 0xFFFF))] * point["size"])

    def common(self) -> None:
        self.put(1, 66, *[0] * 66)

    def end(self) -> None:
        self.put(0xFFFF, 0)


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as running:
        yield running


def serve(device: FakeDevice, registers: Map) -> None:
    device.registers = lambda _unit, _function, address: registers.words.get(address, 0)
    known = registers.words
    device.absent = {a for base in BASES for a in range(base, base + 2) if a not in known}


def values(device: FakeDevice) -> dict[str, float]:
    table = read_table(device.url, 1, SUNSPEC)
    return {v.quantity: v.value for v in table if v.value == v.value}


@pytest.mark.parametrize("base", BASES)
def test_a_meter_is_found_wherever_its_map_begins(device: FakeDevice, base: int) -> None:
    """Scale factors are powers of ten that stand in registers of their own."""
    registers = Map(base)
    registers.common()
    registers.model(
        203, PhVphA=23051, V_SF=-2, AphA=123, A_SF=-1, W=-45, W_SF=1, PF=98, PF_SF=0,
        Hz=5001, Hz_SF=-2, TotWhImp=1_234_567, TotWh_SF=1,
    )  # fmt: skip
    registers.end()
    serve(device, registers)

    expected = {
        "v_a": 230.51, "i_a": 12.3, "p": -450.0, "pf": 0.98, "f": 50.01, "e_import": 12_345_670.0
    }  # fmt: skip
    assert {q: pytest.approx(v) for q, v in expected.items()} == values(device)


def test_a_floating_point_meter_needs_no_scale_factors(device: FakeDevice) -> None:
    registers = Map()
    registers.common()
    registers.model(213, PhVphA=230.5, PhVphC=231.5, W=1500.0, TotWhExp=77.0)
    registers.end()
    serve(device, registers)

    expected = {"v_a": 230.5, "v_c": 231.5, "p": 1500.0, "e_export": 77.0}
    assert expected == values(device)


def test_what_an_inverter_makes_is_exported(device: FakeDevice) -> None:
    registers = Map()
    registers.common()
    registers.model(103, W=300, W_SF=1, WH=5_000, WH_SF=0)
    registers.end()
    serve(device, registers)

    assert {"p": -3000.0, "e_export": 5000.0} == values(device)


def test_a_scale_factor_that_is_not_given_makes_no_value(device: FakeDevice) -> None:
    registers = Map()
    registers.model(203, PhVphA=23051, W=10, W_SF=0)
    registers.end()
    serve(device, registers)

    assert {"p": 10.0} == values(device)


def test_a_scale_factor_that_changes_is_read_along_with_its_value(device: FakeDevice) -> None:
    registers = Map()
    registers.model(203, W=10, W_SF=0)
    registers.end()
    serve(device, registers)
    before = values(device)
    registers.words[40_002 + 22] = 2  # W_SF

    assert ({"p": 10.0}, {"p": 1000.0}) == (before, values(device))


@pytest.mark.parametrize("model", METERS)
def test_every_meter_model_is_read_in_one_request_or_two(model: int) -> None:
    profile = profile_of(model, 40_070)

    assert len(profile.plan()) == 1
    assert {"v_a", "i_a", "p", "f"} <= {r.quantity for r in profile.registers}


def test_a_device_without_a_meter_says_which_models_it_has(device: FakeDevice) -> None:
    registers = Map()
    registers.common()
    registers.end()
    serve(device, registers)

    with pytest.raises(LinkError, match=r"no meter or inverter model \(models: 1\)"):
        read_table(device.url, 1, SUNSPEC)


def test_a_device_that_speaks_something_else_is_an_error(device: FakeDevice) -> None:
    with pytest.raises(LinkError, match="it does not speak SunSpec"):
        read_table(device.url, 1, SUNSPEC)


def test_a_map_that_never_ends_is_left_after_a_hundred_models(device: FakeDevice) -> None:
    registers = Map(0)
    for _ in range(200):
        registers.put(900, 2, 0, 0)
    serve(device, registers)

    with pytest.raises(LinkError, match="no meter or inverter model"):
        read_table(device.url, 1, SUNSPEC)
    assert len(device.requests) <= 105


def test_a_scan_recognises_a_sunspec_device(device: FakeDevice) -> None:
    registers = Map()
    registers.model(203, W=10, W_SF=0)
    registers.end()
    serve(device, registers)

    (found,) = scan(device.url, range(1, 2), timeout_s=0.5)

    assert "sunspec" in found.profiles
