"""People sign in by session, link or token; secrets are kept as hashes, endings are at once."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from grid.errors import BadInput
from storage.database import Database
from storage.migrate import migrate
from storage.people import People


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    with Database(module_database_url) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def people(database: Database) -> People:
    """A site where nobody works yet."""
    with database.connection() as c:
        c.execute("TRUNCATE person, audit CASCADE")
    return People(database)


def test_nobody_can_sign_in_before_somebody_was_created(people: People) -> None:
    before = people.any()
    people.create("wang", "王芳", "clerk")

    assert (False, True) == (before, people.any())


def test_a_login_is_found_whatever_its_case_and_taken_only_once(people: People) -> None:
    made = people.create("Wang", "王芳", "clerk", "hash")

    assert made == people.find(" WANG ") == people.get(made.id)
    with pytest.raises(BadInput, match="taken"):
        people.create("wang", "another", "clerk")


@pytest.mark.parametrize(("role", "account"), [("boss", None), ("clerk", "A1"), ("customer", None)])
def test_a_person_with_a_wrong_role_is_refused(
    people: People, role: str, account: str | None
) -> None:
    with pytest.raises(BadInput):
        people.create("x", "x", role, account=account)


def test_a_session_stands_for_its_person_until_it_is_closed(people: People) -> None:
    wang = people.create("wang", "王芳", "clerk")
    token = people.open_session(wang.id, 3600)

    assert wang == people.session(token)
    assert people.session_roles([token, "nobody's"]) == {token: wang.role}
    people.close_session(token)
    assert people.session(token) is None
    assert people.session_roles([token]) == {}


def test_an_expired_session_is_nobody_and_is_forgotten(people: People) -> None:
    wang = people.create("wang", "王芳", "clerk")
    token = people.open_session(wang.id, 0)

    assert people.session(token) is None
    assert 1 == people.drop_expired()


@pytest.mark.parametrize("way", ["disable", "password", "role"])
def test_what_changes_a_persons_rights_ends_the_sessions(people: People, way: str) -> None:
    wang = people.create("wang", "王芳", "clerk")
    token = people.open_session(wang.id, 3600)

    if way == "disable":
        people.disable("wang")
    elif way == "password":
        people.set_password("wang", "new hash")
    else:
        people.change("wang", role="read_only")

    assert people.session(token) is None


def test_another_name_keeps_the_session(people: People) -> None:
    wang = people.create("wang", "王芳", "clerk")
    token = people.open_session(wang.id, 3600)

    people.change("wang", display_name="王方", language="en")

    seen = people.session(token)
    assert seen is not None
    assert ("王方", "en") == (seen.display_name, seen.language)


def test_a_link_for_one_use_is_good_once(people: People) -> None:
    wang = people.create("wang", "王芳", "clerk")
    token = people.sign_in_link(wang.id, 3600, uses=1)

    assert wang == people.use_link(token)
    assert people.use_link(token) is None


def test_a_link_without_a_count_is_good_for_its_time(people: People) -> None:
    wang = people.create("wang", "王芳", "clerk")
    token = people.sign_in_link(wang.id, 3600)

    assert [wang] * 3 == [people.use_link(token) for _ in range(3)]


def test_a_bearer_token_is_good_until_it_is_revoked(people: People) -> None:
    wang = people.create("wang", "王芳", "engineer")
    token = people.api_token(wang.id, "notebook")

    assert wang == people.bearer(token)
    with pytest.raises(BadInput, match="notebook"):
        people.api_token(wang.id, "notebook")
    assert people.revoke_token("notebook")
    assert people.bearer(token) is None


def test_no_secret_is_kept_as_it_is(people: People, database: Database) -> None:
    wang = people.create("wang", "王芳", "clerk")
    tokens = [
        people.open_session(wang.id, 60),
        people.sign_in_link(wang.id, 60),
        people.api_token(wang.id, "t"),
    ]

    with database.connection() as c:
        stored = [
            bytes(row[0])
            for table in ("session", "sign_in_link", "api_token")
            for row in c.execute(f"SELECT token_hash FROM {table}".encode())
        ]
    assert len(stored) == 3
    assert all(t.encode() not in s for t in tokens for s in stored)


def test_the_audit_is_read_newest_first_and_cannot_be_changed(
    people: People, database: Database
) -> None:
    people.audit("wang", "reveal", "customer:A11", {"field": "phone"})
    people.audit("li", "sign-in", "person:li")

    assert ["sign-in", "reveal"] == [e.action for e in people.audit_entries()]
    (found,) = people.audit_entries(subject="customer:A11")
    assert {"field": "phone"} == found.detail
    with pytest.raises(psycopg.errors.RaiseException), database.connection() as c:
        c.execute("DELETE FROM audit")


def test_a_crew_belongs_to_a_team_and_nobody_else_does(people: People) -> None:
    with pytest.raises(BadInput):
        people.create("crew-x", "李师傅", "crew")
    with pytest.raises(BadInput):
        people.create("clerk-x", "王芳", "clerk", team="crew-1")

    made = people.create("crew-y", "李师傅", "crew", team="crew-1")

    assert (made.team, people.find("crew-y")) == ("crew-1", made)
