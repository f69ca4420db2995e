"""A migrated database and a journal in memory: what every storage test begins with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.migrate import migrate
from tests.integration.storage.memory_journal import MemoryJournal


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()
