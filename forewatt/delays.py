"""How late a dataset's readings usually come, learned from the first of them before any is judged.

Whoever judges a dataset from its beginning asks here, so that `backtest`, `calibrate`, trials and
`doctor` wait alike. Live, nothing has come yet when judging begins: there `delivery_s` says it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from detectors.arrivals import Arrivals
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch

FIRST_ROWS = 200_000  # show how late readings usually come
NAMED = 3  # areas that a note spells out


@dataclass(frozen=True, slots=True)
class Delays:
    """What was learned: the network to judge with, all batches, and a note (None: nothing new)."""

    network: Network
    batches: Iterator[ReadingBatch]
    note: str | None


def usual_delays(
    network: Network, batches: Iterable[ReadingBatch], settings: DetectorSettings
) -> Delays:
    """Look into the first batches, in order of arrival; they come again in `Delays.batches`."""
    arrivals = Arrivals(network, settings)
    first: list[ReadingBatch] = []
    rest = iter(batches)
    rows = 0
    while rows < FIRST_ROWS and (batch := next(rest, None)) is not None:
        first.append(batch)
        arrivals.add(batch)
        rows += len(batch)
    learned = arrivals.network()
    return Delays(learned, chain(first, rest), _note(network, learned))


def _note(before: Network, after: Network) -> str | None:
    """Which areas are waited for, and what `devices.csv` would say for the same."""
    changed = [
        i
        for i, (a, b) in enumerate(zip(before.devices, after.devices, strict=True))
        if a.delivery_s != b.delivery_s
    ]
    if not changed:
        return None
    waits = {
        after.transformers[t].id if (t := int(after.device_transformer[i])) >= 0 else "no area": (
            after.devices[i].delivery_s or 0.0
        )
        for i in changed
    }
    named = ", ".join(f"{wait_s:.0f} s at {area}" for area, wait_s in list(waits.items())[:NAMED])
    more = f" and {len(waits) - NAMED} more areas" if len(waits) > NAMED else ""
    return (
        f"readings of {len(changed)} devices usually come later than `delivery_s` in "
        f"network/devices.csv says: waited for ({named}{more}); live, write it there"
    )
