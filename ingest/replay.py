"""Give a quarantined payload another chance: after a device was added or a mapping mended."""

from collections.abc import Iterable
from dataclasses import dataclass

from grid.clock import Clock
from grid.journal import Quarantined, Record
from grid.network import Network
from grid.readings import ReadingBatch
from ingest.checks import Checks, CheckSettings
from ingest.payloads import PayloadDecoder

_MQTT = "mqtt "


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of replayed payloads: the record to append, and which were good (by hash)."""

    record: Record
    mended: tuple[str, ...]
    still_bad: tuple[Quarantined, ...]


def replay(
    quarantined: Iterable[Quarantined],
    network: Network,
    clock: Clock,
    *,
    decoder: PayloadDecoder | None = None,
    settings: CheckSettings | None = None,
) -> Replayed:
    """Decode and check quarantined payloads again, with their first arrival time.

    A payload counts as mended when nothing of it is refused any more. Readings that were stored
    in the meantime are recognised by storage, as any redelivery is. Only what came over MQTT has
    a form that can be decoded again; the rest stays as it is.
    """
    if decoder is None:  # an empty one counts as false
        decoder = PayloadDecoder()
    checks = Checks(network, clock, settings)
    mended, bad, batches = [], [], []
    for q in quarantined:
        if not q.source.startswith(_MQTT):
            bad.append(q)
            continue
        decoder.add(q.source[len(_MQTT) :], q.payload, q.received_us)
        decoded = decoder.take()
        checked = checks.apply(decoded.rows)
        batches.append(checked.batch)
        refused = [*decoded.quarantined, *checked.quarantined]
        if refused:
            bad += refused
        else:
            mended.append(q.hash)
    record = Record("replay", ReadingBatch.concat(batches))
    return Replayed(record, tuple(mended), tuple(bad))
