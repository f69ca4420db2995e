"""The towns that judge: valid, complete, apart from those that tune; data spoiled as said."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import incidents, spoil, towns
from grid.faults import FAULTS
from grid.readings import ReadingBatch
from simulators.drive import find_place
from simulators.spec import BENIGN_KINDS
from simulators.town import build_town

MINUTE_US = 60_000_000
TUNING = towns.seeds("tuning_seeds.toml", "towns")
JUDGING = towns.seeds("judging_seeds.toml", "towns")


def test_no_seed_both_tunes_and_judges() -> None:
    assert set() == set(TUNING) & set(JUDGING)
    quiet = [set(towns.seeds(f"{f}_seeds.toml", "quiet")) for f in ("tuning", "judging")]
    assert set() == quiet[0] & quiet[1]


def test_all_judging_towns_hold_forty_incidents_of_every_kind() -> None:
    """But `unknown`, which nothing causes."""
    kinds: Counter[str] = Counter(f.kind for s in JUDGING for f in towns.scenario(s).fault)

    lacking = {k: kinds[k] for k in FAULTS if k != "unknown" and kinds[k] < 40}
    assert {} == lacking
    assert set(BENIGN_KINDS) <= set(kinds)


@pytest.mark.parametrize("seed", TUNING[:4])
def test_every_incident_stands_at_something_the_town_has(seed: int) -> None:
    spec = towns.scenario(seed)
    town = build_town(spec.town, seed)

    assert all(find_place(f, town) for f in spec.fault)
    assert all(f.onset_us >= 10 * 86_400_000_000 for f in spec.fault)


def test_a_seed_gives_the_same_town_again() -> None:
    assert towns.scenario(101) == towns.scenario(101)
    assert towns.scenario(101).fault != towns.scenario(102).fault


def test_quarter_strength_weakens_what_grows_and_lets_nothing_fail() -> None:
    clear = {f.id: f for f in towns.scenario(101).fault}
    weak = {f.id: f for f in towns.scenario(101, towns.VARIANTS["quarter strength"]).fault}

    for id_, f in weak.items():
        if f.kind in ("joint_resistance", "neutral_broken", "neutral_loose"):
            assert "" == f.failure
            assert pytest.approx(clear[id_].ohm_end / 4) == f.ohm_end
        elif f.kind not in incidents.GROWING:
            assert clear[id_] == f


def test_a_quiet_fleet_has_no_fault() -> None:
    assert () == towns.quiet(151, 4).fault


def readings(n: int = 2000) -> ReadingBatch:
    times = np.arange(n) * 15 * MINUTE_US
    rng = np.random.default_rng(4)
    values = {"v_a": 220.0 + rng.normal(0, 1, n), "t_oil": 40.0 + rng.normal(0, 1, n)}
    return ReadingBatch.of(["M1"], np.zeros(n, np.int32), times, values)


def test_spoiled_readings_lose_or_gain_what_their_name_says() -> None:
    clean = readings()
    rng = np.random.default_rng(1)

    doubled = spoil.duplicates(clean, rng)
    late = spoil.disorder(clean, rng)
    holed = spoil.hole(clean, rng)
    spiked = spoil.spikes(clean, rng)
    torn = spoil.gap(clean, rng)

    assert 0.08 < len(doubled) / len(clean) - 1 < 0.12
    assert len(clean) == len(late) and (np.diff(late.time) < 0).any()
    assert (np.diff(late.received) >= 0).all()
    assert 3 * 96 == len(clean) - len(holed)
    assert len(clean) == len(torn) and 33 * 1440 + 15 == np.diff(torn.time).max() // MINUTE_US
    assert 245.0 == spiked.value("t_oil").max()


def test_a_wrong_phase_map_changes_about_its_share(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    rows = "".join(f"U{n},a\n" for n in range(1000))
    (tmp_path / "network" / "usage_points.csv").write_text(f"usage_point,phase\n{rows}")

    changed = spoil.wrong_phase_map(tmp_path, np.random.default_rng(2))

    text = (tmp_path / "network" / "usage_points.csv").read_text()
    assert changed == 1000 - text.count(",a\n")
    assert 30 <= changed <= 70
