"""A recording from elsewhere becomes a dataset that replays."""

from pathlib import Path

import pytest

from grid.dataset import Dataset
from grid.errors import BadInput
from grid.readings import ReadingBatch
from simulators.recorded import convert_recorded

MAP = """
time = "ts"
zone = "Asia/Shanghai"
device = "meter"
transformer = "area"
interval_s = 900
[columns]
v_a = "U1"
p = { column = "P_kW", scale = 1000.0 }
"""
CSV = """ts,meter,area,U1,P_kW,remark
2026-03-02 08:15:00,M2,T1,229.5,-0.25,
2026-03-02 08:00:00,M1,T1,231.2,0.412,x
2026-03-02 08:00:00,M2,T1,bad,0.1,
yesterday,M1,T1,230.0,0.1,
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A recording and its map."""
    (tmp_path / "rec.csv").write_text(CSV)
    (tmp_path / "map.toml").write_text(MAP)
    return tmp_path / "rec.csv", tmp_path / "map.toml"


def test_columns_are_renamed_scaled_and_put_in_order(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """Local times become UTC, kilowatt become watt, bad cells are counted, neighbours stay."""
    told = convert_recorded(*files, tmp_path / "out")

    whole = ReadingBatch.concat(list(Dataset(told.folder).batches()))
    assert (2, 3, 2) == (told.devices, told.rows, told.unreadable)
    assert ["M1", "M2", "M2"] == whole.device_names().tolist()
    assert 1_772_409_600_000_000 == whole.time[0]
    assert [412.0, 100.0, -250.0] == whole.values["p"].tolist()
    network = Dataset(told.folder).network
    assert [("M1", "T1"), ("M2", "T1")] == [(u.id, u.transformer) for u in network.usage_points]
    assert 900.0 == network.devices[0].interval_s


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("v_a =", "va =", r"columns\.va is no quantity.*Did you mean 'v_a'"),
        ('"U1"', '"U_1"', r"no column 'U_1'.*Did you mean 'U1'"),
        ('zone = "Asia/Shanghai"', "", r"have no zone"),
        ("zone", "zones", r"unknown key 'zones'.*Did you mean 'zone'"),
        ('device = "meter"', "", r"which device"),
        ("Asia/Shanghai", "Asia/Atlantis", r"'Asia/Atlantis' is not known"),
    ],
)
def test_a_wrong_map_is_refused_with_a_fix(
    old: str, new: str, complaint: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """And nothing is written."""
    files[1].write_text(MAP.replace(old, new, 1))

    with pytest.raises(BadInput, match=complaint):
        convert_recorded(*files, tmp_path / "out")

    assert not (tmp_path / "out").exists()
