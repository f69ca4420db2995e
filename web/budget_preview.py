"""What another budget of tickets a day would have meant, told by what the past weeks brought.

The alerts of those weeks are judged once more by the very rule that decides live (`alerts.budget`
within `alerts.episodes`), once for each budget; nothing is changed by looking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from alerts.budget import BELOW_LIMIT, Budget, BudgetSettings
from alerts.episodes import Book
from alerts.ledger import Ledger
from alerts.settings import DAY_US, AlertSettings, Hold
from desk.reports import FALSE, TRUE
from grid.network import Network
from grid.records import NOT_ENOUGH, WATCH_LIST, Alert, AlertEvent, Finding, Ticket
from web.lately import Lately

WEEKS: Final = 4
WEEK_US: Final = 7 * DAY_US
BUDGETS: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 0.0)  # 0: no bound
ALERTS_MAX: Final = 20_000
KEPT_S: Final = 600.0
# The events have been through the holds already.
AT_ONCE: Final = AlertSettings(holds={}, hold=Hold(0, 0), flaps=1_000_000, update_us=0)


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget over the past weeks.

    weeks : tickets a day in each week, the oldest first; a_day : over all of them
    dangerous : of those, P1 a day, which no budget holds back
    waiting : alerts that would have stayed on the watch list to their end
    missed, spared : tickets of such alerts that were confirmed, and that were about nothing
    """

    budget: float
    current: bool
    weeks: tuple[float, ...]
    a_day: float
    dangerous: float
    waiting: int
    missed: list[Ticket]
    spared: list[Ticket]


@dataclass(frozen=True, slots=True)
class BudgetPreview:
    """All budgets, as they stood at `at_us`; `cut` when there were more alerts than are judged."""

    rows: list[BudgetRow]
    alerts: int
    cut: bool
    at_us: int


class BudgetPreviews:
    """Judged once for all who look within some minutes: four weeks under nine budgets take seconds
    of a processor, and minutes change nothing in the answer. The page says when that was."""

    def __init__(self, ledger: Ledger, network: Network) -> None:
        self._ledger, self._network = ledger, network
        self._lately: Lately[float | None, BudgetPreview] = Lately(keys_max=2)

    def get(self, now_us: int, current: float | None) -> BudgetPreview:
        """See `preview_budgets`; at most `KEPT_S` old."""
        return self._lately.get(
            current,
            KEPT_S,
            lambda: preview_budgets(self._ledger, self._network, now_us, current),
        )


class _Counting(Budget):
    """A budget that notes when it gave a ticket, and whether it was asked for danger."""

    def __init__(self, network: Network, settings: BudgetSettings) -> None:
        super().__init__(network, settings)
        self.given: list[tuple[int, bool]] = []

    def take(self, f: Finding, now_us: int) -> bool:
        taken = super().take(f, now_us)
        if taken:
            self.given.append((now_us, f.severity == "P1"))
        return taken


def preview_budgets(
    ledger: Ledger, network: Network, now_us: int, current: float | None
) -> BudgetPreview:
    """The last `WEEKS` weeks under each budget; `current` is the one as loaded, if known."""
    since_us = now_us - WEEKS * WEEK_US
    with ledger.reading() as reading:
        found = reading.alerts(during=(since_us, now_us + 1), limit=ALERTS_MAX + 1)
        recent = [a for a in found if a.raised_us >= since_us][:ALERTS_MAX]
        # What its detector's own limit or its own doubt holds back, a budget does not let go.
        judged = [
            a
            for a in recent
            if a.fault != "unknown"
            and a.evidence.numbers.get(WATCH_LIST) not in (BELOW_LIMIT, NOT_ENOUGH)
        ]
        events = reading.events_of([a.id for a in judged])
        tickets = reading.tickets_of_episodes([a.id for a in judged])
    findings = _findings(judged, events)
    budgets = {*BUDGETS} | ({current} if current is not None else set())
    rows = [
        _row(b, b == current, network, findings, judged, tickets, since_us, now_us)
        for b in sorted(budgets, key=lambda b: (b == 0, b))
    ]
    return BudgetPreview(rows, len(judged), len(found) > ALERTS_MAX, now_us)


def _findings(alerts: Sequence[Alert], events: Mapping[str, Sequence[AlertEvent]]) -> list[Finding]:
    """What was found, in the order of event time; the end of an alert is below its limit."""
    out = []
    for alert in alerts:
        for event in events.get(alert.id, ()):
            f = event.finding
            ended = event.change == "cleared"
            out.append(replace(f, score=0.0 if ended else max(f.score, 1.0)))
    return sorted(out, key=lambda f: (f.tick_us, f.known_us, f.asset_kind, f.asset, f.fault))


def _row(
    budget: float,
    current: bool,
    network: Network,
    findings: Sequence[Finding],
    alerts: Sequence[Alert],
    tickets: Mapping[str, Ticket],
    since_us: int,
    now_us: int,
) -> BudgetRow:
    # Without a bound nothing is asked; a bound that never binds asks, and is counted alike.
    settings = BudgetSettings(budget or 1e9)
    book = Book(network, AT_ONCE, settings)
    counting = _Counting(network, settings)
    book.budget = counting
    told = book.judge(findings, now_us)
    held: dict[tuple[str, str, str, str, int], bool] = {}
    for event in told:
        f = event.finding
        if event.change != "cleared":
            key = (f.detector, f.fault, f.asset_kind, f.asset, event.raised_us)
            held[key] = WATCH_LIST in f.evidence.numbers
    waiting = [
        a for a in alerts if held.get((a.detector, a.fault, a.asset_kind, a.asset, a.raised_us))
    ]
    lost = [tickets[a.id] for a in waiting if a.id in tickets]
    days = WEEKS * 7
    weeks = [0] * WEEKS
    for at_us, _ in counting.given:
        weeks[min(max((at_us - since_us) // WEEK_US, 0), WEEKS - 1)] += 1
    return BudgetRow(
        budget,
        current,
        tuple(n / 7 for n in weeks),
        len(counting.given) / days,
        sum(p1 for _, p1 in counting.given) / days,
        len(waiting),
        [t for t in lost if t.verdict in TRUE],
        [t for t in lost if t.verdict in FALSE],
    )
