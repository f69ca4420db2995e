"""`forewatt import contacts F`: contacts of other systems, each once."""

import argparse
import json

from desk.contact_files import read_contacts, read_mapping
from desk.counter import Counter
from forewatt.config import load_config
from forewatt.site import site_network
from storage.database import Database
from storage.desk_supply import Supply
from storage.ledger import PostgresLedger
from storage.migrate import migrate


def import_contacts(args: argparse.Namespace) -> int:
    """All of the file, or nothing and where it is wrong; a second time adds nothing."""
    config = load_config(args.config)
    mapping = read_mapping(args.map) if args.map is not None else None
    with Database(config.database_url(), application="forewatt import") as database:
        migrate(database)
        network = site_network(config, database)
        accounts = {**network.customer_by_account, **network.usage_points_of_account}
        contacts = read_contacts(args.file, accounts, config.site.time_zone, mapping)
        counter = Counter(
            PostgresLedger(database, config.site.realm),
            network,
            config.clock(),
            Supply(database, config.site.realm),
            settings=config.desk.settings(config.site.time_zone),
        )
        done = counter.take_in(contacts)
    counts = {"rows": len(contacts), "new": done.new, "known": done.known, "tickets": done.tickets}
    if args.json:
        print(json.dumps(counts))
    else:
        print(
            f"{len(contacts)} contacts: {done.new} new ({done.known} about something known, "
            f"{done.tickets} opened a ticket), {len(contacts) - done.new} were here already"
        )
    return 0
