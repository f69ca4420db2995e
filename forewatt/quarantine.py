"""`forewatt quarantine`, `gaps` and `conflicts`: what was refused, is owed, came twice unlike."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from forewatt.collect import SiteJournal
from forewatt.config import Config, load_config
from forewatt.site import Place, site_network
from forewatt.sources import collector_settings
from grid.errors import BadInput
from grid.journal import Quarantined
from grid.network import Network
from ingest.payloads import PayloadDecoder
from ingest.replay import replay
from ingest.sparkplug import SparkplugHost
from simulators.truth import rfc3339
from storage.database import Database
from storage.fleet import (
    Gap,
    QuarantineRow,
    ReadingConflict,
    conflict_count,
    conflicts,
    forget_quarantine,
    gaps,
    quarantine_count,
    quarantine_row,
    quarantine_rows,
)

PAGE = 500


def list_command(args: argparse.Namespace) -> int:
    """`forewatt quarantine list`."""
    config = load_config(args.config)
    with _database(config) as database:
        found = []
        for row in _rows(database, config.site.realm, args.reason):
            found.append(row)
            if len(found) >= args.limit:
                break
        count = quarantine_count(database, realm=config.site.realm)
    if args.json:
        print(json.dumps([_as_json(row) for row in found], ensure_ascii=False, indent=1))
        return 0
    for row in found:
        times = f" ({row.times} times)" if row.times > 1 else ""
        print(f"{row.id:>7}  {rfc3339(row.received_us)}  {row.source}  {row.reason}{times}")
    print(f"{len(found)} of {count} in quarantine; look at one: forewatt quarantine show ID")
    return 0


def show_command(args: argparse.Namespace) -> int:
    """`forewatt quarantine show ID`: everything that is known, and the payload as it came."""
    config = load_config(args.config)
    with _database(config) as database:
        row = _one(database, args.id)
    if args.json:
        print(json.dumps(_as_json(row), ensure_ascii=False, indent=1))
        return 0
    print(f"id        {row.id}")
    print(f"received  {rfc3339(row.received_us)}, {row.times} times")
    print(f"source    {row.source}")
    print(f"device    {row.device or '-'}")
    print(f"reason    {row.reason}")
    print(f"hash      {row.hash}")
    print(f"payload   {len(row.payload)} bytes")
    print(_text(row.payload))
    return 0


def replay_command(args: argparse.Namespace) -> int:
    """`forewatt quarantine replay [ID ...]`: through decoder, checks and journal once more.

    What is good is durable in the journal before it leaves quarantine; killed in between, the
    next replay finds it again and storage recognises it.
    """
    config = load_config(args.config)
    place = Place.of(config)
    clock = config.clock()
    mended = sent = left = 0
    reasons: dict[str, int] = {}
    with _database(config) as database:
        network = site_network(config, database)
        journal = SiteJournal(place.journal, clock, config.journal.max_bytes)
        settings = collector_settings(config, journal.uuid)
        rules = tuple(rule for source in settings.mqtt for rule in source.rules)
        try:
            for page in _pages(database, config.site.realm, args.ids, args.reason):
                sparkplug = SparkplugHost(settings.mqtt[0].sparkplug) if settings.mqtt else None
                decoder = PayloadDecoder(rules=rules, sparkplug=sparkplug)
                payloads = [
                    Quarantined(r.source, r.reason, r.payload, r.received_us, r.device)
                    for r in page
                ]
                again = replay(
                    payloads,
                    network,
                    clock,
                    decoder=decoder,
                    layouts={files.layout.name: files.layout for files in settings.files},
                    settings=settings.checks,
                )
                if len(again.record.batch):
                    journal.append([again.record])
                good = set(again.mended)
                ids = [row.id for row, q in zip(page, payloads, strict=True) if q.hash in good]
                forget_quarantine(database, ids)
                mended, sent = mended + len(ids), sent + len(again.record.batch)
                left += len(page) - len(ids)
                for q in again.still_bad:
                    reasons[q.reason] = reasons.get(q.reason, 0) + 1
        finally:
            journal.close()
    if args.json:
        said = {"mended": mended, "readings": sent, "left": left, "reasons": reasons}
        print(json.dumps(said, ensure_ascii=False))
        return 0
    print(f"{mended} payloads mended, {sent} readings sent again, {left} stay in quarantine")
    for reason, number in sorted(reasons.items(), key=lambda item: -item[1])[:10]:
        print(f"{number:>7}  {reason}")
    return 0


def gaps_command(args: argparse.Namespace) -> int:
    """`forewatt gaps`: the silences that go on first, then the holes between readings."""
    config = load_config(args.config)
    with _database(config) as database:
        network = site_network(config, database)
        _known(args.device, network)
        found = gaps(
            database,
            device=args.device,
            open_only=not args.closed,
            limit=args.limit,
            realm=config.site.realm,
            network=network,
            now_us=config.clock().now_us(),
        )
    if args.json:
        print(json.dumps([_gap_json(g) for g in found], indent=1))
        return 0
    print(f"{'device':<24}{'after':<28}{'before':<28}{'owed':>8}  state")
    for g in found:
        print(
            f"{g.device:<24}{rfc3339(g.after_us):<28}{rfc3339(g.before_us):<28}"
            f"{g.missing - g.filled:>8}  {_state(g)}"
        )
    return 0


def _state(gap: Gap) -> str:
    if gap.reason == "silence":
        return "silent still"
    if gap.closed_us is None:
        return f"open, by {gap.reason}"
    return "filled" if gap.filled >= gap.missing else "declared missing"


def _gap_json(gap: Gap) -> dict[str, Any]:
    return {
        "device": gap.device,
        "after": rfc3339(gap.after_us),
        "before": rfc3339(gap.before_us),
        "missing": gap.missing,
        "filled": gap.filled,
        "reason": gap.reason,
        "state": _state(gap),
    }


def conflicts_command(args: argparse.Namespace) -> int:
    """`forewatt conflicts`: readings that came again with other values, the newest found first."""
    config = load_config(args.config)
    with _database(config) as database:
        network = site_network(config, database)
        _known(args.device, network)
        realm = config.site.realm
        found = conflicts(database, device=args.device, limit=args.limit, realm=realm)
        count = conflict_count(database, realm=realm)
    if args.json:
        print(json.dumps([_conflict_json(c) for c in found], indent=1))
        return 0
    print(f"{'device':<24}{'time':<28}values: stored -> arrived")
    for c in found:
        differing = [q for q, v in c.arrived.items() if c.stored.get(q) != v]
        values = ", ".join(
            f"{q} {_number(c.stored.get(q))} -> {_number(c.arrived[q])}" for q in differing
        )
        print(f"{c.device:<24}{rfc3339(c.time_us):<28}{values}")
    if args.device is None:
        print(f"{len(found)} of {count} conflicts")
    return 0


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.9g}"


def _conflict_json(conflict: ReadingConflict) -> dict[str, Any]:
    return {
        "device": conflict.device,
        "time": rfc3339(conflict.time_us),
        "stored": dict(conflict.stored),
        "arrived": dict(conflict.arrived),
        "received": rfc3339(conflict.received_us),
    }


def _known(device: str | None, network: Network) -> None:
    if device and device not in network.device_index:
        raise BadInput(f"no device {device!r}", fix="see devices.csv")


def _database(config: Config) -> Database:
    return Database(config.database_url(), application="forewatt quarantine")


def _rows(database: Database, realm: str, reason: str | None) -> Iterator[QuarantineRow]:
    """Newest first, page by page."""
    before: int | None = None
    while page := quarantine_rows(database, limit=PAGE, before_id=before, realm=realm):
        before = page[-1].id
        yield from (row for row in page if not reason or reason in row.reason)


def _pages(
    database: Database, realm: str, ids: list[int], reason: str | None
) -> Iterator[list[QuarantineRow]]:
    if ids:
        yield [_one(database, id) for id in ids]
        return
    page: list[QuarantineRow] = []
    for row in _rows(database, realm, reason):
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _one(database: Database, id: int) -> QuarantineRow:
    row = quarantine_row(database, id)
    if row is None:
        raise BadInput(
            f"nothing in quarantine has the id {id}",
            fix="see what is there: forewatt quarantine list",
        )
    return row


def _text(payload: bytes) -> str:
    """Text as it is, anything else in hexadecimal; control characters are shown, not obeyed."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload.hex(" ")
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def _as_json(row: QuarantineRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "received": rfc3339(row.received_us),
        "source": row.source,
        "device": row.device,
        "reason": row.reason,
        "times": row.times,
        "hash": row.hash,
        "payload": _text(row.payload),
    }
