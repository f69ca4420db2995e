"""What people and callers see when the database is away, busy, or not what it should be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.database import Connection, Database, patient
from storage.errors import DatabaseBusy, DatabaseUnavailable, MigrationError
from storage.listen import listen
from storage.migrate import migrate, migrations
from tests.waiting import wait_for


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    with Database(database_url, connections_max=2, wait_s=0.3) as opened:
        yield opened


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://nobody@127.0.0.1:1/nowhere", "Connection refused"),
        ("postgresql://nobody@127.0.0.1:1/nowhere", "Check that PostgreSQL runs there"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence_and_the_fix(url: str, words: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=words), Database(url).connection():
        pass


def test_a_database_that_does_not_exist_is_named(database_url: str) -> None:
    wrong = database_url.rsplit("/", 1)[0] + "/no_such_database"

    with pytest.raises(DatabaseUnavailable, match="Create the database"):
        Database(wrong).connect()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(DatabaseUnavailable, match="Write it as postgresql://"):
        Database("host=127.0.0.1 nonsense")


def test_a_message_never_shows_the_password() -> None:
    database = Database("postgresql://nobody:sesame@127.0.0.1:1/nowhere")

    with pytest.raises(DatabaseUnavailable) as caught:
        database.connect()

    assert "sesame" not in f"{caught.value} {database!r}"


def test_a_block_that_raises_leaves_nothing_behind(empty: Database) -> None:
    with empty.connection() as connection:
        connection.execute("CREATE TABLE kept (x integer UNIQUE)")
        connection.execute("INSERT INTO kept VALUES (1)")

    with pytest.raises(psycopg.errors.UniqueViolation), empty.connection() as connection:
        connection.execute("INSERT INTO kept VALUES (2), (1)")

    with empty.connection() as connection:
        assert connection.execute("SELECT x FROM kept").fetchall() == [(1,)]


def test_callers_beyond_the_pool_are_refused_in_time(empty: Database) -> None:
    with (
        empty.connection(),
        empty.connection(),
        pytest.raises(DatabaseBusy, match="2 connections"),
        empty.connection(),
    ):
        pass


def test_a_statement_over_its_time_is_busy_not_a_hang(database_url: str) -> None:
    with (
        Database(database_url, statement_timeout_s=0.1) as database,
        pytest.raises(DatabaseBusy, match="statement"),
        database.connection() as connection,
    ):
        connection.execute("SELECT pg_sleep(20)")


def test_a_session_ended_by_an_administrator_is_unavailable_and_the_next_one_works(
    empty: Database,
) -> None:
    with pytest.raises(DatabaseUnavailable), empty.connection() as connection:
        with empty.connection() as administrator:
            administrator.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")

    with empty.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_too_busy_to_take_more_of_a_copy_is_waited_for(database_url: str) -> None:
    """A closed window counts for the kernel's user time-out: without patience this copy fails."""
    impatient = f"{database_url}?tcp_user_timeout=400"
    block = b"x" * 999 + b"\n"
    with Database(impatient) as database, Database(database_url) as other:
        with other.connection() as connection:
            connection.execute("CREATE TABLE slow (line text)")
            connection.execute(
                "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_sleep(3); RETURN NEW; END'"
            )
            connection.execute(
                "CREATE TRIGGER wait BEFORE INSERT ON slow FOR EACH ROW "
                "WHEN (NEW.line LIKE 'first%') EXECUTE FUNCTION wait()"
            )

        def copy(connection: Connection) -> None:
            with connection.cursor() as cursor, cursor.copy("COPY slow FROM STDIN") as into:
                into.write(b"first\n" + block * 20_000)

        with pytest.raises(DatabaseUnavailable), database.connection() as connection:
            copy(connection)
        with database.connection() as connection, patient(connection):
            copy(connection)
        with database.connection() as connection:
            row = connection.execute("SELECT count(*) FROM slow").fetchone()

    assert row == (20_001,)


def test_a_closed_database_says_so(database_url: str) -> None:
    database = Database(database_url)
    database.close()
    database.close()

    with pytest.raises(DatabaseUnavailable, match="closed"), database.connection():
        pass


def test_a_listener_hears_notices_and_returns_without_one(empty: Database) -> None:
    with listen(empty, "outbox") as listener:
        assert listener.wait(0.01) == []
        with empty.connection() as connection:
            connection.execute("SELECT pg_notify('outbox', '7'), pg_notify('outbox', '8')")

        heard = listener.wait(30.0)

    assert heard == ["7", "8"]


def test_a_listener_whose_session_ends_says_so(empty: Database) -> None:
    with listen(empty, "outbox") as listener:
        with empty.connection() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            )

        def raised() -> bool:
            try:
                listener.wait(0.05)
            except DatabaseUnavailable:
                return True
            return False

        wait_for(raised)


# -- migrations ----------------------------------------------------------------------------


def test_migrating_twice_applies_nothing_the_second_time(empty: Database) -> None:
    first = migrate(empty)

    assert first == [m.name for m in migrations()]
    assert migrate(empty) == []


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    applied: list[list[str]] = []

    def start() -> None:
        with Database(database_url) as database:
            applied.append(migrate(database))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60.0)

    assert sorted(map(len, applied)) == [0, 0, 0, len(migrations())]


def test_an_edited_migration_is_refused(empty: Database, tmp_path: Path) -> None:
    file = tmp_path / "0001_first.sql"
    file.write_text("CREATE TABLE a (x integer);")
    migrate(empty, folder=tmp_path)
    file.write_text("CREATE TABLE a (x bigint);")

    with pytest.raises(MigrationError, match="0001_first was edited"):
        migrate(empty, folder=tmp_path)


def test_a_database_newer_than_the_program_is_refused(empty: Database, tmp_path: Path) -> None:
    file = tmp_path / "0007_future.sql"
    file.write_text("CREATE TABLE a (x integer);")
    migrate(empty, folder=tmp_path)
    file.unlink()

    with pytest.raises(MigrationError, match="Install the newer Forewatt"):
        migrate(empty, folder=tmp_path)


def test_a_failing_migration_leaves_nothing_of_itself(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_good.sql").write_text("CREATE TABLE good (x integer);")
    bad = tmp_path / "0002_bad.sql"
    bad.write_text("CREATE TABLE half (x integer);\nSELECT 1/0;")

    with pytest.raises(MigrationError, match=r"0002_bad failed: division by zero"):
        migrate(empty, folder=tmp_path)

    bad.write_text("CREATE TABLE half (x integer);")
    assert migrate(empty, folder=tmp_path) == ["0002_bad"]


def test_a_lower_number_of_another_room_is_applied_later(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0010_tickets.sql").write_text("CREATE TABLE ticket (x integer);")
    migrate(empty, folder=tmp_path)
    (tmp_path / "0006_readings.sql").write_text("CREATE TABLE more (x integer);")

    assert migrate(empty, folder=tmp_path) == ["0006_readings"]


def test_a_file_that_is_not_numbered_is_refused(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "readings.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match=r"NNNN_words\.sql"):
        migrate(empty, folder=tmp_path)
