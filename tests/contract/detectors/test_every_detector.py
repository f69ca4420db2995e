"""What holds for every detector: found by walking the catalogue, so a new one is judged at once.

Higher is worse; neither batching nor order of arrival nor a restart shows in the findings; NaN
never alarms; poor surroundings (one meter, no monitor, holes) do not disturb.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from detectors.base import Stateful
from detectors.catalogue import FAMILIES
from detectors.engine import Engine
from detectors.near import NearScores
from detectors.outage import OutageDetector
from detectors.settings import DetectorSettings
from grid.faults import FAULTS
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, Street, growing, network

NAMES = [OutageDetector.name, *(f.name for f in FAMILIES)]
LATENESS_S = 3600.0


def settings(name: str | None = None) -> DetectorSettings:
    off = tuple(n for n in NAMES if name is not None and n != name)
    return DetectorSettings(lateness_s=LATENESS_S, disabled=off)


@cache
def street() -> Street:
    """Five days on which much goes wrong: a neutral, an outage, an overload, a joint, hot oil."""
    return Street(
        network(areas=3, rated_kva=30.0),
        5.0,
        neutral={"T1-B1": growing(2.5, 4.5, 1.5)},
        joint={"T2-B1-2": growing(2.5, 4.5, 2.0)},
        load={f"T3-B1-{k}": lambda d: 6000.0 * ((d > 3) & (d % 1 > 0.7)) for k in range(1, 7)},
        dark={"T2-B2": (3.3, 3.4), "T3": (4.1, 4.2)},
        oil={"T1": lambda d: np.where(d > 4.0, 75.0, 40.0)},
        gasps=0.7,
        missing=0.03,
    )


@cache
def rows() -> ReadingBatch:
    return street().readings()


def judge(batches: list[ReadingBatch], name: str | None = None) -> list[Finding]:
    engine = Engine(street().net, settings(name))
    found = [f for b in batches for f in engine.feed("s", b)]
    return found + engine.flush()


@cache
def expected(name: str) -> tuple[Finding, ...]:
    return tuple(judge([rows()], name))


def test_a_helping_thread_changes_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.families.HELPED_FROM", 1)
    alone = judge([rows()])
    with ThreadPoolExecutor(1) as helper:
        engine = Engine(street().net, settings(), helper)
        helped = engine.feed("s", rows()) + engine.flush()

    assert alone == helped


def test_who_hears_what_stays_below_the_limit_changes_no_finding() -> None:
    near = NearScores()
    engine = Engine(street().net, settings(), near=near)

    heard = engine.feed("s", rows()) + engine.flush()

    raised = {(f.tick_us, f.detector, f.fault, f.asset) for f in heard if f.score >= 1.0}
    points = near.points
    assert judge([rows()]) == heard
    assert {"neutral_loose", "transformer_overload"} <= {p.fault for p in points}
    assert all(0.25 <= p.score < 1.0 for p in points)
    assert raised.isdisjoint((p.tick_us, p.detector, p.fault, p.asset) for p in points)
    assert all(engine.network.node(p.asset_kind, p.asset) is not None for p in points)


def test_the_story_makes_the_first_families_speak() -> None:
    """Otherwise the comparisons below would compare nothing with nothing."""
    assert {f.fault for n in ("outage", "neutral", "transformer") for f in expected(n)} >= {
        "outage",
        "neutral_loose",
        "transformer_overload",
    }


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_well_formed(name: str) -> None:
    families: list[type[Stateful]] = [OutageDetector, *FAMILIES]
    family = {f.name: f for f in families}[name]
    for f in expected(name):
        assert f.detector == name
        assert f.fault in family.faults
        assert f.fault in FAULTS
        assert np.isfinite(f.score)
        assert f.known_us >= f.tick_us
        assert f.evidence.rule and f.evidence.rule_zh and f.evidence.next_check_zh
        assert all(
            v is None or isinstance(v, str) or np.isfinite(v) for v in f.evidence.numbers.values()
        )
        assert f.evidence.window[0] <= f.evidence.window[1]


@pytest.mark.parametrize("name", NAMES)
def test_an_asset_is_reported_from_its_limit_until_it_is_clear(name: str) -> None:
    """First tick at 1 or above, then every judgement, last one below `clear_below`."""
    open_: set[tuple[str, str, str]] = set()
    last: dict[tuple[str, str, str], int] = {}
    for f in expected(name):
        key = (f.fault, f.asset_kind, f.asset)
        assert f.tick_us >= last.get(key, 0)
        last[key] = f.tick_us
        if key not in open_:
            assert f.score >= 1.0
            open_.add(key)
        elif f.score < f.clear_below:
            open_.discard(key)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [53, 4999])
def test_batching_does_not_show(name: str, size: int) -> None:
    all_rows = rows()
    pieces = [all_rows.select(slice(k, k + size)) for k in range(0, len(all_rows), size)]

    assert tuple(judge(pieces, name)) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_arrival_within_lateness_does_not_show(name: str) -> None:
    all_rows = rows()
    delay = np.random.default_rng(8).integers(0, int(LATENESS_S * 0.9e6), len(all_rows))
    order = np.argsort(all_rows.time + delay, kind="stable")

    assert tuple(judge([all_rows.select(order)], name)) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_do_not_show(name: str) -> None:
    all_rows = rows()
    doubled = all_rows.select(
        np.repeat(np.arange(len(all_rows)), 1 + (np.arange(len(all_rows)) % 3 == 0))
    )

    assert tuple(judge([doubled], name)) == expected(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.31, 0.62, 0.83])
def test_a_restart_does_not_show(name: str, share: float) -> None:
    """The snapshot holds open frames, waiting events and all state."""
    all_rows = rows()
    cut = int(len(all_rows) * share)
    engine = Engine(street().net, settings(name))
    found = engine.feed("s", all_rows.select(slice(0, cut)))

    again = Engine(street().net, settings(name))
    again.restore(engine.snapshot())
    found += again.feed("s", all_rows.select(slice(cut, None))) + again.flush()

    assert tuple(found) == expected(name)
    assert again.stats.readings == engine.stats.readings + len(
        all_rows.select(slice(cut, None)).readings()
    )


def test_all_detectors_together_say_what_each_says_alone() -> None:
    together = judge([rows()])

    listening = {f.name for f in FAMILIES if f.listens}
    for name in [n for n in NAMES if n not in listening]:
        assert tuple(f for f in together if f.detector == name) == expected(name), name


@pytest.mark.parametrize("name", NAMES)
def test_not_a_number_never_alarms(name: str) -> None:
    all_rows = rows().readings()
    empty = ReadingBatch.of(
        all_rows.names,
        all_rows.device,
        all_rows.time,
        {q: np.full(len(all_rows), np.nan) for q in all_rows.values},
    )
    engine = Engine(street().net, settings(name))

    found = engine.feed("s", empty) + engine.flush()

    if name != "outage":  # silent devices are the outage detector's business, whatever the values
        assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_one_meter_alone_and_no_monitor_are_quiet(name: str) -> None:
    net = network(areas=1, branches=1, meters=1, monitor=False)
    engine = Engine(net, settings(name))

    found = engine.feed("s", Street(net, 5.0, missing=0.05).readings()) + engine.flush()

    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_devices_of_no_transformer_and_of_unknown_phase_are_quiet(name: str) -> None:
    net = network(areas=2, phases="unknown")
    engine = Engine(net, settings(name))

    found = engine.feed("s", Street(net, 5.0).readings()) + engine.flush()

    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_voltage_alone_is_quiet_while_healthy(name: str) -> None:
    net = network(areas=2, monitor=False)
    engine = Engine(net, settings(name))

    found = engine.feed("s", Street(net, 10.0, current=False).readings()) + engine.flush()

    assert found == []


def test_a_hole_of_five_weeks_leaves_every_detector_calm() -> None:
    net = network(areas=2)
    before = Street(net, 3.0).readings()
    after = Street(net, 3.0, seed=2).readings()
    shifted = ReadingBatch.of(
        after.names, after.device, after.time + 36 * 86_400_000_000, after.values
    )
    engine = Engine(net, settings())

    found = engine.feed("s", before) + engine.feed("s", shifted) + engine.flush()

    assert [f for f in found if f.severity in ("P1", "P2")] == []


def worst(found: list[Finding], fault: str) -> float:
    return max((f.score for f in found if f.fault == fault), default=0.0)


def test_a_stronger_neutral_fault_scores_higher() -> None:
    scores = []
    for ohm in (0.3, 0.6, 1.2, 2.4):
        net = network(areas=1)
        engine = Engine(net, settings("neutral"))
        rows_ = Street(net, 4.0, neutral={"T1-B1": growing(3.0, 3.3, ohm)}).readings()
        scores.append(worst(engine.feed("s", rows_) + engine.flush(), "neutral_broken"))
    assert scores == sorted(scores)
    assert scores[-1] > scores[0]


def test_a_stronger_overload_is_known_earlier() -> None:
    first = []
    for watts in (3200.0, 4200.0, 6000.0):
        net = network(areas=1, rated_kva=40.0)
        load = {
            f"T1-B{b}-{k}": lambda d, w=watts: w * ((d > 2) & (d % 1 > 0.7))
            for b in (1, 2)
            for k in range(1, 7)
        }
        engine = Engine(net, settings("transformer"))
        found = engine.feed("s", Street(net, 4.0, load=load).readings()) + engine.flush()
        first.append(min(f.tick_us for f in found if f.score >= 1) - START_US)
    assert first == sorted(first, reverse=True)
    assert first[0] > first[-1]


def test_more_gasps_mean_a_surer_outage() -> None:
    scores = []
    for share in (0.4, 0.7, 1.0):
        net = network(areas=2, meters=9)
        engine = Engine(net, settings("outage"))
        found = engine.feed("s", Street(net, 2.0, dark={"T1": (1.1, 1.2)}, gasps=share).readings())
        scores.append(worst(found + engine.flush(), "outage"))
    assert scores == sorted(scores)
