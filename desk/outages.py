"""Interruptions of supply as customers had them, and what is counted from them.

An interruption comes from the alerts of lost supply: each says which part of the tree was dark
from when to when, so partial restoration counts as it was. Indices follow IEEE 1366; the length
that makes an interruption sustained is a setting (five minutes there, three in some rules).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from alerts.ledger import Ledger, Reading
from alerts.places import Asset, Places
from alerts.settings import DAY_US
from grid.records import Alert
from storage.desk_records import Mute

Interval = tuple[int, int]  # [start, end) in microseconds UTC
SUSTAINED_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Interruption:
    """A part of the tree without supply; `end_us` None while it lasts."""

    asset_kind: str
    asset: str
    start_us: int
    end_us: int | None
    planned: bool
    incident_id: int | None = None

    @property
    def place(self) -> Asset:
        return self.asset_kind, self.asset


def interruptions(
    alerts: Iterable[Alert], mutes: Mapping[str, Sequence[Mute]]
) -> list[Interruption]:
    """The interruptions that outage alerts tell of, oldest first.

    Announced work is planned; so is what its maintenance mute covered. Other faults are left out.
    """
    out = [
        Interruption(
            a.asset_kind,
            a.asset,
            a.raised_us,
            a.cleared_us,
            any(m.kind == "maintenance" for m in mutes.get(a.id, ())),
            a.incident_id,
        )
        for a in alerts
        if a.fault == "outage"
    ]
    return sorted(out, key=lambda i: (i.start_us, i.asset_kind, i.asset))


def read_interruptions(
    ledger: Ledger, since_us: int, until_us: int, assets: Sequence[Asset] | None = None
) -> list[Interruption]:
    """Interruptions that touch a span of time; `assets` keeps those at one of them."""
    with ledger.reading() as reading:
        return _read(reading, since_us, until_us, assets)


def _read(
    reading: Reading, since_us: int, until_us: int, assets: Sequence[Asset] | None
) -> list[Interruption]:
    span = (since_us, until_us)
    touching = reading.alerts(fault="outage", assets=assets, during=span, limit=1_000_000)
    return interruptions(touching, reading.mutes([a.id for a in touching]))


def of_customers(
    found: Iterable[Interruption], places: Places, now_us: int
) -> dict[str, list[tuple[Interval, bool]]]:
    """Account to its interruptions, each ((start, end), planned), those that overlap as one."""
    raw: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
    for i in found:
        end_us = now_us if i.end_us is None else i.end_us
        if end_us <= i.start_us:
            continue
        for customer in places.customers(i.place):
            raw[customer.account].append((i.start_us, end_us, i.planned))
    return {account: _joined(spans) for account, spans in raw.items()}


def of_line(
    reading: Reading, line: Sequence[Asset], now_us: int, since_us: int
) -> list[tuple[Interval, bool]]:
    """The interruptions of whoever is supplied through all of `line`, overlapping ones as one."""
    found = _read(reading, since_us, now_us + 1, line)
    spans = [(i.start_us, now_us if i.end_us is None else i.end_us, i.planned) for i in found]
    return _joined([s for s in spans if s[1] > s[0]])


def _joined(spans: list[tuple[int, int, bool]]) -> list[tuple[Interval, bool]]:
    out: list[tuple[Interval, bool]] = []
    for start, end, planned in sorted(spans):
        if out and start <= out[-1][0][1]:
            (first, last), was_planned = out[-1]
            # One dark evening is one interruption; it counts as unplanned if any of it was.
            out[-1] = (first, max(last, end)), was_planned and planned
        else:
            out.append(((start, end), planned))
    return out


# -- indices -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Indices:
    """Reliability of a period (IEEE 1366), and customer-hours lost (停电时户数).

    saidi_min : minutes without supply for an average customer; saifi : sustained interruptions
    for an average customer; caidi_min : minutes for an average interruption, None without any;
    maifi : momentary interruptions for an average customer
    """

    customers: int
    saidi_min: float
    saifi: float
    caidi_min: float | None
    maifi: float
    customer_hours: float


def indices(
    by_customer: Mapping[str, Sequence[tuple[Interval, bool]]],
    customers: int,
    since_us: int,
    until_us: int,
    *,
    planned: bool | None = None,
    sustained_s: float = SUSTAINED_S,
) -> Indices:
    """The indices of [since, until) for `customers` served.

    An interruption counts in the period in which it begins, its length as far as it lies within;
    `planned` keeps only the announced (True) or the other ones (False).
    """
    if customers <= 0:
        return Indices(0, 0.0, 0.0, None, 0.0, 0.0)
    minutes = 0.0
    sustained = momentary = 0
    for spans in by_customer.values():
        for (start, end), was_planned in spans:
            if planned is not None and was_planned != planned:
                continue
            if end <= since_us or start >= until_us:
                continue
            is_sustained = end - start > sustained_s * 1e6
            if start >= since_us:
                sustained += is_sustained
                momentary += not is_sustained
            if is_sustained:
                minutes += (min(end, until_us) - max(start, since_us)) / 60e6
    return Indices(
        customers,
        minutes / customers,
        sustained / customers,
        minutes / sustained if sustained else None,
        momentary / customers,
        minutes / 60,
    )


def daily_saidi(
    by_customer: Mapping[str, Sequence[tuple[Interval, bool]]],
    customers: int,
    since_us: int,
    until_us: int,
    *,
    sustained_s: float = SUSTAINED_S,
) -> list[float]:
    """SAIDI of each day from `since_us` on, minutes; an interruption's whole length counts on the
    day on which it begins, as IEEE 1366 has it for major-event days."""
    days = [0.0] * max(0, -(-(until_us - since_us) // DAY_US))
    for spans in by_customer.values():
        for (start, end), _ in spans:
            if since_us <= start < until_us and end - start > sustained_s * 1e6:
                days[(start - since_us) // DAY_US] += (end - start) / 60e6
    return [d / customers for d in days] if customers > 0 else days


def major_event_threshold(past: Sequence[float]) -> float | None:
    """T_MED of IEEE 1366: exp(alpha + 2.5 beta) of the logarithms of daily SAIDI (five years of
    it); days without any are left out. None with fewer than two.

    >>> round(major_event_threshold([1.0, 1.0, 2.718281828459045, 0.0]), 3)
    5.91
    """
    logs = np.log([d for d in past if d > 0])
    if logs.size < 2:
        return None
    return float(np.exp(logs.mean() + 2.5 * logs.std(ddof=1)))


# -- frequent outages ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrequentRule:
    """`count` interruptions within `days` are the limit; more make it frequent (频繁停电)."""

    key: str
    count: int
    days: int
    planned: bool | None
    name: str
    name_zh: str


def frequent_rules(
    in_60_days: int = 3, in_a_year: int = 5, planned: int = 3
) -> tuple[FrequentRule, ...]:
    """The rules with a site's own limits.

    >>> [r.name for r in frequent_rules(2)][0]
    'more than 2 in 60 days'
    """
    a, b, c = in_60_days, in_a_year, planned
    return (
        FrequentRule("60_days", a, 60, None, f"more than {a} in 60 days", f"60天内停电超过{a}次"),
        FrequentRule("year", b, 365, None, f"more than {b} in a year", f"一年内停电超过{b}次"),
        FrequentRule(
            "planned", c, 365, True, f"more than {c} planned in a year", f"一年内计划停电超过{c}次"
        ),
    )


FREQUENT: Final = frequent_rules()


@dataclass(frozen=True, slots=True)
class Frequent:
    """How an account stands against one rule; `level` None says far from it."""

    rule: FrequentRule
    count: int
    level: Literal["warning", "exceeded"] | None


def frequency(
    spans: Sequence[tuple[Interval, bool]],
    now_us: int,
    *,
    rules: Sequence[FrequentRule] = FREQUENT,
    sustained_s: float = SUSTAINED_S,
) -> list[Frequent]:
    """One account against every rule. At the limit it is a warning: the next one exceeds it."""
    out = []
    for rule in rules:
        since_us = now_us - rule.days * DAY_US
        count = sum(
            start >= since_us
            and end - start > sustained_s * 1e6
            and (rule.planned is None or planned == rule.planned)
            for (start, end), planned in spans
        )
        level: Literal["warning", "exceeded"] | None = None
        if count > rule.count:
            level = "exceeded"
        elif count == rule.count:
            level = "warning"
        out.append(Frequent(rule, count, level))
    return out


def frequent_customers(
    ledger: Ledger, places: Places, now_us: int, rules: Sequence[FrequentRule] = FREQUENT
) -> list[tuple[str, list[Frequent]]]:
    """The daily list: accounts at or over a limit, the worst first."""
    year_us = now_us - 365 * DAY_US
    found = of_customers(read_interruptions(ledger, year_us, now_us), places, now_us)
    rows = []
    for account, spans in found.items():
        levels = [f for f in frequency(spans, now_us, rules=rules) if f.level is not None]
        if levels:
            rows.append((account, levels))

    def rank(row: tuple[str, list[Frequent]]) -> tuple[bool, int, str]:
        account, levels = row
        worst = any(f.level == "exceeded" for f in levels)
        return not worst, -max(f.count for f in levels), account

    return sorted(rows, key=rank)


def check_planned(
    ledger: Ledger,
    places: Places,
    asset: Asset,
    now_us: int,
    rules: Sequence[FrequentRule] = FREQUENT,
) -> list[tuple[str, list[Frequent]]]:
    """Before announced work is approved: accounts below `asset` that it would bring to or over a
    limit, with how they would then stand."""
    year_us = now_us - 365 * DAY_US
    past = of_customers(read_interruptions(ledger, year_us, now_us), places, now_us)
    length_us = int(SUSTAINED_S * 1e6) + 1
    out = []
    for customer in places.customers(asset):
        after = [*past.get(customer.account, ()), ((now_us, now_us + length_us), True)]
        levels = [f for f in frequency(after, now_us, rules=rules) if f.level is not None]
        if levels:
            out.append((customer.account, levels))
    return out
