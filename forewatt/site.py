"""What all processes of one installation share: its files and its network.

The network comes from the configured folder, else from the database; the last one seen is kept
beside the journal, so that a collector starts while the database is away.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from forewatt.config import Config
from grid.errors import ForewattError
from grid.network import Network
from grid.network_files import load_network
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.network_store import load_stored_network

CACHE_FORM = 1


@dataclass(frozen=True, slots=True)
class Place:
    """The files of an installation, all in the journal's folder."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal.sqlite"

    @property
    def snapshot(self) -> Path:
        return self.folder / "watch.snapshot"

    @property
    def network(self) -> Path:
        return self.folder / f"network-{CACHE_FORM}.json"

    @property
    def secret(self) -> Path:
        return self.folder / "web.secret"

    @property
    def health(self) -> Path:
        return self.folder / "health"

    @classmethod
    def of(cls, config: Config) -> "Place":
        """The place of a configuration, made if it is new."""
        try:
            config.journal.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ForewattError(
                f"[journal] path {config.journal.path} cannot be made ({error.strerror}); "
                "name a folder on a local disk that this user may write"
            ) from error
        return cls(config.journal.path)


class NoNetwork(ForewattError):
    """There is no network to work with yet."""

    exit_status = 2


def site_network(config: Config, database: Database | None = None) -> Network:
    """The network to work with, and a fresh copy of it beside the journal.

    Raises
    ------
    NetworkErrors
        The configured folder is wrong; nothing of it is used.
    NoNetwork
        No folder is configured, none was imported, and none was seen before.
    """
    if config.network.path is not None:
        network = load_network(config.network.path)
    else:
        network = _stored(config, database)
    network = _with_polled(config, network)
    keep_network(Place.of(config).network, network)
    return network


def _with_polled(config: Config, network: Network) -> Network:
    """The network, with the profile of each unit that the site polls on the device's record."""
    units = {unit.device: unit for bus in config.modbus for unit in bus.units}
    devices = tuple(
        replace(d, profile=units[d.id].profile) if d.id in units and d.profile is None else d
        for d in network.devices
    )
    return network if devices == network.devices else replace(network, devices=devices)


def _stored(config: Config, database: Database | None) -> Network:
    cached = cached_network(Place.of(config).network)
    try:
        if database is not None:
            stored = load_stored_network(database)
        else:
            with Database(config.database_url(), application="forewatt network") as own:
                stored = load_stored_network(own)
    except DatabaseUnavailable:
        if cached is None:
            raise
        return cached
    if stored.devices:
        return stored
    if cached is not None:
        return cached
    raise NoNetwork("no network is known; run: forewatt import network DIR, or name [network] path")


def keep_network(path: Path, network: Network) -> None:
    """Write the copy that a start without database uses."""
    beside = path.with_suffix(".tmp")
    beside.write_bytes(msgspec.json.encode(network))
    beside.replace(path)


def cached_network(path: Path) -> Network | None:
    """The copy, if there is one that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Network)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
