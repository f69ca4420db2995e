"""A fault that could not happen, or would silently do nothing, is refused with its fix."""

import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from grid.errors import BadInput
from simulators.fault_rules import PLACES
from simulators.scenario import SCENARIOS, check_scenario
from simulators.spec import BENIGN_KINDS, Kind, Scenario, load_scenario
from simulators.tables import read_table

DAY = {"start": datetime.fromisoformat("2026-03-02T06:00:00+08:00"), "days": 0.25, "seed": 3}
TOWN = {"feeders": 1, "transformers": 1, "customers": [6, 6], "branches": [2, 2]}


def _check(*faults: dict[str, Any], **more: Any) -> None:
    told = [{"id": "f", "onset": "01:00"} | fault for fault in faults]
    table = DAY | {"town": TOWN, "fault": told} | more
    check_scenario(read_table(Scenario, table, file="t", where=""), "t")


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"kind": "hot_terminal", "asset": "F1"}, "cannot happen to the feeder F1"),
        ({"kind": "outage", "asset": "T1-TM"}, "cannot happen to the device T1-TM"),
        ({"kind": "energy_loss", "asset": "T1-B1"}, "cannot happen to the branch T1-B1"),
        ({"kind": "over_voltage", "asset": "T1-B1"}, "give a usage point or branch|branch T1-B1"),
        ({"kind": "over_voltage", "asset": "F1", "mode": "pv"}, "feeder F1"),
        ({"kind": "momentary", "asset": "T1-B1", "mode": "vegitation"}, "no mode 'vegitation'"),
        ({"kind": "outage", "asset": "T1", "mode": "lv"}, "no mode 'lv'. Leave mode out"),
        ({"kind": "neutral_loose", "asset": "T1", "conductor": "a"}, "Use n"),
        ({"kind": "phase_loss", "asset": "T1", "conductor": "n"}, "Use a or b or c"),
        ({"kind": "joint_resistance", "asset": "T1-U001", "conductor": "c"}, "no phase 'c'"),
        ({"kind": "energy_loss", "asset": "T1-U001", "amount": 1.5}, "at most 1"),
        ({"kind": "insulation_leakage", "asset": "T1-B1", "amount": -1.0}, "negative"),
        ({"kind": "momentary", "asset": "T1-B1", "amount": 1e7}, "number an hour.*at most 240"),
        ({"kind": "transformer_thermal", "asset": "T1", "amount": 0.5}, "would cool"),
        (
            {"kind": "sensor_fault", "asset": "T1-TM", "quantity": "t_oil"},
            "T1-TM does not report 't_oil'.*Use one of: v_a",
        ),
        ({"kind": "sensor_fault", "asset": "T1-M001", "quantity": "v_b"}, "report 'v_b'"),
        ({"kind": "new_ev", "asset": "T1-U001", "between": ["18:00", "2d"]}, "times of a day"),
        ({"kind": "new_ev", "asset": "T1-U001", "between": ["6pm", "22:00"]}, "not an offset"),
        ({"kind": "outage", "asset": "T1", "gasp_rate": 2.0}, "gasp_rate is a share"),
        ({"kind": "outage", "asset": "T7"}, "Use ids such as T1, T1-B1, T1-U001, F1"),
    ],
)
def test_what_makes_no_sense_is_refused(fault: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        _check(fault)


def test_two_outages_of_one_transformer_at_once_are_one_too_many() -> None:
    pair: list[dict[str, Any]] = [
        {"id": name, "kind": "outage", "asset": "T1", "onset": "01:00", "cleared": "02:00"}
        for name in ("one", "two")
    ]

    with pytest.raises(BadInput, match="faults one and two work on the same conductor"):
        _check(*pair)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"weather": {"cloud": 2.0}}, "weather: cloud is a share"),
        ({"weather": {"mean_c": float("nan")}}, "weather.mean_c = nan. Write a finite number"),
        ({"mv": {"tau_min": 0.0}}, "tau_min and tap_delay_s"),
        ({"callers": {"channels": ["fax"]}}, r"callers\.channels\[0\] = 'fax' is not known"),
        ({"callers": {"wrong_per_day": 1e9}}, "wrong_per_day must be within"),
        ({"delivery": {"bursts_a_day": 1e9}}, "bursts_a_day must be within"),
        ({"town": TOWN | {"rod_every": 0}}, "rod_every start at 1"),
        ({"town": TOWN | {"transformer": [{"id": "T1", "customers": 0}]}}, "within 1..400"),
        ({"town": TOWN | {"transformer": [{"id": "T1", "tap_pu": 3.0}]}}, "tap_pu is far"),
        ({"days": 0.001}, "shorter than two steps"),
    ],
)
def test_a_world_that_cannot_be_is_refused(more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        _check({"kind": "outage", "asset": "T1"}, **more)


def test_every_kind_says_where_it_can_happen() -> None:
    assert set(typing.get_args(Kind)) == set(PLACES)


@pytest.mark.parametrize("kind", sorted(set(typing.get_args(Kind)) - set(BENIGN_KINDS)))
def test_every_kind_of_fault_has_a_story_of_its_own(kind: str) -> None:
    """In which it is the first thing that happens; the look-alikes share one."""
    first = {load_scenario(p).fault[:1] for p in SCENARIOS.glob("*.toml")}

    assert kind in {f[0].kind for f in first if f}


def test_every_lookalike_has_its_place_in_the_library() -> None:
    told = {f.kind for p in Path(SCENARIOS).glob("*.toml") for f in load_scenario(p).fault}

    assert set(BENIGN_KINDS) <= told
