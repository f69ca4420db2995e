"""What a scenario file may say: dataclasses of the TOML, and its reading.

`load_scenario` turns a file into a `Scenario`; every error names file, key and fix. Times inside
a scenario are offsets from its start, written "7d 00:30" or "02:15:30".
"""

import re
import tomllib
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from grid.errors import BadInput
from simulators.tables import read_table

DAY_US = 86_400_000_000
_OFFSET = re.compile(r"^(?:(\d+)d)?\s*(?:(\d{1,2}):(\d{2})(?::(\d{2}))?)?$")

Benign = Literal[
    "new_ev",
    "new_pv",
    "tap_change",
    "feeder_switching",
    "planned_outage",
    "moved_out",
    "meter_exchange",
]
Kind = Literal[
    "over_voltage",
    "under_voltage",
    "neutral_loose",
    "neutral_broken",
    "joint_resistance",
    "transformer_overload",
    "transformer_thermal",
    "transformer_winding",
    "unbalance",
    "hot_terminal",
    "outage",
    "phase_loss",
    "momentary",
    "energy_loss",
    "insulation_leakage",
    "meter_health",
    "sensor_fault",
    "comms_failure",
    "new_ev",
    "new_pv",
    "tap_change",
    "feeder_switching",
    "planned_outage",
    "moved_out",
    "meter_exchange",
]
BENIGN_KINDS: tuple[str, ...] = Benign.__args__  # type: ignore[attr-defined]


def offset_us(text: str) -> int:
    """Microseconds of "7d 00:30" or "02:15:30"; ValueError otherwise.

    >>> offset_us("1d 00:30") == 86_400_000_000 + 1_800_000_000
    True
    """
    found = _OFFSET.match(text.strip())
    if not found or not text.strip():
        raise ValueError(f'{text!r} is not an offset from the start; write it like "7d 02:30"')
    days, hours, minutes, seconds = (int(g) if g else 0 for g in found.groups())
    return days * DAY_US + (hours * 3600 + minutes * 60 + seconds) * 1_000_000


@dataclass(frozen=True, slots=True)
class Story:
    """One paragraph in each language: what one should see."""

    en: str = ""
    zh: str = ""


@dataclass(frozen=True, slots=True)
class TransformerSpec:
    """Overrides for one transformer of the town; absent keys come from `[town]`."""

    id: str
    rated_kva: float | None = None
    customers: int | None = None
    branches: int | None = None
    ev_share: float | None = None
    pv_share: float | None = None
    heat_pump_share: float | None = None
    tap_pu: float = 1.0
    area_class: Literal["urban", "rural", "remote"] | None = None
    dss: str = ""
    map: str = ""

    def __post_init__(self) -> None:
        if bool(self.dss) != bool(self.map):
            raise ValueError(f"{self.id}: dss and map belong together; give both or neither")
        if self.rated_kva is not None and self.rated_kva <= 0:
            raise ValueError(f"{self.id}: rated_kva must be positive; for example 315")
        for name, high in (("customers", 400), ("branches", 12)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= high:
                raise ValueError(f"{self.id}: {name} must be within 1..{high}; correct {name}")
        for name in ("ev_share", "pv_share", "heat_pump_share"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{self.id}: {name} is a share; give 0..1")
        if not 0.7 <= self.tap_pu <= 1.3:
            raise ValueError(f"{self.id}: tap_pu is far from 1; give 0.9..1.1")


@dataclass(frozen=True, slots=True)
class TownSpec:
    """The town: how many of what. Shares are of usage points, 0..1."""

    name: str = "Yunxi"
    name_zh: str = "云溪"
    feeders: int = 2
    transformers: int = 4
    customers: tuple[int, int] = (48, 52)
    branches: tuple[int, int] = (3, 4)
    customers_per_node: int = 3
    span_m: tuple[float, float] = (25.0, 45.0)
    rated_kva: tuple[float, ...] = (200.0, 250.0, 315.0)
    three_phase_share: float = 0.08
    ev_share: float = 0.06
    pv_share: float = 0.10
    heat_pump_share: float = 0.15
    pv_trip_pu: tuple[float, float] = (0.80, 1.15)
    rod_ohm: float = 15.0
    rod_every: int = 3
    area_class: Literal["urban", "rural", "remote"] = "urban"
    meter_interval_s: int = 900
    meter_quantities: Literal["basic", "full"] = "full"
    monitor: Literal["sdm630", "ttu", "none"] = "sdm630"
    monitor_interval_s: int = 300
    latitude: float = 29.12
    longitude: float = 118.46
    transformer: tuple[TransformerSpec, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.feeders <= self.transformers:
            raise ValueError("feeders must be 1..transformers; lower feeders")
        if not 1 <= self.customers[0] <= self.customers[1] <= 400:
            raise ValueError("customers must be [low, high] within 1..400; correct customers")
        if not 1 <= self.branches[0] <= self.branches[1] <= 12:
            raise ValueError("branches must be [low, high] within 1..12; correct branches")
        if not self.rated_kva or min(self.rated_kva) <= 0:
            raise ValueError("rated_kva must hold positive ratings; for example [200, 315]")
        if not 0.5 <= self.pv_trip_pu[0] < 1.0 < self.pv_trip_pu[1] <= 1.4:
            raise ValueError("pv_trip_pu must be [below 1, above 1]; for example [0.85, 1.10]")
        if self.transformers > 1000:
            raise ValueError("transformers must be within 1..1000; simulate several towns")
        if min(self.customers_per_node, self.rod_every) < 1:
            raise ValueError("customers_per_node and rod_every start at 1; correct them")
        if self.span_m[0] > self.span_m[1]:
            raise ValueError("span_m must be [shortest, longest]; correct it")
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):
            raise ValueError("latitude and longitude are degrees; give -90..90 and -180..180")
        for name in ("three_phase_share", "ev_share", "pv_share", "heat_pump_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share; give 0..1")
        if self.rod_ohm < 0 or min(self.span_m) <= 0:
            raise ValueError("rod_ohm and span_m cannot be negative or zero; correct them")


@dataclass(frozen=True, slots=True)
class WeatherSpec:
    """Weather of the whole town: all homes feel it together.

    `mean_c` is the mean of the first days; `season_swing_c` the difference between the warmest and
    the coldest time of the year, along which a long scenario moves on from there.
    """

    mean_c: float = 12.0
    daily_swing_c: float = 8.0
    day_sigma_c: float = 2.0
    season_swing_c: float = 0.0
    cloud: float = 0.4

    def __post_init__(self) -> None:
        if not -60.0 <= self.mean_c <= 60.0:
            raise ValueError("mean_c is no air temperature; give -60..60 degC")
        if min(self.daily_swing_c, self.day_sigma_c, self.season_swing_c) < 0:
            raise ValueError("swings and day_sigma_c cannot be negative; give 0 or more")
        if not 0.0 <= self.cloud <= 1.0:
            raise ValueError("cloud is a share; give 0..1")


@dataclass(frozen=True, slots=True)
class MvSpec:
    """The medium voltage at each feeder: tap changer, daily swing and noise, per unit.

    With `tap_step_pu` above 0 the substation's tap changer holds the voltage within
    `tap_band_pu` of the mean by such steps, `tap_delay_s` after it left the band; all feeders of
    the substation see the same step.
    """

    mean_pu: float = 0.992
    sigma_pu: float = 0.003
    tau_min: float = 90.0
    daily_pu: float = 0.008
    tap_step_pu: float = 0.0
    tap_band_pu: float = 0.012
    tap_delay_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0.5 < self.mean_pu < 1.5:
            raise ValueError("mean_pu is far from 1; give about 1.0")
        if not 0.0 <= self.sigma_pu <= 0.2 or not 0.0 <= self.daily_pu <= 0.2:
            raise ValueError("sigma_pu and daily_pu must be within 0..0.2; lower them")
        if self.tau_min <= 0 or self.tap_delay_s < 0:
            raise ValueError("tau_min and tap_delay_s are times; give positive ones")
        if self.tap_step_pu < 0 or self.tap_band_pu <= self.tap_step_pu / 2:
            raise ValueError("tap_band_pu must exceed half of tap_step_pu, or it hunts; widen it")


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """How much the town uses; `scale` multiplies every household."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale <= 20.0:
            raise ValueError("scale must be within 0..20; 1 is an ordinary town")


@dataclass(frozen=True, slots=True)
class DeliverySpec:
    """How readings travel to the head-end, after the physics.

    `missing`, `reorder`, `duplicate` and `gasp_rate` are shares; `reorder_s` is how much later a
    reordered reading may come; `bursts_a_day` counts times a day when a branch of an area is
    lost for minutes (half of them come later as a backlog); `daily` delivers each day's readings
    the next morning.
    """

    latency_s: tuple[float, float] = (2.0, 40.0)
    missing: float = 0.002
    gasp_rate: float = 0.85
    daily: bool = False
    reorder: float = 0.0
    reorder_s: float = 600.0
    duplicate: float = 0.0
    bursts_a_day: float = 0.0
    clock_skew_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("missing", "gasp_rate", "reorder", "duplicate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share; give 0..1")
        if min(self.latency_s) < 0 or self.latency_s[0] > self.latency_s[1]:
            raise ValueError("latency_s must be [shortest, longest] in seconds; correct it")
        most = {"reorder_s": 30 * 86_400, "clock_skew_s": 86_400, "bursts_a_day": 500}
        for name, high in most.items():
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be within 0..{high}; correct it")
        if self.latency_s[1] > most["reorder_s"]:
            raise ValueError(f"latency_s must be below {most['reorder_s']}; lower it")


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One thing that happens. Which keys matter depends on `kind` (docs/simulation.md).

    `asset` is an id of the town: usage point, branch, transformer, section, feeder or device.
    """

    id: str
    kind: Kind
    asset: str
    onset: str
    failure: str = ""
    cleared: str = ""
    growth: Literal["exponential", "step", "thermal_cycling"] = "exponential"
    conductor: Literal["", "a", "b", "c", "n"] = ""
    ohm_start: float = 0.002
    ohm_end: float = 1.0
    arcing: float = 0.1
    amount: float = 0.0
    customers: int = 0
    between: tuple[str, str] = ("18:00", "23:00")
    gasp_rate: float = -1.0
    mode: str = ""
    quantity: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("onset", "failure", "cleared"):
            text = getattr(self, name)
            if text or name == "onset":
                offset_us(text)
        order = [offset_us(t) for t in (self.onset, self.failure, self.cleared) if t]
        if order != sorted(order):
            raise ValueError(
                f"{self.id}: onset, failure and cleared are not in order; correct the offsets"
            )
        if self.ohm_start < 0 or self.ohm_end < 0:
            raise ValueError(f"{self.id}: a resistance cannot be negative; give ohm >= 0")
        if not 0.0 <= self.arcing <= 1.0:
            raise ValueError(f"{self.id}: arcing is a share of time; give 0..1")
        if self.gasp_rate > 1.0:
            raise ValueError(f"{self.id}: gasp_rate is a share; give 0..1")
        if self.customers < 0:
            raise ValueError(f"{self.id}: customers cannot be negative; give 0 (all) or more")
        if max(map(offset_us, self.between)) > DAY_US:
            raise ValueError(f'{self.id}: between is two times of a day; write ["18:00", "23:00"]')

    @property
    def benign(self) -> bool:
        """Whether this is a look-alike that must not become a ticket."""
        return self.kind in BENIGN_KINDS

    @property
    def onset_us(self) -> int:
        """First physical change, microseconds after the scenario's start."""
        return offset_us(self.onset)

    @property
    def failure_us(self) -> int | None:
        """Loss of service or damage, microseconds after the start."""
        return offset_us(self.failure) if self.failure else None

    @property
    def cleared_us(self) -> int | None:
        """End of repair, microseconds after the start."""
        return offset_us(self.cleared) if self.cleared else None


@dataclass(frozen=True, slots=True)
class CallerSpec:
    """How customers behave who notice something."""

    notice_share: float = 0.5
    delay_median_min: float = 25.0
    wrong_per_day: float = 0.4
    channels: tuple[Literal["phone", "counter", "web", "app", "import"], ...] = (
        "phone", "phone", "phone", "app", "web", "counter",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not 0.0 <= self.notice_share <= 1.0:
            raise ValueError("notice_share is a share; give 0..1")
        for name, high in (("delay_median_min", 14_400), ("wrong_per_day", 1000)):
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be within 0..{high}; correct it")
        if not self.channels:
            raise ValueError('channels is empty; give for example ["phone"]')


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario file."""

    start: datetime
    days: float
    schema: Literal["forewatt.scenario/1"] = "forewatt.scenario/1"
    seed: int = 1
    title: Story = field(default_factory=Story)
    story: Story = field(default_factory=Story)
    step_s: int = 300
    story_start: str = "00:00"
    town: TownSpec = field(default_factory=TownSpec)
    weather: WeatherSpec = field(default_factory=WeatherSpec)
    mv: MvSpec = field(default_factory=MvSpec)
    load: LoadSpec = field(default_factory=LoadSpec)
    delivery: DeliverySpec = field(default_factory=DeliverySpec)
    callers: CallerSpec = field(default_factory=CallerSpec)
    fault: tuple[FaultSpec, ...] = ()

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("start has no time zone; write it like 2026-03-02T00:00:00+08:00")
        if not 0 < self.days <= 400:
            raise ValueError("days must be within 0..400; give a length in days")
        if self.step_s > 0 and self.length_us < 2_000_000 * self.step_s:
            raise ValueError("days is shorter than two steps; lengthen it or lower step_s")
        if self.seed < 0:
            raise ValueError("seed must not be negative; give 0 or more")
        if self.step_s <= 0 or 3600 % self.step_s:
            raise ValueError("step_s must divide an hour; for example 60 or 300")
        for name in ("meter_interval_s", "monitor_interval_s"):
            value = getattr(self.town, name)
            if value <= 0 or value % self.step_s or 86400 % value:
                raise ValueError(
                    f"town.{name} must be a multiple of step_s and divide a day; "
                    f"use {self.step_s} times a whole number"
                )
        ids = [f.id for f in self.fault]
        twice = [i for i in ids if ids.count(i) > 1]
        if twice:
            raise ValueError(f"fault id {twice[0]!r} stands twice; give each fault its own id")
        end = self.length_us
        for f in self.fault:
            if f.onset_us >= end:
                raise ValueError(f"fault {f.id} begins after the end; lengthen days")
        offset_us(self.story_start)

    @property
    def start_us(self) -> int:
        """Start, microseconds since 1970 UTC."""
        return round(self.start.timestamp()) * 1_000_000

    @property
    def length_us(self) -> int:
        """Length, microseconds."""
        return round(self.days * DAY_US)

    @property
    def story_start_us(self) -> int:
        """When the story begins after the healthy days, microseconds since 1970 UTC."""
        return self.start_us + offset_us(self.story_start)


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises BadInput naming file, key and fix."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError as problem:
        raise BadInput("no such scenario file", file=str(path), fix="Check the path.") from problem
    except OSError as problem:
        fix = "Name a TOML file that you may read."
        reason = f"cannot be read: {problem.strerror}"
        raise BadInput(reason, file=str(path), fix=fix) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadInput(f"not valid TOML: {problem}", file=str(path)) from problem
    return _placed(read_table(Scenario, table, file=str(path), where=""), path.parent)


def _placed(spec: Scenario, folder: Path) -> Scenario:
    """Files named in a scenario lie beside it."""
    special = tuple(
        replace(t, dss=str(folder / t.dss), map=str(folder / t.map)) if t.dss else t
        for t in spec.town.transformer
    )
    return replace(spec, town=replace(spec.town, transformer=special))
