"""The collectors' checks for datasets: a backtest must see what live detectors would have seen.

Ranges, ratios to the primary side, sums of phases, clocks, registers and exact repeats are judged
by the rules of `ingest.checks`, compiled (`admission_kernels.py`). What is refused is counted and
said once, not kept.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewatt import admission_kernels as kernels
from grid.network import Network
from grid.quantities import INDEX, QUANTITIES
from grid.readings import ReadingBatch
from ingest.checks import CURRENT_RATIO, POWER_RATIO, SECOND, VOLTAGE_RATIO, CheckSettings
from ingest.repeats import repeats_within

EARLIEST_US = 946_684_800 * SECOND  # 2000-01-01: no meter has readings from before
PHASES = ("p_a", "p_b", "p_c")
_NEVER = np.iinfo(np.int64).min
Floats = NDArray[np.floating[Any]]


class Admission:
    """Passes the batches of one dataset, in arrival order, through the checks."""

    def __init__(self, network: Network, settings: CheckSettings | None = None) -> None:
        settings = settings or CheckSettings()
        self.unknown: dict[str, int] = {}
        self.refused = 0
        self.repeats = 0
        self._index = network.device_index
        self._names: tuple[str, ...] = ()
        self._places = np.empty(0, np.int32)
        devices = network.devices
        n = len(devices)
        default = settings.delivery_default_s
        delivery = [d.delivery_s or d.interval_s or default for d in devices]
        late_s = 2 * np.array(delivery, np.float64) + settings.late_s
        self._late_us = (late_s * SECOND).astype(np.int64)
        self._limits = np.array(
            [int(settings.future_s * SECOND), int(settings.skew_s * SECOND), EARLIEST_US], np.int64
        )
        self._learned = np.full((kernels.N_LEARNED, n), _NEVER, np.int64)
        self._learned[kernels.HEARD_US] = EARLIEST_US
        self._heard = np.zeros(n, np.uint8)
        self._ring = np.full((n, kernels.RING, 2), _NEVER, np.int64)
        self._following = np.zeros(n, np.uint8)
        self._register = np.full((2, n), np.nan)
        self._register_us = np.full((2, n), _NEVER, np.int64)
        ct = np.array([d.ct_ratio or 1.0 for d in devices], np.float64)
        pt = np.array([d.pt_ratio or 1.0 for d in devices], np.float64)
        self._factor: dict[str, NDArray[np.float64]] = {}
        if (ct != 1).any() or (pt != 1).any():
            for names, ratio in ((CURRENT_RATIO, ct), (VOLTAGE_RATIO, pt), (POWER_RATIO, ct * pt)):
                self._factor.update(dict.fromkeys(names, ratio))

    def admit(self, batch: ReadingBatch) -> ReadingBatch:
        """The rows that would have entered the journal."""
        batch, place = self._known(batch)
        n = len(batch)
        wrong, left = np.zeros(n, np.uint8), (batch.event != 0).astype(np.uint8)
        values = self._values(batch, place, wrong, left)
        prints = batch.event.astype(np.uint64) * np.uint64(kernels.SALT)
        for name, column in values.items():
            bits: Any = np.uint64 if column.itemsize == 8 else np.uint32
            salt = np.uint64((2 * INDEX[name] + 3) * kernels.SALT % 2**64)
            kernels.mix_column(column, column.view(bits), salt, prints)
        refused, repeat, conflict = (np.zeros(n, np.uint8) for _ in range(3))
        again = np.zeros(self._heard.size, np.uint8)
        quality = batch.quality.copy()
        time, received = (
            np.require(a, np.int64, ("C", "A", "W")) for a in (batch.time, batch.received)
        )
        event = np.require(batch.event, np.uint8, ("C", "A", "W"))
        if kernels.meet_rows(
            time,
            received,
            quality,
            event,
            place,
            wrong,
            left,
            prints,
            self._limits,
            self._late_us,
            self._learned,
            self._heard,
            self._ring,
            refused,
            repeat,
            conflict,
            again,
        ):
            rows = np.flatnonzero((again[place] != 0) & (refused == 0))
            key = np.where(event == 0, time, -(time * kernels.EVENT_CODES + event))[rows]
            parts = (repeat[rows] != 0, conflict[rows] != 0)
            repeats_within(place[rows], key, prints[rows], event[rows], *parts)
            repeat[rows], conflict[rows] = parts
        none = np.empty(0)
        repeats = kernels.keep_rows(
            time,
            quality,
            event,
            place,
            prints,
            refused,
            repeat,
            conflict,
            values.get("e_import", none),
            values.get("e_export", none),
            self._register,
            self._register_us,
            self._ring,
            self._following,
        )
        dropped = int(refused.sum())
        self.refused += dropped
        self.repeats += repeats
        out = ReadingBatch(
            batch.names, batch.device, time, values, received, batch.seq, quality, event
        )
        return out if not dropped + repeats else out.select((refused | repeat) == 0)

    def _known(self, batch: ReadingBatch) -> tuple[ReadingBatch, NDArray[np.int32]]:
        """Rows of devices in the network, and each row's place there; the others are counted."""
        if batch.names is not self._names:
            self._names = batch.names
            found = [self._index.get(name, -1) for name in batch.names]
            self._places = np.array(found, np.int32)
        if not len(batch):
            return batch, np.empty(0, np.int32)
        place = self._places.take(batch.device)  # half the time of indexing
        if self._places.min() >= 0 or place.min() >= 0:
            return batch, place
        stranger = place < 0
        counts = np.bincount(batch.device[stranger], minlength=len(batch.names))
        for at in np.flatnonzero(counts):
            name = batch.names[at]
            self.unknown[name] = self.unknown.get(name, 0) + int(counts[at])
        return batch.select(~stranger), place[~stranger]

    def _values(
        self,
        batch: ReadingBatch,
        place: NDArray[np.int32],
        wrong: NDArray[np.uint8],
        left: NDArray[np.uint8],
    ) -> dict[str, Floats]:
        """Possible values on the primary side; `p` is the sum of phases where it was left out."""
        out: dict[str, Floats] = {}
        none = np.empty(0)
        summed = all(name in batch.values for name in PHASES)
        for name, column in batch.values.items():
            q = QUANTITIES[INDEX[name]]
            # Phases are summed in float64, as the collectors do.
            clean = np.empty(len(batch), np.float64 if summed and name in PHASES else q.dtype)
            given = np.ascontiguousarray(column)
            factor = self._factor.get(name, none)
            kernels.clean_column(given, clean, q.low, q.high, factor, place, wrong, left)
            out[name] = clean
        if summed:
            total = out["p_a"] + out["p_b"] + out["p_c"]
            had = out.get("p")
            out["p"] = (total if had is None else np.where(np.isnan(had), total, had)).astype(
                np.float32
            )
            out |= {name: out[name].astype(np.float32) for name in PHASES}
        return out

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
