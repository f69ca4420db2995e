"""Momentary contacts: dips and power-downs that come again and again at one place.

A branch that swings against a tree, a clamp that lets go for half a second: no reading shows it,
but the meters' lowest half-cycle and their power-down counters do. Each frame with such an event
is placed on the supply tree by the kernel of `localise.py`: whoever dipped deepest speaks for the
place, whoever did not dip speaks against it. At each node the events are counted leakily; three
within a day are a fault, one storm's single dip is none.
"""

import math
from functools import partial
from typing import ClassVar, Final

import numpy as np

from detectors.base import Array, Axis, Detector, known_at, rounded
from detectors.compiled import F4, F8, I1, I4, I8, kernel
from detectors.frames import NEVER, Frame
from detectors.layout import CHANNEL, MORE, GroupLayout
from detectors.localise import locate_kernel
from detectors.settings import DetectorSettings
from grid.network import TREE_KINDS
from grid.records import Evidence, Finding

V, V_MIN, DOWNS = CHANNEL["v_a"], MORE["v_a_min"], MORE["power_downs"]
TELLS: Final = [CHANNEL[q] for q in ("v_a_min", "v_b_min", "v_c_min", "power_downs")]

DEEP: Final = 0.75  # of nominal: so low only a contact or a fault brings it
SOUND: Final = 0.85  # of nominal: and the reading itself shows nothing
SHARE: Final = 0.6  # of the deepest dip in the area: who dipped so deep stands at the place
HIT, MISS = 3.0, 2.0  # log-likelihood of a dip, and of none, below the faulted node
# What a fault costs a priori at feeder, section, transformer, branch, usage point; a phase more.
PRIOR: Final = (6.0, 6.0, 4.5, 3.5, 2.0)
ONE_PHASE: Final = 1.0
COUNTED: Final = 1.0 - DEEP  # depth of what was only counted: a counter tells no volts
EVENTS: Final = 3.0
DAY_H: Final = 24.0
CLEAR: Final = 0.4
KEPT: Final = 256  # nodes whose devices are remembered
KINDS: Final = ("abc", "a", "b", "c")


@kernel(
    "int64(int64, int64, float32[:, ::1], float32[:, ::1], int64[::1], boolean, int8[::1],"
    "int32[::1], float64[::1], int64[::1], float64[:, ::1], float64[::1])"
)
def find_dips(
    tick: int,
    step: int,
    values: F4,
    more: F4,
    time: I8,
    told: bool,
    phase: I1,
    offsets: I4,
    nominal: F8,
    last: I8,
    downs: F8,
    depth: F8,
) -> int:
    """How deep each device dipped within the frame; returns how many did.

    values, more : as a `Frame` has them
    told : whether any device tells of dips; if none does, `depth` stays as it is
    last : int64[n]       last reading; updated. After a pause dips belong to the outage before,
                          and a device that reads less often than the area cannot tell the frame.
    downs : float64[n, 2] power-down counter and lowest reading seen last; updated
    depth : float64[n]    out: share of nominal lost, `COUNTED` = not known how much, 0 = no dip,
                          NaN = not heard, or cannot tell
    """
    found = 0
    if not told:
        for p in range(last.size):
            last[p] = time[p] if time[p] > NEVER else last[p]
        return 0
    for k in range(offsets.size - 1):
        u = nominal[k]
        for p in range(offsets[k], offsets[k + 1]):
            depth[p] = math.nan
            if time[p] == NEVER:
                continue
            went_on = last[p] > NEVER and time[p] - last[p] < step + step // 2
            last[p] = time[p]
            sound = True
            lowest = math.nan
            for c in range(3 if phase[p] == 3 else 1):
                v = float(values[p, V + c])
                sound = sound and not v < SOUND * u
                low = float(more[p, V_MIN + c])
                if not math.isnan(low) and not low >= lowest:
                    lowest = low
            counter = float(more[p, DOWNS])
            counted = counter > downs[p, 0] and counter - downs[p, 0] < 1000.0
            if not math.isnan(counter):
                downs[p, 0] = counter
            elif math.isnan(lowest):
                continue  # this device cannot tell
            if not went_on:
                continue
            depth[p] = 0.0
            if not sound:
                continue
            if lowest < DEEP * u:
                depth[p] = 1.0 - lowest / u
            elif counted and math.isnan(lowest):
                depth[p] = COUNTED
            if depth[p] > 0.0:
                found += 1
    return found


class MomentaryDetector(Detector):
    """Every place of the supply tree, as seen by a group's devices."""

    name: ClassVar[str] = "momentary"
    version: ClassVar[int] = 1
    faults: ClassVar[tuple[str, ...]] = ("momentary",)
    beside: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        tree = layout.network.tree
        n, nodes = layout.size, len(tree.ids)
        self.last = self._array("last", "device", n, np.int64, NEVER)
        self.downs = self._array("downs", "device", (n, 2), float, np.nan)
        self.events = self._array("events", "node", nodes, float)
        self.deepest = self._array("deepest", "node", nodes, float)
        self.open = self._array("open", "node", nodes, np.int64)
        self.node = np.ascontiguousarray(tree.device[layout.device])
        prior = np.array(PRIOR)[tree.kind]
        self.prior = np.stack([prior] + [prior + ONE_PHASE] * 3)
        self.keep = math.exp(-layout.step_us / (DAY_H * 3600e6))
        self._below: dict[int, list[int]] = {}
        self._depth = np.full(n, np.nan)
        shape = (len(KINDS), nodes)
        self._weight, self._own = np.zeros(shape), np.zeros(shape)
        self._best, self._choice = np.zeros(nodes), np.zeros(nodes, np.int8)
        self._none = np.zeros(nodes, np.uint8)
        self._counting = False  # whether any node has events

    def restore(self, state: dict[str, Array]) -> None:
        super().restore(state)
        self._counting = bool(self.events.any())

    def keys(self, axis: Axis) -> list[str]:
        if axis != "node":
            return super().keys(axis)
        tree, step = self.layout.network.tree, self.layout.step_us
        pairs = zip(tree.kind.tolist(), tree.ids, strict=True)
        return [f"{TREE_KINDS[k]}\0{id_}\0{step}" for k, id_ in pairs]

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        found = find_dips(
            frame.tick_us,
            layout.step_us,
            frame.values,
            frame.more,
            frame.time,
            bool(frame.reported[TELLS].any()),
            layout.phase,
            layout.offsets,
            layout.nominal_v,
            self.last,
            self.downs,
            self._depth,
        )
        if not found and not self._counting:
            return []
        self.events *= self.keep
        self.events[self.events < 1e-3] = 0.0
        self._counting = bool(found) or bool(self.events.any())
        if found:
            for node in self._places().tolist():
                self.events[node] += 1.0
        score = np.where((self.events > 0) | (self.open > 0), self.events / EVENTS, np.nan)
        return self.over(frame, score, self.open, CLEAR, partial(self._finding, frame))

    def _places(self) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """The nodes that explain this frame's dips."""
        layout, depth = self.layout, self._depth
        deepest = np.zeros(layout.n_areas)
        np.fmax.at(deepest, layout.area, depth)
        with np.errstate(invalid="ignore"):
            hit = (depth > 0.0) & ((depth >= SHARE * deepest[layout.area]) | (depth == COUNTED))
        heard = ~np.isnan(depth) & (self.node >= 0)
        self._weight.fill(0.0)
        for row, kind in enumerate(KINDS):
            on_kind = (
                np.ones(layout.size, bool)
                if kind == "abc"
                else (layout.phase == "abc".index(kind)) | (layout.phase == 3)
            )
            # Off the faulted phase a dip speaks against it, its absence says nothing.
            w = np.where(on_kind, np.where(hit, HIT, -MISS), np.where(hit, -HIT, 0.0))
            np.add.at(self._weight[row], self.node[heard], w[heard])
        locate_kernel(
            layout.network.tree.parent,
            self._weight,
            self.prior,
            self._none,
            self._own,
            self._best,
            self._choice,
        )
        nodes = np.flatnonzero(self._choice)
        for node in nodes.tolist():
            self.deepest[node] = max(0.9 * self.deepest[node], float(np.nanmax(depth)))
        return nodes

    def _members(self, node: int) -> list[int]:
        """Positions of the devices below a node, remembered while it is open."""
        if node not in self._below:
            kind, asset = self.layout.network.asset_of(node)
            below = {d.id for d in self.layout.network.devices_within(kind, asset)}
            if len(self._below) >= KEPT:
                self._below.clear()
            self._below[node] = [p for p, x in enumerate(self.layout.names) if x in below]
        return self._below[node]

    def _finding(self, frame: Frame, node: int, score: float, since: int) -> Finding:
        layout = self.layout
        kind, asset = layout.network.asset_of(node)
        members = self._members(node)
        return Finding(
            self.name,
            "momentary",
            kind,
            asset,
            frame.tick_us,
            known_at(frame, members),
            score,
            "P3",
            tuple(layout.names[p] for p in members),
            Evidence(
                "the supply was lost for moments again and again within a day, at this place alone",
                "该处一天内多次瞬时失压，同电源其他位置正常",
                {
                    "events_a_day": rounded(self.events[node], 1),
                    "deepest_dip_pct": rounded(100.0 * self.deepest[node], 0),
                    "meters": len(members),
                },
                limit=EVENTS,
                window=(since, frame.tick_us),
                peers=self._others(members),
                excluded=(
                    "a storm or a recloser upstream: it would dip everywhere below it",
                    "雷雨或上级重合闸：其下游全部电表都会瞬降",
                ),
                next_check="patrol this stretch for trees and loose clamps; check its joints",
                next_check_zh="巡视该段线路，查树障、松动线夹与接头",
            ),
            clear_below=CLEAR,
        )

    def _others(self, members: list[int]) -> tuple[str, ...]:
        """Up to eight devices of the same area that kept their supply."""
        layout = self.layout
        if not members:
            return ()
        area = layout.devices_of(int(layout.area[members[0]]))
        return tuple(layout.names[q] for q in area if q not in members)[:8]
