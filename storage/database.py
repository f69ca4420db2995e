"""One pool of connections with bounds and time-outs, opened at first use.

`Database` turns every "cannot reach it" of the driver into `DatabaseUnavailable` with one
sentence and the fix; what the data got wrong (unique, check, range) stays a psycopg error.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import Any, Self

import orjson
import psycopg
from psycopg import conninfo
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from storage.errors import DatabaseBusy, DatabaseUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

# An alert has its evidence as JSON; a page of a feeder's outage reads two thousand of them.
set_json_loads(orjson.loads)

# Silent partitions: without these a query hangs for minutes (libpq's defaults wait for the kernel).
# The user time-out also counts a full window, see `patient`.
_TCP = {
    "tcp_user_timeout": "5000",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
}


class Database:
    """A bounded, lazily opened pool for one PostgreSQL database.

    Parameters
    ----------
    url
        `postgresql://user@host:port/name` or any libpq connection string.
    application
        Shown in `pg_stat_activity`, so that an administrator sees which part holds a lock.
    connections_max
        Upper bound of open connections; callers beyond wait `wait_s`, then are refused.
    statement_timeout_s, lock_timeout_s
        Set on every connection; one statement may lengthen its own with `SET LOCAL`.

    Raises
    ------
    DatabaseUnavailable
        At construction for a string that is no connection string; at use when the server does
        not answer, the password is wrong, or all connections are busy.
    """

    def __init__(
        self,
        url: str,
        *,
        application: str = "forewatt",
        connections_max: int = 8,
        wait_s: float = 10.0,
        connect_timeout_s: int = 5,
        statement_timeout_s: float = 60.0,
        lock_timeout_s: float = 10.0,
    ) -> None:
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as e:
            raise DatabaseUnavailable(
                f"the database address cannot be read ({_one_line(e)}). "
                "Write it as postgresql://user@host:port/name in [database] url."
            ) from e
        options = (
            f"-c statement_timeout={int(statement_timeout_s * 1000)} "
            f"-c lock_timeout={int(lock_timeout_s * 1000)} "
            "-c idle_in_transaction_session_timeout=300000 -c timezone=UTC"
        )
        settings: dict[str, Any] = {
            **_TCP,
            "connect_timeout": str(connect_timeout_s),
            **given,
            "application_name": application,
            "options": f"{options} {given.get('options') or ''}".strip(),
        }
        self.conninfo = conninfo.make_conninfo("", **settings)
        self.application = application
        self._place = _place(given)
        self._wait_s = wait_s
        self._connections_max = connections_max
        self._pool: ConnectionPool[Connection] | None = None
        self._closed = False
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Database({self._place}, application={self.application!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> "ConnectionPool[Connection]":
        with self._lock:
            if self._closed:
                raise DatabaseUnavailable(
                    f"the connections to {self._place} are closed. Make a new Database."
                )
            if self._pool is None:
                # One plain connection first: the pool's own error does not name the reason.
                self.connect().close()
                self._pool = ConnectionPool(
                    self.conninfo,
                    min_size=0,
                    max_size=self._connections_max,
                    max_waiting=64,
                    timeout=self._wait_s,
                    max_idle=120.0,
                    reconnect_timeout=self._wait_s,
                    check=ConnectionPool.check_connection,
                    name=self.application,
                    open=True,
                )
            return self._pool

    def connect(self, *, autocommit: bool = False) -> Connection:
        """A connection outside the pool, for LISTEN and the like; the caller closes it."""
        try:
            return psycopg.connect(self.conninfo, autocommit=autocommit)
        except psycopg.OperationalError as e:
            raise self._unavailable(e) from e

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in a transaction: committed at the end of the block, else rolled back.

        Raises DatabaseUnavailable (or DatabaseBusy) when the server cannot be reached or goes
        away during the block; other psycopg errors pass unchanged.
        """
        pool = self._opened()
        try:
            with pool.connection() as connection:
                yield connection
        except (PoolTimeout, TooManyRequests) as e:
            self.connect().close()  # says why, if the server is the reason
            raise DatabaseBusy(
                f"all {self._connections_max} connections to {self._place} stayed busy for "
                f"{self._wait_s:g} s. Raise the connection limit or look for a slow query."
            ) from e
        except PoolClosed as e:
            raise DatabaseUnavailable(
                f"the connections to {self._place} are closed. Make a new Database."
            ) from e
        except (psycopg.OperationalError, psycopg.InterfaceError) as e:
            raise self._unavailable(e) from e

    def _unavailable(self, error: psycopg.Error) -> DatabaseUnavailable:
        return unavailable(error, self._place)

    def close(self) -> None:
        """Close all connections; safe to call twice."""
        with self._lock:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            pool.close(timeout=5.0)


@contextmanager
def patient(connection: Connection, timeout_s: float = 60.0) -> Iterator[None]:
    """Around a COPY: let the server be busy for a while before it takes more.

    While it makes table chunks or waits for a lock, the socket's window fills up, and the kernel
    would take a window closed for `tcp_user_timeout` for a lost connection (it did, under load).
    """
    handle = socket.socket(fileno=os.dup(connection.fileno()))
    try:
        if handle.family not in (socket.AF_INET, socket.AF_INET6):
            yield
            return
        option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        before = handle.getsockopt(*option)
        handle.setsockopt(*option, int(timeout_s * 1000))
        try:
            yield
        finally:
            handle.setsockopt(*option, before)
    finally:
        handle.close()


def unavailable(error: psycopg.Error, place: str = "the database") -> DatabaseUnavailable:
    """The typed form of a driver's operational error, with the fix that fits it."""
    reason = _one_line(error)
    busy = (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.QueryCanceled,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
    )
    if isinstance(error, busy):
        return DatabaseBusy(
            f"{place} gave up a statement ({reason}). It is tried again; if this stays, look for "
            "long transactions in pg_stat_activity."
        )
    if isinstance(error, psycopg.errors.DiskFull):
        fix = "Free space on the database's disk; nothing is lost meanwhile."
    elif any(word in reason for word in ("password", "authentication", "role", "pg_hba")):
        fix = "Check user and password in [database] url."
    elif "does not exist" in reason:
        fix = "Create the database or mend its name in [database] url."
    else:
        fix = "Check that PostgreSQL runs there and that [database] url names it."
    return DatabaseUnavailable(f"{place} does not answer ({reason}). {fix}")


def _place(given: dict[str, Any]) -> str:
    """Host, port and name for messages; never the password."""
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    port = given.get("port") or "5432"
    return f"database {given.get('dbname') or given.get('user') or ''!s} at {host}:{port}"


def _one_line(error: BaseException) -> str:
    """What happened, without the list of addresses tried and libpq's question to the reader."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Is the server running")] or lines
    if not lines:
        return type(error).__name__
    text = lines[-1].removeprefix("connection failed: ")
    if text.startswith("connection to server") and "failed: " in text:
        text = text.split("failed: ", 1)[1]
    return text.removeprefix("FATAL:").strip().rstrip(".")
