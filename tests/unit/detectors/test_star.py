"""Neutrals among meters of which nobody knows the phase: some rise while others fall."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from detectors.engine import Engine
from detectors.mirror import N_WINDOW, add_frame, along
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, Course, Street, network, step_at

DAY_US = 86_400_000_000
DAYS, BEGINS = 12.0, 8.0


def nameless(**kinds: Any) -> tuple[Network, ReadingBatch]:
    """A street of hourly meters of no branch and phase on record, an hour behind the monitor, so
    that their phases are not learned either; `kinds` as of `Street`."""
    known = network(areas=1, branches=1, meters=9)
    street = Street(known, DAYS, seed=3, **kinds)
    points = tuple(replace(u, branch=None, phase="unknown") for u in known.usage_points)
    devices = tuple(
        replace(d, interval_s=3600.0) if d.kind == "meter" else d for d in known.devices
    )
    rows = street.readings()
    meters = np.array([n != "T1-TM" for n in rows.names])[rows.device]
    at = rows.time + np.where(meters, 3_600_000_000, 0)
    hourly = (at % 3_600_000_000 == 0) | ~meters
    late = replace(rows, time=at, received=np.maximum(rows.received, at))
    return replace(known, usage_points=points, devices=devices), late.select(hourly).sort()


def judge(**kinds: Any) -> list[Finding]:
    """All findings on such a street, every family running."""
    net, rows = nameless(**kinds)
    engine = Engine(net, DetectorSettings())
    return engine.feed("s", rows) + engine.flush()


def raised(**kinds: Any) -> list[Finding]:
    """The first finding of each fault and asset, voltage and current families running."""
    kinds_of = ("neutral_loose", "neutral_broken", "joint_resistance")
    first: dict[tuple[str, str], Finding] = {}
    for f in judge(**kinds):
        if f.fault in kinds_of and f.score >= 1.0:
            first.setdefault((f.fault, f.asset), f)
    return list(first.values())


@cache
def loose() -> tuple[Finding, ...]:
    return tuple(raised(neutral={"T1-B1": step_at(BEGINS, 0.5)}))


def test_a_loose_neutral_among_nameless_meters_is_one_neutral_and_no_joint() -> None:
    assert [(f.fault, f.asset) for f in loose()] == [("neutral_loose", "T1")]
    assert loose()[0].tick_us < START_US + (BEGINS + 2.5) * DAY_US


def test_its_resistance_is_told_and_customers_of_several_phases_are_its_evidence() -> None:
    (f,) = loose()

    assert 0.15 < float(f.evidence.numbers["added_resistance_ohm"] or 0.0) < 0.7
    assert len({int(d.rsplit("-", 1)[1]) % 3 for d in f.devices}) >= 2


def test_a_broken_neutral_is_told_in_two_frames() -> None:
    found = raised(neutral={"T1-B1": step_at(BEGINS, 6.0)})

    assert [(f.fault, f.asset) for f in found][:1] == [("neutral_broken", "T1")]
    assert "joint_resistance" not in {f.fault for f in found}


@pytest.mark.parametrize(
    "kinds",
    [{}, {"joint": {"T1-B1": step_at(BEGINS, 0.5)}}, {"load": {"T1-B1-1": step_at(BEGINS, 4000)}}],
    ids=["healthy", "one phase's joint", "new load"],
)
def test_what_lifts_no_meter_as_much_as_it_lowers_others_is_no_neutral(
    kinds: dict[str, dict[str, Course]],
) -> None:
    assert not {f.fault for f in raised(**kinds)} & {"neutral_loose", "neutral_broken"}


def test_a_window_holds_the_sums_along_each_direction() -> None:
    """Oracle: a meter of phase b through R ohm; what is along b gives R, the rest less."""
    rng = np.random.default_rng(2)
    flow = rng.normal(0.0, 10.0, (60, 3))
    u = np.exp(-2j * np.pi / 3 * np.arange(3))
    g = -np.real(np.conj(u)[None, :] * (flow[:, 0] + 1j * flow[:, 1])[:, None])
    sums, keep = np.zeros((1, 2 * N_WINDOW), np.float32), (1.0, 0.9)
    for row, e in zip(flow, 0.3 * g[:, 1], strict=True):
        add_frame(np.array([e]), row[None, :].copy(), np.ones(1, np.uint8), sums, keep)

    b, a = along(sums[0, :N_WINDOW].copy(), 1)
    fast, weight = along(sums[0, N_WINDOW:].copy(), 1), 0.9 ** np.arange(59, -1, -1)
    other = along(sums[0, :N_WINDOW].copy(), 0)

    assert b / a == pytest.approx(0.3, rel=1e-4)
    assert fast[1] == pytest.approx(float(weight @ g[:, 1] ** 2), rel=1e-4)
    assert other[0] == pytest.approx(0.3 * float(g[:, 1] @ g[:, 0]), rel=1e-3)
