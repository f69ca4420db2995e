"""The feed folded by cause: one line an incident, however many alerts and meters it has.

Plain values and their order; both ledgers make them. Times are microseconds UTC.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from grid.faults import Severity
from grid.records import Alert
from storage.desk_text import nameable

LINES_MAX: Final = 300  # of the feed; the browser keeps no more either (feed.js)
# Without an end there is no bound to what has ever been raised: the newest of it are folded.
ALERTS_MAX: Final = 12_000
_NEWEST_FIRST: Final = 10**17
_RANK: Final = re.compile(r"([01])([01])(P[1-9])(\d{17})([ai].{1,400})", re.ASCII | re.DOTALL)


class Rank(NamedTuple):
    """Where a line stands in the feed; the lesser the more urgent, no two lines have the same.

    As text it sorts alike, in the browser too.
    """

    cleared: bool
    seen: bool
    severity: str
    newest_first: int
    key: str

    def __str__(self) -> str:
        return (
            f"{int(self.cleared)}{int(self.seen)}{self.severity}{self.newest_first:017d}{self.key}"
        )

    @property
    def raised_us(self) -> int:
        return _NEWEST_FIRST - self.newest_first


def rank_of(text: str) -> Rank | None:
    """The rank that a page gives back; None for anything else.

    >>> str(rank_of("01P200000000000000042i7")), rank_of("soon")
    ('01P200000000000000042i7', None)
    >>> rank_of("01P200000000000000042a\\0") is None  # no text of the database
    True
    """
    found = _RANK.fullmatch(text)
    if found is None or not nameable(found[5]):
        return None
    cleared, seen, severity, newest_first, key = found.groups()
    return Rank(cleared == "1", seen == "1", severity, int(newest_first), key)


def line_key(alert: Alert) -> str:
    """The line an alert belongs to."""
    return f"i{alert.incident_id}" if alert.incident_id is not None else f"a{alert.id}"


def split_keys(keys: Sequence[str]) -> tuple[list[int], list[str]]:
    """The incidents and the alerts without one that some lines are about.

    >>> split_keys(["i7", "aM-1", "i8"])
    ([7, 8], ['M-1'])
    """
    incidents = [int(k[1:]) for k in keys if k.startswith("i")]
    return incidents, [k[1:] for k in keys if k.startswith("a")]


@dataclass(frozen=True, slots=True)
class FeedLine:
    """One line of the feed.

    key : names the line for the live stream: the incident, or an alert that has none
    main : the alert that speaks for the cause: the gravest that is not over (a line called critical
        must not bear the name of the milder fault it grew from), of equals the outage before the
        defect that led to it, then the one that opens the ticket, else the first
    alerts, devices : how many are folded into it, and how many meters they are about
    unseen : of some of it nobody has said that he has seen it
    cleared : all of it is over
    no_data : of some of it nothing is heard any more: neither active for sure nor over
    severity : of the gravest; raised_us : of the first
    """

    key: str
    main: Alert
    alerts: int
    devices: int
    unseen: bool
    cleared: bool
    no_data: bool
    severity: Severity
    raised_us: int

    @property
    def rank(self) -> Rank:
        newest_first = _NEWEST_FIRST - self.raised_us
        return Rank(self.cleared, not self.unseen, self.severity, newest_first, self.key)


@dataclass(frozen=True, slots=True)
class Feed:
    """Some lines, the most urgent first, and of how many of them (and of alerts) there are."""

    lines: list[FeedLine]
    lines_all: int
    alerts_all: int


@dataclass(frozen=True, slots=True)
class LineName:
    """What an alert of a line may be called by; `ticket` is the number of its cause's."""

    key: str
    fault: str
    asset_kind: str
    asset: str
    devices: tuple[str, ...]
    ticket: str | None


@dataclass(frozen=True, slots=True)
class Beside:
    """The other alerts of a cause: how many, how many of them unseen, and the first ones."""

    alerts: int = 0
    unseen: int = 0
    first: tuple[Alert, ...] = ()
