"""Loading a network: what is right is joined up, what is wrong is named with place and fix."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from grid.errors import BadInput
from grid.network import TREE_KINDS
from grid.network_files import load_network, parse_time

FILES = {
    "feeders.csv": "feeder,name,substation\nF1,North,S1\n",
    "sections.csv": "section,feeder,parent,switch,name\nS2,F1,S1,,\nS1,F1,,SW1,\n",
    "transformers.csv": "transformer,feeder,section,rated_kva\nT1,F1,S2,200\nT2,F1,,100\n",
    "usage_points.csv": (
        "usage_point,transformer,branch,node,phase,account\n"
        "U1,T1,B1,N1,a,A1\nU2,T1,B1,N1,b,A2\nU3,T2,B1,,abc,A1\nU4,,,,unknown,A3\n"
    ),
    "devices.csv": (
        "device,kind,usage_point,transformer,section,interval_s\n"
        "M1,meter,U1,,,900\nM2,meter,U2,,,900\nM3,meter,U3,,,900\nM4,meter,U4,,,\n"
        "T1-monitor,transformer_monitor,,T1,,300\nSW1,switch,,,S1,\n"
    ),
    "customers.csv": "account,name,flags\nA1,王明,life_support;elderly\nA2,Li Na,\n",
    "planned.csv": (
        "asset_kind,asset,from,to,reason\n"
        "transformer,T2,2026-03-01T08:00:00+08:00,2026-03-01T12:00:00+08:00,oil\n"
    ),
}


def folder_with(tmp_path: Path, **changes: str | None) -> Path:
    """A dataset folder with FILES, some replaced (or dropped with None)."""
    network = tmp_path / "network"
    network.mkdir()
    files: dict[str, str | None] = {**FILES, **{f"{k}.csv": v for k, v in changes.items()}}
    for name, text in files.items():
        if text is not None:
            (network / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_tree_lists_parents_before_children(tmp_path: Path) -> None:
    network = load_network(folder_with(tmp_path))

    tree = network.tree
    assert (tree.parent < np.arange(len(tree.ids))).all()
    assert [
        ("usage_point", "U1"),
        ("branch", "B1"),
        ("transformer", "T1"),
        ("section", "S2"),
        ("section", "S1"),
        ("feeder", "F1"),
    ] == list(network.ancestors("device", "M1"))


def test_branches_of_one_name_under_two_transformers_are_two_nodes(tmp_path: Path) -> None:
    network = load_network(folder_with(tmp_path))

    branches = [i for i, k in enumerate(network.tree.kind) if TREE_KINDS[k] == "branch"]
    assert 2 == len(branches)


def test_customers_below_an_asset_are_counted_once(tmp_path: Path) -> None:
    network = load_network(folder_with(tmp_path))

    assert ["A1", "A2"] == [c.account for c in network.customers_within("feeder", "F1")]
    assert {"life_support", "elderly"} == network.customer_by_account["A1"].flags
    assert ["M1", "M2", "T1-monitor"] == [d.id for d in network.devices_within("transformer", "T1")]


def test_a_usage_point_without_transformer_is_allowed(tmp_path: Path) -> None:
    network = load_network(folder_with(tmp_path))

    assert (("usage_point", "U4"),) == network.ancestors("device", "M4")
    assert -1 == network.device_transformer[network.device_index["M4"]]


def test_columns_in_another_order_and_unknown_ones_are_fine(tmp_path: Path) -> None:
    text = "colour,rated_kva,transformer,feeder\nred,200,T1,F1\nblue,,T2,F1\n"

    network = load_network(folder_with(tmp_path, transformers=text))

    assert [200.0, None] == [t.rated_kva for t in network.transformers]
    path = tmp_path / "network" / "transformers.csv"
    assert (f"{path}: left aside colour",) == network.notes


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("transformers", "transformer,feeder\nT1,F1x\nT2,F1\n",
         "network/transformers.csv:2, column feeder: feeder 'F1x' does not exist. "
         "Did you mean 'F1'?"),
        ("transformers", "transformer,rated_kva\nT1,two\nT2,\n",
         "network/transformers.csv:2, column rated_kva: 'two' is not a number."),
        ("devices", "device,usage_point\nM1,U1\nM1,U2\n",
         "network/devices.csv:3, column device: device 'M1' stands in line 2 already."),
        ("devices", "device,kind\nM1,metre\n",
         "network/devices.csv:2, column kind: 'metre' is not known. Did you mean 'meter'?"),
        ("devices", "meter,kind\nM1,meter\n", "column 'device' is missing"),
        ("usage_points", "usage_point,transformer,phase\nU1,T1,d\nU2,T1,a\nU3,T2,a\nU4,T2,a\n",
         "network/usage_points.csv:2, column phase: 'd' is not known."),
        ("planned", "asset_kind,asset,from,to\ntransformer,T1,2026-03-01T08:00,2026-03-02T08:00Z\n",
         "network/planned.csv:2, column from: '2026-03-01T08:00' is not a time with zone."),
        ("sections", "section,feeder,parent\nS1,F1,S2\nS2,F1,S1\n", "supply each other in a ring"),
        ("devices", 'device,kind\n"M1,meter\n', "cannot be read"),
        ("devices", "device,kind,kind\nM1,meter,switch\n",
         "network/devices.csv:1, column kind: column 'kind' stands twice. Delete or rename"),
        ("devices", "device,kind\n", "network/devices.csv:1: the file names no device."),
        ("devices", f"device,kind\n{'M' * 201},meter\n",
         "network/devices.csv:2, column device: device 'MMMMMMMMMMMMMMMMMMMM'... is no usable"),
        ("devices", "device,kind\nM\t1,meter\n",
         "network/devices.csv:2, column device: device 'M\\t1' is no usable name. Use at most 200"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_column_and_fix(
    tmp_path: Path, file: str, text: str, expected: str
) -> None:
    with pytest.raises(BadInput) as caught:
        load_network(folder_with(tmp_path, **{file: text}))

    assert expected in str(caught.value)
    assert 2 == caught.value.exit_status


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_network(folder_with(tmp_path, devices="device,usage_point\nM1,X\nM2,Y\n"))

    assert 2 == len(str(caught.value).splitlines())


@pytest.mark.parametrize("given", ["town", "town/network", "other"])
def test_a_mistake_is_named_by_the_path_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """With or without the folder `network`, and wherever the files lie."""
    monkeypatch.chdir(tmp_path)
    Path("town").mkdir()
    folder_with(Path("town"), devices="device,usage_point\nM1,X\n")
    shutil.copytree("town/network", "other")

    with pytest.raises(BadInput) as caught:
        load_network(Path(given))

    folder = "other" if given == "other" else "town/network"
    assert str(caught.value).startswith(f"{folder}/devices.csv:2, column usage_point: ")
    assert f"{folder}/usage_points.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("feeders", "name,substation\nNorth,S1\n"),
        ("sections", 'section,"feeder\nS1,F1\n'),
        ("transformers", "id,feeder\nT1,F1\n"),
        ("usage_points", 'usage_point,transformer\nU1,T1\n"U2,T1\n'),
    ],
)
def test_what_refers_to_an_unreadable_file_is_not_blamed(
    tmp_path: Path, file: str, text: str
) -> None:
    with pytest.raises(BadInput) as caught:
        load_network(folder_with(tmp_path, **{file: text}))

    (line,) = str(caught.value).splitlines()
    assert f"{file}.csv:" in line


def test_a_folder_without_devices_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"devices\.csv is missing"):
        load_network(folder_with(tmp_path, devices=None))


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "network" / "feeders.csv").write_bytes("feeder,name\nF1,北\n".encode("gb18030"))

    with pytest.raises(BadInput, match=r"feeders\.csv.*not UTF-8"):
        load_network(folder)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_time("2026-03-01T08:00:00")


def test_the_real_station_area_loads(shared_data: Path) -> None:
    network = load_network(shared_data / "station_area_1")

    assert 17 == len(network.devices)
    assert 16 == len(network.usage_points_within("transformer", "T1"))
