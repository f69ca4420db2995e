"""Weather of the whole town: every home, panel and transformer feels the same.

Air temperature and irradiance at given times. Drawn day by day, so that a longer scenario
begins with the same weather as a shorter one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.seeds import stream
from simulators.spec import WeatherSpec

_SLOTS = 96  # quarter hours of a day, for the clouds
_YEAR_DAYS, _WARMEST_DAY = 365.2425, 209.0


@dataclass(frozen=True, slots=True)
class Weather:
    """Air temperature (degC) and irradiance (share of 1000 W/m2) at each step, shape [T]."""

    ambient_c: NDArray[np.float64]
    irradiance: NDArray[np.float64]


def local_clock(
    times_us: NDArray[np.int64], zone_s: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Local day number since 1970, hour of day 0..24 and weekday (0 = Monday) of each time."""
    local_s = times_us // 1_000_000 + zone_s
    day = local_s // 86_400
    return day, (local_s % 86_400) / 3600.0, (day + 3) % 7


def make_weather(
    spec: WeatherSpec, times_us: NDArray[np.int64], zone_s: int, latitude: float, seed: int
) -> Weather:
    """Diurnal temperature with a day-to-day drift, clear sky dimmed by drifting clouds."""
    day, hour, _ = local_clock(times_us, zone_s)
    # One day more than asked, so that the last evening glides towards the same next day.
    days = np.arange(int(day[0]), int(day[-1]) + 2)
    drift, cloud = {}, {}
    level, sky = 0.0, 0.5
    for d in days.tolist():
        rng = stream(seed, "town", "weather", str(d))
        level = 0.7 * level + float(rng.normal(0.0, spec.day_sigma_c)) * 0.71
        drift[d] = level
        steps = rng.normal(0.0, 0.18, _SLOTS)
        path = np.empty(_SLOTS)
        for i in range(_SLOTS):
            sky = float(np.clip(sky + steps[i] - 0.05 * (sky - 0.5), 0.0, 1.0))
            path[i] = sky
        cloud[d] = path
    offset = np.array([drift[d] for d in days.tolist()])
    paths = np.stack([cloud[d] for d in days.tolist()])
    row = np.searchsorted(days, day)
    # The day's offset glides from noon to noon, so midnight shows no step.
    middle = np.interp(day + hour / 24.0, days + 0.5, offset)
    swing = spec.daily_swing_c / 2.0 * np.cos((hour - 15.0) / 24.0 * 2.0 * np.pi)
    covered = paths[row, np.minimum((hour * 4).astype(np.int64), _SLOTS - 1)]
    clear = clear_sky(day, hour, latitude)
    return Weather(
        ambient_c=spec.mean_c + _season(spec, day + hour / 24.0) + middle + swing,
        irradiance=clear * (1.0 - 1.5 * spec.cloud * covered).clip(0.08, 1.0),
    )


def _season(spec: WeatherSpec, day: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much warmer than on the first day, warmest at the end of July (northern half)."""
    if spec.season_swing_c == 0.0:
        return np.zeros(day.size)
    turn = np.cos(2.0 * np.pi * (day - _WARMEST_DAY) / _YEAR_DAYS)
    return np.asarray(spec.season_swing_c / 2.0 * (turn - turn[0]))


def clear_sky(
    day: NDArray[np.int64], hour: NDArray[np.float64], latitude: float
) -> NDArray[np.float64]:
    """Irradiance without clouds as the sine of the sun's elevation, share of 1000 W/m2.

    Declination after Cooper (1969); local clock time is taken as solar time.
    """
    of_year = (day % 365.2425) + 1.0
    declination = np.radians(23.45) * np.sin(2.0 * np.pi * (284.0 + of_year) / 365.0)
    lat = np.radians(latitude)
    turn = np.radians(15.0 * (hour - 12.0))
    elevation = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(turn)
    return np.asarray(np.clip(elevation, 0.0, None) ** 1.15)
