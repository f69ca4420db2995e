"""Sign-in: by link or password, never by a default; out means out."""

import pytest
from argon2 import PasswordHasher

from tests.unit.web.visitor import HOST, Visit
from tests.unit.web.world import World
from web.pages import signin


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real cost of a hash protects; here it would only be waited for."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(signin, "HASHER", cheap)
    monkeypatch.setattr(signin, "NOBODYS_HASH", cheap.hash("nobody has this password"))


@pytest.mark.parametrize(
    ("login", "page"),
    [("operator", "/"), ("clerk", "/desk"), ("engineer", "/engineer"), ("admin", "/admin")],
)
def test_a_link_opens_the_one_screen_of_the_role(login: str, page: str, visit: Visit) -> None:
    answer = visit().get(f"/signin/link-{login}", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (303, page)


def test_a_link_for_one_use_opens_once(world: World, visit: Visit) -> None:
    admin = world.people.find("admin")
    assert admin is not None
    world.people.links["once"] = (admin, 1)

    first = visit().get("/signin/once", follow_redirects=False)
    second = visit().get("/signin/once", follow_redirects=False)

    assert (first.status_code, second.status_code) == (303, 401)
    assert "has been used or has expired" in second.text


def test_a_customer_does_not_become_a_colleague_by_link(visit: Visit) -> None:
    visitor = visit()

    answer = visitor.get("/signin/link-c-1", follow_redirects=False)

    assert answer.headers["location"] == "/my/link-c-1"
    assert "set-cookie" not in answer.headers


def test_a_password_opens_and_a_wrong_one_does_not(world: World, visit: Visit) -> None:
    world.people.set_password("clerk", signin.HASHER.hash("柜台-correct-horse"))
    form = {"login": "clerk", "next": "/tickets"}

    good = visit().post(
        "/signin",
        data={**form, "password": "柜台-correct-horse"},
        headers={"origin": HOST},
        follow_redirects=False,
    )
    bad = visit().post("/signin", data={**form, "password": "guess"}, headers={"origin": HOST})

    assert (good.status_code, good.headers["location"]) == (303, "/tickets")
    assert (bad.status_code, "Login and password do not fit" in bad.text) == (401, True)


def test_a_person_without_a_password_cannot_sign_in_with_any(visit: Visit) -> None:
    for password in ("", "nobody has this password", "admin"):
        answer = visit().post(
            "/signin",
            data={"login": "admin", "password": password},
            headers={"origin": HOST},
            follow_redirects=False,
        )
        assert answer.status_code == 401


def test_guessing_is_slowed_down(visit: Visit) -> None:
    visitor = visit()

    statuses = [
        visitor.post(
            "/signin", data={"login": "admin", "password": str(n)}, headers={"origin": HOST}
        ).status_code
        for n in range(12)
    ]

    assert statuses == [401] * 10 + [429] * 2


def test_signing_out_ends_the_session_on_the_server(world: World, visit: Visit) -> None:
    clerk = visit("clerk")
    stolen = dict(clerk.cookies)

    clerk.change("/signout")

    thief = visit()
    thief.cookies.update(stolen)
    assert thief.get("/tickets", follow_redirects=False).status_code == 303
    assert world.people.sessions == {}


def test_a_disabled_person_is_out_at_once(world: World, visit: Visit) -> None:
    clerk = visit("clerk")
    person = world.people.find("clerk")
    assert person is not None

    person.active = False

    assert clerk.get("/tickets", follow_redirects=False).status_code == 303


def test_sign_in_gives_a_new_session_whatever_was_planted(world: World, visit: Visit) -> None:
    visitor = visit()
    visitor.cookies.set("forewatt-session", "planted")

    given = visitor.get("/signin/link-operator", follow_redirects=False).headers["set-cookie"]

    assert list(world.people.sessions) == ["session-1-0"]
    assert given.startswith("forewatt-session=session-1-0;")


def test_after_sign_in_nobody_is_led_to_another_site(visit: Visit) -> None:
    for next_ in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"):
        answer = visit().get(
            "/signin/link-operator", params={"next": next_}, follow_redirects=False
        )
        assert answer.headers["location"] == "/"


def test_a_new_password_must_be_long_and_typed_twice(world: World, visit: Visit) -> None:
    admin = visit("admin")

    short = admin.change("/password", password="short", again="short")
    differ = admin.change("/password", password="a long password", again="another password")
    done = admin.change("/password", password="a long password", again="a long password")

    assert [x.status_code for x in (short, differ, done)] == [422, 422, 200]
    assert "The password is set." in done.text
    person = world.people.find("admin")
    assert person is not None and (person.password_hash or "").startswith("$argon2id$")


def test_changing_a_password_needs_the_present_one(world: World, visit: Visit) -> None:
    world.people.set_password("clerk", signin.HASHER.hash("the present password"))
    clerk = visit("clerk")
    form = {"password": "a long password", "again": "a long password"}

    wrong = clerk.change("/password", current="guess", **form)
    right = clerk.change("/password", current="the present password", **form)

    assert [x.status_code for x in (wrong, right)] == [422, 200]
