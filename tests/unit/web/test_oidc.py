"""Sign-in at a real OpenID Connect provider: its word counts only when everything fits."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from grid.errors import ForewattError
from tests.unit.web.provider import CLIENT, SECRET, OidcProvider
from tests.unit.web.visitor import HOST, Visitor
from tests.unit.web.world import World
from web.app import create_app
from web.oidc import OidcSettings, Provider

ROLES = {"grid-clerks": "clerk", "grid-chiefs": "supervisor", "odd": "customer"}


@pytest.fixture(scope="module")
def running() -> Iterator[OidcProvider]:
    with OidcProvider() as made:
        yield made


@pytest.fixture
def provider(running: OidcProvider) -> Iterator[OidcProvider]:
    claims = dict(running.claims)
    yield running
    running.claims, running.wrong, running.sign_with = claims, {}, running.key


def visitor_of(provider: OidcProvider, **settings: Any) -> tuple[Visitor, World]:
    given = {"roles": ROLES, **settings}
    oidc = OidcSettings(provider.issuer, CLIENT, SECRET, "Grid Co", **given)
    world = World(oidc=oidc)
    app = create_app(world.settings)
    return Visitor(app, base_url=HOST, headers={"accept-language": "en"}), world


def sign_in(visitor: Visitor, to: str = "") -> httpx.Response:
    """What a browser does: to the provider, back with its answer."""
    away = visitor.get(f"/signin/oidc?next={to}", follow_redirects=False)
    back = httpx.get(away.headers["location"], timeout=10).headers["location"]
    parts = urlsplit(back)
    answer: httpx.Response = visitor.get(f"{parts.path}?{parts.query}", follow_redirects=False)
    return answer


def test_somebody_new_is_let_in_with_the_role_of_their_group(provider: OidcProvider) -> None:
    visitor, world = visitor_of(provider)
    assert "Sign in with Grid Co" in visitor.get("/signin").text

    answer = sign_in(visitor)

    person = world.people.find("li@grid.example")
    assert (303, "/desk") == (answer.status_code, answer.headers["location"])
    assert person is not None and ("clerk", "李新") == (person.role, person.display_name)
    assert 200 == visitor.get("/desk").status_code
    assert ("li@grid.example", "sign_in", "oidc") in world.people.audited


def test_the_role_follows_the_provider(provider: OidcProvider) -> None:
    visitor, world = visitor_of(provider)
    sign_in(visitor)
    provider.claims = {**provider.claims, "roles": ["grid-chiefs"]}

    answer = sign_in(visitor)

    assert "/quality" == answer.headers["location"]
    person = world.people.find("li@grid.example")
    assert person is not None and "supervisor" == person.role


def test_the_page_that_was_asked_for_is_opened_afterwards(provider: OidcProvider) -> None:
    visitor, _ = visitor_of(provider)

    assert "/tickets" == sign_in(visitor, "/tickets").headers["location"]
    assert "/desk" == sign_in(visitor, "//evil.example").headers["location"]


@pytest.mark.parametrize("groups", [[], ["everybody"], ["odd"], "", None, 7])
def test_without_a_group_that_gives_a_role_nobody_is_let_in(
    groups: Any, provider: OidcProvider
) -> None:
    visitor, world = visitor_of(provider)
    provider.claims = {**provider.claims, "roles": groups}
    before = len(world.people.people)

    answer = sign_in(visitor)

    assert answer.status_code in (401, 403)
    assert before == len(world.people.people)
    assert 303 == visitor.get("/desk", follow_redirects=False).status_code


def test_where_roles_are_given_here_only_known_people_come_in(provider: OidcProvider) -> None:
    visitor, world = visitor_of(provider, roles={})
    assert 403 == sign_in(visitor).status_code
    world.people.create("li@grid.example", "李新", "engineer")

    assert "/engineer" == sign_in(visitor).headers["location"]


def test_who_is_disabled_here_stays_out(provider: OidcProvider) -> None:
    visitor, world = visitor_of(provider)
    sign_in(visitor)
    world.people.disable("li@grid.example")

    assert 403 == sign_in(visitor).status_code


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"exp": int(time.time()) - 3600},
        {"nonce": "of another sign-in"},
        {"email": ""},
        {"email": None},
        {"email_verified": False},
    ],
    ids=lambda w: next(iter(w)) + "=" + str(next(iter(w.values())))[:8],
)
def test_a_token_with_one_wrong_claim_lets_nobody_in(
    wrong: dict[str, Any], provider: OidcProvider
) -> None:
    visitor, _ = visitor_of(provider)
    provider.wrong = wrong

    assert 401 == sign_in(visitor).status_code


def test_a_token_signed_by_somebody_else_lets_nobody_in(provider: OidcProvider) -> None:
    visitor, _ = visitor_of(provider)
    provider.sign_with = RSAKey.generate_key(2048, {"kid": "k1"})

    assert 401 == sign_in(visitor).status_code


def test_an_answer_to_no_sign_in_of_this_browser_is_refused(provider: OidcProvider) -> None:
    visitor, _ = visitor_of(provider)
    other, _ = visitor_of(provider)
    away = other.get("/signin/oidc", follow_redirects=False).headers["location"]
    back = urlsplit(httpx.get(away, timeout=10).headers["location"])

    planted = visitor.get(f"{back.path}?{back.query}", follow_redirects=False)
    visitor.get("/signin/oidc", follow_redirects=False)
    mixed = visitor.get(f"{back.path}?{back.query}", follow_redirects=False)
    denied = visitor.get("/signin/oidc/back?error=access_denied", follow_redirects=False)

    assert [401, 401, 401] == [planted.status_code, mixed.status_code, denied.status_code]


def test_a_provider_that_is_away_leaves_the_local_sign_in() -> None:
    gone = OidcProvider()
    visitor, _ = visitor_of(gone)

    answer = visitor.get("/signin/oidc", follow_redirects=False)

    assert 503 == answer.status_code
    assert "sign in here" in answer.text and 'name="password"' in answer.text


def test_a_provider_without_encryption_elsewhere_is_refused() -> None:
    with pytest.raises(ForewattError, match="not https"):
        Provider(OidcSettings("http://sso.example", CLIENT, SECRET))


def test_without_a_provider_there_is_no_such_door(world: World) -> None:
    visitor = Visitor(create_app(world.settings), base_url=HOST)

    assert 404 == visitor.get("/signin/oidc", follow_redirects=False).status_code
    assert "/signin/oidc" not in visitor.get("/signin").text
