"""How soon what must be done: service levels by kind of work and area, and the clocks of a ticket.

Two presets for repair: what State Grid promises on average (arrival 45, 90, 120 minutes in urban,
rural and remote areas) and the limits found in a regulation text (60, 120, 240 minutes from the
report). Sources: reference of the project, China section; both are editable data, not law.

Clocks are computed from the ticket's history, so they survive any restart and cannot drift: they
start at the first evidence, pause only for what the customer causes, and stop with the step that
meets them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from alerts.settings import DAY_US, HOUR_US, MINUTE_US
from grid.faults import Severity, Work
from grid.records import Ticket, TicketState
from storage.desk_records import Step

Metric = Literal["dispatch", "arrive", "restore", "complete", "call_back"]


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """Targets in minutes, by area class where that matters.

    dispatch, arrive : from the first evidence; restore : from arrival; call_back : from the
    moment the ticket waits for it
    """

    name: str
    name_zh: str
    dispatch: int
    arrive: Mapping[str, int]
    restore: Mapping[str, int]
    call_back: int = 24 * 60


PRESETS: Final[dict[str, ServiceLevel]] = {
    "promise": ServiceLevel(
        "public promise (average)",
        "供电服务承诺（平均）",
        10,
        {"urban": 45, "rural": 90, "remote": 120},
        {"urban": 180, "rural": 240, "remote": 240},
    ),
    "regulation": ServiceLevel(
        "regulation (limit)",
        "监管要求（上限）",
        15,
        {"urban": 60, "rural": 120, "remote": 240},
        {"urban": 180, "rural": 240, "remote": 240},
    ),
}
METRIC_NAMES: Final[dict[Metric, tuple[str, str]]] = {
    "dispatch": ("dispatch", "派单"),
    "arrive": ("arrival on site", "到场"),
    "restore": ("restoration", "恢复供电"),
    "complete": ("completion", "完成"),
    "call_back": ("call-back", "回访"),
}


def preset_of(level: str | ServiceLevel) -> ServiceLevel:
    """A preset by its key, or the site's own level as it is."""
    return PRESETS[level] if isinstance(level, str) else level


_PREVENTIVE_DAYS: Final[Mapping[Severity, int]] = {"P1": 1, "P2": 7, "P3": 30, "P4": 30}


def due(
    work: Work,
    severity: Severity,
    area_class: str,
    opened_us: int,
    *,
    level: str | ServiceLevel = "promise",
    horizon_h: float | None = None,
) -> int:
    """When the work is due, microseconds UTC.

    Repair: the crew's arrival. Preventive work has a window instead: half of the time that is
    left to the expected failure, at least four hours, never beyond what the severity allows.
    """
    if work == "repair":
        return opened_us + _minutes(preset_of(level).arrive, area_class) * MINUTE_US
    window_us = _PREVENTIVE_DAYS[severity] * DAY_US
    if work == "preventive" and horizon_h is not None:
        window_us = min(window_us, max(4 * HOUR_US, int(horizon_h / 2 * HOUR_US)))
    return opened_us + window_us


def _minutes(by_area: Mapping[str, int], area_class: str) -> int:
    return by_area.get(area_class, by_area["urban"])


@dataclass(frozen=True, slots=True)
class ServiceClock:
    """One promise about one ticket.

    due_us counts the pauses in; met_us is the step that met it; paused says that it stands now
    """

    metric: Metric
    start_us: int
    due_us: int
    paused_us: int = 0
    met_us: int | None = None
    paused: bool = False

    def breached(self, now_us: int) -> bool:
        """Whether it was met late, or is late now."""
        return (now_us if self.met_us is None else self.met_us) > self.due_us

    def share(self, now_us: int) -> float:
        """How much of the time is used, 1.0 at the due time."""
        length_us = self.due_us - self.paused_us - self.start_us
        at_us = now_us if self.met_us is None else self.met_us
        return (at_us - self.start_us - self.paused_us) / max(1, length_us)

    def at_share(self, share: float) -> int:
        """When so much of the time is used."""
        length_us = self.due_us - self.paused_us - self.start_us
        return self.start_us + self.paused_us + round(length_us * share)


# Steps from which the clocks run anew.
_ANEW: Final = ("reopen", "supply_lost")
_BEYOND: Final[dict[Metric, tuple[TicketState, ...]]] = {
    "dispatch": (
        "dispatched",
        "assigned",
        "accepted",
        "on_site",
        "restored",
        "verified",
        "callback",
        "closed",
    ),
    "arrive": ("on_site", "restored", "verified", "callback", "closed"),
    "restore": ("restored", "verified", "callback", "closed"),
    "complete": ("restored", "verified", "callback", "closed"),
    "call_back": ("closed",),
}


def clocks(
    ticket: Ticket,
    steps: Sequence[Step],
    area_class: str,
    now_us: int,
    *,
    level: str | ServiceLevel = "promise",
) -> list[ServiceClock]:
    """The promises about a ticket, from its history (oldest first).

    A cancelled or merged ticket promises nothing. A reopened one starts again.
    """
    if ticket.state in ("merged", "cancelled"):
        return []
    again = [i for i, s in enumerate(steps) if s.action in _ANEW]
    life = steps[again[-1] :] if again else steps
    start_us = life[0].at_us if again else ticket.opened_us
    if ticket.work != "repair":
        until_us = ticket.due_us if ticket.due_us is not None else start_us + 30 * DAY_US
        out = [_clock("complete", start_us, max(until_us, start_us + 1), life, now_us)]
    else:
        preset = preset_of(level)
        out = [
            _clock("dispatch", start_us, start_us + preset.dispatch * MINUTE_US, life, now_us),
            _clock(
                "arrive",
                start_us,
                start_us + _minutes(preset.arrive, area_class) * MINUTE_US,
                life,
                now_us,
            ),
        ]
        arrived = _first(life, ("on_site",))
        if arrived is not None:
            target_us = _minutes(preset.restore, area_class) * MINUTE_US
            out.append(_clock("restore", arrived, arrived + target_us, life, now_us))
    waits = _first(life, ("callback",))
    if waits is not None:
        target_us = preset_of(level).call_back * MINUTE_US
        out.append(_clock("call_back", waits, waits + target_us, life, now_us))
    return out


def _first(steps: Iterable[Step], states: Sequence[TicketState]) -> int | None:
    return next(
        (
            s.at_us
            for s in steps
            # A crew that was there already when supply was lost has arrived.
            if s.to_state in states and (s.from_state != s.to_state or s.action == "supply_lost")
        ),
        None,
    )


def _clock(
    metric: Metric, start_us: int, due_us: int, steps: Sequence[Step], now_us: int
) -> ServiceClock:
    met_us = _first(steps, _BEYOND[metric])
    end_us = now_us if met_us is None else met_us
    paused_us, since = 0, None
    for s in steps:
        if s.action == "hold" and s.data.get("pauses_clock") and since is None:
            since = s.at_us
        elif s.from_state == "on_hold" and s.to_state != "on_hold" and since is not None:
            paused_us += max(0, min(s.at_us, end_us) - max(since, start_us))
            since = None
    if since is not None:
        paused_us += max(0, end_us - max(since, start_us))
    running = since is not None and met_us is None
    return ServiceClock(metric, start_us, due_us + paused_us, paused_us, met_us, running)
