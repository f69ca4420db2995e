"""What happens to readings on their way: late, twice, out of order, in bursts not at all.

Works on the table of reports after the physics, with random numbers of its own, so that a bad
network changes no value. The plain latency and the daily delivery are drawn by the meter layer.
"""

import numpy as np

from simulators.meters import Reports
from simulators.seeds import stream
from simulators.spec import DAY_US, DeliverySpec
from simulators.town import TownArea


def deliver(reports: Reports, area: TownArea, spec: DeliverySpec, seed: int) -> None:
    """Change arrival, clocks and presence in place, as the `[delivery]` table asks."""
    rng = stream(seed, area.id, "delivery")
    shape = reports.present.shape
    if spec.clock_skew_s > 0:
        skew_ms = np.round(rng.normal(0.0, spec.clock_skew_s * 1000.0, shape[1]))
        reports.times += (skew_ms * 1000).astype(np.int64)[None, :]
        reports.received[:] = np.maximum(reports.received, reports.times)
    if spec.reorder > 0:
        late = rng.random(shape) < spec.reorder
        more = rng.uniform(0.0, spec.reorder_s, shape) * 1e6
        reports.received[late] += more[late].astype(np.int64)
    if spec.bursts_a_day > 0:
        for begin, end, lost in _bursts(reports, spec, rng):
            branch = str(rng.choice(sorted({u.branch for u in area.usage_points})))
            mine = np.array([u.branch == branch for u in area.usage_points])
            rows = (reports.times >= begin) & (reports.times < end) & mine[None, :]
            if lost:
                reports.present &= ~rows
            else:
                # The concentrator keeps them and empties its store within minutes.
                flush = end + rng.uniform(0.0, 120.0, shape) * 1e6
                reports.received[rows] = flush[rows].astype(np.int64)
    if spec.duplicate > 0:
        reports.again = (rng.random(shape) < spec.duplicate) & reports.present


def _bursts(
    reports: Reports, spec: DeliverySpec, rng: np.random.Generator
) -> list[tuple[int, int, bool]]:
    """(from, until, lost) of each burst; half are lost for good, half come as a backlog."""
    begin, end = int(reports.times.min()), int(reports.times.max())
    count = int(rng.poisson(spec.bursts_a_day * (end - begin) / DAY_US))
    starts = np.sort(rng.uniform(begin, end, count)).astype(np.int64)
    minutes = rng.uniform(10.0, 120.0, count)
    lost = rng.random(count) < 0.5
    return [
        (int(s), int(s + m * 6e7), bool(x)) for s, m, x in zip(starts, minutes, lost, strict=True)
    ]
