"""Named SQL, and that it keeps pace with the vocabulary of quantities."""

from __future__ import annotations

import re

import pytest

from grid.errors import ForewattError
from grid.quantities import QUANTITIES
from storage.migrate import FOLDER, migrations
from storage.queries import FOLDER as SQL_FOLDER
from storage.queries import Queries, queries
from storage.rollups import summary_columns


def test_a_query_ends_where_the_next_begins() -> None:
    named = Queries("x", "-- name: a\n-- First.\nSELECT 1\n\n-- name: b\n-- Second.\nSELECT 2\n")

    assert dict(named) == {"a": "-- First.\nSELECT 1", "b": "-- Second.\nSELECT 2"}


def test_a_misspelt_name_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(KeyError, match="did you mean 'latest'"):
        queries("fleet")["lastet"]


def test_a_query_without_a_comment_is_refused() -> None:
    with pytest.raises(ForewattError, match="lacks the comment"):
        Queries("x", "-- name: a\nSELECT 1")


def test_two_queries_of_one_name_are_refused() -> None:
    with pytest.raises(ForewattError, match="twice"):
        Queries("x", "-- name: a\n-- A.\nSELECT 1\n-- name: a\n-- A.\nSELECT 2")


def test_every_sql_file_of_the_room_can_be_read() -> None:
    files = [path.stem for path in SQL_FOLDER.glob("*.sql")]

    assert {"readings", "rollups", "series", "fleet", "network", "maintain"} <= set(files)
    assert all(len(queries(file)) for file in files)


def test_the_migrations_have_a_column_for_every_quantity_of_its_type() -> None:
    """A new quantity needs a new migration; this test says so before the database does."""
    text = " ".join(m.text for m in migrations(FOLDER))
    for q in QUANTITIES:
        kind = "double precision" if q.double else "real"
        assert len(re.findall(rf"^    {q.name} {kind}", text.replace("; ", "\n"), re.M)) >= 2
        for column in filter(None, summary_columns(q)):
            assert re.search(rf"\b{column} (real|double precision|integer)", text), column
