"""A desk at which nobody sits: events of a dataset to incidents, with what people would have done.

At a live site people close a ticket once its cause is gone, and the next event at that place is a
ticket of its own. Nobody closes the tickets of a dataset. So here a cause that has been over for
long counts as dealt with; else everything that happens at a transformer in a year would be the
first ticket of January.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerts.apply import apply_events
from alerts.incidents import Standing
from alerts.ledger import Ledger, Reading
from alerts.places import places_of
from alerts.settings import DAY_US, HOUR_US
from alerts.settle import settle
from grid.network import Network
from grid.records import AlertEvent, Incident

# Supply that has been back for a day was brought back, and the crew has gone.
SUPPLY_OVER_US: Final = DAY_US
# A growing defect comes and goes with load and weather before anybody mends it: within a month
# of its last sign it is the same one.
DEFECT_OVER_US: Final = 30 * DAY_US


class UnattendedDesk:
    """Takes the events of one dataset, in order of arrival, into a ledger.

    Time is that of the events.
    """

    def __init__(self, ledger: Ledger, network: Network) -> None:
        self._ledger, self._network = ledger, network
        self._places = places_of(network)
        self._waited_us = 0

    def take(self, events: Sequence[AlertEvent]) -> None:
        """First what is due by the earliest of the events, then the events."""
        if not events:
            return
        due_us = min(e.finding.tick_us for e in events)
        if due_us >= self._waited_us + HOUR_US:
            self._wait(due_us)
        apply_events(events, self._ledger, self._network, places=self._places)

    def _wait(self, until_us: int) -> None:
        """What time alone brings by then: what outlasts its cause stands up, what is over ends."""
        self._waited_us = until_us
        settle(self._ledger, self._network, until_us, places=self._places)
        with self._ledger.reading() as reading:
            due = _over(reading, until_us)
        if due:
            with self._ledger.transaction() as tx:
                for i in due:
                    tx.put_incident(replace(i, closed_us=until_us, version=i.version + 1))


def _over(reading: Reading, now_us: int) -> list[Incident]:
    rows = reading.incidents(limit=2**31 - 1)
    alerts = reading.alerts_of([i.id for i in rows])
    found = []
    for incident in rows:
        s = Standing(incident, alerts.get(incident.id, ()))
        quiet_us = s.quiet_since_us
        patience_us = SUPPLY_OVER_US if incident.incident_class == "supply" else DEFECT_OVER_US
        if s.over and quiet_us is not None and quiet_us + patience_us <= now_us:
            found.append(incident)
    return found
