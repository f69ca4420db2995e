"""Find the programs: the system's PostgreSQL with TimescaleDB and Mosquitto, else our own copy.

Order of choice, each part for itself: the system's, if new enough; the private prefix in the
cache; the prefix fetched now (fetch.py).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from forewatt.services.errors import FetchError

POSTGRES_OLDEST = 15
# 2.0.16-2.0.18 lose messages or sessions in ways that reached users (its ChangeLog).
MOSQUITTO_OLDEST = (2, 0, 19)
# Raise it when fetch.py makes a prefix differently: an old one is then not used any more.
PREFIX_NAME = "services-1"

_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
_SYSTEM_EXTENSIONS = Path("/usr/share/postgresql")


@dataclass(frozen=True)
class Toolchain:
    """Programs that were found, with versions; `*_origin` is "system" or "private"."""

    postgres_bin: Path
    postgres_version: str
    timescaledb_version: str
    timescaledb_edition: str
    postgres_origin: str
    mosquitto: Path
    mosquitto_version: str
    mosquitto_origin: str

    @property
    def postgres_major(self) -> int:
        return int(self.postgres_version.split(".")[0])


@dataclass(frozen=True)
class PostgresFound:
    bin: Path
    version: str
    timescaledb_version: str
    edition: str


@dataclass(frozen=True)
class MosquittoFound:
    program: Path
    version: str


def cache_folder() -> Path:
    """FOREWATT_CACHE, else /var/cache/forewatt for root, else the user's cache folder."""
    named = os.environ.get("FOREWATT_CACHE")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/forewatt")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "forewatt"


def version_of(program: Path, *, flag: str = "--version", timeout_s: float = 10.0) -> str:
    """The first dotted number that `program` prints; empty when it does not run."""
    try:
        done = subprocess.run(
            [program, flag], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found.group() if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def postgres_in(programs: Path, extensions: Path, libraries: Path) -> PostgresFound | None:
    """The PostgreSQL of this folder, if it is new enough and has TimescaleDB."""
    needed = ("postgres", "initdb", "psql", "pg_isready")
    if not all((programs / name).is_file() for name in needed):
        return None
    control = extensions / "timescaledb.control"
    if not control.is_file():
        return None
    version = version_of(programs / "postgres")
    if not version or _numbers(version)[0] < POSTGRES_OLDEST:
        return None
    text = control.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"default_version\s*=\s*'([^']+)'", text)
    edition = "community" if any(libraries.glob("timescaledb-tsl-*.so")) else "Apache"
    return PostgresFound(programs, version, found.group(1) if found else "?", edition)


def system_postgres() -> PostgresFound | None:
    """The newest PostgreSQL with TimescaleDB that the system's packages brought."""
    if not _SYSTEM_POSTGRES.is_dir():
        return None
    majors = [int(entry.name) for entry in _SYSTEM_POSTGRES.iterdir() if entry.name.isdigit()]
    for major in sorted(majors, reverse=True):
        base = _SYSTEM_POSTGRES / str(major)
        extensions = _SYSTEM_EXTENSIONS / str(major) / "extension"
        found = postgres_in(base / "bin", extensions, base / "lib")
        if found:
            return found
    return None


def system_mosquitto() -> MosquittoFound | None:
    """The system's Mosquitto, if it is new enough."""
    name = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if name is None:
        return None
    version = version_of(Path(name), flag="-h")
    if not version or _numbers(version) < MOSQUITTO_OLDEST:
        return None
    return MosquittoFound(Path(name), version)


def private_postgres(prefix: Path) -> PostgresFound | None:
    for programs in sorted((prefix / "usr/lib/postgresql").glob("*/bin"), reverse=True):
        major = programs.parent.name
        extensions = prefix / "usr/share/postgresql" / major / "extension"
        found = postgres_in(programs, extensions, programs.parent / "lib")
        if found:
            return found
    return None


def private_mosquitto(prefix: Path) -> MosquittoFound | None:
    program = prefix / "usr/sbin/mosquitto"
    version = version_of(program, flag="-h") if program.is_file() else ""
    return MosquittoFound(program, version) if version else None


def find() -> Toolchain | None:
    """What is here already, without fetching anything."""
    prefix = cache_folder() / PREFIX_NAME
    system_pg, system_mqtt = system_postgres(), system_mosquitto()
    postgres = system_pg or private_postgres(prefix)
    mosquitto = system_mqtt or private_mosquitto(prefix)
    if postgres is None or mosquitto is None:
        return None
    return Toolchain(
        postgres_bin=postgres.bin,
        postgres_version=postgres.version,
        timescaledb_version=postgres.timescaledb_version,
        timescaledb_edition=postgres.edition,
        postgres_origin="system" if postgres is system_pg else "private",
        mosquitto=mosquitto.program,
        mosquitto_version=mosquitto.version,
        mosquitto_origin="system" if mosquitto is system_mqtt else "private",
    )


def find_or_fetch() -> Toolchain:
    """The programs to use; the private prefix is fetched (about 15 s) when it is needed.

    Raises FetchError, which names the three ways out.
    """
    found = find()
    if found is None:
        from forewatt.services.fetch import fetch_prefix

        fetch_prefix(cache_folder() / PREFIX_NAME)
        found = find()
    if found is None:
        raise FetchError(f"the programs fetched into {cache_folder() / PREFIX_NAME} do not run")
    return found
