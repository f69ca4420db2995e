"""What a person types beside a meter: a mapping tried, a Modbus line scanned, a meter read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from forewatt.cli import main
from ingest.mapping_files import load_sparkplug, mapping_names
from tests.integration.ingest.fake_modbus import FakeDevice, fake_device
from tests.unit.ingest.test_profiles import SDM630_GOLDEN, image_of

MAPPING = """
[[mapping]]
name = "box"
topic = "plant/{device}/up"
device = "{device}"
time = { path = "ts", form = "epoch_s" }
[mapping.values]
v_a = { path = "u", scale = 0.1 }
"""
IMAGE = image_of(SDM630_GOLDEN)


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as running:
        running.registers = lambda _unit, _function, address: IMAGE.get(address, 0)
        yield running


@pytest.mark.parametrize("name", mapping_names())
def test_each_shipped_mapping_shows_what_its_own_sample_becomes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["config", "try-mapping", name])

    said = capsys.readouterr().out
    assert 0 == status
    assert "device M1" in said
    assert "v_a" in said and " V" in said


def test_a_mapping_is_tried_with_a_sample_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "box.toml").write_text(MAPPING)
    (tmp_path / "sample.json").write_text('{"ts": 1700000000, "u": 2312}')
    words = ["config", "try-mapping", str(tmp_path / "box.toml"), "--topic", "plant/M7/up"]

    status = main([*words, "--sample", str(tmp_path / "sample.json"), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert 0 == status
    (one,) = said["samples"]
    assert "device M7, time 2023-11-14T22:13:20.000000Z" == one["becomes"][0]
    assert "231.2 V" in one["becomes"][1]


def test_a_sample_that_does_not_fit_is_refused_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "box.toml").write_text(
        MAPPING + '[[sample]]\ntopic = "plant/M7/up"\npayload = \'{"u": 1}\'\n'
    )

    status = main(["config", "try-mapping", str(tmp_path / "box.toml")])

    assert 1 == status
    assert "refused: there is no time at 'ts'" in capsys.readouterr().out


def test_a_mistake_in_a_mapping_names_file_line_field_and_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "box.toml"
    file.write_text(MAPPING + MAPPING.replace("v_a =", "v_q ="))

    status = main(["config", "try-mapping", str(file)])

    said = capsys.readouterr().err
    assert 2 == status
    assert f"{file}:16: mapping 2 (box): values: 'v_q' is no quantity. Did you mean 'v_" in said


def test_a_mistake_in_a_profile_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(
        'name = "x"\ntitle = "x"\nsource = "x"\ntype = "float32"\n'
        '[[registers]]\nquantity = "v_a"\naddress = 0\n'
        '[[registers]]\nquantity = "v_b"\naddress = 99999\n'
    )

    status = main(["modbus", "read", "127.0.0.1", "--profile", str(file)])

    assert 2 == status
    assert f"{file}:10: register 2: address is 99999" in capsys.readouterr().err


def test_sparkplug_names_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "names.toml"
    file.write_text(
        '[metrics]\n"Voltage L1" = "v_a"\nkW = { quantity = "p", scale = 1000 }\n'
        '[devices]\n"e1/d7" = "M7"\n'
    )

    rules = load_sparkplug(file)

    assert {"Voltage L1": ("v_a", 1.0), "kW": ("p", 1000.0)} == rules.metrics
    assert {"e1/d7": "M7"} == rules.devices


def test_a_scan_of_a_line_names_units_and_profiles(
    device: FakeDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    device.unit_modes |= {2: "silence"}
    words = ["modbus", "scan", f"127.0.0.1:{device.port}", "--units", "1-2", "--timeout", "0.1"]

    status = main(words)

    said = capsys.readouterr().out
    assert 0 == status
    assert "1     sdm230, sdm630" in said
    assert "\n2" not in said


def test_a_meter_is_read_as_a_table(device: FakeDevice, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["modbus", "read", f"127.0.0.1:{device.port}", "--profile", "sdm630"])

    said = capsys.readouterr().out
    assert 0 == status
    assert "Eastron SDM630-Modbus, three-phase meter, unit 1, 2 requests" in said
    assert "1.23457e+07 Wh" in said


def test_a_meter_that_is_not_there_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["modbus", "read", "127.0.0.1:1", "--profile", "sdm630"])

    assert 1 == status
    assert "tcp://127.0.0.1:1, unit 1: cannot connect" in capsys.readouterr().err


def test_a_name_that_is_none_is_answered_with_mappings_and_layouts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["config", "try-mapping", "lang"])

    said = capsys.readouterr().err
    assert 2 == status
    assert "no mapping 'lang'" in said
    assert "tasmota" in said and "layouts of files: long, wide" in said
