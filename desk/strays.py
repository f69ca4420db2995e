"""A single meter that went dark in the very seconds of a larger outage elsewhere.

Three meters of a hundred stand in the records where they do not hang. When their real branch fails,
each looks like an outage of its own at the wrong place, and would send a crew there. The last gasps
tell: what fails at another's second, to within the spread of that outage's own gasps, shares its
fate far more often than it fails by itself just then.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from alerts.ledger import Reading
from alerts.locating import COINCIDENCE_US, Sign, Suspect
from alerts.places import Places
from alerts.settings import HOUR_US
from grid.records import Incident
from storage.desk_records import LastSeen


class Told(Protocol):
    """What devices told last; `SupplyEvidence` of now or of then."""

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]: ...


SINGLE: Final = ("usage_point", "device")
OTHERS: Final = 20  # so many outages are compared, the largest first
SAMPLE: Final = 60  # by so many of their meters
ENOUGH: Final = 3


def strays(
    reading: Reading,
    supply: Told,
    places: Places,
    incident: Incident,
    signs: Sequence[Sign],
) -> tuple[Suspect, ...]:
    """The meters of a single-meter incident that gasped with a larger outage, and which."""
    if incident.asset_kind not in SINGLE:
        return ()
    here = (incident.asset_kind, incident.asset)
    node = places.network.node(*here)
    mine = {s.who: s.at_us for s in signs if s.says == "gasp" and s.node == node and s.at_us}
    if not mine:
        return ()
    larger = [
        i
        for i in reading.incidents(incident_class="supply", limit=10_000)
        if i.asset_kind not in SINGLE
        and abs(i.opened_us - incident.opened_us) <= HOUR_US
        and places.steps_between(here, (i.asset_kind, i.asset)) is None
    ]
    for other in sorted(larger, key=lambda i: (-i.customers, i.id))[:OTHERS]:
        there = (other.asset_kind, other.asset)
        meters = [d.id for d in places.devices_within(there) if d.kind == "meter"]
        seen = supply.last_seen(meters[:: max(1, len(meters) // SAMPLE)])
        lost = [s.lost_us for s in seen.values() if s.lost_us is not None]
        gasps = np.array([t for t in lost if abs(t - other.opened_us) <= HOUR_US])
        if gasps.size < ENOUGH:
            continue
        began = float(np.median(gasps))
        # 1.48 times the median deviation is a normal deviation.
        wide = min(COINCIDENCE_US, max(1_000_000.0, 4.45 * float(np.median(abs(gasps - began)))))
        with_it = [who for who, at_us in mine.items() if abs(at_us - began) <= wide]
        if with_it:
            return tuple(Suspect(who, here, "gasp", there) for who in with_it)
    return ()
