"""One knob: how many tickets a day a team can look at. What is below it is the watch list.

Pure state in event time, kept by the `Book` with its episodes. P1 stands outside the budget. An
alert below its calibrated limit waits until it grows; one beyond the day's budget until the next
day, when the highest scores come first. Alerts of one cause (same class, same transformer) cost
one ticket.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from alerts.settings import DAY_US
from grid.network import Network
from grid.records import Finding

BELOW_LIMIT: Final = "below the calibrated limit"
OVER_BUDGET: Final = "over the day's budget"


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """How many tickets, and from which score on.

    Attributes
    ----------
    tickets_a_day : of each team, P1 not counted; 0 = no bound. What is not used is kept for one
        day; less than one a day saves up
    limits : (detector, fault) to the least score that may open a ticket, from calibration
    """

    tickets_a_day: float = 0.0
    limits: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def on(self) -> bool:
        """Whether anything is held back at all."""
        return self.tickets_a_day > 0 or bool(self.limits)


class Budget:
    """Tickets that each team may still get."""

    def __init__(self, network: Network, settings: BudgetSettings) -> None:
        self.network, self.settings = network, settings
        self._left: dict[str, tuple[int, float]] = {}  # team -> (day, tickets)

    def team(self, f: Finding) -> str:
        """The team that would get the ticket; "" where none is named."""
        area = self.network.transformer_of(f.asset_kind, f.asset)
        return (area.team if area else None) or ""

    def rank(self, f: Finding) -> float:
        """A score that compares between detectors: 1 is the least that may open a ticket."""
        return f.score / self.settings.limits.get((f.detector, f.fault), 1.0)

    def below(self, f: Finding) -> bool:
        """Whether the score has not reached its calibrated limit."""
        return f.severity != "P1" and self.rank(f) < 1.0

    def take(self, f: Finding, now_us: int) -> bool:
        """Take one ticket of the team's budget if there is one left."""
        rate = self.settings.tickets_a_day
        if rate <= 0 or f.severity == "P1":
            return True
        team, day = self.team(f), now_us // DAY_US
        last, left = self._left.get(team, (day, max(rate, 1.0)))
        if day > last:
            left = min(max(rate, 1.0), left + rate * (day - last))
        taken = left >= 1.0
        self._left[team] = (max(day, last), left - taken)
        return taken

    def snapshot(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {team: list(row) for team, row in sorted(self._left.items())}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over what `snapshot` gave."""
        self._left = {team: (int(day), float(left)) for team, (day, left) in data.items()}
