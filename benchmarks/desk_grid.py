"""The grid that the desk's benchmarks play on, findings on it, and how calls are timed."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from grid.faults import FAULTS
from grid.network import Customer, Device, Feeder, Network, Section, Transformer, UsagePoint
from grid.records import Evidence, Finding

SEED = 20260301
MINUTE_US = 60_000_000
START_US = 1_772_323_200_000_000
PER_AREA, PER_BRANCH = 60, 15


def grid(feeders: int, areas: int, *, customers: bool = False) -> Network:
    """Feeders of three sections; `areas` transformers each, 60 meters on four branches."""
    sections, transformers, points, devices, people = [], [], [], [], []
    for f in range(feeders):
        for s in range(3):
            above = f"F{f}S{s - 1}" if s else None
            sections.append(Section(f"F{f}S{s}", f"F{f}", above))
        for a in range(areas):
            t = f"F{f}T{a}"
            section = f"F{f}S{a % 4}" if a % 4 < 3 else None  # some hang before the first switch
            transformers.append(Transformer(t, f"F{f}", section, f"{t}配变", 400.0, 230.0))
            for m in range(PER_AREA):
                u = f"{t}-{m}"
                points.append(UsagePoint(u, t, f"{t}B{m // PER_BRANCH}", None, "a", f"A{u}"))
                devices.append(Device(f"M{u}", usage_point=u, interval_s=900.0))
                if customers:
                    people.append(Customer(f"A{u}", "王小明", "13900001234", f"中山路{m}号"))
    return Network(
        tuple(Feeder(f"F{f}") for f in range(feeders)),
        tuple(sections),
        tuple(transformers),
        tuple(points),
        tuple(devices),
        tuple(people),
    )


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95, p99."""
    found = np.quantile(values, [0.5, 0.95, 0.99])
    return float(found[0]), float(found[1]), float(found[2])


def finding(fault: str, asset: tuple[str, str], tick_us: int, score: float = 1.5) -> Finding:
    """A finding as detectors make it."""
    why = Evidence("rule", "规则", {"x": score}, 1.0, (tick_us - 3_600_000_000, tick_us))
    severity = FAULTS[fault].severity
    return Finding(fault, fault, *asset, tick_us, tick_us, score, severity, (), why)


def timed(work: Callable[[int], object], count: int) -> tuple[float, float, float]:
    """p50, p95, p99 of single calls, milliseconds; the first five are warm-up."""
    took = []
    for n in range(count + 5):
        began = time.perf_counter()
        work(n)
        took.append((time.perf_counter() - began) * 1e3)
    return quantiles(took[5:])
