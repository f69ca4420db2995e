"""Every family, made to speak of every kind it knows: is the reason complete?

A finding whose reason cannot be read and checked is worth nothing on a clerk's desk: rule in both
languages, numbers against a limit, since when, against whom, what else it could have been and why
it is not, what to do next. Kinds that grow say how fast, and when they will have gone too far.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import numpy as np
import pytest

from detectors.base import Stateful
from detectors.catalogue import FAMILIES
from detectors.outage import OutageDetector
from grid.faults import FAULTS
from grid.records import Finding
from tests.unit.detectors import (
    test_energy,
    test_joint,
    test_meter,
    test_momentary,
    test_neutral,
    test_odd,
    test_outage,
    test_records,
    test_star,
    test_supply,
    test_terminal,
    test_transformer,
)
from tests.unit.detectors.street import Street, growing, network, step_at
from web.evidence import COUNTS, SHARES, limited, lines, unit
from web.i18n import LANGUAGES, Words

Story = Callable[[], list[Finding]]


def meter_without_voltage_changes() -> list[Finding]:
    net, batch = test_meter.street()
    e = test_meter.registers(batch, test_meter.WHO)
    silent = test_meter.rows_of(batch, "T1-B1-4", 3.0)
    return test_meter.judge("meter", net, test_meter.changed(batch, e_import=e).select(~silent))


def leaping_sensor() -> list[Finding]:
    net, batch = test_meter.street()
    v = np.array(batch.value("v_a"), float)
    v[test_meter.rows_of(batch, test_meter.WHO, 3.0)] += 30.0
    return test_meter.judge("sensor", net, test_meter.changed(batch, v_a=v))


def odd_meter() -> list[Finding]:
    net = network(areas=4, branches=3, meters=20)
    return test_odd.found(net, test_odd.readings(net, "T2-B2-7"))


def wrong_record() -> list[Finding]:
    net = network(areas=2, branches=3, meters=6)
    wrong = test_records.relabelled(net, "T1-B1-1", phase="c")
    return test_records.judged(wrong, test_records.moving(net))[1]


def lost_phase() -> list[Finding]:
    street = Street(network(), 2.0)
    rows = street.readings()
    v = np.array(rows.value("v_a"), float)
    late = rows.time >= rows.time[0] + 86_400_000_000
    v[late & np.isin(np.array(rows.device_names()), ["T1-B1-1", "T1-B1-4"])] = 0.0
    return test_meter.judge("outage", street.net, test_meter.changed(rows, v_a=v))


def broken_neutral() -> list[Finding]:
    street = Street(network(meters=9), 6.0, neutral={"T1-B1": growing(3.0, 5.5, 4.0)})
    return test_neutral.judge(street)


STORIES: Final[dict[tuple[str, str], Story]] = {
    ("outage", "outage"): lambda: test_outage.judge(
        Street(network(areas=3), 2.0, dark={"T1": test_outage.DARK}, gasps=0.8)
    ),
    ("outage", "comms_failure"): lambda: test_outage.judge(
        Street(network(areas=3), 2.0, dark={"T1": test_outage.DARK})
    ),
    ("outage", "phase_loss"): lost_phase,
    ("neutral", "neutral_loose"): broken_neutral,
    ("neutral", "neutral_broken"): broken_neutral,
    ("star", "neutral_loose"): lambda: test_star.judge(
        neutral={"T1-B1": lambda t: 0.2 * np.clip(t - test_star.BEGINS, 0.0, None)}
    ),
    ("star", "neutral_broken"): lambda: test_star.judge(
        neutral={"T1-B1": step_at(test_star.BEGINS, 6.0)}
    ),
    ("joint", "joint_resistance"): lambda: test_joint.judge(
        Street(network(meters=9), 9.0, joint={"T1-B1-5": growing(4.0, 8.0, 1.0)})
    ),
    ("terminal", "hot_terminal"): lambda: test_terminal.judge(
        lambda t, i: 0.01 * np.clip(t - 4.0, 0.0, None) * i**2
    ),
    ("supply", "over_voltage"): lambda: test_supply.judge(volts=lambda t, c: 26.0 * (t > 6)),
    ("supply", "under_voltage"): lambda: test_supply.judge(volts=lambda t, c: -20.0 * (t > 6)),
    ("supply", "transformer_winding"): lambda: test_supply.judge(
        volts=lambda t, c: 3.5 * (t > 6) * (c == 1)
    ),
    ("supply", "unbalance"): lambda: test_supply.judge(
        amps=lambda t, c: 60.0 * ((t > 6) & (t % 1 > 0.7)) * (c == 0)
    ),
    ("supply", "insulation_leakage"): lambda: test_supply.judge(
        leak=lambda t, n: 0.15 * np.clip(t - 5, 0, None)
    ),
    ("supply", "sensor_fault"): lambda: test_supply.step_of_phase_b("T1-TM"),
    ("momentary", "momentary"): lambda: test_momentary.judged({"T1-B2-": 6}),
    ("energy", "energy_loss"): lambda: test_energy.judged({"T1-B1-3": 0.2}),
    ("meter", "meter_health"): meter_without_voltage_changes,
    ("meter", "comms_failure"): meter_without_voltage_changes,
    ("sensor", "sensor_fault"): leaping_sensor,
    ("transformer", "transformer_overload"): lambda: test_transformer.judge(
        (net := network(areas=1, rated_kva=40.0)),
        Street(net, 4.0, load=test_transformer.evening(3000.0)).readings(),
    ),
    ("transformer", "transformer_thermal"): lambda: test_transformer.judge(
        network(areas=1), test_transformer.oil(lambda d: np.where(d > 7, 12.0, 0.0))
    ),
    ("transformer", "sensor_fault"): lambda: test_transformer.judge(
        network(areas=1),
        test_transformer.oil(lambda d: np.where((d > 7) & (np.sin(500.0 * d) > 0.6), 120.0, 0.0)),
    ),
    ("records", "unknown"): wrong_record,
    ("records", "sensor_fault"): lambda: wrong_ratio(),
    ("odd", "unknown"): odd_meter,
}
GROWING: Final = {
    "neutral_loose",
    "joint_resistance",
    "hot_terminal",
    "insulation_leakage",
}
# Judged against themselves or against everybody, so that no peer could be named.
WITHOUT_PEERS: Final = {
    ("supply", "transformer_winding"): "against its own other phases",
    ("supply", "unbalance"): "against its own other phases",
    ("supply", "insulation_leakage"): "against its own past",
    ("supply", "sensor_fault"): "against all meters of the area",
    ("transformer", "transformer_thermal"): "against the model of IEC 60076-7",
    ("transformer", "sensor_fault"): "against the model of IEC 60076-7",
}
SPOKEN: Final = sorted(STORIES)


def wrong_ratio() -> list[Finding]:
    net = network(areas=1, branches=2, meters=6)
    rows = Street(net, 4.0).readings()
    v = np.array(rows.value("v_a"), float)
    v[np.array(rows.device_names()) == "T1-B1-1"] /= 4.0
    return test_meter.judge("records", net, test_meter.changed(rows, v_a=v))


@cache
def findings(family: str, fault: str) -> tuple[Finding, ...]:
    """What the family says of its own kind in its story, from the limit on."""
    found = STORIES[family, fault]()
    return tuple(f for f in found if (f.detector, f.fault) == (family, fault) and f.score >= 1.0)


def kinds() -> Iterator[tuple[str, str]]:
    families: list[type[Stateful]] = [OutageDetector, *FAMILIES]
    for family in families:
        yield from ((family.name, fault) for fault in family.faults)


def test_every_family_has_a_story_for_every_kind_it_names() -> None:
    assert set(kinds()) == set(STORIES)
    assert {fault for _, fault in STORIES} == set(FAULTS)


@pytest.mark.parametrize(("family", "fault"), SPOKEN)
def test_the_reason_is_complete(family: str, fault: str) -> None:
    assert findings(family, fault)
    for f in findings(family, fault):
        e = f.evidence
        assert f.severity in ("P1", "P2", "P3", "P4")
        assert f.devices
        assert e.rule and e.next_check and not chinese(e.rule + e.next_check)
        assert chinese(e.rule_zh) and chinese(e.next_check_zh)
        assert e.limit is not None and np.isfinite(e.limit)
        assert any(isinstance(v, int | float) for v in e.numbers.values())
        assert 0 < e.window[0] <= e.window[1] <= f.tick_us + 1
        assert {chinese(x) for x in e.excluded} == {True, False}, "confusions in both languages"


@pytest.mark.parametrize(("family", "fault"), SPOKEN)
def test_the_pages_show_every_number_and_limit_by_plain_name_and_unit(
    family: str, fault: str
) -> None:
    """A bare 0.038 tells a clerk nothing: of what is it the limit, and in what is it counted?"""
    for f in findings(family, fault):
        e, (of, _) = f.evidence, limited(f.fault, f.evidence)
        of_what = {**e.numbers, of: e.limit}
        for t in map(Words, LANGUAGES):
            assert [n for n in of_what if not t.has(f"number.{n}")] == []
            shown = lines(t, f.fault, f.detector, e)
            assert [x for x in shown if "_" in x.name or not x.value] == []
            assert t.language == "en" or all(chinese(x.name) for x in shown)
        measured = {n for n, v in of_what.items() if not isinstance(v, str)}
        assert {n for n in measured - SHARES - COUNTS if not unit(n, f.detector)} == set()


@pytest.mark.parametrize(("family", "fault"), SPOKEN)
def test_peers_are_named_or_there_are_none(family: str, fault: str) -> None:
    for f in findings(family, fault):
        assert bool(f.evidence.peers) != ((family, fault) in WITHOUT_PEERS)
        assert len(f.evidence.peers) <= 8
        assert not set(f.evidence.peers) & set(f.devices) or f.asset_kind == "transformer"


@pytest.mark.parametrize(("family", "fault"), [k for k in SPOKEN if k[1] in GROWING])
def test_what_grows_says_how_fast_and_when_it_will_have_gone_too_far(
    family: str, fault: str
) -> None:
    said = findings(family, fault)
    assert all("growth_per_day" in f.evidence.numbers for f in said)
    foreseen = [f for f in said if f.horizon_h is not None]
    assert foreseen
    for f in foreseen:
        low, high = (float(f.evidence.numbers[f"horizon_{x}_h"] or 0.0) for x in ("low", "high"))
        assert 0.0 <= low <= float(f.horizon_h or 0.0) + 0.1 <= high + 0.2


def test_what_stepped_and_stands_still_has_no_horizon() -> None:
    """A window that fills up looks like growth; it must not be taken for it."""
    street = Street(network(meters=9), 9.0, joint={"T1-B1-5": step_at(5.0, 0.6)})

    found = test_joint.judge(street)

    assert found
    assert {None} == {f.horizon_h for f in found}


def chinese(text: str) -> bool:
    """Whether there is a Chinese character in it."""
    return any("\u4e00" <= c <= "\u9fff" for c in text)
