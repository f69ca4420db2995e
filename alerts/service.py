"""How soon what must be done: service levels by kind of work and area.

Two presets for repair: what State Grid promises on average (arrival 45, 90, 120 minutes in urban,
rural and remote areas) and the limits found in a regulation text (60, 120, 240 minutes from the
report). Sources: reference of the project, China section; both are editable data, not law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alerts.settings import DAY_US, HOUR_US, MINUTE_US
from grid.faults import Severity, Work


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """Targets in minutes by area class, counted from the first evidence.

    arrive : crew on site; restore : supply back after arrival
    """

    name: str
    name_zh: str
    arrive: Mapping[str, int]
    restore: Mapping[str, int]


PRESETS: Final[dict[str, ServiceLevel]] = {
    "promise": ServiceLevel(
        "public promise (average)",
        "供电服务承诺(平均)",
        {"urban": 45, "rural": 90, "remote": 120},
        {"urban": 180, "rural": 240, "remote": 240},
    ),
    "regulation": ServiceLevel(
        "regulation (limit)",
        "监管要求(上限)",
        {"urban": 60, "rural": 120, "remote": 240},
        {"urban": 180, "rural": 240, "remote": 240},
    ),
}

_PREVENTIVE_DAYS: Final[Mapping[Severity, int]] = {"P1": 1, "P2": 7, "P3": 30, "P4": 30}


def due(
    work: Work,
    severity: Severity,
    area_class: str,
    opened_us: int,
    *,
    level: str = "promise",
    horizon_h: float | None = None,
) -> int:
    """When the work is due, microseconds UTC.

    Repair: the crew's arrival. Preventive work has a window instead: half of the time that is
    left to the expected failure, at least four hours, never beyond what the severity allows.
    """
    if work == "repair":
        arrive = PRESETS[level].arrive
        return opened_us + arrive.get(area_class, arrive["urban"]) * MINUTE_US
    window_us = _PREVENTIVE_DAYS[severity] * DAY_US
    if work == "preventive" and horizon_h is not None:
        window_us = min(window_us, max(4 * HOUR_US, int(horizon_h / 2 * HOUR_US)))
    return opened_us + window_us
