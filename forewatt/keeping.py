"""Commands that look after an installation: doctor, config check, import, db migrate, user add."""

import argparse
import dataclasses
import json
import re
import sys
from dataclasses import replace
from uuid import uuid4

from forewatt.config import Config, MqttConfig, load_config
from forewatt.site import Place, keep_network
from forewatt.sources import check_parts, mqtt_source
from grid.errors import BadInput, ForewattError
from grid.network_files import load_network
from ingest.broker_check import probe_broker
from storage.database import Database
from storage.migrate import migrate
from storage.network_store import save_network
from storage.people import ROLES, People

LINK_S = 7 * 86_400
STAFF = tuple(role for role in ROLES if role != "customer")


def doctor(args: argparse.Namespace) -> int:
    """`forewatt doctor`: one line a check; status 1 when something has to be mended."""
    if args.data is not None:
        from forewatt.doctor_data import doctor_data

        return doctor_data(args)
    from forewatt.services.doctor import check_machine

    checks = check_machine()
    if args.json:
        print(json.dumps([dataclasses.asdict(c) for c in checks], indent=1, ensure_ascii=False))
    else:
        width = max(len(c.name) for c in checks)
        for c in checks:
            print(f"{'ok' if c.ok else 'NO':<4}{c.name:<{width}}  {c.found}")
            if c.fix:
                print(f"{'':<{width + 6}}-> {c.fix}")
    return 0 if all(c.ok for c in checks) else 1


def config_check(args: argparse.Namespace) -> int:
    """`forewatt config check`: the file, the network it names and, unless offline, the servers."""
    config = load_config(args.config)
    check_parts(config)
    said = [f"{config.file} is right"]
    if config.network.path is not None:
        network = load_network(config.network.path)
        said.append(f"network: {len(network.devices)} devices, {len(network.customers)} customers")
        said += list(network.notes)
    if _password_in_url(config.database.url) and config.file.stat().st_mode & 0o077:
        said.append(
            "warning: [database] url holds a password and others can read the file; "
            f"use password_file, or: chmod 600 {config.file}"
        )
    if not args.offline:
        with Database(config.database_url(), application="forewatt check") as database:
            with database.connection() as connection:
                connection.execute("SELECT 1")
            said.append("database: answers")
        for source in config.mqtt:
            said += _broker(config, source)
    print(json.dumps({"ok": True, "said": said}) if args.json else "\n".join(said))
    return 0


def _broker(config: Config, source: MqttConfig) -> list[str]:
    """What a broker's settings promise, tried out (a few seconds); each finding with its fix."""
    client_id = f"forewatt-check-{uuid4().hex[:8]}"
    try:
        probe = probe_broker(replace(mqtt_source(config, source, "check"), client_id=client_id))
    except OSError as error:
        raise ForewattError(
            f"broker {source.url} cannot be reached ({error.strerror or error}); start it, or "
            "correct [[mqtt]] url"
        ) from error
    said = [f"broker {source.url}: kept {probe.returned} of {probe.sent} messages"]
    return said + [f"warning: {finding}" for finding in probe.findings]


def _password_in_url(url: str) -> bool:
    return re.search(r"//[^/@:]*:[^/@]+@", url) is not None


def import_network(args: argparse.Namespace) -> int:
    """`forewatt import network DIR`: all of it, or nothing and where it is wrong."""
    config = load_config(args.config)
    network = load_network(args.folder)
    if not network.devices:
        raise BadInput("no device is named", file=str(args.folder), fix="fill devices.csv")
    with Database(config.database_url(), application="forewatt import") as database:
        migrate(database)
        save_network(database, network)
    keep_network(Place.of(config).network, network)
    counts = {
        name: len(getattr(network, name))
        for name in ("feeders", "transformers", "usage_points", "devices", "customers")
    }
    for note in network.notes:
        print(f"forewatt: {note}", file=sys.stderr)
    if args.json:
        print(json.dumps(counts))
    else:
        print(
            "imported " + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
        )
        print("a running forewatt uses it after a restart")
    return 0


def db_migrate(args: argparse.Namespace) -> int:
    """`forewatt db migrate`."""
    config = load_config(args.config)
    with Database(config.database_url(), application="forewatt migrate") as database:
        done = migrate(database)
    if args.json:
        print(json.dumps({"applied": done}))
    else:
        print("\n".join(f"applied {name}" for name in done) or "the database is up to date")
    return 0


def user_add(args: argparse.Namespace) -> int:
    """`forewatt user add NAME --role ROLE`: prints a sign-in link that works once, or a token."""
    config = load_config(args.config)
    if args.role not in STAFF:
        raise BadInput(f"no role {args.role!r}", fix=f"use one of {', '.join(STAFF)}")
    with Database(config.database_url(), application="forewatt user") as database:
        migrate(database)
        people = People(database)
        if people.find(args.name) is not None:
            raise ForewattError(f"{args.name!r} exists already; choose another name")
        person = people.create(
            args.name,
            args.name,
            args.role,
            language=args.language or config.site.language,
            team=args.team,
        )
        if args.token:
            said = {"token": people.api_token(person.id, args.name)}
        else:
            token = people.sign_in_link(person.id, LINK_S, uses=1)
            said = {"link": f"{public_url(config)}/signin/{token}"}
    print(
        json.dumps({"name": args.name, "role": args.role, **said})
        if args.json
        else f"{args.name}: {next(iter(said.values()))}"
    )
    return 0


def public_url(config: Config) -> str:
    """The address people type."""
    if config.web.public_url:
        return config.web.public_url.rstrip("/")
    host, port = config.web.address
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
