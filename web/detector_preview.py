"""What switching detectors off would change, told by what they have found: tickets and misses.

Counted from the alerts of the past days as they were; nothing is changed by looking.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from alerts.ledger import Ledger
from alerts.settings import DAY_US
from desk.reports import FALSE, TRUE
from grid.records import Alert, Ticket

DAYS: Final = (7, 30, 90)
ALERTS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class DetectorRow:
    """One detector in the period.

    tickets : tickets of causes in which it took part; alone : those no other detector has seen
    true, false : verdicts of the former; disabled : by the configuration as loaded
    """

    name: str
    alerts: int
    tickets: int
    alone: int
    true: int
    false: int
    disabled: bool
    off: bool

    @property
    def precision(self) -> float | None:
        decided = self.true + self.false
        return self.true / decided if decided else None


@dataclass(frozen=True, slots=True)
class Preview:
    """All detectors, and what would be without those that are off.

    missed : confirmed faults that nothing else would have found
    spared : tickets without a real fault that would not have been opened
    """

    rows: list[DetectorRow]
    tickets_a_day: float
    tickets_a_day_then: float
    missed: list[Ticket] = field(default_factory=list)
    spared: list[Ticket] = field(default_factory=list)
    off: tuple[str, ...] = ()

    @property
    def lines(self) -> str:
        """What to write into the configuration."""
        names = ", ".join(f'"{name}"' for name in self.off)
        return f"[detectors]\ndisabled = [{names}]"


def preview(
    ledger: Ledger, now_us: int, days: int, off: Collection[str], disabled: Collection[str]
) -> Preview:
    """The last `days` with and without the detectors in `off`."""
    since_us = now_us - days * DAY_US
    with ledger.reading() as reading:
        alerts = [a for a in reading.alerts(limit=ALERTS_MAX) if a.raised_us >= since_us]
        ids = list(dict.fromkeys(a.incident_id for a in alerts if a.incident_id is not None))
        tickets = reading.tickets_by_incident(ids)
    of_incident: dict[int, set[str]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for alert in alerts:
        count[_name(alert)] += 1
        if alert.incident_id is not None and alert.incident_id in tickets:
            of_incident[alert.incident_id].add(_name(alert))
    names = sorted({*count, *disabled, *off} - {""})
    left = {i for i, seen in of_incident.items() if seen - set(off)}
    gone = [tickets[i] for i in of_incident if i not in left]
    return Preview(
        [_row(name, count[name], of_incident, tickets, off, disabled) for name in names],
        len(of_incident) / days,
        len(left) / days,
        [t for t in gone if t.verdict in TRUE],
        [t for t in gone if t.verdict in FALSE],
        tuple(sorted({*off, *disabled})),
    )


def _name(alert: Alert) -> str:
    return alert.detector or alert.fault


def _row(
    name: str,
    alerts: int,
    of_incident: dict[int, set[str]],
    tickets: Mapping[int, Ticket],
    off: Collection[str],
    disabled: Collection[str],
) -> DetectorRow:
    mine = [i for i, seen in of_incident.items() if name in seen]
    return DetectorRow(
        name,
        alerts,
        len(mine),
        sum(of_incident[i] == {name} for i in mine),
        sum(tickets[i].verdict in TRUE for i in mine),
        sum(tickets[i].verdict in FALSE for i in mine),
        name in disabled,
        name in off,
    )
