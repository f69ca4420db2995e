"""One private PostgreSQL with TimescaleDB: made from a cached template, started, ended.

It listens on loopback for the role `forewatt` only (no superuser: it owns its databases, no more).
The superuser comes in through a socket in the data folder, which nobody else can enter.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

from forewatt.services.account import Account, own_folder
from forewatt.services.errors import ServicesError
from forewatt.services.ports import LOOPBACK, free_port, pause
from forewatt.services.processes import clean_environment, end, spawn
from forewatt.services.toolchain import Toolchain, cache_folder

ROLE = "forewatt"
DATABASE = "forewatt"
# Raise it when the template is made differently.
_TEMPLATE_RECIPE = 1
_TEMPLATE_DATABASE = "forewatt_template"
_START_TIMEOUT_S = 60.0
_STATEMENT_TIMEOUT_S = 60.0
_PORT_TRIES = 5
_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

# Shared by every cluster. jit: its libraries are left out of the private prefix.
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '.'
max_connections = 60
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 64MB
max_wal_size = 1GB
min_wal_size = 80MB
wal_compression = on
checkpoint_timeout = 5min
jit = off
dynamic_shared_memory_type = {shared_memory}
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
max_worker_processes = 16
max_locks_per_transaction = 256
timezone = '{time_zone}'
log_timezone = '{time_zone}'
datestyle = 'iso, ymd'
log_min_messages = warning
lc_messages = 'C'
cluster_name = 'forewatt'
"""
# A cluster that is thrown away after the tests: an operating system crash may spoil it.
_NOT_DURABLE = """
fsync = off
synchronous_commit = off
full_page_writes = off
"""
_ACCESS = f"""
local all postgres trust
host all {ROLE} 127.0.0.1/32 trust
"""


class PostgresServer:
    """One cluster in `folder`/postgres. Not safe for use by several threads at once."""

    def __init__(self, folder: Path, toolchain: Toolchain, account: Account, *, durable: bool):
        self.data = folder / "postgres"
        self.log = folder / "postgres.log"
        self.port = 0
        self._toolchain, self._account, self._durable = toolchain, account, durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the cluster from the template, unless this folder has one of the same version."""
        marker = self.data / "PG_VERSION"
        if marker.is_file():
            found = marker.read_text(encoding="ascii").strip()
            if found != str(self._toolchain.postgres_major):
                raise ServicesError(
                    f"{self.data} was made by PostgreSQL {found} and this machine now has "
                    f"{self._toolchain.postgres_version}; remove that folder to start anew"
                )
            return
        shutil.rmtree(self.data, ignore_errors=True)
        beside = self.data.with_name("postgres.building")
        shutil.rmtree(beside, ignore_errors=True)
        _copy(template(self._toolchain, self._account), beside)
        beside.rename(self.data)

    def start(self) -> None:
        """Start and wait until it answers; crash recovery included, at most a minute."""
        settings = _SETTINGS.format(
            time_zone="UTC" if _has_time_zones() else "GMT",
            shared_memory="posix" if _has_shared_memory_files() else "sysv",
        )
        settings += "" if self._durable else _NOT_DURABLE
        _write(self.data / "postgresql.conf", settings, self._account)
        _write(self.data / "pg_hba.conf", _ACCESS, self._account)
        for attempt in range(_PORT_TRIES):
            port = self.port or free_port()
            if self._started_on(port):
                self.port = port
                return
            if attempt == 0:
                # Somebody took the port between the choice and the start: choose again.
                self.port = 0
        raise ServicesError(f"no free port for PostgreSQL in {_PORT_TRIES} tries", log=self.log)

    def _started_on(self, port: int) -> bool:
        seen = self.log.stat().st_size if self.log.exists() else 0
        process = spawn(
            [self._program("postgres"), "-D", self.data, "-p", str(port)],
            account=self._account,
            death_signal=signal.SIGINT,
            log=self.log,
            cwd=self.data,
        )
        self._process = process
        deadline = time.monotonic() + _START_TIMEOUT_S
        while process.poll() is None:
            if self._is_ready(port):
                return True
            if not pause(deadline):
                end(process, [(signal.SIGQUIT, 5.0)])
                raise ServicesError(
                    f"PostgreSQL gave no answer within {_START_TIMEOUT_S:g} s", log=self.log
                )
        said = self.log.read_bytes()[seen:].decode(errors="replace")
        if "Address already in use" in said:
            return False
        raise ServicesError(f"PostgreSQL did not start ({_reason(said)})", log=self.log)

    def _is_ready(self, port: int) -> bool:
        program = str(self._program("pg_isready"))
        command = [program, "-q", "-h", LOOPBACK, "-p", str(port), "-t", "1"]
        done = subprocess.run(
            command, env=clean_environment(), timeout=10, capture_output=True, check=False
        )
        return done.returncode == 0

    def stop(self, mode: str = "fast") -> None:
        """End it: "fast" (clean), "immediate" (as after a crash), "kill" (SIGKILL). Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        steps: dict[str, list[tuple[signal.Signals, float]]] = {
            "fast": [(signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)],
            "immediate": [(signal.SIGQUIT, 10.0)],
            "kill": [],
        }
        if mode not in steps:
            raise ValueError(f"mode is one of {', '.join(steps)}, not {mode!r}")
        end(process, steps[mode])

    def new_database(self, name: str) -> str:
        """Make `name` anew, empty but for TimescaleDB; whoever was connected to it is cut off."""
        self.drop_database(name)
        # Copying files takes two checkpoints: quick only unsynced (0.07 s instead of 0.22 s).
        strategy = "WAL_LOG" if self._durable else "FILE_COPY"
        self.execute(
            f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE_DATABASE} OWNER {ROLE} STRATEGY {strategy}"
        )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove `name`, if it exists, and whoever is connected to it."""
        if not _DATABASE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plain database name (lower case, digits, _)")
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as superuser through the private socket; its output."""
        return _psql(self._program("psql"), self.data, self.port, database, statement)

    def _program(self, name: str) -> Path:
        return self._toolchain.postgres_bin / name


def template(toolchain: Toolchain, account: Account) -> Path:
    """A cached, cleanly ended cluster with role, database and extension; made once, about 3 s."""
    name = f"pgdata-{toolchain.postgres_version}-{toolchain.timescaledb_version}"
    name += f"-{account.uid}-{_TEMPLATE_RECIPE}"
    cache = cache_folder()
    ready = cache / name
    if ready.is_dir():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock-pgdata").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not ready.is_dir():
            building = cache / f"{name}.building"
            shutil.rmtree(building, ignore_errors=True)
            own_folder(building, account)
            try:
                _make_template(building, toolchain, account)
                (building / "postgres").rename(ready)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return ready


def _make_template(building: Path, toolchain: Toolchain, account: Account) -> None:
    server = PostgresServer(building, toolchain, account, durable=False)
    own_folder(server.data, account)
    # PostgreSQL 17 brings its own C.UTF-8, the same on every machine.
    locale = ["--locale=C.UTF-8"]
    if toolchain.postgres_major >= 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    initdb = spawn(
        [
            str(toolchain.postgres_bin / "initdb"),
            "-D",
            str(server.data),
            "-U",
            "postgres",
            "-E",
            "UTF8",
        ]
        + [*locale, "--no-sync", "--auth=trust", "--no-instructions"],
        account=account,
        death_signal=signal.SIGKILL,
        log=server.log,
        cwd=building,
    )
    try:
        code = initdb.wait(60)
    except subprocess.TimeoutExpired as error:
        initdb.kill()
        raise ServicesError("initdb gave no answer within 60 s", log=server.log) from error
    if code != 0:
        said = server.log.read_text(encoding="utf-8", errors="replace")
        raise ServicesError(f"initdb failed ({_reason(said)})")
    server.start()
    try:
        server.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB IN ROLE pg_monitor")
        server.execute(f"CREATE DATABASE {_TEMPLATE_DATABASE}")
        server.execute("CREATE EXTENSION timescaledb", _TEMPLATE_DATABASE)
        # As a template it is left alone by TimescaleDB's workers, so it can be copied any time.
        server.execute(
            f"ALTER DATABASE {_TEMPLATE_DATABASE} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"
        )
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{_TEMPLATE_DATABASE}'"
        )
        server.new_database(DATABASE)
    finally:
        server.stop()


def _psql(program: Path, data: Path, port: int, database: str, statement: str) -> str:
    # psql finds the socket by its own working folder: a socket's path may have 107 bytes at most.
    command = [
        str(program),
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "/proc/self/cwd",
    ]
    command += ["-p", str(port), "-U", "postgres", "-d", database, "-c", statement]
    environment = {**clean_environment(), "PGCONNECT_TIMEOUT": "10", "PSQLRC": "/dev/null"}
    try:
        done = subprocess.run(
            command,
            cwd=data,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_STATEMENT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServicesError(f"no answer within {_STATEMENT_TIMEOUT_S:g} s: {statement}") from error
    if done.returncode != 0:
        raise ServicesError(f"PostgreSQL refused {statement!r} ({_reason(done.stderr)})")
    return done.stdout


def _copy(source: Path, target: Path) -> None:
    # cp keeps owner and mode and shares blocks where the file system can.
    command = ["cp", "-a", "--reflink=auto", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise ServicesError(f"the database folder could not be made ({_reason(done.stderr)})")


def _write(path: Path, text: str, account: Account) -> None:
    path.write_text(text, encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o600)


def _has_time_zones() -> bool:
    # Debian's PostgreSQL takes time zones from the system; GMT alone is built in.
    return Path("/usr/share/zoneinfo/UTC").exists()


def _has_shared_memory_files() -> bool:
    # Missing or closed in some containers.
    folder = Path("/dev/shm")
    return folder.is_dir() and bool(folder.stat().st_mode & stat.S_IWOTH)


def _reason(text: str) -> str:
    """The first line that tells what went wrong, without time and process number."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        found = re.search(r"(?:FATAL|PANIC|ERROR|error): +(.+)", line)
        if found:
            return found.group(1).rstrip(".")
    return lines[-1].rstrip(".") if lines else "no reason given"
