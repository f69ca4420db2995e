"""Order the fleet for the kernels: one transformer's devices side by side, one step a group.

Built from a `Network` alone. A group holds the areas whose frames share step and closing delay;
within it devices stand area by area, the monitor first, then branch by branch.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.settings import DetectorSettings
from grid.network import Device, Network

SECOND: Final = 1_000_000

# What a frame holds. A device's row is two cache lines: event time and arrival (as int64, in the
# place of four floats), then the channels, the most used in the first line; last the register.
# First lines lie side by side, and so do second ones, which hardly any frame has use for.
FIRST_CHANNEL: Final = 4
ROW_FLOATS: Final = 32
LINE_FLOATS: Final = ROW_FLOATS // 2
CHANNELS: Final[tuple[str, ...]] = (
    *("v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "p", "q"),
    *("p_a", "p_b", "p_c", "i_n", "v_n", "t_terminal", "i_residual", "pf"),
    *("t_oil", "t_ambient", "t_winding", "thd_v", "power_downs", "sags"),
    *("v_a_min", "v_b_min", "v_c_min", "f"),
)
CHANNEL: Final[dict[str, int]] = {name: FIRST_CHANNEL + i for i, name in enumerate(CHANNELS)}
MORE: Final[dict[str, int]] = {q: x - LINE_FLOATS for q, x in CHANNEL.items() if x >= LINE_FLOATS}

REGISTER: Final = "e_import"  # needs float64: the last word of a row's second line
REGISTER_WORD: Final = LINE_FLOATS // 2 - 1

PHASE_CODE: Final[dict[str, int]] = {"a": 0, "b": 1, "c": 2, "abc": 3, "unknown": -1}
JUDGED_KINDS: Final = ("meter", "transformer_monitor")
RARE_S: Final = 6 * 3600  # meters read more rarely are read for their registers


class Slots(NamedTuple):
    """The phases of a group's devices, one or three each, in the order of the devices.

    device, slot : int32[m]   position of the device; which of its phases, 0, 1, 2
    first : int32[n + 1]      device p has the slots first[p]:first[p + 1]
    """

    device: NDArray[np.int32]
    slot: NDArray[np.int32]
    first: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class GroupLayout:
    """Devices of one frame step; n devices in n_areas areas and n_runs branches.

    Attributes
    ----------
    network, given : what is judged with, and what the records say (before anything was learned)
    step_us, delay_us : frame step; how long after its end a frame waits for delivery
    device : int32[n]           place in `Network.devices`
    names : tuple of str        device ids, in frame order
    offsets : int32[n_areas+1]  area k holds devices offsets[k]:offsets[k+1]
    transformer : int32[n_areas]  place in `Network.transformers`, -1 for devices of no area
    monitor : int32[n_areas]    position of the area's three-phase monitor, -1 for none
    area : int32[n]             area of each device
    run, run_area, run_node     int32: run of each device (-1 the monitors); area and tree node
                                (-1 no branch) of each run: the meters of one branch
    phase : int8[n]             0, 1, 2 single-phase on a, b, c; 3 three-phase; -1 unknown
    interval_us, delivery_us : int64[n]  0 = not stated
    nominal_v : float64[n_areas]; rated_va : float64[n_areas], NaN unknown
    """

    network: Network
    given: Network
    step_us: int
    delay_us: int
    device: NDArray[np.int32]
    names: tuple[str, ...]
    offsets: NDArray[np.int32]
    transformer: NDArray[np.int32]
    monitor: NDArray[np.int32]
    area: NDArray[np.int32]
    run: NDArray[np.int32]
    run_area: NDArray[np.int32]
    run_node: NDArray[np.int32]
    phase: NDArray[np.int8]
    interval_us: NDArray[np.int64]
    delivery_us: NDArray[np.int64]
    nominal_v: NDArray[np.float64]
    rated_va: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of devices."""
        return len(self.names)

    @property
    def n_areas(self) -> int:
        """Number of areas."""
        return len(self.transformer)

    def area_id(self, area: int) -> str:
        """The transformer's id, or a word for the devices of no area."""
        t = int(self.transformer[area])
        return self.network.transformers[t].id if t >= 0 else "(no transformer)"

    def devices_of(self, area: int) -> range:
        """Positions of an area's devices."""
        return range(int(self.offsets[area]), int(self.offsets[area + 1]))

    @cached_property
    def slots(self) -> Slots:
        """The phases of the devices."""
        width = np.where(self.phase == 3, 3, 1)
        first = np.append(0, np.cumsum(width)).astype(np.int32)
        device = np.repeat(np.arange(self.size, dtype=np.int32), width)
        slot = np.arange(device.size, dtype=np.int32) - first[device]
        return Slots(device, slot, first)

    def device_keys(self) -> list[str]:
        """What a device's state belongs to: its name and where it hangs.

        A meter moved to another transformer, branch or phase has another key: it starts afresh.
        """
        return self._device_keys

    @cached_property
    def _device_keys(self) -> list[str]:
        n = self.network
        point = {u.id: u for u in n.usage_points}
        keys = []
        for i in self.device.tolist():
            d = n.devices[i]
            u = point.get(d.usage_point) if d.usage_point else None
            place = (u.transformer, u.branch, u.phase) if u else (d.transformer, None, None)
            keys.append("\0".join(str(x or "") for x in (d.id, *place, self.step_us)))
        return keys

    def area_keys(self) -> list[str]:
        """What an area's state belongs to: the transformer and the frame step."""
        return [f"{self.area_id(a)}\0{self.step_us}" for a in range(self.n_areas)]

    def run_keys(self) -> list[str]:
        """What a branch's state belongs to."""
        return self._run_keys

    @cached_property
    def _run_keys(self) -> list[str]:
        ids = self.network.tree.ids
        return [
            f"{self.area_id(int(a))}\0{ids[node] if node >= 0 else ''}\0{self.step_us}"
            for a, node in zip(self.run_area, self.run_node, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class FleetLayout:
    """All groups, and where each network device is found in them.

    group, position : int32[n_devices]   -1 for devices that report no readings to judge
    """

    network: Network
    groups: tuple[GroupLayout, ...]
    group: NDArray[np.int32]
    position: NDArray[np.int32]

    @cached_property
    def identity(self) -> str:
        """A digest of whose state every row of every detector is: while it stays, all keys do."""
        tree = self.network.tree
        texts = [[d.id for d in self.network.devices], tree.ids]
        arrays: list[NDArray[Any]] = [
            self.group,
            self.position,
            tree.kind,
            tree.parent,
            tree.device,
        ]
        for g in self.groups:
            texts.append([str(g.step_us), str(g.delay_us), *g.area_keys()])
            arrays += [g.area, g.monitor, g.run, g.run_area, g.run_node, g.phase]
        digest = hashlib.blake2b(digest_size=16)
        for text in texts:
            digest.update("\n".join(text).encode() + b"\0")
        for array in arrays:
            digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def fleet_layout(
    network: Network, settings: DetectorSettings, given: Network | None = None
) -> FleetLayout:
    """Arrange a network's devices into groups of equal step and delay.

    `given` is what the records say, where `network` holds places learned from readings.
    """
    members: dict[int, list[int]] = defaultdict(list)
    area_of = network.device_transformer
    for i, d in enumerate(network.devices):
        if d.kind in JUDGED_KINDS:
            members[int(area_of[i])].append(i)
    by_key: dict[tuple[int, int], list[int]] = defaultdict(list)
    for area in sorted(members):
        devices = [network.devices[i] for i in members[area]]
        by_key[_step_us(devices, settings), _delay_us(devices)].append(area)
    groups = []
    n = len(network.devices)
    group = np.full(n, -1, np.int32)
    position = np.full(n, -1, np.int32)
    for g, ((step_us, delay_us), areas) in enumerate(sorted(by_key.items())):
        layout = _group(network, given or network, settings, step_us, delay_us, areas, members)
        groups.append(layout)
        group[layout.device] = g
        position[layout.device] = np.arange(layout.size)
    return FleetLayout(network, tuple(groups), group, position)


def _step_us(devices: list[Device], settings: DetectorSettings) -> int:
    """The usual interval of an area's meters; of its monitors when it has no timed meter, or none
    that is read so often that a frame of its step would show the transformer's day."""
    found = []
    for kind in JUDGED_KINDS:
        intervals = sorted(d.interval_s for d in devices if d.kind == kind and d.interval_s)
        if intervals:
            found.append(max(1, round(intervals[len(intervals) // 2])))
    if found and found[0] >= RARE_S:
        return min(found) * SECOND
    return (found[0] if found else round(settings.interval_s)) * SECOND


def _delay_us(devices: list[Device]) -> int:
    return round(max((d.delivery_s or 0.0 for d in devices), default=0.0)) * SECOND


def _group(
    network: Network,
    given: Network,
    settings: DetectorSettings,
    step_us: int,
    delay_us: int,
    areas: list[int],
    members: dict[int, list[int]],
) -> GroupLayout:
    tree = network.tree
    point = {u.id: u for u in network.usage_points}
    order: list[int] = []
    offsets, monitors, run, run_area, run_node = [0], [], [], [], []
    phases, area_index, nominal, rated = [], [], [], []
    for k, area in enumerate(areas):
        monitor = -1
        keyed = []
        for i in members[area]:
            d = network.devices[i]
            u = point.get(d.usage_point) if d.usage_point else None
            node = int(tree.parent[tree.device[i]]) if u is not None and u.branch else -1
            is_monitor = d.kind == "transformer_monitor"
            keyed.append((0 if is_monitor else 1, node, i, d, u))
        keyed.sort(key=lambda x: x[:3])
        previous: int | None = None
        for kind, node, i, d, u in keyed:
            if kind == 0:
                if monitor < 0:
                    monitor = len(order)
                run.append(-1)
            else:
                if node != previous:
                    run_area.append(k)
                    run_node.append(node)
                    previous = node
                run.append(len(run_area) - 1)
            order.append(i)
            area_index.append(k)
            phases.append(_phase(d, u.phase if u else "unknown"))
        offsets.append(len(order))
        monitors.append(monitor)
        t = network.transformers[area] if area >= 0 else None
        nominal.append((t.nominal_v if t else None) or settings.limits.nominal_v)
        rated.append(1000.0 * t.rated_kva if t and t.rated_kva else np.nan)
    devices = [network.devices[i] for i in order]
    return GroupLayout(
        network,
        given,
        step_us,
        delay_us,
        np.array(order, np.int32),
        tuple(d.id for d in devices),
        np.array(offsets, np.int32),
        np.array(areas, np.int32),
        np.array(monitors, np.int32),
        np.array(area_index, np.int32),
        np.array(run, np.int32),
        np.array(run_area, np.int32),
        np.array(run_node, np.int32),
        np.array(phases, np.int8),
        np.array([round((d.interval_s or 0) * SECOND) for d in devices], np.int64),
        np.array([round((d.delivery_s or 0) * SECOND) for d in devices], np.int64),
        np.array(nominal),
        np.array(rated),
    )


def _phase(device: Device, phase: str) -> int:
    if device.kind == "transformer_monitor" or phase == "abc" or device.wiring.startswith("3p"):
        return 3
    return PHASE_CODE[phase]
