"""The collectors' checks for datasets: a backtest must see what live detectors would have seen.

Ranges, ratios to the primary side, sums of phases and exact repeats are handled by the same code
as behind MQTT and Modbus. What is refused is counted and said once, not kept.
"""

import numpy as np

from grid.network import Network
from grid.readings import ReadingBatch
from ingest.checks import Checks
from ingest.rows import Origin, Rows


class _ArrivalClock:
    """No clock of its own: a row is judged by its own arrival time."""

    def now_us(self) -> int:
        return 0

    def real_seconds_until(self, site_us: int) -> float:
        return 0.0


class Admission:
    """Passes the batches of one dataset, in arrival order, through the checks."""

    def __init__(self, network: Network) -> None:
        self._known = network.device_index
        self._checks = Checks(network, _ArrivalClock())
        self.unknown: dict[str, int] = {}
        self.refused = 0
        self.repeats = 0

    def admit(self, batch: ReadingBatch) -> ReadingBatch:
        """The rows that would have entered the journal."""
        known = np.array([name in self._known for name in batch.names], bool)
        if not known.all():
            stranger = ~known[batch.device]
            counts = np.bincount(batch.device[stranger], minlength=len(batch.names))
            for place in np.flatnonzero(counts):
                name = batch.names[place]
                self.unknown[name] = self.unknown.get(name, 0) + int(counts[place])
            batch = batch.select(~stranger)
        rows = Rows.of(
            batch.names,
            batch.device,
            batch.time,
            batch.values,
            received=batch.received,
            seq=batch.seq,
            event=batch.event,
            quality=batch.quality,
            origins=(Origin("dataset", None),),
        )
        checked = self._checks.apply(rows)
        self.refused += len(checked.quarantined)
        self.repeats += checked.duplicates
        return checked.batch

    def sentences(self) -> list[str]:
        """What was left out, for people."""
        said = []
        if self.unknown:
            names = ", ".join(list(self.unknown)[:5]) + (" ..." if len(self.unknown) > 5 else "")
            rows = sum(self.unknown.values())
            said.append(f"{rows} rows of devices that network/devices.csv does not have: {names}")
        if self.refused:
            said.append(f"{self.refused} impossible rows were left out")
        if self.repeats:
            said.append(f"{self.repeats} exact repeats were left out")
        return said
