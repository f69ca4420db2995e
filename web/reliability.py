"""Reliability of a period as IEEE 1366 counts it: all, planned and unplanned, with and without
major-event days, and day by day."""

from dataclasses import dataclass
from typing import Final

from alerts.settings import DAY_US
from desk.outages import (
    Indices,
    daily_saidi,
    indices,
    major_event_threshold,
    of_customers,
    read_interruptions,
)
from web.site import Site

YEARS_US: Final = 5 * 365 * DAY_US  # of daily SAIDI that say which day is a major event


@dataclass(frozen=True, slots=True)
class Day:
    """SAIDI of one day, minutes; `major` when it is a major-event day."""

    start_us: int
    saidi_min: float
    major: bool


@dataclass(frozen=True, slots=True)
class IndexRow:
    """The indices of one kind of interruption, for CSV."""

    kind: str
    customers: int
    saidi_min: float
    saifi: float
    caidi_min: float | None
    maifi: float
    customer_hours: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """`kinds`: all, unplanned, planned; `threshold_min` None where too little is known to say which
    day is a major event; `calm_saidi_min` leaves those days out."""

    kinds: dict[str, Indices]
    days: list[Day]
    threshold_min: float | None
    calm_saidi_min: float
    sustained_s: float

    @property
    def rows(self) -> list[IndexRow]:
        """One row a kind."""
        return [
            IndexRow(
                kind, i.customers, i.saidi_min, i.saifi, i.caidi_min, i.maifi, i.customer_hours
            )
            for kind, i in self.kinds.items()
        ]


def reliability(site: Site, since_us: int, until_us: int) -> Reliability:
    """The indices of [since, until), its days counted from `since_us` on."""
    seconds = site.desk_settings.sustained_s
    until_us = min(until_us, site.clock.now_us() + 1)
    # Whole days before the period, so that its own days begin where it begins.
    past_us = since_us - max(0, YEARS_US - (until_us - since_us)) // DAY_US * DAY_US
    found = read_interruptions(site.ledger, past_us, until_us)
    lost = of_customers(found, site.board.places, until_us)
    count = len(site.network.customers) or len(site.network.usage_points_of_account)
    kinds: dict[str, bool | None] = {"all": None, "unplanned": False, "planned": True}
    daily = daily_saidi(lost, count, past_us, until_us, sustained_s=seconds)
    limit = major_event_threshold(daily)
    days = [
        Day(since_us + n * DAY_US, minutes, limit is not None and minutes > limit)
        for n, minutes in enumerate(daily[(since_us - past_us) // DAY_US :])
    ]
    return Reliability(
        {
            kind: indices(lost, count, since_us, until_us, planned=only, sustained_s=seconds)
            for kind, only in kinds.items()
        },
        days,
        limit,
        sum(d.saidi_min for d in days if not d.major),
        seconds,
    )
