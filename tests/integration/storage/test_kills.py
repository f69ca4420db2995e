"""Killed at any moment: no reading lost, none twice, and the same extras as without a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forewatt.services import PrivateServices
from grid.journal import Quarantined, Record
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from ingest.journal import SqliteJournal
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.fleet import journal_positions
from storage.historian import Historian, HistorianStep
from storage.migrate import migrate
from tests.integration.storage.memory_journal import MINUTE_US, START_US
from tests.waiting import wait_for

KILLS = 6
ENTRIES = 80
STEPS = 12  # of one child: all of them together never come to the end
ROWS = 400
DEVICES = 10
REPOSITORY = Path(__file__).resolve().parents[3]
CHILD = Path(__file__).with_name("historian_child.py")


def fill(journal: SqliteJournal) -> None:
    """Readings in parts with duplicates, late rows, a gap, events and refused payloads."""
    rng = np.random.default_rng(11)
    per_entry = ROWS // DEVICES
    for k in range(ENTRIES):
        minute = k * per_entry + np.repeat(np.arange(per_entry), DEVICES)
        minute[minute > 900] += 60
        late = rng.random(ROWS) < 0.02
        minute = np.where(late, np.maximum(minute - 500, 0), minute)
        event = np.where(rng.random(ROWS) < 0.01, EVENT_CODE["power_up"], 0)
        device = np.tile(np.arange(DEVICES), per_entry)
        v_a = np.where(event > 0, np.nan, 220 + minute % 20 + device)
        batch = ReadingBatch.of(
            [f"M{i}" for i in range(DEVICES)],
            device,
            START_US + minute * MINUTE_US,
            {"v_a": v_a},
            event=event,
        )
        bad = Quarantined("test", "broken", str(k // 2).encode(), START_US)
        journal.append([Record("test", batch, quarantined=(bad,))])


QUERIES = {
    "readings": "SELECT d.name, time, v_a FROM reading JOIN device d ON id = device ORDER BY 1, 2",
    "latest": "SELECT d.name, time, v_a FROM latest JOIN device d ON id = device ORDER BY 1",
    "events": "SELECT d.name, time, event FROM device_event JOIN device d ON id = device "
    "ORDER BY 1, 2",
    "gaps": "SELECT d.name, after, before, missing, filled FROM gap JOIN device d ON id = device "
    "ORDER BY 1, 2",
    "quarantine": "SELECT payload, times FROM quarantine ORDER BY payload",
    "dirty": "SELECT block, hour FROM dirty_bucket ORDER BY 1, 2",
    "conflicts": "SELECT count(*) FROM reading_conflict",
}
QUERIES["gaps"] = QUERIES["gaps"].replace("id = device", "d.id = device")


def content(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.connection() as connection:
        return {name: connection.execute(q).fetchall() for name, q in QUERIES.items()}


def undisturbed(url: str, journal: SqliteJournal) -> dict[str, list[tuple[Any, ...]]]:
    with Database(url) as database:
        migrate(database)
        historian = Historian(database, journal)
        while historian.run_once(limit=1).entries:
            pass
        return content(database)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_historian_killed_again_and_again_stores_what_an_undisturbed_one_stores(
    database_url: str, module_database_url: str, tmp_path: Path
) -> None:
    journal = SqliteJournal(tmp_path / "journal")
    fill(journal)
    expected = undisturbed(module_database_url, journal)
    rng = np.random.default_rng(2)
    with Database(database_url) as database:
        migrate(database)
        command = [sys.executable, str(CHILD), database_url, str(journal.path)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        killed_at = []

        def position() -> int:
            found = journal_positions(database).get("historian")
            return 0 if found is None else found.offset

        for _ in range(KILLS):
            before = position()
            child = subprocess.Popen([*command, str(STEPS)], env=environment, stdin=subprocess.PIPE)
            wait_for(lambda before=before: position() > before, 60.0)  # type: ignore[misc]
            with suppress(subprocess.TimeoutExpired):
                child.wait(float(rng.uniform(0, 0.05)))  # anywhere within the next steps
            child.kill()
            child.communicate(timeout=30.0)
            killed_at.append(position())

        assert 0 < killed_at[0] and killed_at[-1] < ENTRIES, "killed while there was work"
        subprocess.run(command, env=environment, check=True, timeout=60)
        got = content(database)

    journal.close()
    for name in QUERIES:
        assert got[name] == expected[name], name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_that_is_killed_loses_and_doubles_nothing(
    own_services: PrivateServices, tmp_path: Path
) -> None:
    """SIGKILL of the whole server between and during steps; the same historian goes on."""
    journal = SqliteJournal(tmp_path / "journal")
    fill(journal)
    expected = undisturbed(own_services.new_database("expected"), journal)
    with Database(own_services.new_database("killed"), wait_s=0.5) as database:
        migrate(database)
        historian = Historian(database, journal)
        steps: list[HistorianStep] = []
        errors: list[DatabaseUnavailable] = []
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                try:
                    step = historian.run_once(limit=1)
                except DatabaseUnavailable as e:
                    errors.append(e)
                    done.wait(0.05)
                    continue
                if not step.entries:
                    return
                steps.append(step)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for target in (15, 45):
                wait_for(lambda target=target: len(steps) > target, 60.0)  # type: ignore[misc]
                before = len(errors)
                own_services.stop_database("kill")
                wait_for(lambda before=before: len(errors) > before, 60.0)  # type: ignore[misc]
                own_services.start_database()
            worker.join(60.0)
        finally:
            done.set()
            worker.join(30.0)
        got = content(database)

    journal.close()
    assert len(errors) >= 2
    for name in QUERIES:
        assert got[name] == expected[name], name
