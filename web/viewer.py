"""Who looks at the page: the person behind a session or a bearer token, or nobody."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal, cast

from starlette.requests import Request

from alerts.roles import Actor, Role
from web.doors import PersonView
from web.policy import Right, may

NO_ROLE: Final = cast(Role, "")
Via = Literal["nobody", "session", "bearer"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person with a role; `via` says how the request proved it.

    `csrf` belongs to the session and must come back with every change a browser makes; a request
    with a bearer token needs none, because no browser attaches one by itself. The pages of a drill
    have a token of their own, so that no form of theirs can change the grid; `site_csrf` is good
    for what stays the site's even there (signing out).
    """

    login: str = ""
    name: str = ""
    role: Role = NO_ROLE
    via: Via = "nobody"
    csrf: str = ""
    site_csrf: str = ""
    team: str | None = None

    @property
    def signed_in(self) -> bool:
        return self.via != "nobody"

    @property
    def actor(self) -> Actor:
        """The person as alerts and tickets know them."""
        return Actor(self.name or self.login, self.role, self.team)

    def may(self, right: Right) -> bool:
        """Whether the role has this right."""
        return may(self.role, right)


NOBODY = Viewer()


def viewer_for(person: PersonView | None, via: Via, csrf: str = "", site_csrf: str = "") -> Viewer:
    """The viewer that a person is; nobody for one who may not come in."""
    if person is None or not person.active:
        return NOBODY
    role = cast(Role, person.role)
    name = person.display_name
    return Viewer(person.login, name, role, via, csrf, site_csrf or csrf, person.team)


def csrf_of(session_token: str) -> str:
    """The form token of a session: a hash of its secret, so it needs no store of its own.

    >>> csrf_of("a") != csrf_of("b"), len(csrf_of("a"))
    (True, 32)
    """
    return hashlib.sha256(b"forewatt-form:" + session_token.encode()).hexdigest()[:32]


def viewer_of(request: Request) -> Viewer:
    """The viewer that the guard found for this request."""
    return cast(Viewer, request.scope.get("forewatt.viewer", NOBODY))
