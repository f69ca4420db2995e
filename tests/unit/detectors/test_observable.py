"""What an area's data can show: every kind gets an answer, and every "no" a reason."""

from dataclasses import replace

import pytest

from detectors.observable import AreaFacts, Observable, Seen, detected_kinds, observable
from detectors.settings import DetectorSettings
from grid.faults import FAULTS

RICH = AreaFacts(
    "T1",
    meters=40,
    heard=40,
    single_known=38,
    three_phase=2,
    monitor=True,
    rated=True,
    interval_s=900.0,
    meter_share=dict.fromkeys(("v_a", "i_a", "p", "e_import", "t_terminal", "power_downs"), 1.0),
    monitor_has=frozenset(
        ("v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "p", "e_import", "t_oil", "i_residual")
    ),
    events={"last_gasp": 12},
)


def answers(facts: AreaFacts) -> dict[str, Observable]:
    return {k.fault: k for k in observable(facts, DetectorSettings())}


def test_rich_data_shows_every_kind_that_has_a_detector() -> None:
    seen = {k.fault for k in observable(RICH, DetectorSettings()) if k.seen == "yes"}

    assert detected_kinds() - {"unknown"} == seen


def test_every_kind_is_answered_and_every_no_has_its_reason_in_both_languages() -> None:
    poor = AreaFacts("T1", meters=3, heard=2, single_unknown=3)

    given = observable(poor, DetectorSettings())

    assert [k for k in FAULTS if k != "unknown"] == [k.fault for k in given]
    assert all(k.why and k.why_zh for k in given if k.seen != "yes")


VOLTAGE_ONLY = replace(
    RICH, monitor=False, monitor_has=frozenset(), meter_share={"v_a": 1.0}, events={}
)


@pytest.mark.parametrize(
    ("facts", "fault", "seen", "word"),
    [
        (replace(RICH, rated=False), "transformer_overload", "no", "rated_kva"),
        (VOLTAGE_ONLY, "transformer_overload", "no", "load"),
        (VOLTAGE_ONLY, "joint_resistance", "partly", "voltage only"),
        (VOLTAGE_ONLY, "neutral_loose", "partly", "without currents"),
        (VOLTAGE_ONLY, "outage", "partly", "silence"),
        (VOLTAGE_ONLY, "hot_terminal", "no", "t_terminal"),
        (replace(RICH, interval_s=3600.0), "under_voltage", "partly", "3600"),
        (replace(RICH, delivery_s=86400.0, events={}), "outage", "no", "24 hours"),
        (replace(RICH, delivery_s=86400.0), "comms_failure", "no", "24 hours"),
        (
            replace(VOLTAGE_ONLY, single_known=0, three_phase=0, single_unknown=40),
            "neutral_broken",
            "no",
            "phase of the meters is not on record",
        ),
        (
            replace(RICH, single_known=0, three_phase=0, single_unknown=40),
            "neutral_loose",
            "partly",
            "rise while others fall",
        ),
        (
            replace(RICH, single_known=0, three_phase=0, single_unknown=3),
            "neutral_broken",
            "partly",
            "transformer's own neutral only",
        ),
        (
            replace(
                RICH,
                single_known=0,
                three_phase=0,
                single_unknown=40,
                monitor_has=frozenset(("v_a", "v_b", "v_c")),
            ),
            "neutral_loose",
            "partly",
            "does not tell the currents",
        ),
        (
            replace(RICH, monitor_has=frozenset(("v_a", "v_b", "v_c"))),
            "transformer_thermal",
            "partly",
            "no oil",
        ),
        (replace(RICH, heard=0, monitor=False), "outage", "no", "no device"),
        (
            replace(RICH, meter_share={"e_import": 1.0}, monitor_has=frozenset(("e_import",))),
            "energy_loss",
            "partly",
            "day by day",
        ),
        (
            replace(RICH, meter_share={"e_import": 1.0}, monitor_has=frozenset(("p",))),
            "energy_loss",
            "partly",
            "registers",
        ),
        (replace(RICH, meter_share={"e_import": 0.8}), "energy_loss", "no", "nine"),
    ],
)
def test_what_is_missing_is_named(facts: AreaFacts, fault: str, seen: Seen, word: str) -> None:
    answer = answers(facts)[fault]

    assert seen == answer.seen
    assert word in answer.why
