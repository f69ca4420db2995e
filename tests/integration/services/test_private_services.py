"""Real PostgreSQL and Mosquitto: started, ended, killed, found again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from forewatt.services import PrivateServices, ServicesError, clean_stale
from forewatt.services.caretaker import Caretaker
from forewatt.services.ports import is_listening
from forewatt.services.processes import (
    as_record,
    from_record,
    identity,
    is_alive,
    read_record,
    write_record,
)
from tests.waiting import wait_for


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="forewatt-test-"))
    path.chmod(0o711)
    yield path
    clean_stale(path)
    shutil.rmtree(path)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def test_a_new_database_is_empty_but_for_timescaledb(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        extension = connection.execute(
            "SELECT extname FROM pg_extension WHERE extname = 'timescaledb'"
        ).fetchall()
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()

    assert [("timescaledb",)] == extension
    assert [] == tables


def test_the_role_of_the_program_is_no_superuser_yet_can_make_hypertables(
    database_url: str,
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE reading (time timestamptz NOT NULL, v_a real)")
        made = connection.execute("SELECT created FROM create_hypertable('reading', 'time')")
        setting = connection.execute("SHOW is_superuser").fetchone()

        assert [(True,)] == made.fetchall()
        assert ("off",) == setting


def test_a_database_of_the_same_name_is_made_anew(services: PrivateServices) -> None:
    url = services.new_database("test_twice")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE left_over (n integer)")

    again = services.new_database("test_twice")
    with psycopg.connect(again) as connection:
        left = connection.execute("SELECT to_regclass('left_over')").fetchone()
    services.drop_database("test_twice")

    assert url == again
    assert (None,) == left


def test_a_database_name_that_is_no_plain_word_is_refused(services: PrivateServices) -> None:
    with pytest.raises(ValueError, match="no plain database name"):
        services.new_database('x"; DROP DATABASE forewatt')


def test_stop_leaves_no_process_and_no_port_and_may_be_called_twice(folder: Path) -> None:
    services = PrivateServices.start(folder)
    ports = [_port(services.database_url), _port(services.mqtt_url)]
    pids = [services.postgres_pid, services.broker_pid]

    services.stop()
    services.stop()

    assert [None, None] == [identity(pid) for pid in pids if pid is not None]
    assert [False, False] == [is_listening(port) for port in ports]


def test_data_of_an_earlier_run_is_there_again(folder: Path) -> None:
    with (
        PrivateServices.start(folder, broker=False) as first,
        psycopg.connect(first.database_url) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")

    with (
        PrivateServices.start(folder, broker=False) as second,
        psycopg.connect(second.database_url) as connection,
    ):
        kept = connection.execute("SELECT n FROM kept").fetchone()

    assert (42,) == kept


def test_what_was_committed_survives_a_killed_database(own_services: PrivateServices) -> None:
    url = own_services.database_url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")

    own_services.stop_database("kill")
    own_services.start_database()

    assert url == own_services.database_url
    with psycopg.connect(url) as connection:
        assert (42,) == connection.execute("SELECT n FROM kept").fetchone()


def test_a_broker_that_was_killed_comes_back_on_its_port(broker: PrivateServices) -> None:
    url, first = broker.mqtt_url, broker.broker_pid

    broker.kill_broker()
    gone = is_listening(_port(url))
    broker.start_broker()

    assert not gone
    assert url == broker.mqtt_url
    assert first != broker.broker_pid
    assert is_listening(_port(url))


def test_services_that_were_killed_are_started_again_on_their_ports(
    own_services: PrivateServices,
) -> None:
    """What `forewatt demo` does while it runs; the killed database's children need a moment."""
    urls = own_services.database_url, own_services.mqtt_url
    for pid in (own_services.postgres_pid, own_services.broker_pid):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ("PostgreSQL", "Mosquitto") == own_services.missing())
    said: list[str] = []
    caretaker = Caretaker(own_services, said.append)

    def revived() -> bool:
        caretaker.look()
        return not own_services.missing()

    wait_for(revived, 30)

    assert 1 == len(said) and said[0].endswith("had ended; started again")
    assert urls == (own_services.database_url, own_services.mqtt_url)
    with psycopg.connect(urls[0]) as connection:
        assert (1,) == connection.execute("SELECT 1").fetchone()


def test_a_second_start_in_a_folder_in_use_is_refused(folder: Path) -> None:
    with PrivateServices.start(folder, database=False) as services:
        with pytest.raises(ServicesError, match=f"process {os.getpid()} keeps its database"):
            PrivateServices.start(folder, database=False)

        assert is_listening(_port(services.mqtt_url))


def test_services_end_when_their_program_is_killed(folder: Path) -> None:
    """The kernel tells them, even if the program is killed with SIGKILL."""
    code = f"""
        import time
        from pathlib import Path
        from forewatt.services import PrivateServices
        services = PrivateServices.start(Path({str(folder)!r}))
        print(services.postgres_pid, services.broker_pid, flush=True)
        time.sleep(120)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pids = [int(word) for word in program.stdout.readline().split()]
        program.kill()

    assert 2 == len(pids)
    wait_for(lambda: all(identity(pid) is None for pid in pids), 20, "the services to end")
    with PrivateServices.start(folder) as again:
        assert again.postgres_pid not in pids


def test_services_that_outlived_their_program_are_ended_by_the_next_start(folder: Path) -> None:
    services = PrivateServices.start(folder)
    record = read_record(folder)
    orphans = [from_record(record["postgres"]), from_record(record["mosquitto"])]
    owner = from_record(record["owner"])
    assert owner is not None
    write_record(folder, {**record, "owner": as_record(replace(owner, start=owner.start + 1))})

    with PrivateServices.start(folder) as again:
        assert [False, False] == [is_alive(who) for who in orphans if who is not None]
        assert is_listening(_port(again.database_url))
        assert is_listening(_port(again.mqtt_url))
    services.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a folder that `nobody` cannot")
def test_root_may_name_a_folder_that_the_services_cannot_enter(folder: Path) -> None:
    closed = folder / "closed" / ("long" * 40)
    closed.mkdir(parents=True)
    (folder / "closed").chmod(0o700)

    with PrivateServices.start(closed) as services:
        assert not services.folder.is_relative_to(folder)
        with psycopg.connect(services.database_url) as connection:
            assert (1,) == connection.execute("SELECT 1").fetchone()
    shutil.rmtree(services.folder)


def test_a_postmaster_that_stops_answering_still_ends(own_services: PrivateServices) -> None:
    pid = own_services.postgres_pid
    assert pid is not None

    os.kill(pid, signal.SIGSTOP)
    own_services.stop_database("kill")

    assert identity(pid) is None
