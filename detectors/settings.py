"""What may be set about detection: one frozen value, read by `forewatt.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from grid.errors import BadInput


@dataclass(frozen=True, slots=True)
class Country:
    """Limits of a country's supply rules, per unit of nominal voltage."""

    name: str
    nominal_v: float
    low: float
    high: float
    source: str


COUNTRIES: Final[Mapping[str, Country]] = {
    c.name: c
    for c in (
        Country("CN", 220.0, 0.90, 1.07, "GB/T 12325: 198 to 235.4 V"),
        Country("EU", 230.0, 0.90, 1.10, "EN 50160: 207 to 253 V, 95 % of a week"),
    )
}


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Times in seconds, voltages in volt unless the name says otherwise.

    Attributes
    ----------
    country : limits and nominal voltage where the network gives none
    lateness_s : how far behind the newest reading a reading may come and still be judged
    patience_s : a source further behind than this no longer holds up the others
    interval_s : frame step of areas whose devices name no interval
    gap_days : a longer hole in all data is jumped over instead of judged frame by frame
    slow_delivery_s : devices delivering more rarely are not judged by their silence
    disabled : names of detectors that shall not run
    """

    country: str = "CN"
    lateness_s: float = 120.0
    patience_s: float = 1800.0
    interval_s: float = 900.0
    gap_days: float = 40.0
    slow_delivery_s: float = 14400.0
    disabled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.country not in COUNTRIES:
            raise BadInput(
                f"no limits are known for country {self.country!r}",
                fix=f"use one of {', '.join(COUNTRIES)}",
            )
        for f in fields(self):
            value: Any = getattr(self, f.name)
            if f.name.endswith(("_s", "_days")) and not 0 < value < 1e8:
                raise BadInput(f"{f.name} is {value}", fix="give a positive number")

    @property
    def limits(self) -> Country:
        """The country's profile."""
        return COUNTRIES[self.country]
