"""The private services of one run: started together, ended together, gone with the program."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from forewatt.services.account import data_folder, service_account
from forewatt.services.errors import ServicesError
from forewatt.services.mosquitto import Broker
from forewatt.services.postgres import PostgresServer
from forewatt.services.processes import (
    RECORD,
    Identity,
    as_record,
    clean_stale,
    identity,
    owner_alive,
    write_record,
)
from forewatt.services.toolchain import Toolchain, find_or_fetch


class PrivateServices:
    """A PostgreSQL with TimescaleDB and a Mosquitto on loopback, data below one folder.

    Use as a context manager, or `start` and `stop`. The children end with this process, however
    it ends; what is left after `kill -9` all the same is ended by the next start in the folder.
    """

    def __init__(
        self,
        folder: Path,
        toolchain: Toolchain,
        database: PostgresServer | None,
        broker: Broker | None,
    ) -> None:
        self.folder = folder
        self.toolchain = toolchain
        self._database, self._broker = database, broker

    @classmethod
    def start(
        cls, folder: Path, *, database: bool = True, broker: bool = True, durable: bool = True
    ) -> PrivateServices:
        """Find or fetch the programs and start them; data of an earlier run is used again.

        `durable=False` gives up safety at a crash of the machine for speed: for tests.
        Raises FetchError without programs, ServicesError when one does not start or when another
        running process keeps its services in `folder`.
        """
        account = service_account()
        toolchain = find_or_fetch()
        owner = owner_alive(data_folder(folder, account))
        if owner is not None:
            raise ServicesError(
                f"process {owner.pid} keeps its database and broker in {folder}; stop it, or use "
                "another folder"
            )
        clean_stale(folder)
        place = data_folder(folder, account)
        services = cls(
            place,
            toolchain,
            PostgresServer(place, toolchain, account, durable=durable) if database else None,
            Broker(place, toolchain, account) if broker else None,
        )
        services._record()
        try:
            services._start_all()
        except BaseException:
            services.stop()
            raise
        return services

    def _start_all(self) -> None:
        if self._broker is not None:
            self.start_broker()
        if self._database is not None:
            self._database.prepare()
            self.start_database()

    def __enter__(self) -> PrivateServices:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End both, cleanly where they answer, within about 15 s each at worst. Idempotent."""
        if self._broker is not None:
            self._broker.stop()
        if self._database is not None:
            self._database.stop()
        (self.folder / RECORD).unlink(missing_ok=True)

    @property
    def database_url(self) -> str:
        return self._postgres.url()

    @property
    def mqtt_url(self) -> str:
        return self._mosquitto.url()

    def new_database(self, name: str) -> str:
        """The URL of a fresh database `name`, empty but for the TimescaleDB extension.

        One of that name is dropped first, with its connections.
        """
        return self._postgres.new_database(name)

    def drop_database(self, name: str) -> None:
        """Remove a database that `new_database` made, with its connections."""
        self._postgres.drop_database(name)

    @property
    def postgres_pid(self) -> int | None:
        """The postmaster; None while it does not run."""
        return self._database.pid if self._database is not None else None

    @property
    def broker_pid(self) -> int | None:
        """Mosquitto; None while it does not run."""
        return self._broker.pid if self._broker is not None else None

    def missing(self) -> tuple[str, ...]:
        """Names of the services that were started here and have ended."""
        ended = []
        if self._database is not None and self.postgres_pid is None:
            ended.append("PostgreSQL")
        if self._broker is not None and self.broker_pid is None:
            ended.append("Mosquitto")
        return tuple(ended)

    def revive(self) -> None:
        """Start again what is missing, each on the port that it had."""
        if self._broker is not None:
            self.start_broker()
        if self._database is not None:
            self.start_database()

    def start_broker(self) -> None:
        """Start the broker (again), on the port that it had."""
        if self.broker_pid is None:
            self._mosquitto.start()
            self._record()

    def stop_broker(self) -> None:
        """End the broker cleanly; its queue is kept."""
        self._mosquitto.stop()
        self._record()

    def kill_broker(self) -> None:
        """SIGKILL the broker: what it had not saved is lost."""
        self._mosquitto.kill()
        self._record()

    def start_database(self) -> None:
        """Start the database (again), on the port that it had."""
        if self.postgres_pid is None:
            self._postgres.start()
            self._record()

    def stop_database(self, mode: str = "immediate") -> None:
        """End the database: "fast" (clean), "immediate" (recovery at the next start), "kill"."""
        self._postgres.stop(mode)
        self._record()

    def _record(self) -> None:
        write_record(
            self.folder,
            {
                "owner": as_record(identity(os.getpid())),
                "postgres": as_record(_known(self.postgres_pid)),
                "mosquitto": as_record(_known(self.broker_pid)),
            },
        )

    @property
    def _postgres(self) -> PostgresServer:
        if self._database is None:
            raise ServicesError("these services were started without a database")
        return self._database

    @property
    def _mosquitto(self) -> Broker:
        if self._broker is None:
            raise ServicesError("these services were started without a broker")
        return self._broker


def _known(pid: int | None) -> Identity | None:
    return None if pid is None else identity(pid)
