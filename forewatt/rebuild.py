"""`forewatt rebuild`: the detectors' state made anew from history and journal, by hand.

Receives the configuration of a site whose watch is not running; leaves a fresh snapshot.
"""

import argparse
import json
import threading

from forewatt.config import load_config
from forewatt.health import HealthFile
from forewatt.roles import OnlyOne
from forewatt.site import Place, site_network
from forewatt.watch import Watch
from grid.errors import BadInput
from ingest.journal import SqliteJournal
from storage.database import Database
from storage.ledger import PostgresLedger
from storage.migrate import migrate


def rebuild_command(args: argparse.Namespace) -> int:
    """`forewatt rebuild`: history, then what the journal holds, then a fresh snapshot."""
    config = load_config(args.config)
    place = Place.of(config)
    if not place.journal.exists():
        raise BadInput(
            f"there is no journal in {place.folder}", fix="name the configuration that runs here"
        )
    stop = threading.Event()
    with (
        OnlyOne(place.folder / "watch.lock", stop),
        Database(config.database_url(), application="forewatt rebuild") as database,
    ):
        migrate(database)
        journal = SqliteJournal(place.journal)
        try:
            ledger = PostgresLedger(database, config.site.realm)
            network = site_network(config, database)
            health = HealthFile(place.health, "watch")
            watch = Watch(config, place, network, journal, ledger, health)
            watch.rebuild(database, stop, why="asked for by hand")
            while watch.step():
                pass
            watch.save()
            health.remove()
        finally:
            journal.close()
    said = watch.rebuilt
    print(json.dumps({"rebuilt": said, "offset": watch.offset}) if args.json else said)
    return 0
