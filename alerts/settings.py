"""What a site can set about alerts; the defaults are those of the backtest and the demo."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from alerts.service import ServiceLevel

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 3600 * 1_000_000
DAY_US: Final = 24 * HOUR_US
# Times that people give lie at most this far ahead: beyond it is a slip of the pen.
AHEAD_MAX_US: Final = 365 * DAY_US


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a condition must last, microseconds of event time.

    raise_us : from the first finding at its limit to the alert; detectors have judged duration
        already, so only kinds that flicker wait here
    clear_us : from the first finding below its clearing level to the end of the episode
    """

    raise_us: int = 0
    clear_us: int = 6 * HOUR_US


# Supply that is back is back: the customer is told at once. A quality fault that pauses is not
# repaired; evenings bring it again, so its episode outlives a quiet night.
DEFAULT_HOLDS: Final[Mapping[str, Hold]] = {
    "outage": Hold(clear_us=0),
    "phase_loss": Hold(clear_us=0),
    "comms_failure": Hold(clear_us=HOUR_US),
    "neutral_broken": Hold(clear_us=HOUR_US),
    "neutral_loose": Hold(clear_us=DAY_US),
    "joint_resistance": Hold(clear_us=DAY_US),
    "momentary": Hold(clear_us=DAY_US),
    "unbalance": Hold(clear_us=DAY_US),
    "over_voltage": Hold(clear_us=DAY_US),
    "under_voltage": Hold(clear_us=DAY_US),
    "transformer_overload": Hold(clear_us=DAY_US),
    "transformer_thermal": Hold(clear_us=DAY_US),
}


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Hysteresis and flapping of episodes; nothing here changes what a detector sees.

    Attributes
    ----------
    holds, hold : by fault kind, and for the kinds not named
    flaps, flap_window_us : so many raises within the window make an alert flap; it is then kept
        as one episode until it has been quiet for `flap_quiet_us`
    update_growth : the score must have grown by this factor since the last event to be news
    update_us : and this long must have passed; a higher severity is news at once
    """

    holds: Mapping[str, Hold] = field(default_factory=lambda: dict(DEFAULT_HOLDS))
    hold: Hold = Hold()
    flaps: int = 4
    flap_window_us: int = DAY_US
    flap_quiet_us: int = 6 * HOUR_US
    update_growth: float = 1.5
    update_us: int = HOUR_US

    def hold_of(self, fault: str) -> Hold:
        """The hold times of a fault kind."""
        return self.holds.get(fault, self.hold)


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """How tickets are made.

    Attributes
    ----------
    time_zone : the site's, for the day in ticket numbers and the times in sentences
    watch_only : fault kinds that are shown on the watch list and never open a ticket
    service_level : key of `alerts.service.PRESETS`, or the site's own level: the times promised
    storm_incidents : so many supplies lost within an hour are a storm
    frequent : limits of frequent outages: in 60 days, in a year, planned in a year
    sustained_s : a longer interruption is a sustained one
    """

    time_zone: str = "Asia/Shanghai"
    watch_only: frozenset[str] = frozenset({"unknown"})
    service_level: "str | ServiceLevel" = "promise"
    storm_incidents: int = 20
    frequent: tuple[int, int, int] = (3, 5, 3)
    sustained_s: float = 300.0

    def day(self, time_us: int) -> str:
        """The local day of a moment as `20260301`, the first part of a ticket's number."""
        # Days begin on a quarter of an hour in every zone.
        return _day(time_us // (15 * MINUTE_US), self.time_zone)


@lru_cache(1024)
def _day(quarter: int, zone: str) -> str:
    moment = datetime.fromtimestamp(quarter * 900, UTC)
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y%m%d")
