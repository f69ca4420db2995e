"""Compression is switched on where the server has it: asked of one that answers like that edition.

The packaged TimescaleDB is the Apache edition; the other one answers these statements as its
documentation says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from storage.database import Database
from storage.maintain import can_compress, compress
from storage.queries import queries

DAY_US = 86_400_000_000


class Server:
    """Answers the statements of storage/sql/maintain.sql and remembers what was asked."""

    def __init__(self, license: str, version: str, *, prepared: bool) -> None:
        named = queries("maintain")
        self._names = {named[name]: name for name in named}
        self._license, self._version, self._prepared = license, version, prepared
        self.asked: list[tuple[str, Any]] = []
        self.commits: list[list[str]] = []

    @contextmanager
    def connection(self) -> Iterator[Server]:
        before = len(self.asked)
        yield self
        self.commits.append([name for name, _ in self.asked[before:]])

    def execute(self, statement: str, given: Any = None) -> Server:
        name = self._names[statement]
        if self._license != "timescale" and name in ("allow_compression", "compress"):
            raise AssertionError(f"{name}: functionality not supported under this license")
        if name == "allow_compression":
            self._prepared = True
        if name == "compress":
            assert self._prepared, "compression is not enabled on this hypertable"
        self.asked.append((name, given))
        return self

    def fetchone(self) -> tuple[Any, ...]:
        name = self.asked[-1][0]
        known: dict[str, Any] = {
            "license": self._license,
            "version": self._version,
            "compression_allowed": self._prepared,
        }
        return (known[name],)

    def fetchall(self) -> list[tuple[str]]:
        return [("_hyper_1_1_chunk",), ("_hyper_1_2_chunk",)]

    def as_database(self) -> Database:
        return cast(Database, self)


def test_the_community_edition_is_prepared_once_and_compresses_old_chunks() -> None:
    server = Server("timescale", "2.19.3", prepared=False)

    first = compress(server.as_database(), 40 * DAY_US)
    again = compress(server.as_database(), 41 * DAY_US)

    names = [name for name, _ in server.asked]
    bounds = [given[0].timestamp() for name, given in server.asked if name == "compress"]
    assert (2, 2) == (first, again)
    assert 1 == names.count("allow_compression")
    assert [40 * 86_400, 41 * 86_400] == bounds
    # Prepared in a commit of its own: ALTER TABLE must not hold its lock while chunks are packed.
    assert ["compression_allowed", "allow_compression"] in server.commits


@pytest.mark.parametrize(
    ("license", "version", "expected"),
    [
        ("timescale", "2.19.3", True),
        ("timescale", "2.18.0-dev", True),
        ("timescale", "2.17.2", False),
        ("apache", "2.19.3", False),
    ],
)
def test_only_an_edition_and_version_that_keeps_every_row_compresses(
    license: str, version: str, expected: bool
) -> None:
    server = Server(license, version, prepared=False)

    done = compress(server.as_database(), DAY_US)

    assert (expected, 2 if expected else 0) == (can_compress(server.as_database()), done)
