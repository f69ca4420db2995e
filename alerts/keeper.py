"""What the site does by itself as time passes, in one call for whoever keeps it (the watch).

Safe to call from several processes and as often as wished: what is due is found in the ledger and
done once. Site time comes from outside, so a simulated town runs at any speed.
"""

from dataclasses import dataclass

from alerts.ledger import Ledger
from alerts.reminders import Reminder, remind
from alerts.settings import DeskSettings
from alerts.settle import Settled, settle
from grid.network import Network


@dataclass(frozen=True, slots=True)
class Kept:
    """What one round has done."""

    settled: Settled
    reminders: tuple[Reminder, ...]


def keep(
    ledger: Ledger, network: Network, now_us: int, *, settings: DeskSettings | None = None
) -> Kept:
    """End shelves and mutes, raise what outlasts its cause, tell reminders that are due."""
    settled = settle(ledger, network, now_us, settings=settings)
    return Kept(settled, tuple(remind(ledger, network, now_us, settings=settings)))
