"""The network as one installation sees it: its files, and what its configuration adds."""

from pathlib import Path

from forewatt.config import load_config
from forewatt.site import site_network

SECTION = "section,feeder,parent\nF1-S1,F1,\n"
TRANSFORMER = "transformer,section,rated_kva\nT1,F1-S1,400\n"
DEVICES = (
    "device,kind,transformer,profile\n"
    "T1-TM,transformer_monitor,T1,\nT1-B,transformer_monitor,T1,own.toml\nT1-C,gateway,T1,\n"
)


def test_units_polled_over_modbus_have_their_profile_on_record(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    (folder / "feeders.csv").write_text("feeder\nF1\n")
    (folder / "sections.csv").write_text(SECTION)
    (folder / "transformers.csv").write_text(TRANSFORMER)
    (folder / "usage_points.csv").write_text("usage_point,transformer\nU1,T1\n")
    (folder / "devices.csv").write_text(DEVICES)
    file = tmp_path / "forewatt.toml"
    file.write_text(
        '[network]\npath = "network"\n[database]\nurl = "postgresql:///none"\n[[modbus]]\nurl = "tcp://127.0.0.1:502"\n'
        'units = [{ unit = 1, device = "T1-TM", profile = "sdm630" },\n'
        '         { unit = 2, device = "T1-B", profile = "sdm630" }]\n'
    )

    network = site_network(load_config(file))

    assert {d.id: d.profile for d in network.devices} == {
        "T1-TM": "sdm630",
        "T1-B": "own.toml",
        "T1-C": None,
    }
