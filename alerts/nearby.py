"""Which open incidents could have to do with an alert: kept as an index, so that a busy site does
not read all it has for every batch.

Leaving the rest out changes no grouping: what is neither on the same line of supply nor joined to
it through others can be no part of the same cause.
"""

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from alerts.incidents import SPREADING
from alerts.ledger import Ledger, Transaction
from alerts.places import Asset, Places
from grid.records import Incident


class OpenIncidents:
    """The open incidents of one ledger on the tree of one network.

    Brought up to date at the beginning of a writing transaction, while its lock keeps others out,
    from what others have committed; what the transaction itself does is read by the next one.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._change = 0
        self._rows: dict[int, Incident] = {}
        self._at: dict[Asset, set[int]] = {}
        self._below: dict[Asset, set[int]] = {}

    def catch_up(self, tx: Transaction) -> None:
        """Take in what has changed since the last time."""
        newest, changed = tx.incidents_since(self._change)
        if newest < self._change:
            for incident in list(self._rows.values()):
                self._drop(incident)
        self._change = newest
        for incident in changed:
            self.put(incident)

    def put(self, incident: Incident) -> None:
        """An incident as it is now; one that is closed is no longer known."""
        old = self._rows.get(incident.id)
        if old is not None:
            self._drop(old)
        if incident.closed_us is not None:
            return
        self._rows[incident.id] = incident
        for node in self._stands((incident.asset_kind, incident.asset), incident.incident_class):
            self._at.setdefault(node, set()).add(incident.id)
            for above in self.places.lineage(node):
                self._below.setdefault(above, set()).add(incident.id)

    def _drop(self, incident: Incident) -> None:
        del self._rows[incident.id]
        for node in self._stands((incident.asset_kind, incident.asset), incident.incident_class):
            _discard(self._at, node, incident.id)
            for above in self.places.lineage(node):
                _discard(self._below, above, incident.id)

    def near(
        self, near: Iterable[tuple[Asset, str]], also: Iterable[int | None] = ()
    ) -> list[Incident]:
        """Those that some (asset, class) could have to do with, directly or through others, and
        those of `also`, oldest first: what lies on one line of supply, a step further for classes
        that do not spread."""
        reached = {i for i in also if i in self._rows}
        visited: set[Asset] = set()
        frontier = [node for asset, cls in near for node in self._stands(asset, cls)]
        followed: set[int] = set()
        while frontier:
            node = frontier.pop()
            if node in visited:
                continue
            visited.add(node)
            found = set(self._below.get(node, ()))
            for up in self.places.lineage(node):
                found |= self._at.get(up, frozenset())
            for incident_id in found - followed:
                i = self._rows[incident_id]
                frontier += self._stands((i.asset_kind, i.asset), i.incident_class)
            followed |= found
        return [self._rows[i] for i in sorted(reached | followed)]

    def _stands(self, asset: Asset, incident_class: str) -> Sequence[Asset]:
        line = self.places.lineage(asset)
        return line[:1] if incident_class in SPREADING else line[:2]


def _discard(table: dict[Asset, set[int]], node: Asset, incident_id: int) -> None:
    found = table.get(node)
    if found is not None:
        found.discard(incident_id)
        if not found:
            del table[node]


_known: WeakKeyDictionary[Ledger, OpenIncidents] = WeakKeyDictionary()


def open_incidents(ledger: Ledger, tx: Transaction, places: Places) -> OpenIncidents:
    """The index of a ledger as of now; ask before the transaction has written anything."""
    found = _known.get(ledger)
    if found is None or found.places is not places:
        found = _known[ledger] = OpenIncidents(places)
    found.catch_up(tx)
    return found
