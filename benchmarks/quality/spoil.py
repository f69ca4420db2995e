"""Poor data made from good: what recall loses when readings come twice, late, torn or absurd.

Each spoiler takes the batch of a whole dataset (order of arrival) and a generator and gives
another; none touches the truth. `wrong_phase_map` spoils the network file instead.
"""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from grid.readings import ReadingBatch

DAY_US = 86_400_000_000
Spoiler = Callable[[ReadingBatch, np.random.Generator], ReadingBatch]


def duplicates(batch: ReadingBatch, rng: np.random.Generator) -> ReadingBatch:
    """A tenth of all rows comes a second time, up to an hour later."""
    chosen = np.flatnonzero(rng.random(len(batch)) < 0.1)
    again = batch.select(chosen)
    late = again.received + rng.integers(1, 3_600_000_000, chosen.size)
    return ReadingBatch.concat([batch, replace(again, received=late)]).sort(by="received")


def disorder(batch: ReadingBatch, rng: np.random.Generator) -> ReadingBatch:
    """A tenth of all rows arrives up to a day late."""
    late = rng.random(len(batch)) < 0.1
    delay = np.where(late, rng.integers(0, DAY_US, len(batch)), 0)
    return replace(batch, received=batch.received + delay).sort(by="received")


def hole(batch: ReadingBatch, rng: np.random.Generator, *, days: float = 3.0) -> ReadingBatch:
    """Nothing at all for some days within the healthy ones."""
    start = int(batch.time.min()) + 5 * DAY_US
    return batch.select((batch.time < start) | (batch.time >= start + int(days * DAY_US)))


def gap(batch: ReadingBatch, rng: np.random.Generator, *, days: float = 33.0) -> ReadingBatch:
    """The first five days happened so much earlier: nothing at all in between."""
    early = batch.time < int(batch.time.min()) + 5 * DAY_US
    away = np.where(early, int(days * DAY_US), 0)
    return replace(batch, time=batch.time - away, received=batch.received - away)


def spikes(batch: ReadingBatch, rng: np.random.Generator) -> ReadingBatch:
    """One oil temperature in five hundred jumps to 245 degC, one meter voltage in 2,000 to 0."""
    values = dict(batch.values)
    if "t_oil" in values:
        oil = values["t_oil"].copy()
        oil[(rng.random(len(batch)) < 0.002) & ~np.isnan(oil)] = 245.0
        values["t_oil"] = oil
    volts = values["v_a"].copy()
    volts[(rng.random(len(batch)) < 0.0005) & ~np.isnan(volts)] = 0.0
    values["v_a"] = volts
    return replace(batch, values=values)


SPOILERS: dict[str, Spoiler] = {
    "10 % twice": duplicates,
    "10 % a day late": disorder,
    "a 3-day hole": hole,
    "a 33-day gap": gap,
    "spikes": spikes,
}
WRONG_PHASES = "5 % wrong phases in the map"  # spoils the network file, not the readings


def wrong_phase_map(folder: Path, rng: np.random.Generator, share: float = 0.05) -> int:
    """Name another phase for a share of the single-phase usage points; returns how many."""
    path = folder / "network" / "usage_points.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    changed = 0
    for row in rows:
        if row["phase"] in ("a", "b", "c") and rng.random() < share:
            row["phase"] = "abc"[("abc".index(row["phase"]) + int(rng.integers(1, 3))) % 3]
            changed += 1
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return changed
