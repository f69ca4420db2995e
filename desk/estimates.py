"""A first estimate of restoration, from how long such repairs took here: a range, with its basis.

A suggestion for the person who gives the estimate; nobody is told of it. In a storm the past says
nothing about the queue, so there is none.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.ledger import Ledger, Reading
from alerts.service import preset_of
from alerts.settings import MINUTE_US, DeskSettings
from alerts.storm import storm
from desk.reports import TRUE
from grid.network import Network
from grid.records import Ticket

PAST: Final = 200
ENOUGH: Final = 5
ROUND_US: Final = 5 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Suggestion:
    """From when to when; `basis` past repairs of the kind, 0 when the promise is all there is."""

    from_us: int
    latest_us: int
    basis: int


def suggest(
    ledger: Ledger,
    network: Network,
    ticket: Ticket,
    now_us: int,
    *,
    settings: DeskSettings | None = None,
) -> Suggestion | None:
    """The middle half of past repairs of this fault in areas of this class, counted from the
    first evidence; without enough of them, arrival and restoration as promised."""
    chosen = settings or DeskSettings()
    with ledger.reading() as reading:
        if storm(reading, now_us, chosen):
            return None
        lasted = _past(reading, network, ticket)
    if len(lasted) >= ENOUGH:
        low, high = (int(np.quantile(lasted, q)) for q in (0.25, 0.75))
    else:
        level, area = preset_of(chosen.service_level), _area_class(network, ticket)
        arrive = level.arrive.get(area, level.arrive["urban"])
        restore = level.restore.get(area, level.restore["urban"])
        low, high = arrive * MINUTE_US, (arrive + restore) * MINUTE_US
        lasted = []
    # What is over already cannot be expected: the range begins after now.
    first = max(ticket.opened_us + low, now_us + ROUND_US)
    last = max(ticket.opened_us + high, first + 3 * ROUND_US)
    return Suggestion(_rounded(first), _rounded(last), len(lasted))


def _rounded(time_us: int) -> int:
    return -(-time_us // ROUND_US) * ROUND_US


def _area_class(network: Network, ticket: Ticket) -> str:
    area = network.transformer_of(ticket.asset_kind, ticket.asset)
    return area.area_class if area else "urban"


def _past(reading: Reading, network: Network, ticket: Ticket) -> list[int]:
    here = _area_class(network, ticket)
    closed = reading.tickets(states=("closed",), work=ticket.work, limit=10_000)
    alike = [
        t
        for t in closed
        if t.fault == ticket.fault and t.verdict in TRUE and _area_class(network, t) == here
    ]
    newest = sorted(alike, key=lambda t: -(t.closed_us or 0))[:PAST]
    steps = reading.steps_of([t.id for t in newest])
    out = []
    for t in newest:
        done = next((s.at_us for s in steps.get(t.id, ()) if s.to_state == "restored"), None)
        if done is not None:
            out.append(done - t.opened_us)
    return out
