"""A small town for the tests of alerts and desk, and findings in one line."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from alerts.episodes import Book, alert_id, event_id
from grid.faults import FAULTS
from grid.network import (
    Customer,
    Device,
    Feeder,
    Network,
    PlannedWork,
    Section,
    Team,
    Transformer,
    UsagePoint,
)
from grid.records import AlertEvent, Evidence, Finding

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z


def town(planned: Sequence[PlannedWork] = ()) -> Network:
    """The town of `_plain_town`, with announced work."""
    return replace(_plain_town(), planned=tuple(planned)) if planned else _plain_town()


@cache
def _plain_town() -> Network:
    """Feeder F1 with section S1; transformers T1, T2; each 2 branches of 3 usage points.

    Usage points T1-B1-1 ..., accounts A11 ... , meters M-T1-B1-1 ...; T1-B1-1 is on life
    support, T2-B2-3 a hospital. Each transformer has a monitor (T1-mon).
    """
    points, devices, customers = [], [], []
    number = 10
    for area in ("T1", "T2"):
        devices.append(Device(f"{area}-mon", "transformer_monitor", transformer=area))
        for branch in ("B1", "B2"):
            for i in (1, 2, 3):
                number += 1
                id_ = f"{area}-{branch}-{i}"
                account = f"A{number}"
                points.append(UsagePoint(id_, area, f"{area}-{branch}", phase="a", account=account))
                devices.append(Device(f"M-{id_}", "meter", usage_point=id_, interval_s=900))
                customers.append(
                    Customer(account, f"王小{number}", f"139000000{number}", f"中山路{number}号")
                )
    customers[0] = replace(customers[0], flags=frozenset({"life_support"}))
    customers[-1] = replace(customers[-1], category="hospital", name="市第一医院")
    return Network(
        feeders=(Feeder("F1", "城东线", "城东变"),),
        sections=(Section("S1", "F1"),),
        transformers=(
            Transformer(
                "T1", "F1", "S1", "中山路1号配变", 400, 220, team="crew-1", manager="李台区"
            ),
            Transformer("T2", "F1", "S1", "中山路2号配变", 400, 220, "rural", team="crew-2"),
        ),
        usage_points=tuple(points),
        devices=tuple(devices),
        customers=tuple(customers),
        teams=(Team("crew-1", "抢修一班"), Team("crew-2", "抢修二班")),
    )


def finding(
    fault: str = "neutral_loose",
    asset: tuple[str, str] = ("transformer", "T1"),
    at: int = 0,
    score: float = 1.2,
    severity: str = "",
    detector: str = "",
    horizon_h: float | None = None,
    devices: tuple[str, ...] = (),
) -> Finding:
    """A finding `at` microseconds after the start of the story."""
    kind, id_ = asset
    tick_us = START + at
    return Finding(
        detector=detector or fault,
        fault=fault,
        asset_kind=kind,
        asset=id_,
        tick_us=tick_us,
        known_us=tick_us + 30_000_000,
        score=score,
        severity=severity or FAULTS[fault].severity,  # type: ignore[arg-type]
        devices=devices,
        evidence=Evidence("rule", "规则", {"x": score}, 1.0, (tick_us - HOUR, tick_us)),
        horizon_h=horizon_h,
    )


def raised(
    fault: str = "neutral_loose",
    asset: tuple[str, str] = ("transformer", "T1"),
    at: int = 0,
    **more: object,
) -> AlertEvent:
    """The event of a first raise."""
    f = finding(fault, asset, at, **more)  # type: ignore[arg-type]
    id_ = alert_id(f.detector, fault, *asset, f.tick_us)
    return AlertEvent(event_id(id_, "raised", f.tick_us), id_, "raised", f, f.tick_us)


def after(event: AlertEvent, change: str, at: int, **more: object) -> AlertEvent:
    """A later change of the same alert, `at` microseconds after the start of the story."""
    f = event.finding
    told = replace(f, tick_us=START + at, known_us=START + at + 30_000_000, **more)  # type: ignore[arg-type]
    id_ = event_id(event.alert_id, change, told.tick_us)
    return AlertEvent(id_, event.alert_id, change, told, event.raised_us)  # type: ignore[arg-type]


def judged(findings: Sequence[Finding], up_to: int | None = None) -> list[AlertEvent]:
    """What a fresh book makes of findings."""
    return Book(town()).judge(findings, None if up_to is None else START + up_to)


class StandingClock:
    """A clock that stands where the test puts it."""

    def __init__(self, now_us: int = START) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def real_seconds_until(self, site_us: int) -> float:
        return max(0.0, (site_us - self.us) / 1e6)
