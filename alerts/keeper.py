"""What the site does by itself as time passes, in one call for whoever keeps it (the watch).

Safe to call from several processes and as often as wished: what is due is found in the ledger and
done once. Site time comes from outside, so a simulated town runs at any speed.
"""

from dataclasses import dataclass

from alerts.ledger import Ledger
from alerts.reminders import Reminder, remind
from alerts.settings import DeskSettings
from alerts.settle import Settled, settle
from alerts.silent import Heard, mark_silent
from grid.network import Network


@dataclass(frozen=True, slots=True)
class Kept:
    """What one round has done."""

    settled: Settled
    reminders: tuple[Reminder, ...]
    silent: int = 0


def keep(
    ledger: Ledger,
    network: Network,
    now_us: int,
    *,
    settings: DeskSettings | None = None,
    heard: Heard | None = None,
) -> Kept:
    """End shelves and mutes, raise what outlasts its cause, tell reminders that are due; with
    `heard`, mark the alerts of which nothing is heard any more."""
    settled = settle(ledger, network, now_us, settings=settings)
    reminders = tuple(remind(ledger, network, now_us, settings=settings))
    silent = 0 if heard is None else mark_silent(ledger, network, heard, now_us)
    return Kept(settled, reminders, silent)
