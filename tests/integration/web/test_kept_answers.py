"""Answers kept under the caller's key: once, for all processes, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.database import Database
from storage.kept_answers import KeptAnswer, KeptAnswers
from storage.migrate import migrate


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    with Database(module_database_url, connections_max=8) as opened:
        migrate(opened)
        yield opened


def test_of_many_that_send_one_key_one_does_the_work(database: Database) -> None:
    kept = KeptAnswers(database)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: kept.begin("a", "k", b"f"), range(8)))

    assert got.count(None) == 1
    assert [x for x in got if x is not None] == [KeptAnswer(b"f", None, None)] * 7


def test_an_answer_is_given_again_and_a_released_key_is_free(database: Database) -> None:
    kept = KeptAnswers(database)
    assert kept.begin("b", "k", b"f") is None
    kept.keep("b", "k", 200, b"{}")
    assert kept.begin("b", "k", b"f") == KeptAnswer(b"f", 200, b"{}")

    assert kept.begin("c", "k", b"f") is None
    kept.release("c", "k")

    assert kept.begin("c", "k", b"f") is None


def test_whoever_died_is_taken_over_and_old_answers_are_forgotten(database: Database) -> None:
    kept = KeptAnswers(database)
    kept.begin("d", "dead", b"f")
    kept.begin("d", "old", b"f")
    kept.keep("d", "old", 200, b"{}")
    with database.connection() as c:
        c.execute("UPDATE api_request SET begun_at = now() - interval '2 minutes' WHERE key='dead'")
        c.execute("UPDATE api_request SET begun_at = now() - interval '3 days' WHERE key='old'")

    assert kept.begin("d", "dead", b"f") is None
    assert kept.begin("d", "old", b"f") is None
