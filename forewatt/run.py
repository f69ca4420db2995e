"""`forewatt run`: look before starting, then keep the processes running."""

import argparse
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from forewatt.config import ROLES, Config, load_config
from forewatt.site import Place
from forewatt.supervisor import ChildSpec, Supervisor
from grid.errors import ForewattError
from grid.network_files import load_network

# Lowest first at the end: stop taking in, then store and judge what came, then the pages.
RANKS = {"collect": 1, "historian": 2, "watch": 2, "web": 3}


class PortTaken(ForewattError):
    """Another program listens where the pages should."""


def run(args: argparse.Namespace) -> int:
    """`forewatt run`: until SIGINT or SIGTERM."""
    config = load_config(args.config)
    roles: tuple[str, ...] = args.only or ROLES
    place = Place.of(config)
    preflight(config, place, roles)
    stopping = catch_stop()
    supervisor = Supervisor(
        [child_spec(role, config.file) for role in processes(roles, config.collect.processes)],
        place.health,
        on_ready=lambda: print("ready", flush=True),
    )
    supervisor.run(stopping)
    return 0


def processes(roles: Sequence[str], collectors: int) -> list[str]:
    """The names of all processes: collect-2 and so on stand beside collect."""
    more = [f"collect-{n}" for n in range(2, collectors + 1)] if "collect" in roles else []
    return [*roles, *more]


def child_spec(role: str, config: Path) -> ChildSpec:
    """How a process of `forewatt run` is started."""
    argv = (sys.executable, "-m", "forewatt", "child", role, "--config", str(config))
    return ChildSpec(role, argv, RANKS[role.partition("-")[0]])


def catch_stop() -> Callable[[], bool]:
    """Ask instead of interrupt: whether SIGINT or SIGTERM has come."""
    asked: list[int] = []

    def ask(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, ask)
    return lambda: bool(asked)


def preflight(config: Config, place: Place, roles: Sequence[str]) -> None:
    """Refuse to start what cannot work, with one sentence.

    A database that does not answer stops only the very first start, when its address is the
    likely mistake. Later it may simply be away: then the collector must run all the same.
    """
    if config.network.path is not None:
        load_network(config.network.path)
    if "collect" in roles:
        # Imported late: `status` must not load what only the collector needs.
        from forewatt.sources import check_parts

        check_parts(config)
    if "web" in roles:
        check_port(*config.web.address)
    config.clock()
    try:
        _ask_database(config)
    except ForewattError as error:
        if not place.journal.exists():
            raise
        print(f"forewatt: {error} Readings are kept meanwhile.", file=sys.stderr, flush=True)


def _ask_database(config: Config) -> None:
    from storage.database import Database

    with (
        Database(config.database_url(), application="forewatt check") as database,
        database.connection() as connection,
    ):
        connection.execute("SELECT 1")


def check_port(host: str, port: int) -> None:
    """Raise PortTaken unless the pages can listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {host}:{port} ({error.strerror or error}); stop the program that "
            "has the port, or choose another ([web] listen, or --port)"
        ) from error
