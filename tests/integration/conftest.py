"""Real parts for integration tests: PostgreSQL with TimescaleDB and Mosquitto, privately started.

`services` is one pair for the whole session; every test gets a database of its own. Topics and
client ids on the shared broker must be the test's own. A test that breaks a part takes `broker`
or `own_services` instead.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from forewatt.services import PrivateServices

_numbers = count(1)


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's tmp_path: its parents are closed to the account that root's services run as.
    folder = Path(tempfile.mkdtemp(prefix="forewatt-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def services() -> Iterator[PrivateServices]:
    """One PostgreSQL and one Mosquitto for the session; do not stop or kill them."""
    with _folder() as folder, PrivateServices.start(folder, durable=False) as started:
        yield started


@contextmanager
def _fresh_database(services: PrivateServices) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    yield services.new_database(name)
    services.drop_database(name)


@pytest.fixture
def database_url(services: PrivateServices) -> Iterator[str]:
    """A database of this test alone, empty but for the TimescaleDB extension."""
    with _fresh_database(services) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(services: PrivateServices) -> Iterator[str]:
    """A database of this file alone, for tests that read what one set-up wrote."""
    with _fresh_database(services) as url:
        yield url


@pytest.fixture(scope="session")
def mqtt_url(services: PrivateServices) -> str:
    """The session's broker, as mqtt://127.0.0.1:PORT."""
    return services.mqtt_url


@pytest.fixture
def broker() -> Iterator[PrivateServices]:
    """A broker of this test alone (0.1 s), which it may stop, kill and start again."""
    with _folder() as folder, PrivateServices.start(folder, database=False) as started:
        yield started


@pytest.fixture
def own_services() -> Iterator[PrivateServices]:
    """Database and broker of this test alone, durable, which it may stop, kill and start again."""
    with _folder() as folder, PrivateServices.start(folder) as started:
        yield started
