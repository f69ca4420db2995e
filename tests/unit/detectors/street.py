"""A street of meters for tests: ten lines of physics, no simulator, every fault by hand.

One feeder, `areas` transformers with a monitor, each with branches of single-phase meters on
phases a, b, c in turn. Voltages follow the source, the drop on the shared phase conductor and
the neutral; a neutral resistance displaces the star point of one branch or of the whole area.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.catalogue import FAMILIES
from detectors.outage import OutageDetector
from detectors.settings import DetectorSettings
from grid.network import (
    Device,
    Feeder,
    Network,
    PlannedWork,
    Section,
    Transformer,
    UsagePoint,
)
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch

STEP_US = 900_000_000
START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
DAY = 96
SPIN = np.exp(-2j * np.pi / 3 * np.arange(3))
Floats = NDArray[np.float64]
Course = Callable[[Floats], Any]  # a value over time in days


def network(
    areas: int = 2,
    branches: int = 2,
    meters: int = 6,
    *,
    monitor: bool = True,
    interval_s: float | None = 900.0,
    delivery_s: float | None = None,
    phases: str = "abc",
    rated_kva: float = 100.0,
    planned: tuple[PlannedWork, ...] = (),
) -> Network:
    """The street as a `Network`: T1-B1-1 is the first meter of the first branch of T1."""
    transformers, points, devices = [], [], []
    for a in range(1, areas + 1):
        transformers.append(
            Transformer(f"T{a}", "F1", f"S{1 + (a > 1)}", rated_kva=rated_kva, nominal_v=230.0)
        )
        if monitor:
            devices.append(
                Device(f"T{a}-TM", "transformer_monitor", None, f"T{a}", None, interval_s)
            )
        for b in range(1, branches + 1):
            for m in range(1, meters + 1):
                name = f"T{a}-B{b}-{m}"
                phase = phases[(m - 1) % len(phases)] if phases != "unknown" else "unknown"
                points.append(UsagePoint(f"U-{name}", f"T{a}", f"T{a}-B{b}", None, phase, None))  # type: ignore[arg-type]
                devices.append(
                    Device(name, "meter", f"U-{name}", None, None, interval_s, delivery_s)
                )
    devices.append(Device("SW2", "switch", section="S2"))
    sections = (Section("S1", "F1"), Section("S2", "F1", "S1", "SW2"))
    return Network(
        (Feeder("F1"),),
        sections,
        tuple(transformers),
        tuple(points),
        tuple(devices),
        planned=planned,
    )


@dataclass
class Street:
    """What happened on the street; hand it to `readings`."""

    net: Network
    days: float = 4.0
    seed: int = 1
    neutral: Mapping[str, Course] = field(default_factory=dict)
    joint: Mapping[str, Course] = field(default_factory=dict)
    load: Mapping[str, Course] = field(default_factory=dict)
    dark: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    oil: Mapping[str, Course] = field(default_factory=dict)
    gasps: float = 0.0
    missing: float = 0.0
    current: bool = True

    def readings(self) -> ReadingBatch:
        """All rows in order of time. `neutral` and `joint` give ohm at a branch or transformer as
        functions of time in days, `load` watts added at a meter, `dark` days without supply."""
        rng = np.random.default_rng(self.seed)
        n = round(self.days * DAY)
        days = np.arange(n) / DAY
        source = 231.0 + 2.0 * np.sin(2 * np.pi * days) + np.cumsum(rng.normal(0, 0.05, n))
        blocks: list[ReadingBatch] = []
        for t in self.net.transformers:
            blocks += self._area(t.id, days, source, rng)
        return ReadingBatch.concat(blocks).sort()

    def _area(
        self, area: str, days: Floats, source: Floats, rng: np.random.Generator
    ) -> list[ReadingBatch]:
        n = days.size
        meters = [d for d in self.net.devices if d.id.startswith(f"{area}-B")]
        point = {u.id: u for u in self.net.usage_points}
        phase = np.array(
            [
                ["a", "b", "c"].index(point[d.usage_point or ""].phase)
                if point[d.usage_point or ""].phase in "abc"
                else i % 3
                for i, d in enumerate(meters)
            ],
            int,
        )
        branch = [d.id.rsplit("-", 1)[0] for d in meters]
        evening = 0.6 + 0.5 * np.cos(2 * np.pi * (days - 0.8)) ** 2
        power = evening * rng.gamma(1.2, 500.0, (len(meters), n)) + 60.0
        for i, d in enumerate(meters):
            if d.id in self.load:
                power[i] += self.load[d.id](days)
        current = power / 230.0
        bus = np.repeat(source[None, :], 3, 0)
        total = np.zeros((3, n))
        for i, p in enumerate(phase):
            total[p] += current[i]
        bus = (
            bus
            - 0.01 * total
            - np.real(self._ohm(self.neutral, area, days) * (SPIN @ total) * np.conj(SPIN)[:, None])
        )
        volts = np.zeros((len(meters), n))
        for b in sorted(set(branch)):
            at = [i for i, x in enumerate(branch) if x == b]
            flow = np.zeros((3, n))
            for i in at:
                flow[phase[i]] += current[i]
            shift = (0.04 + self._ohm(self.neutral, b, days)) * (SPIN @ flow)
            for i in at:
                p = phase[i]
                drop = 0.05 * flow[p] + np.real(shift * np.conj(SPIN[p])) + 0.1 * current[i]
                if p == 0:
                    drop = drop + self._ohm(self.joint, b, days) * flow[0]
                drop = drop + self._ohm(self.joint, meters[i].id, days) * current[i]
                volts[i] = bus[p] - drop
        volts = np.round(volts + rng.normal(0, 0.1, volts.shape), 1)
        out = []
        time = START_US + (days * 86400e6).round().astype(np.int64)
        for i, d in enumerate(meters):
            values = {"v_a": volts[i]}
            if self.current:
                values |= {"i_a": current[i], "p": power[i]}
            out += self._device(d.id, time, days, values, rng)
        if any(d.id == f"{area}-TM" for d in self.net.devices):
            values = {f"v_{x}": bus[k] + rng.normal(0, 0.05, n) for k, x in enumerate("abc")}
            values |= {f"i_{x}": total[k] for k, x in enumerate("abc")}
            if area in self.oil:
                values |= {"t_oil": self.oil[area](days), "t_ambient": np.full(n, 15.0)}
            out += self._device(f"{area}-TM", time, days, values, rng)
        return out

    @staticmethod
    def _ohm(table: Mapping[str, Course], asset: str, days: Floats) -> Floats:
        return np.asarray(table[asset](days), float) if asset in table else np.zeros(days.size)

    def _device(
        self,
        name: str,
        time: NDArray[np.int64],
        days: Floats,
        values: Mapping[str, Floats],
        rng: np.random.Generator,
    ) -> list[ReadingBatch]:
        keep = rng.random(time.size) >= self.missing
        events: list[tuple[int, int]] = []
        for asset, (begin, end) in self.dark.items():
            if not self._under(name, asset):
                continue
            keep &= ~((days >= begin) & (days < end))
            if rng.random() < self.gasps:
                events.append(
                    (START_US + round(begin * 86400e6) + 40_000_000, EVENT_CODE["last_gasp"])
                )
                events.append(
                    (START_US + round(end * 86400e6) + 60_000_000, EVENT_CODE["power_up"])
                )
        out = [
            ReadingBatch.of(
                [name],
                np.zeros(keep.sum(), int),
                time[keep],
                {k: v[keep] for k, v in values.items()},
            )
        ]
        if events:
            out.append(
                ReadingBatch.of(
                    [name],
                    [0] * len(events),
                    [t for t, _ in events],
                    {},
                    event=[e for _, e in events],
                )
            )
        return out

    def _under(self, device: str, asset: str) -> bool:
        kind = "branch" if "-B" in asset else "transformer"
        if asset == "F1":
            kind = "feeder"
        if asset in self.net.device_index:
            return device == asset
        return any(d.id == device for d in self.net.devices_within(kind, asset))


def only(name: str, **settings: Any) -> DetectorSettings:
    """Settings with one detector running."""
    names = [OutageDetector.name, *(f.name for f in FAMILIES)]
    return DetectorSettings(disabled=tuple(n for n in names if n != name), **settings)


def step_at(day: float, ohm: float) -> Course:
    """Zero until `day`, then `ohm` (or watts)."""
    return lambda days: np.where(days >= day, ohm, 0.0)


def growing(begin: float, end: float, last: float) -> Course:
    """Exponential growth from a hundredth to `last` between two days, then constant."""

    def at(days: Floats) -> Any:
        x = np.clip((days - begin) / (end - begin), 0, 1)
        return np.where(days >= begin, last * 0.01 ** (1 - x), 0.0)

    return at
