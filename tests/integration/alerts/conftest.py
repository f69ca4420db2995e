"""A migrated database for each file, a realm of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from storage.database import Database
from storage.ledger import PostgresLedger
from storage.migrate import migrate

_numbers = count(1)


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    with Database(module_database_url, connections_max=12) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def ledger(database: Database) -> Iterator[PostgresLedger]:
    made = PostgresLedger(database, f"test-{next(_numbers)}")
    yield made
    made.close()
