"""The database's disk fills up: readings are held, and all are stored once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from forewatt.services import PrivateServices
from forewatt.services.postgres import _TEMPLATE_DATABASE, ROLE
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.historian import Historian
from storage.migrate import migrate
from tests.integration.storage.memory_journal import MINUTE_US, START_US, MemoryJournal

pytestmark = pytest.mark.services

DISK_BYTES, LEFT_BYTES = 96 << 20, 1 << 20
METERS, STEPS = 5_000, 12


@pytest.fixture
def small_disk(own_services: PrivateServices) -> Iterator[Path]:
    """A file system of 96 MiB that belongs to the database's account."""
    folder = Path(tempfile.mkdtemp(prefix="forewatt-disk-"))
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    pid = own_services.postgres_pid
    assert pid is not None
    owner = Path(f"/proc/{pid}").stat()
    (folder / "space").mkdir(mode=0o700)
    os.chown(folder / "space", owner.st_uid, owner.st_gid)
    folder.chmod(0o755)
    yield folder
    own_services.stop_database()
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def test_a_full_disk_is_held_and_nothing_is_lost_once_there_is_room(
    own_services: PrivateServices, small_disk: Path
) -> None:
    execute = own_services._postgres.execute
    execute(f"CREATE TABLESPACE small LOCATION '{small_disk / 'space'}'")
    template = f"TEMPLATE {_TEMPLATE_DATABASE} OWNER {ROLE} TABLESPACE small"
    execute(f"CREATE DATABASE crowded {template}")
    url = own_services._postgres.url("crowded")
    journal = MemoryJournal()
    names = [f"M{i}" for i in range(METERS)]
    for step in range(STEPS):
        time = [START_US + step * MINUTE_US] * METERS
        journal.readings(names, range(METERS), time, v_a=[230.0 + step] * METERS)
    with Database(url) as database:
        migrate(database)
        historian = Historian(database, journal)
        historian.run_once(1)
        free = shutil.disk_usage(small_disk).free
        filler = small_disk / "filler"
        filler.write_bytes(bytes(free - LEFT_BYTES))

        with pytest.raises(DatabaseUnavailable) as held:
            while historian.run_once(1).entries:
                pass

        with database.connection() as connection:  # reading goes on meanwhile
            before = connection.execute("SELECT count(*) FROM reading").fetchone()
        filler.unlink()
        while historian.run_once(1).entries:
            pass
        with database.connection() as connection:
            after = connection.execute(
                "SELECT count(*), count(DISTINCT (device, time)) FROM reading"
            ).fetchone()

    assert "Free space on the database's disk; nothing is lost meanwhile" in str(held.value)
    assert before is not None and 0 < before[0] < METERS * STEPS
    assert (METERS * STEPS, METERS * STEPS) == after
