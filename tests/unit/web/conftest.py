"""A town and its visitors for the pages' tests."""

import pytest

from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import World
from web.app import create_app


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """A town with its story told; a test may parametrize it with settings of its own."""
    return World(**getattr(request, "param", {}))


@pytest.fixture
def visit(world: World) -> Visit:
    """Sign somebody in by link: `visit("clerk")`; `visit()` is nobody."""
    app = create_app(world.settings)

    def sign_in(login: str = "", language: str = "en") -> Visitor:
        visitor = Visitor(app, base_url=HOST, headers={"accept-language": language})
        if login:
            visitor.get(f"/signin/link-{login}")
            page = visitor.get("/password").text
            visitor.csrf = page.partition('data-csrf="')[2].partition('"')[0]
        return visitor

    return sign_in
