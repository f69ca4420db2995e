"""What homes, shops and vehicles draw, and what panels feed in.

Receives an area, times and weather; hands on demand at nominal voltage for each load point.
Appliances switch on at random times weighted by the hour; heating, cooling and sun move all
homes together. Everything is vectorised over the area: events become +P and -P in a table of
differences whose running sum is the demand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.seeds import stream
from simulators.spec import LoadSpec
from simulators.town import TownArea
from simulators.weather import Weather, local_clock

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Appliance:
    """Uses a day, power (W, low..high), duration (min, low..high) and the hours of use.

    `hours` are (centre, spread, weight) of the use times.
    """

    a_day: float
    power_w: tuple[float, float]
    minutes: tuple[float, float]
    hours: tuple[tuple[float, float, float], ...]


HOME = (
    Appliance(2.6, (1500, 2200), (3, 9), ((7, 0.8, 1), (12, 1.2, 0.7), (19, 2.0, 1.3))),  # kettle
    Appliance(2.2, (1200, 2100), (10, 28), ((7, 0.7, 0.5), (11.6, 0.6, 0.9), (18, 0.8, 1.6))),
    Appliance(1.5, (1500, 3000), (14, 40), ((7, 0.8, 0.4), (21, 1.2, 1.6))),  # water heater
    Appliance(0.5, (350, 550), (40, 70), ((9, 1.5, 1), (20, 1.5, 1))),  # washing machine
    Appliance(7.0, (80, 600), (5, 70), ((8, 2.0, 0.6), (13, 2.5, 0.6), (20, 2.2, 1.6))),
    Appliance(3.0, (60, 180), (60, 200), ((20, 1.8, 1.6), (13, 2.5, 0.4))),  # screens
)
_LIGHT_HOURS = np.array(
    [0.25, 0.15, 0.1, 0.1, 0.1, 0.2, 0.5, 0.7, 0.4, 0.2, 0.2, 0.25, 0.3, 0.2, 0.2, 0.2, 0.3, 0.6]
    + [1.0, 1.2, 1.25, 1.15, 0.9, 0.5, 0.25]
)  # share of a home's lights by the hour, 0..24
_BUSINESS = {  # kind: (open, close, W a phase when open low..high, W when closed, week days)
    "commercial": (8.5, 21.5, (300, 1500), 120, 7),
    "school": (7.5, 17.0, (2500, 5000), 500, 5),
    "hospital": (7.0, 20.0, (3000, 6000), 2200, 7),
    "industrial": (8.0, 18.0, (4000, 8000), 500, 6),
}


@dataclass(frozen=True, slots=True)
class Loads:
    """Demand of an area at nominal voltage.

    load_w : float64[T, L]; load_tangent : float64[L], reactive per active;
    pv_w : float64[T, V], what the panels could give.
    """

    load_w: Floats
    load_tangent: Floats
    pv_w: Floats


def area_loads(
    area: TownArea,
    times_us: NDArray[np.int64],
    zone_s: int,
    weather: Weather,
    spec: LoadSpec,
    seed: int,
) -> Loads:
    """Demand of every load point of an area; the same whatever faults a scenario has."""
    day, hour, weekday = local_clock(times_us, zone_s)
    n_steps, n_loads = times_us.size, len(area.area.loads)
    fixed = stream(seed, area.id, "homes")
    diff = np.zeros((n_steps + 1, n_loads))
    demand = np.zeros((n_steps, n_loads))
    homes = [u for u in area.usage_points if u.person.category == "residential"]
    size = fixed.lognormal(0.0, 0.35, len(area.usage_points))
    habit = fixed.uniform(-0.8, 0.8, len(area.usage_points))
    for d in np.unique(day).tolist():
        rng = stream(seed, area.id, "loads", str(d))
        _appliances(rng, diff, times_us, d, zone_s, area, homes, size, habit)
        _vehicles(rng, diff, times_us, d, zone_s, area)
    demand += np.cumsum(diff[:-1], axis=0)
    _steady(fixed, demand, times_us, hour, area, homes, size, habit)
    _climate(fixed, demand, times_us, hour, weather, area)
    _business(fixed, demand, times_us, hour, weekday, area)
    demand *= spec.scale
    for u in area.usage_points:
        if u.person.supply_status == "arrears_off":
            demand[:, list(u.loads)] = 0.0
    np.maximum(demand, 1.5, out=demand)  # the meter itself
    tangent = fixed.uniform(0.05, 0.33, n_loads)
    pv_kw = np.array(
        [u.pv_kw / len(u.phases) for u in area.usage_points if u.pv_kw for _ in u.phases]
    )
    facing = fixed.uniform(0.75, 0.95, pv_kw.size)
    pv_w = weather.irradiance[:, None] * (1000.0 * pv_kw * facing)[None, :]
    return Loads(demand, tangent, pv_w)


def add_pulses(
    diff: Floats,
    times_us: NDArray[np.int64],
    start_us: NDArray[np.int64],
    seconds: Floats,
    watt: Floats,
    load: NDArray[np.intp],
) -> None:
    """Add rectangular demands; a step sees a pulse that covers its instant."""
    begin = np.searchsorted(times_us, start_us)
    end = np.searchsorted(times_us, start_us + (seconds * 1e6).astype(np.int64))
    np.add.at(diff, (begin, load), watt)
    np.subtract.at(diff, (end, load), watt)


def _day_us(day: int, zone_s: int) -> int:
    return (day * 86_400 - zone_s) * 1_000_000


def _appliances(
    rng: np.random.Generator,
    diff: Floats,
    times_us: NDArray[np.int64],
    day: int,
    zone_s: int,
    area: TownArea,
    homes: list,  # type: ignore[type-arg]
    size: Floats,
    habit: Floats,
) -> None:
    if not homes:
        return
    first = np.array([u.loads[0] for u in homes])
    phases = np.array([len(u.loads) for u in homes])
    services = np.array([u.service for u in homes])
    for kind in HOME:
        count = rng.poisson(kind.a_day * size[services])
        home = np.repeat(np.arange(len(homes)), count)
        n = home.size
        weight = np.array([w for _, _, w in kind.hours])
        which = rng.choice(weight.size, n, p=weight / weight.sum())
        centre = np.array([c for c, _, _ in kind.hours])[which]
        spread = np.array([s for _, s, _ in kind.hours])[which]
        hour = rng.normal(centre + habit[services[home]], spread) % 24.0
        start = _day_us(day, zone_s) + (hour * 3.6e9).astype(np.int64)
        load = first[home] + rng.integers(0, phases[home])
        add_pulses(
            diff,
            times_us,
            start,
            rng.uniform(*kind.minutes, n) * 60.0,
            rng.uniform(*kind.power_w, n),
            load,
        )


def _vehicles(
    rng: np.random.Generator,
    diff: Floats,
    times_us: NDArray[np.int64],
    day: int,
    zone_s: int,
    area: TownArea,
) -> None:
    owners = [u for u in area.usage_points if u.ev_kw > 0]
    draw = rng.random((len(owners), 3))
    for u, (go, when, need) in zip(owners, draw, strict=True):
        if go < 0.55:
            start = _day_us(day, zone_s) + int((17.5 + 5.0 * when) * 3.6e9)
            seconds = (5.0 + 16.0 * need) / u.ev_kw * 3600.0
            load = np.array([u.loads[0]])
            add_pulses(
                diff,
                times_us,
                np.array([start]),
                np.array([seconds]),
                np.array([u.ev_kw * 1000.0]),
                load,
            )


def _square(times_us: NDArray[np.int64], period_s: Floats, phase: Floats) -> Floats:
    """Saw of each column 0..1, for thermostats: on while below the duty."""
    return np.asarray((times_us[:, None] / 1e6 / period_s + phase) % 1.0)


def _steady(
    rng: np.random.Generator,
    demand: Floats,
    times_us: NDArray[np.int64],
    hour: Floats,
    area: TownArea,
    homes: list,  # type: ignore[type-arg]
    size: Floats,
    habit: Floats,
) -> None:
    """Standby, refrigerator and lights of every home."""
    n = len(homes)
    if not n:
        return
    load = np.array([u.loads[0] for u in homes])
    service = np.array([u.service for u in homes])
    standby = rng.uniform(25, 70, n) * size[service]
    fridge = rng.uniform(70, 120, n)
    saw = _square(times_us, rng.uniform(2400, 3900, n), rng.random(n))
    light = rng.uniform(60, 220, n) * size[service]
    shape = np.interp((hour[:, None] - habit[service][None, :]) % 24.0, np.arange(25), _LIGHT_HOURS)
    demand[:, load] += standby + fridge * (saw < 0.38) + light * shape


def _climate(
    rng: np.random.Generator,
    demand: Floats,
    times_us: NDArray[np.int64],
    hour: Floats,
    weather: Weather,
    area: TownArea,
) -> None:
    """Heat pumps and air conditioners, cycling with a duty that follows the weather."""
    owners = [u for u in area.usage_points if u.heat_pump_kw > 0]
    if not owners:
        return
    n = len(owners)
    load = np.array([u.loads[0] for u in owners])
    kw = np.array([u.heat_pump_kw for u in owners])
    saw = _square(times_us, rng.uniform(1200, 2400, n), rng.random(n))
    cold = (17.0 - weather.ambient_c) / 16.0
    hot = (weather.ambient_c - 25.0) / 9.0
    at_home = 0.55 + 0.45 * np.interp(
        hour, [0, 6, 8, 16, 19, 23, 24], [0.8, 1, 0.4, 0.5, 1, 1, 0.8]
    )
    duty = np.clip(np.maximum(cold, hot), 0.0, 0.95) * at_home
    demand[:, load] += np.where(saw < duty[:, None], kw * 1000.0, 0.0)


def _business(
    rng: np.random.Generator,
    demand: Floats,
    times_us: NDArray[np.int64],
    hour: Floats,
    weekday: NDArray[np.int64],
    area: TownArea,
) -> None:
    for u in area.usage_points:
        if u.person.category not in _BUSINESS:
            continue
        begin, end, power, closed, days = _BUSINESS[u.person.category]
        late = float(rng.uniform(-0.5, 0.5))
        ramp = np.clip((hour - begin - late) * 2, 0, 1) * np.clip((end + late - hour) * 2, 0, 1)
        share = np.where(weekday < days, ramp, 0.0)
        for k in u.loads:
            level = float(rng.uniform(*power))
            saw = _square(times_us, np.array([rng.uniform(900, 2700)]), np.array([rng.random()]))
            cycle = 0.8 + 0.4 * (saw[:, 0] < 0.5)
            demand[:, k] += closed / len(u.loads) + level * share * cycle
