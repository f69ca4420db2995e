"""Give a quarantined payload another chance: after a device was added or a mapping mended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from grid.clock import Clock
from grid.journal import Quarantined, Record
from grid.network import Network
from grid.readings import ReadingBatch
from ingest.checks import Checks, CheckSettings
from ingest.columns import decode_columns
from ingest.exports import BadExport, Exports
from ingest.files import STRANGERS, without_ratios
from ingest.layout import Layout
from ingest.payloads import PAYLOAD_ROWS_MAX, Decoded, PayloadDecoder
from ingest.rows import Rows, refusal

_MQTT, _FILE = "mqtt ", "file "


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
    layouts: Mapping[str, Layout] | None = None,
    settings: CheckSettings | None = None,
) -> Replayed:
    """Decode and check quarantined payloads again, with their first arrival time.

    A payload counts as mended when nothing of it is refused any more. Readings that were stored
    in the meantime are recognised by storage, as any redelivery is. What came over MQTT is decoded
    again, lines of an export by the layout of their name in `layouts`; the rest stays as it is.
    """
    if decoder is None:  # an empty one counts as false
        decoder = PayloadDecoder()
    checks = Checks(network, clock, settings)
    primary = Checks(without_ratios(network), clock, settings)
    mended, bad, batches = [], [], []
    for q in quarantined:
        layout = None
        if q.source.startswith(_MQTT):
            decoder.add(q.source[len(_MQTT) :], q.payload, q.received_us)
            decoded = decoder.take()
        elif q.source.startswith(_FILE) and STRANGERS in q.reason:
            # A list of meters, not of readings: those come from the file itself.
            known = q.payload.decode(errors="replace").splitlines()
            if all(name in network.device_index for name in known):
                mended.append(q.hash)
            else:
                bad.append(q)
            continue
        elif q.source.startswith(_FILE):
            layout = (layouts or {}).get(q.source.split(" ")[1])
            if layout is None:
                bad.append(q)
                continue
            decoded = _lines(q, layout)
        else:
            bad.append(q)
            continue
        checked = (primary if layout and layout.primary else checks).apply(decoded.rows)
        batches.append(checked.batch)
        refused = [*decoded.quarantined, *checked.quarantined]
        if refused:
            bad += refused
        else:
            mended.append(q.hash)
    record = Record("replay", ReadingBatch.concat(batches))
    return Replayed(record, tuple(mended), tuple(bad))


def _lines(q: Quarantined, layout: Layout) -> Decoded:
    """Refused lines of an export with their heading, or one row that the checks refused."""
    if q.payload.startswith(b"{"):
        return Decoded(*decode_columns(q.source, q.payload, q.received_us, PAYLOAD_ROWS_MAX))
    exports = Exports(q.received_us)
    try:
        # The text of a workbook was kept as CSV, and all of it is UTF-8 by now.
        exports.add(q.payload, replace(layout, encoding="utf-8", header_line=1), "lines.csv")
    except BadExport as error:
        return Decoded(Rows.empty(), [refusal(q.source, str(error), q.payload, q.received_us)])
    rows = Rows.concat(list(exports.steps()))
    return Decoded(rows, [replace(r, source=q.source) for r in exports.refused])
