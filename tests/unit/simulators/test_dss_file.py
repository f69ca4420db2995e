"""An operator's own .dss file runs as an area of the town."""

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.dataset import Dataset
from grid.errors import BadInput
from grid.network_files import load_network
from grid.readings import ReadingBatch
from simulators.areas import open_engine, prepare
from simulators.dss_script import area_script
from simulators.powerflow import OpenDssPowerFlow
from simulators.scenario import check_scenario, simulate
from simulators.spec import Scenario, load_scenario
from simulators.tables import read_table
from simulators.town import build_town

MAP = """
transformer = ["t0", "t1", "t2"]
neutral = 4
"""


def _export(folder: Path) -> Path:
    """Write a built area as somebody's file: its lines and loads, its own names."""
    town = build_town(
        read_table(Scenario, _table(), file="t", where="").town,
        8,
    )
    area = dataclasses.replace(town.areas[0].area, pv=())
    lines = [c for c in area_script(area) if ".fw_" not in c]
    lines[0] = "clear"
    text = MAP
    for b, head in enumerate(area.heads):
        names = []
        for u in town.areas[0].usage_points:
            if u.branch != f"T1-B{b + 1}":
                continue
            own = []
            for k in u.loads:
                phase = area.loads[k].phase + 1
                lines.insert(
                    -2,
                    f"new load.home{k} phases=1 bus1={area.services[u.service].name}.{phase}.4 "
                    "kV=0.23 kW=1",
                )
                own.append(f'"home{k}"')
            names.append(own[0] if len(own) == 1 else f"[{', '.join(own)}]")
        text += f'[[branch]]\nline = "{head}"\nloads = [{", ".join(names)}]\n'
    (folder / "own.dss").write_text("\n".join(lines) + "\nsolve\n")
    (folder / "own-map.toml").write_text(text)
    return folder


def _table(**more: Any) -> dict[str, Any]:
    return {
        "start": datetime.fromisoformat("2026-03-02T06:00:00+08:00"),
        "days": 0.25,
        "seed": 8,
        "town": {
            "feeders": 1,
            "transformers": 1,
            "customers": [14, 14],
            "branches": [2, 2],
            "pv_share": 0.0,
            "three_phase_share": 0.2,
        },
    } | more


SCENARIO = """
start = 2026-03-02T06:00:00+08:00
days = 0.25
seed = 8
[town]
feeders = 1
transformers = 1
[[town.transformer]]
id = "T1"
dss = "own.dss"
map = "own-map.toml"
"""
FAULT = """
[[fault]]
id = "n"
kind = "neutral_broken"
asset = "T1-B1"
onset = "01:00"
failure = "04:00"
ohm_end = 2.0
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with network, mapping and scenario."""
    _export(tmp_path)
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    return tmp_path


def test_a_file_answers_as_the_area_it_was_written_from(files: Path) -> None:
    """The same demand on the built area and on its export: voltages within 50 mV.

    What is left is the metre of cable and the ammeter link that the file's customers get.
    """
    spec = load_scenario(files / "scenario.toml")
    read = prepare(spec, *(lambda t: (t, t.areas[0]))(check_scenario(spec, "s")))
    built_spec = read_table(Scenario, _table(), file="t", where="")
    town = build_town(built_spec.town, 8)
    built = prepare(built_spec, town, town.areas[0])
    loads = read.loads.load_w[:20]
    order = [k for u in town.areas[0].usage_points for k in u.loads]
    inputs = read.drive([], slice(0, 20)).inputs(read.network)

    theirs = open_engine(read).run(inputs)
    mine = dataclasses.replace(
        built.drive([], slice(0, 20)).inputs(built.network),
        load_w=loads[:, np.argsort(order)],
        load_tangent=read.loads.load_tangent[np.argsort(order)],
        emf_pu=inputs.emf_pu,
    )
    ours = OpenDssPowerFlow(built.network).run(mine)

    assert np.abs(np.abs(theirs.v_load) - np.abs(ours.v_load[:, order])).max() < 0.05
    assert np.abs(np.abs(theirs.i_head) - np.abs(ours.i_head)).max() < 0.05


def test_it_becomes_a_dataset_with_faults_and_truth(files: Path) -> None:
    """A neutral breaks in the operator's network as in a built one."""
    with (files / "scenario.toml").open("a") as file:
        file.write(FAULT)

    simulate(files / "scenario.toml", files / "out")

    network = load_network(files / "out")
    whole = ReadingBatch.concat(list(Dataset(files / "out").batches())).readings()
    behind = {d.id for d in network.devices_within("branch", "T1-B1")}
    names = whole.device_names().astype(str)
    mine = np.isin(names, sorted(behind))
    volts = whole.values["v_a"]
    others = volts[~mine & (np.char.find(names, "TM") < 0)]
    assert 7 == len(behind)
    assert np.ptp(volts[mine]) > 30.0
    assert np.nanmax(np.abs(others - 228.0)) < 12.0
    assert '"detectable": "2026' in (files / "out" / "truth.jsonl").read_text()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"home0"', '"home999"', r"branch\[0\]\.loads\[0\] = 'home999' is not in the network"),
        ('line = "b1_n1"', 'line = "b9"', r"branch\[0\]\.line = 'b9' is not in the network"),
        ('"t0", "t1", "t2"', '"t0", "t1"', r"one unit, or a bank of three"),
        ("neutral", "neutrall", r"unknown key 'neutrall'.*Did you mean 'neutral'"),
    ],
)
def test_a_wrong_mapping_is_refused(old: str, new: str, complaint: str, files: Path) -> None:
    """By key, with what there is."""
    mapping = files / "own-map.toml"
    text = mapping.read_text()
    assert old in text
    mapping.write_text(text.replace(old, new, 1))

    with pytest.raises(BadInput, match=complaint):
        simulate(files / "scenario.toml", files / "out")


def test_a_file_that_is_no_network_is_refused_with_its_reason(files: Path) -> None:
    """OpenDSS's own first line says what is wrong."""
    (files / "own.dss").write_text("new circuit.x\nnew lien.a bus1=b\n")

    with pytest.raises(BadInput, match="cannot compile"):
        simulate(files / "scenario.toml", files / "out")


def test_a_file_that_does_not_converge_is_refused(files: Path) -> None:
    """Said before anything is written."""
    path = files / "own.dss"
    text = path.read_text().removesuffix("solve\n")
    path.write_text(f"{text}set maxiterations=2 tolerance=1e-15\n")

    with pytest.raises(BadInput, match="does not converge"):
        simulate(files / "scenario.toml", files / "out")

    assert not (files / "out").exists()


def test_a_neutral_fault_needs_a_neutral(files: Path) -> None:
    """A file without the fourth wire cannot lose it."""
    mapping = files / "own-map.toml"
    mapping.write_text(mapping.read_text().replace("neutral = 4", "neutral = 0"))
    with (files / "scenario.toml").open("a") as file:
        file.write(FAULT)

    with pytest.raises(BadInput, match="no neutral conductor"):
        simulate(files / "scenario.toml", files / "out")
