"""A scenario file becomes a dataset: determinism, contracts, truth from the healthy twin."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.dataset import Dataset
from grid.errors import BadInput
from grid.network_files import load_network
from grid.readings import ReadingBatch
from simulators.areas import prepare
from simulators.scenario import SCENARIOS, check_scenario, simulate
from simulators.spec import Scenario, load_scenario
from simulators.tables import read_table
from simulators.town import build_town

TOWN = {"feeders": 1, "transformers": 2, "customers": [10, 12], "branches": [2, 2]}
NEUTRAL = {
    "id": "n",
    "kind": "neutral_broken",
    "asset": "T1-B1",
    "onset": "02:00",
    "failure": "08:00",
    "cleared": "10:00",
    "ohm_start": 0.05,
    "ohm_end": 2.0,
}
OUTAGE = {"id": "o", "kind": "outage", "asset": "T2", "onset": "03:10:20", "cleared": "05:00"}


def scenario(*faults: dict[str, Any], **more: Any) -> Scenario:
    """Half a day of a town of 20 meters."""
    table = {
        "start": datetime.fromisoformat("2026-03-02T06:00:00+08:00"),
        "days": 0.5,
        "seed": 11,
        "town": TOWN,
        "fault": list(faults),
    }
    return read_table(Scenario, table | more, file="test.toml", where="")


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of a loosening neutral and an outage."""
    out = tmp_path_factory.mktemp("story") / "dataset"
    simulate(scenario(NEUTRAL, OUTAGE), out)
    return out


def _truth(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["id"]: line for line in map(json.loads, lines)}


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def test_the_same_seed_gives_the_same_bytes(story: Path, tmp_path: Path) -> None:
    """Readings, events, truth, calls and network, byte for byte, from one process or two."""
    simulate(scenario(NEUTRAL, OUTAGE), tmp_path / "again", processes=2)

    assert _hashes(story) == _hashes(tmp_path / "again")


def test_a_fault_changes_no_load() -> None:
    """Demand, sun and source are the healthy town's, bit for bit."""
    runs = []
    for spec in (scenario(), scenario(NEUTRAL, OUTAGE)):
        town = build_town(spec.town, spec.seed)
        bench = prepare(spec, town, town.areas[0])
        runs.append((bench.loads.load_w, bench.loads.pv_w, bench.emf_pu))

    for healthy, faulted in zip(*runs, strict=True):
        assert np.array_equal(healthy, faulted)


def test_the_network_folder_loads_without_a_complaint(story: Path) -> None:
    """All contract files, every reference resolved, nothing left aside."""
    network = load_network(story)

    assert () == network.notes
    assert 2 == len(network.transformers)
    assert {"meter", "transformer_monitor", "switch"} == {d.kind for d in network.devices}
    accounts = {u.account for u in network.usage_points}
    assert accounts == {c.account for c in network.customers}


def test_readings_come_in_the_order_of_arrival(story: Path) -> None:
    """The file is written as the head-end would have seen it, with nothing unknown in it."""
    dataset = Dataset(story)

    whole = ReadingBatch.concat(list(dataset.batches()))

    assert not dataset.notes.sentences
    assert np.all(np.diff(whole.received) >= 0)
    assert np.all(whole.received >= whole.time)
    known = {d.id for d in dataset.network.devices}
    assert set(whole.names) <= known


def test_truth_shows_the_neutral_before_it_breaks_and_its_branch(story: Path) -> None:
    """The twin tells when it first shows, and that all behind the clamp are touched."""
    line = _truth(story)["n"]

    network = load_network(story)
    behind = {d.id for d in network.devices_within("branch", "T1-B1")}
    assert _us(line["onset"]) < _us(line["detectable"]) < _us(line["failure"])
    assert behind <= set(line["devices"])
    assert not [d for d in line["devices"] if d.startswith("T2")]
    assert (False, "branch") == (line["benign"], line["asset_kind"])
    lead_h = (_us(line["failure"]) - _us(line["detectable"])) / 3.6e9
    assert line["attainable_lead_h"] == pytest.approx(lead_h, abs=0.01)


def test_what_comes_after_the_end_is_not_in_the_truth(tmp_path: Path) -> None:
    """A failure that the data do not reach is null, and so is the lead before it."""
    simulate(scenario(NEUTRAL | {"failure": "3d", "cleared": "4d"}), tmp_path / "out")

    line = _truth(tmp_path / "out")["n"]
    assert [None] * 3 == [line[k] for k in ("failure", "cleared", "attainable_lead_h")]


def test_an_outage_silences_every_meter_and_some_gasp(story: Path) -> None:
    """No reading while dead, last gasps within a minute, power-up after the restoration."""
    network = load_network(story)
    meters = {d.id for d in network.devices_within("transformer", "T2") if d.kind == "meter"}
    whole = ReadingBatch.concat(list(Dataset(story).batches()))
    names = whole.device_names()
    mine = np.isin(names.astype(str), sorted(meters))
    begin, end = (_us(_truth(story)["o"][k]) for k in ("onset", "cleared"))

    dead = mine & (whole.event == 0) & (whole.time > begin) & (whole.time < end)
    gasps = mine & (whole.event == 1)
    ups = mine & (whole.event == 2)

    assert 0 == dead.sum()
    assert 0.5 * len(meters) < gasps.sum() <= len(meters)
    assert np.all((whole.time[gasps] >= begin) & (whole.time[gasps] < begin + 60_000_000))
    assert np.all(whole.time[ups] > end)
    assert ups.sum() >= 0.8 * len(meters)


def test_gasps_follow_the_outage_not_what_changed_a_moment_before(tmp_path: Path) -> None:
    """Two things in one step: only one of them took the supply."""
    tap = {"id": "t", "kind": "tap_change", "asset": "T2", "onset": "03:11"}
    simulate(scenario(tap, OUTAGE | {"onset": "03:13:20"}), tmp_path / "out")

    whole = ReadingBatch.concat(list(Dataset(tmp_path / "out").batches()))
    gasps = whole.time[whole.event == 1]

    assert gasps.size > 0
    assert gasps.min() >= _us(_truth(tmp_path / "out")["o"]["onset"])


def test_registers_never_run_backwards(story: Path) -> None:
    """Energy registers of every device rise, through the outage too."""
    whole = ReadingBatch.concat(list(Dataset(story).batches(order="time"))).readings()

    for k in range(len(whole.names)):
        register = whole.values["e_import"][whole.device == k]
        assert np.all(np.diff(register) >= 0.0)


def test_customers_call_after_something_happened(story: Path) -> None:
    """Calls of the outage come later than it, from accounts of its transformer."""
    calls = Dataset(story).contacts()

    begin = _us(_truth(story)["o"]["onset"])
    out = calls[calls["text"].str.contains("停电|没电了|power", regex=True)]
    assert len(out) > 3
    assert (out["time_us"] > begin).all()
    phones = {c.phone for c in load_network(story).customers_within("transformer", "T2")}
    assert set(out["phone"]) <= phones


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"day": 1}, r"unknown key 'day'.*Did you mean 'days'"),
        ({"days": -1}, r"days must be within"),
        ({"town": TOWN | {"customer": [3, 4]}}, r"town.customer.*Did you mean 'customers'"),
        ({"town": TOWN | {"pv_share": 2}}, r"pv_share is a share"),
        ({"fault": [NEUTRAL | {"kind": "neutral_loos"}]}, r"Did you mean 'neutral_loose'"),
        ({"fault": [NEUTRAL | {"asset": "T9-B1"}]}, r"'T9-B1' is not in this town"),
        ({"fault": [NEUTRAL | {"ohm_end": -1.0}]}, r"resistance cannot be negative"),
        ({"fault": [NEUTRAL | {"failure": "01:00"}]}, r"not in order"),
        ({"fault": [NEUTRAL, NEUTRAL | {"id": "m"}]}, r"same conductor of T1"),
        ({"fault": [NEUTRAL, NEUTRAL]}, r"fault id 'n' stands twice"),
        ({"step_s": 7}, r"step_s must divide an hour"),
    ],
)
def test_a_bad_scenario_is_refused_with_place_and_fix(
    change: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    """One sentence names the key; nothing is written, not even half."""
    with pytest.raises(BadInput, match=r"^(test\.toml|scenario)") as refused:
        simulate(scenario(**change), tmp_path / "out")

    assert refused.match(complaint)
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    """Nobody's dataset is overwritten."""
    (tmp_path / "note.txt").write_text("mine")

    with pytest.raises(BadInput, match="already holds something"):
        simulate(scenario(), tmp_path)

    assert ["note.txt"] == [p.name for p in tmp_path.iterdir()]


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path) -> None:
    """Half a dataset of a dead process does not stay; a living one's is not touched."""
    dead, alive = tmp_path / ".out.999999999.part", tmp_path / ".out.1.part"
    dead.mkdir()
    alive.mkdir()

    simulate(scenario(), tmp_path / "out")

    assert [".out.1.part", "out"] == sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_scenario_of_the_library_says_what_one_should_see(path: Path) -> None:
    """It loads, its faults are in its town, and it tells its story in both languages."""
    spec = load_scenario(path)

    check_scenario(spec, path.name)
    assert all((spec.title.en, spec.title.zh, spec.story.en, spec.story.zh))


DELIVERY = {
    "reorder": 0.1,
    "duplicate": 0.05,
    "bursts_a_day": 8.0,
    "clock_skew_s": 5.0,
    "missing": 0.0,
}


def _readings(spec: Scenario, out: Path) -> ReadingBatch:
    simulate(spec, out)
    return ReadingBatch.concat(list(Dataset(out).batches())).readings()


def test_a_bad_road_changes_arrival_and_no_value(tmp_path: Path) -> None:
    """Late, twice, out of order, in bursts: what arrives is what was measured."""
    plain = _readings(scenario(delivery={"missing": 0.0}), tmp_path / "plain")
    rough = _readings(scenario(delivery=DELIVERY), tmp_path / "rough")

    def measured(batch: ReadingBatch) -> set[tuple[str, float, float]]:
        return set(
            zip(
                batch.device_names().tolist(),
                batch.values["e_import"].tolist(),
                batch.values["v_a"].tolist(),
                strict=True,
            )
        )

    assert measured(rough) <= measured(plain)
    keys = set(zip(rough.device_names().tolist(), rough.time.tolist(), strict=True))
    assert len(keys) < len(rough)
    assert len(keys) < len(plain)
    in_order = np.argsort(rough.received, kind="stable")
    assert np.any(np.diff(rough.time[in_order]) < -300_000_000)


def test_daily_delivery_brings_the_day_next_morning(tmp_path: Path) -> None:
    """Nothing arrives before half past six of the next day, local time."""
    rows = _readings(scenario(delivery={"daily": True}), tmp_path / "daily")

    local_h = (rows.received / 3.6e9 + 8.0) % 24.0
    assert (rows.received - rows.time).min() > 6 * 3_600_000_000
    assert 6.5 <= local_h.min() <= local_h.max() < 7.2
    devices = load_network(tmp_path / "daily").devices
    assert {86_400.0} == {d.delivery_s for d in devices if d.kind != "switch"}


def test_a_share_outside_nought_and_one_is_refused(tmp_path: Path) -> None:
    """The key is named with its table."""
    with pytest.raises(BadInput, match=r"delivery: missing is a share"):
        simulate(scenario(delivery={"missing": 1.5}), tmp_path / "out")
