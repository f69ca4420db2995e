"""Power outage, loss of a phase, communication failure: who still speaks, and where.

Last gasps and power-ups come as events, silence and life from frames. Each device adds its
log-likelihood at its place in the supply tree; `locate` finds the nodes that explain them best:
without supply, without one phase, or merely out of reach. Silence alone counts only after two
intervals, and not at all where data is delivered in bulk or a whole source has stopped.
"""

import math
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Stateful
from detectors.compiled import F4, F8, I1, I4, I8, U1, kernel
from detectors.frames import NEVER, Frame
from detectors.layout import CHANNEL, FleetLayout
from detectors.localise import locate_kernel
from detectors.outage_words import evidence
from detectors.settings import DetectorSettings
from grid.faults import Severity
from grid.network import TREE_KINDS
from grid.quantities import EVENT_CODE
from grid.records import Finding

SECOND: Final = 1_000_000
V: Final = CHANNEL["v_a"]
BURST_PAUSE_US: Final = 900 * SECOND  # gasps after so long a pause are another outage

# Natural logarithms. A gasp: P(gasp | out) 0.4 to 0.9 against 2e-5 spurious per tick.
GASP: Final = 10.0
GASP_SILENT: Final = 1.2  # each of the next two intervals without a reading
NO_GASP: Final = 0.7  # mild, because gasps get lost together
ALIVE: Final = 6.0
SILENT_MAX: Final = 3.5  # silence of neighbours is not independent
LOW_PHASE: Final = 8.0
MISS_RATE_MEMORY: Final = 0.01
MISS_RATE_LEAST: Final = 1e-6  # below, it is as good as none, and nothing is written any more
SEEN_MOST: Final = 16  # readings; so many more tell nothing new
SWITCH_OPEN: Final = 6.0
SWITCH_MEMORY_US: Final = 86400 * SECOND

# What a fault costs a priori at feeder, section, transformer, branch, usage point: minus the log
# of its rate per tick. Communication fails by gateway (one a transformer) or by device.
PRIOR: Final = np.array(
    [
        [16.0, 16.0, 15.0, 14.0, 12.0],  # without supply
        [13.0, 13.0, 8.0, 13.5, 60.0],  # out of reach: likelier than no supply where nobody gasped
        [17.0, 17.0, 16.0, 15.0, 60.0],  # without phase a, b, c; at a single-phase
        [17.0, 17.0, 16.0, 15.0, 60.0],  # customer that is an outage
        [17.0, 17.0, 16.0, 15.0, 60.0],
    ]
)
N_KINDS: Final = len(PRIOR)
FAULT_OF: Final = ("", "outage", "comms_failure", "phase_loss", "phase_loss", "phase_loss")
COMMS: Final = 2
MIN_COMMS_MISSED: Final = 3
FLEET_SILENT: Final = 0.9  # when so much of everything is silent, ingestion has stopped
GASP_SEEN: Final = 3  # devices that must have gasped once before a missing gasp says anything


@kernel(
    "void(int64, int64, int32[::1], int64[::1], float32[:, ::1], float32[::1], int32[::1],"
    "boolean, int64[::1], int64[::1], float64[::1], int8[::1], int32[::1], float64, int64[::1],"
    "int64[::1], int32[::1], float32[::1], int64[::1], int8[::1])"
)
def listen(
    tick: int,
    step: int,
    device: I4,
    time: I8,
    values: F4,
    slot_v: F4,
    first: I4,
    beyond: bool,
    interval: I8,
    delivery: I8,
    nominal: F8,
    phase: I1,
    offsets: I4,
    slow: float,
    last_alive: I8,
    gap: I8,
    missed: I4,
    miss_rate: F4,
    seen: I8,
    low: I1,
) -> None:
    """Note who was heard in a frame; state arrays are by network device.

    slot_v, first, beyond      V of every phase, see `Frame`
    `missed` is the number of whole intervals since the last reading, 0 after a reading, and
    stays 0 for devices whose interval is unknown or that deliver in bulk. `low[d]` = 1 + phase
    that has lost its voltage, 0 none, -1 where a shifted neutral was seen in the area.
    """
    n_areas = offsets.size - 1
    for k in range(n_areas):
        # A phase far above nominal means a shifted neutral, not a lost phase.
        raised = 0
        sunk = 0
        high, limit = 1.12 * nominal[k], 0.6 * nominal[k]
        for j in range(first[offsets[k]], first[offsets[k + 1]]):
            raised += slot_v[j] > high
            sunk += slot_v[j] < limit
        if beyond:
            for p in range(offsets[k], offsets[k + 1]):
                for c in range(3):
                    raised += values[p, V + c] > high
        shifted = raised > 0
        for p in range(offsets[k], offsets[k + 1]):
            d = device[p]
            t = time[p]
            if t > NEVER:
                if seen[d] > 0 and interval[p] == 0:
                    span = t - last_alive[d]
                    if span > 0:
                        if gap[d] == 0:
                            gap[d] = span
                        elif span < 3 * gap[d]:
                            gap[d] += (span - gap[d]) // 8
                if missed[d] != 0:
                    missed[d] = 0
                elif miss_rate[d] > MISS_RATE_LEAST:
                    miss_rate[d] -= MISS_RATE_MEMORY * miss_rate[d]
                if seen[d] < SEEN_MOST:
                    seen[d] += 1
                last_alive[d] = max(last_alive[d], t)
                low[d] = -1 if shifted else 0
                if sunk > 0 and not shifted:
                    if phase[p] == 3:
                        for c in range(3):
                            others = max(values[p, V + (c + 1) % 3], values[p, V + (c + 2) % 3])
                            if values[p, V + c] < limit and others > 0.8 * nominal[k]:
                                low[d] = c + 1
                    elif phase[p] >= 0 and values[p, V] < limit:
                        low[d] = phase[p] + 1
            elif seen[d] > 0 and delivery[p] < slow:
                usual = interval[p]
                if usual == 0 and seen[d] > 8:
                    usual = gap[d]
                if usual > 0:
                    usual = max(usual, step)
                    count = (tick - last_alive[d] + usual // 4) // usual
                    if count > missed[d]:
                        if count <= 3:
                            miss_rate[d] += MISS_RATE_MEMORY * (1.0 - miss_rate[d])
                        missed[d] = min(count, 1_000_000)


@kernel("boolean(int32[::1], int64[::1], int64[::1], int32[::1], int8[::1], uint8[::1])")
def all_well(node: I4, last_alive: I8, last_gasp: I8, missed: I4, low: I1, off: U1) -> bool:
    """Whether `weigh` would find no suspect: most often, and then nothing is to be weighed."""
    stirs = 0
    for d in range(node.size):
        silent = (last_gasp[d] > last_alive[d]) | (missed[d] >= 1) | (low[d] > 0)
        stirs |= silent & (node[d] >= 0) & (off[d] == 0)
    return stirs == 0


@kernel("float64(int64, float64)")
def silence(missed: int, w: float) -> float:
    """What so many missed readings weigh, one by chance weighing w; little from the first alone."""
    if missed <= 0:
        return 0.0
    if missed == 1:
        return 0.25 * w
    return min(SILENT_MAX, (1.2 if missed == 2 else missed) * w)


@kernel(
    "int64(int32[::1], int8[::1], int32[::1], int64[::1], int64[::1], int64[::1], int32[::1],"
    "float32[::1], int64[::1], int64[::1], int8[::1], uint8[::1], int64[::1], int64, boolean,"
    "float64[:, ::1], int32[:, ::1])"
)
def weigh(
    node: I4,
    phase: I1,
    root: I4,
    burst: I8,
    last_alive: I8,
    last_gasp: I8,
    missed: I4,
    miss_rate: F4,
    usual: I8,
    seen: I8,
    low: I1,
    off: U1,
    restored: I8,
    now: int,
    gasping: bool,
    weight: F8,
    count: I4,
) -> int:
    """Add each device's log-likelihood ratios to its node; returns the number of suspects.

    `usual[d]`: its interval, 0 unknown. `restored[d]`: until then a gasp before the supply came
    back says nothing.
    `weight` float64[5, nodes]: without supply, out of reach, without phase a, b, c.
    `count` int32[5, nodes]: gasps, silent, alive, not heard since, longest silence.
    """
    weight.fill(0.0)
    count.fill(0)
    n = node.size
    expected = 0
    silent = 0
    gasps = 0
    for d in range(n):
        if seen[d] > 0 and node[d] >= 0 and off[d] == 0:
            expected += 1
            if last_gasp[d] > last_alive[d]:
                gasps += 1
            elif missed[d] >= 1:
                silent += 1
    deaf = expected >= 4 and gasps == 0 and silent > FLEET_SILENT * expected
    suspects = 0
    for d in range(n):
        at = node[d]
        if at < 0 or off[d] != 0:
            continue
        power = 0.0
        comms = 0.0
        if last_gasp[d] > last_alive[d] and now < restored[d]:
            count[3, at] += 1
        elif last_gasp[d] > last_alive[d]:
            power = GASP + GASP_SILENT * min(missed[d], 2)
            comms = -GASP
            count[0, at] += 1
            suspects += 1
        elif seen[d] == 0:
            continue
        elif missed[d] >= 1:
            if deaf:
                continue
            # Readings that were missed before the burst of last gasps say nothing about it.
            lost = missed[d]
            started = burst[root[at]]
            if last_alive[d] < started and usual[d] > 0:
                lost -= (started - last_alive[d]) // usual[d]
            w = -math.log(min(max(miss_rate[d], 0.02), 0.5))
            power = silence(lost, w) - (NO_GASP if gasping else 0.0)
            comms = silence(missed[d], w)
            count[1, at] += 1
            count[4, at] = max(count[4, at], missed[d])
            suspects += 1
        elif last_alive[d] < burst[root[at]]:
            power = -NO_GASP if gasping else 0.0
            # Gasps elsewhere say nothing of a path that carried its last reading in time.
            comms = -ALIVE
            count[3, at] += 1
        else:
            power = -ALIVE
            comms = -ALIVE
            count[2, at] += 1
            if low[d] > 0:
                suspects += 1
        weight[0, at] += power
        weight[1, at] += comms
        for c in range(3):
            if low[d] < 0:
                weight[2 + c, at] -= GASP  # the star point has moved: the neutral's affair
            if phase[d] == c:
                if low[d] == c + 1:
                    weight[2 + c, at] += LOW_PHASE
                else:
                    weight[2 + c, at] += power
            elif phase[d] == 3:
                if low[d] == c + 1:
                    weight[2 + c, at] += LOW_PHASE
                elif power < -1.0:
                    weight[2 + c, at] -= ALIVE
                else:
                    weight[2 + c, at] -= max(power, 0.0)
            elif phase[d] >= 0 and power > 0.0:
                weight[2 + c, at] -= power
    return suspects


class OutageDetector(Stateful):
    """Fleet-wide: one tree, all groups."""

    name: ClassVar[str] = "outage"
    version: ClassVar[int] = 2
    faults: ClassVar[tuple[str, ...]] = ("outage", "phase_loss", "comms_failure")

    def __init__(self, fleet: FleetLayout, settings: DetectorSettings) -> None:
        super().__init__()
        self.fleet = fleet
        self.network = network = fleet.network
        self.slow_us = settings.slow_delivery_s * SECOND
        tree = network.tree
        n, nodes = len(network.devices), len(tree.ids)
        self.node = np.ascontiguousarray(tree.device, np.int32)
        self.phase = np.full(n, -1, np.int8)
        self.interval = np.zeros(n, np.int64)
        for g in fleet.groups:
            self.phase[g.device] = g.phase
            self.interval[g.device] = g.interval_us
        self.root = np.arange(nodes, dtype=np.int32)
        for i, p in enumerate(tree.parent.tolist()):
            if p >= 0:
                self.root[i] = self.root[p]
        self.prior = np.ascontiguousarray(PRIOR[:, tree.kind])
        self._order, self._first, self._last = _subtrees(tree.parent, self.node)
        self._section_of_switch = {s.switch: s.id for s in network.sections if s.switch}

        self.last_alive = self._array("last_alive", "device", n, np.int64, NEVER)
        self.last_gasp = self._array("last_gasp", "device", n, np.int64, NEVER)
        self.gasp_known = self._array("gasp_known", "device", n, np.int64, NEVER)
        self.gasped = self._array("gasped", "device", n, np.uint8)
        self.gap = self._array("gap", "device", n, np.int64)
        self.missed = self._array("missed", "device", n, np.int32)
        self.miss_rate = self._array("miss_rate", "device", n, np.float32, 0.05)
        self.seen = self._array("seen", "device", n, np.int64)
        self.low = self._array("low", "device", n, np.int8)
        self.off = self._array("off", "device", n, np.uint8)
        self.restored = self._array("restored", "device", n, np.int64, NEVER)
        self.handled = self._array("handled", "device", n, np.int64, NEVER)
        self.burst = self._array("burst", "node", nodes, np.int64, NEVER)
        self.burst_last = self._array("burst_last", "node", nodes, np.int64, NEVER)
        self.closed = self._array("closed", "node", nodes, np.uint8)
        self.opened_us = self._array("opened_us", "node", nodes, np.int64, NEVER)
        self.open_kind = self._array("open_kind", "node", nodes, np.int8)
        self.since = self._array("since", "node", nodes, np.int64, NEVER)
        self.judged = self._array("judged", "one", 1, np.int64, NEVER)
        for c in network.customers:
            if c.supply_status != "active":
                for u in network.usage_points_of_account.get(c.account, ()):
                    at = tree.usage_point[network.usage_point_index[u.id]]
                    self.off[self.node == at] = 1

        self._weight = np.zeros((N_KINDS, nodes))
        self._own = np.zeros((N_KINDS, nodes))
        self._best = np.zeros(nodes)
        self._choice = np.zeros(nodes, np.int8)
        self._count = np.zeros((5, nodes), np.int32)

    def keys(self, axis: Axis) -> list[str]:
        if axis == "device":
            n = self.network
            place = n.tree.device.tolist()
            return [
                f"{d.id}\0{n.tree.ids[i] if i >= 0 else ''}"
                for d, i in zip(n.devices, place, strict=True)
            ]
        if axis == "node":
            tree = self.network.tree
            out = []
            for k, id_, p in zip(tree.kind, tree.ids, tree.parent, strict=True):
                above = tree.ids[p] if p >= 0 and TREE_KINDS[k] == "branch" else ""
                out.append(f"{TREE_KINDS[k]}\0{id_}\0{above}")
            return out
        return [""]

    # -- input -----------------------------------------------------------------------------

    def apply(self, events: list[tuple[int, int, int, int]]) -> None:
        """Take device events (time, device, code, arrival) in order of time."""
        code = EVENT_CODE
        for t, d, what, known in events:
            self.judged[0] = max(int(self.judged[0]), t)
            at = int(self.node[d])
            if what == code["last_gasp"]:
                self.last_gasp[d] = max(int(self.last_gasp[d]), t)
                self.gasp_known[d] = known
                self.gasped[d] = 1
                if at >= 0:
                    root = self.root[at]
                    if t - self.burst_last[root] > BURST_PAUSE_US:
                        self.burst[root] = t
                    self.burst_last[root] = max(int(self.burst_last[root]), t)
            if what in (code["power_up"], code["power_down"], code["cover_open"]):
                self.handled[d] = max(int(self.handled[d]), t)
            if what == code["power_up"]:
                self.last_alive[d] = max(int(self.last_alive[d]), t)
                self.missed[d] = 0
                self.seen[d] += 1
            elif what in (code["relay_open"], code["relay_closed"]):
                self.off[d] = what == code["relay_open"]
            elif what in (code["switch_open"], code["switch_closed"]):
                section = self._section_of_switch.get(self.network.devices[d].id)
                node = self.network.node("section", section) if section else None
                if node is not None:
                    self.closed[node] = what == code["switch_closed"]
                    self.opened_us[node] = t if what == code["switch_open"] else NEVER

    def step(self, g: int, frame: Frame) -> list[Finding]:
        """Hear a frame and judge the whole tree."""
        layout = frame.layout
        listen(
            frame.tick_us,
            layout.step_us,
            layout.device,
            frame.time,
            frame.values,
            frame.slot_v,
            layout.slots.first,
            frame.beyond,
            layout.interval_us,
            layout.delivery_us,
            layout.nominal_v,
            layout.phase,
            layout.offsets,
            self.slow_us,
            self.last_alive,
            self.gap,
            self.missed,
            self.miss_rate,
            self.seen,
            self.low,
        )
        return self._judge(frame.tick_us, frame.close_us)

    def explains(self, device: int) -> bool:
        """Whether a finding of the tree, a gasp or a switched-off supply accounts for a device's
        silence (place in `Network.devices`)."""
        if self.off[device] or self.last_gasp[device] > self.last_alive[device]:
            return True
        node = int(self.node[device])
        while node >= 0:
            if self.open_kind[node]:
                return True
            node = int(self.network.tree.parent[node])
        return False

    def handled_since(self, device: int, time_us: int) -> bool | None:
        """Whether a device said since then that it was opened or powered anew, as at an exchange;
        None if no device of the site ever said so, so that its silence means nothing."""
        if self.handled[device] >= time_us:
            return True
        return False if (self.handled > NEVER).any() else None

    def pulse(self, now_us: int) -> list[Finding]:
        """Judge between frames, because events came."""
        return self._judge(now_us, now_us)

    # -- judgement -------------------------------------------------------------------------

    def _judge(self, tick_us: int, known_us: int) -> list[Finding]:
        opened = np.flatnonzero(self.open_kind)
        suspects = 0
        if opened.size or not self._all_well():
            suspects = self._weigh(tick_us)
        tick_us = max(tick_us, int(self.judged[0]))
        self.judged[0] = tick_us
        if suspects == 0 and opened.size == 0:
            return []
        self._locate()
        back = [n for n in opened.tolist() if self.open_kind[n] == 1 and self._supplied(n)]
        if back:
            # Meters there whose power-up was lost are given time before they count as out.
            for node in back:
                self._wait_for_life(node, tick_us)
            self._weigh(tick_us)
            self._locate()
        out = []
        for node in np.union1d(opened, np.flatnonzero(self._choice)).tolist():
            out += self._report(node, tick_us, known_us)
        return out

    def _all_well(self) -> bool:
        return bool(
            all_well(self.node, self.last_alive, self.last_gasp, self.missed, self.low, self.off)
        )

    def _weigh(self, tick_us: int) -> int:
        suspects = int(
            weigh(
                self.node,
                self.phase,
                self.root,
                self.burst,
                self.last_alive,
                self.last_gasp,
                self.missed,
                self.miss_rate,
                np.where(self.interval > 0, self.interval, self.gap),
                self.seen,
                self.low,
                self.off,
                self.restored,
                tick_us,
                int(self.gasped.sum()) >= GASP_SEEN,
                self._weight,
                self._count,
            )
        )
        # A switch that reported opening within the day makes its section the likely place.
        lately = self.opened_us > tick_us - SWITCH_MEMORY_US
        self._weight[0, lately] += SWITCH_OPEN
        return suspects

    def _locate(self) -> None:
        locate_kernel(
            self.network.tree.parent,
            self._weight,
            self.prior,
            self.closed,
            self._own,
            self._best,
            self._choice,
        )

    def _supplied(self, node: int) -> bool:
        """Neither the node nor anything above it is found at fault any more."""
        while node >= 0:
            if self._choice[node]:
                return False
            node = int(self.network.tree.parent[node])
        return True

    def _report(self, node: int, tick_us: int, known_us: int) -> list[Finding]:
        """Findings of one node: the fault it has now, and the end of the one it had."""
        before, now = int(self.open_kind[node]), int(self._choice[node])
        devices, counts = self._evidence(node, now or before)
        if now == COMMS and before != COMMS and not self._lasting(node):
            now = 0
        out = []
        if before and FAULT_OF[before] != FAULT_OF[now]:
            out.append(self._finding(node, before, 0.0, tick_us, known_us, devices, counts))
        if now:
            if not before or FAULT_OF[before] != FAULT_OF[now]:
                self.since[node] = tick_us
            score = float(self._own[now - 1, node] / self.prior[now - 1, node])
            known = known_us
            if now != COMMS and counts["last_gasps"]:
                at = [self.network.device_index[x] for x in devices]
                known = max(tick_us, int(self.gasp_known[at].max())) if at else known_us
            out.append(self._finding(node, now, score, tick_us, known, devices, counts))
        self.open_kind[node] = now
        return out

    def _wait_for_life(self, node: int, tick_us: int) -> None:
        """Supply came back here: give meters whose power-up was lost two intervals to report."""
        below = self._order[self._first[node] : self._last[node]]
        mute = below[self.last_gasp[below] > self.last_alive[below]]
        # Where nobody outside of what is found further down gasped, nothing came back: the place
        # was corrected, and there the outage goes on.
        still = np.zeros(self.node.size, np.bool_)
        for n in np.flatnonzero(self._choice).tolist():
            still[self._order[self._first[n] : self._last[n]]] = True
        others = below[~still[below]]
        if not (self.last_gasp[others] >= self.burst[self.root[node]]).any():
            mute = mute[~still[mute]]
        usual = np.maximum(
            np.where(self.interval[mute] > 0, self.interval[mute], self.gap[mute]), 1
        )
        self.restored[mute] = tick_us + (9 * usual) // 4

    def _lasting(self, node: int) -> bool:
        """Whether half of what is silent below a node missed three readings each: one device that
        has long been silent by itself says nothing of a path."""
        below = self._order[self._first[node] : self._last[node]]
        mute = (self.missed[below] >= 1) & (self.last_gasp[below] <= self.last_alive[below])
        return bool(mute.any()) and float(np.median(self.missed[below[mute]])) >= MIN_COMMS_MISSED

    def _evidence(self, node: int, kind: int) -> tuple[tuple[str, ...], dict[str, int]]:
        below = self._order[self._first[node] : self._last[node]]
        gasp = self.last_gasp[below] > self.last_alive[below]
        silent = ~gasp & (self.missed[below] >= 1)
        live = ~gasp & ~silent & (self.seen[below] > 0)
        unheard = live & (self.last_alive[below] < self.burst[self.root[node]])
        low = live & (self.low[below] > 0)
        out = gasp | silent | (low if FAULT_OF[kind] == "phase_loss" else False)
        names = tuple(self.network.devices[d].id for d in below[out].tolist())
        return names, {
            "last_gasps": int(gasp.sum()),
            "silent": int(silent.sum()),
            "alive": int((live & ~unheard).sum()),
            "not_heard_since": int(unheard.sum()),
            "low_voltage": int(low.sum()),
            "longest_silence": int(self.missed[below].max(initial=0)),
            "devices": int(below.size),
        }

    def _finding(
        self,
        node: int,
        kind: int,
        score: float,
        tick_us: int,
        known_us: int,
        devices: tuple[str, ...],
        counts: dict[str, int],
    ) -> Finding:
        asset_kind, asset = self.network.asset_of(node)
        fault = FAULT_OF[kind]
        planned = self._planned(asset_kind, asset, tick_us) if fault == "outage" else ""
        severity: Severity = "P4" if planned or fault == "comms_failure" else "P1"
        phase = "abc"[kind - 3] if fault == "phase_loss" else ""
        since = int(self.since[node]) if self.since[node] > NEVER else tick_us
        return Finding(
            self.name,
            fault,
            asset_kind,
            asset,
            tick_us,
            max(known_us, tick_us),
            score,
            severity,
            devices,
            evidence(
                fault,
                counts,
                phase=phase,
                log_likelihood=float(self._own[kind - 1, node]),
                prior=float(self.prior[kind - 1, node]),
                window=(since, tick_us),
                planned=planned,
                peers=self._heard_beside(node),
            ),
        )

    def _heard_beside(self, node: int) -> tuple[str, ...]:
        """Up to eight devices still heard just outside the node: what it is told apart by."""
        parent = int(self.network.tree.parent[node])
        if parent < 0:
            return ()
        beside = np.concatenate(
            [
                self._order[self._first[parent] : self._first[node]],
                self._order[self._last[node] : self._last[parent]],
            ]
        )
        alive = (self.seen[beside] > 0) & (self.missed[beside] == 0)
        alive &= self.last_gasp[beside] <= self.last_alive[beside]
        return tuple(self.network.devices[d].id for d in beside[alive][:8].tolist())

    def _planned(self, kind: str, asset: str, tick_us: int) -> str:
        """The reason of announced work that explains an outage here, or ''."""
        if not self.network.planned:
            return ""
        above = set(self.network.ancestors(kind, asset))
        for work in self.network.planned:
            within = work.start_us <= tick_us < work.explains_until_us
            if within and (work.asset_kind, work.asset) in above:
                return work.reason or "announced work"
        return ""


def _subtrees(
    parent: NDArray[np.int32], node: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Devices in depth-first order; those below node k are order[first[k]:last[k]]."""
    n = parent.size
    size = np.ones(n, np.int64)
    for i in range(n - 1, -1, -1):
        if parent[i] >= 0:
            size[parent[i]] += size[i]
    enter = np.zeros(n, np.int64)
    following = 0
    used = np.zeros(n, np.int64)
    for i in range(n):
        p = int(parent[i])
        if p < 0:
            enter[i] = following
            following += size[i]
        else:
            enter[i] = enter[p] + 1 + used[p]
            used[p] += size[i]
    place = np.where(node >= 0, enter[np.maximum(node, 0)], -1) if n else np.full(node.size, -1)
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    first = np.searchsorted(ordered, enter)
    last = np.searchsorted(ordered, enter + size)
    return order, first, last
