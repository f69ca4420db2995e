"""Where the fault is: three faults at once and three single meters among 24,000, by what is heard.

What is scored: a fault (feeder, section, transformer, branch) is right when exactly its place is
named. A single meter is right when the meter that is dark is named, as it is recorded; only those
that sent a last gasp can be: silence of one meter is the modem far more often than the supply.
*Listed* are those that are named or at least listed to be asked (last gasps that no fault
explains): where every fourth living meter is silent too, a gasp and silence are no proof, and a
ping is. A ticket too many is a named place that is neither.
"""

import os
import statistics
import time
from collections import Counter as Tally
from dataclasses import dataclass

import numpy as np

from alerts.locating import Heard, Located, Locator, Sign
from alerts.signs import CODE, Says
from benchmarks.desk_grid import SEED, START_US, grid
from grid.network import Network

CASES = (
    ("90 % gasps, 95 % fresh", 0.9, 0.95, 0.0),
    ("30 % gasps, 90 % fresh", 0.3, 0.9, 0.0),
    ("30 % gasps, 50 % fresh", 0.3, 0.5, 0.0),
    ("30 % gasps, 90 % fresh, 3 % mapped wrongly", 0.3, 0.9, 0.03),
)
SPURIOUS = 2e-4
SAYS: tuple[Says, ...] = ("gasp", "silent", "alive")


class Storm:
    """Trials on one grid: what is really dark, what is heard of it."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self.rng = network, np.random.default_rng(seed)
        tree = network.tree
        self.parent, self.kind = tree.parent, tree.kind
        self.meter = tree.device.astype(np.int64)  # recorded node of each meter
        self.inside: dict[int, np.ndarray] = {}
        self.levels = [np.flatnonzero(self.kind == k) for k in range(5)]

    def below(self, node: int) -> np.ndarray:
        """bool[n]: the node and everything below it."""
        inside = np.zeros(self.parent.size, bool)
        inside[node] = True
        for i in range(node + 1, self.parent.size):
            p = self.parent[i]
            inside[i] |= bool(p >= 0 and inside[p])
        return inside

    def trial(self, single: int) -> tuple[list[int], list[int]]:
        """Three faults at different feeders, one of each of three levels, and single meters."""
        rng = self.rng
        feeders = rng.permutation(self.levels[0])
        faults: list[int] = []
        for feeder, level in zip(feeders, rng.permutation([0, 1, 2, 3])[:3], strict=False):
            mine = [n for n in self.levels[level] if self.root(int(n)) == feeder]
            faults.append(int(rng.choice(mine)))
        left = [n for n in self.levels[4] if self.root(int(n)) not in feeders[:3]]
        return faults, [int(n) for n in rng.choice(left, single, replace=False)]

    def root(self, node: int) -> int:
        """The feeder of a node."""
        while self.parent[node] >= 0:
            node = int(self.parent[node])
        return node

    def heard(
        self, faults: list[int], gasps: float, fresh: float, wrong: float
    ) -> tuple[Heard, "Truth"]:
        """What is heard of faults that begin within ten minutes, the last gasps of one within
        five seconds; a dark meter is silent, of the others so many are."""
        rng, n = self.rng, self.meter.size
        place = self.meter.copy()  # where each meter really hangs
        moved = rng.random(n) < wrong
        place[moved] = rng.permutation(place)[moved]
        dark = np.zeros(self.parent.size, bool)
        at_us = START_US + (rng.random(n) * 600e6).astype(np.int64)
        for fault in faults:
            inside = self.inside.setdefault(fault, self.below(fault))
            dark |= inside
            hit = inside[place]
            began_us = START_US + int(rng.random() * 600e6)
            at_us[hit] = began_us + rng.integers(1, 5_000_000, int(hit.sum()))
        is_dark = dark[place]
        alive = ~is_dark & (rng.random(n) < fresh)
        gasped = ~alive & (rng.random(n) < np.where(is_dark, gasps, SPURIOUS))
        silent = is_dark | (~alive & (rng.random(n) < 1 - fresh))
        parts = {"gasp": gasped, "silent": silent, "alive": alive}
        who = np.concatenate([np.flatnonzero(mask) for mask in parts.values()])
        codes = [np.full(int(m.sum()), CODE[SAYS[i]]) for i, m in enumerate(parts.values())]
        said = np.concatenate(codes).astype(np.int8)
        names = [self.network.devices[i].id for i in who.tolist()]
        node = self.meter[who].astype(np.int32)
        return Heard(node, said, at_us[who], names), Truth(place, moved, gasped)


@dataclass(frozen=True, slots=True)
class Truth:
    """By meter: its real node, whether that is not the recorded one, whether it gasped."""

    place: np.ndarray
    moved: np.ndarray
    gasped: np.ndarray


def where(quick: bool) -> None:
    network = grid(10, 40)
    storm, locator = Storm(network, SEED), Locator(network)
    trials = 20 if quick else 60
    locator.locate([Sign(0, "gasp", "")])
    print(
        f"{len(network.devices):,} meters, {trials} trials a row, 3 faults and 3 single-meter "
        "faults at once"
    )
    row("", "right", "single meter", "or", "tickets", "suspects", "kernel", "whole", "whole")
    row("", "device", "that gasped", "listed", "too many", "right", "ms", "ms", "p95 ms")
    for title, gasps, fresh, wrong in CASES:
        tally: Tally[str] = Tally()
        kernel_ms, whole_ms = [], []
        for _ in range(trials):
            faults, singles = storm.trial(3)
            heard, truth = storm.heard([*faults, *singles], gasps, fresh, wrong)
            began = time.perf_counter()
            locator.faults(heard)
            kernel_ms.append((time.perf_counter() - began) * 1e3)
            began = time.perf_counter()
            located = locator.locate(heard, faults[0])
            whole_ms.append((time.perf_counter() - began) * 1e3)
            count(tally, network, storm, located, truth, faults, singles)
        single, suspects = max(1, tally["single"]), max(1, tally["suspects"])
        row(
            title,
            f"{tally['right'] / tally['faults']:.1%}",
            f"{tally['single right'] / single:.0%} of {tally['single']}",
            f"{tally['single listed'] / single:.0%}",
            f"{tally['extra'] / trials:.2f}",
            f"{tally['suspects right'] / suspects:.0%}/{suspects}" if wrong else "-",
            f"{statistics.median(kernel_ms):.1f}",
            f"{statistics.median(whole_ms):.1f}",
            f"{np.quantile(whole_ms, 0.95):.1f}",
        )
    print(f"load {os.getloadavg()[0]:.1f} at the end\n")


def row(title: str, *cells: str) -> None:
    """One line of the table."""
    print(f"{title:<44}" + "".join(f"{cell:>13}" for cell in cells))


def count(
    tally: Tally[str],
    network: Network,
    storm: Storm,
    located: Located,
    truth: Truth,
    faults: list[int],
    singles: list[int],
) -> None:
    """Score one trial."""
    nodes = (network.node(*asset) for asset in located.faults)
    got = {n for n in nodes if n is not None}
    tally["faults"] += len(faults)
    tally["right"] += len(got & set(faults))
    mine = np.isin(truth.place, singles)
    dark = {int(n) for n in storm.meter[mine]}
    gasped = {int(n) for n in storm.meter[mine & truth.gasped]}
    tally["single"] += len(gasped)
    tally["single right"] += len(got & gasped)
    tally["extra"] += len(got - set(faults) - dark)
    named = {network.device_index[s.device] for s in located.suspects}
    tally["single listed"] += len(gasped & (got | {int(n) for n in storm.meter[list(named)]}))
    tally["suspects"] += len(named)
    tally["suspects right"] += int(truth.moved[list(named)].sum())
