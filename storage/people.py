"""People and their ways in: passwords (hashed by `web`), sessions, sign-in links, tokens, audit.

A secret is made here, given out once and kept only as its SHA-256; it has 256 random bits, so a
slow hash would add nothing. People belong to the site, not to a realm.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.rows import class_row

from grid.errors import BadInput
from storage.database import Database
from storage.desk_text import nameable, plain
from storage.ledger_rows import json
from storage.queries import queries

ROLES: Final = (
    "read_only",
    "operator",
    "clerk",
    "dispatcher",
    "engineer",
    "admin",
    "customer",
    "crew",
    "supervisor",
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in; `account` is the customer's own, `team` that of a crew."""

    id: int
    login: str
    display_name: str
    role: str
    account: str | None
    language: str
    active: bool
    password_hash: str | None = field(default=None, repr=False)
    team: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit; real time, microseconds UTC."""

    id: int
    at_us: int
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]


class People:
    """The people of a site. Every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("people")

    def _one(self, name: str, given: Sequence[Any] | Mapping[str, Any]) -> Person | None:
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Person)) as cursor,
        ):
            return cursor.execute(self._queries[name], given).fetchone()

    def _do(self, name: str, given: Sequence[Any]) -> int:
        with self._database.connection() as connection:
            return connection.execute(self._queries[name], given).rowcount

    # -- who -------------------------------------------------------------------------------

    def create(
        self,
        login: str,
        display_name: str,
        role: str,
        password_hash: str | None = None,
        *,
        account: str | None = None,
        language: str = "zh-CN",
        team: str | None = None,
    ) -> Person:
        """A new person; BadInput if the login is taken or the role unknown."""
        if role not in ROLES:
            raise BadInput(f"there is no role '{role}'", fix=f"use one of {', '.join(ROLES)}")
        if (role == "customer") != (account is not None):
            raise BadInput(
                "a customer has an account, staff has none", fix="give account for role customer"
            )
        if (role == "crew") != (team is not None):
            raise BadInput("a crew has a team, nobody else has", fix="give team for role crew")
        name = plain(display_name, 200)
        given = [_login(login), name, role, account, language, password_hash, team]
        made = self._one("create", given)
        if made is None:
            raise BadInput(f"the login '{login}' is taken", fix="choose another")
        return made

    def find(self, login: str) -> Person | None:
        """The person with that login, active or not."""
        return self._one("by_login", [login.strip().lower()]) if nameable(login) else None

    def get(self, person_id: int) -> Person | None:
        """The person with that id."""
        return self._one("by_id", [person_id])

    def list(self) -> list[Person]:
        """Everybody, by login."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Person)) as cursor,
        ):
            return cursor.execute(self._queries["all"]).fetchall()

    def any(self) -> bool:
        """Whether anybody can sign in yet."""
        with self._database.connection() as connection:
            row = connection.execute(self._queries["any"]).fetchone()
        return bool(row and row[0])

    def set_password(self, login: str, password_hash: str) -> Person:
        """Keep the hash of a new password, and sign the person out everywhere."""
        return self._changed(login, sign_out=True, password_hash=password_hash)

    def change(
        self,
        login: str,
        *,
        display_name: str | None = None,
        role: str | None = None,
        language: str | None = None,
    ) -> Person:
        """Change what is given; another role signs the person out everywhere."""
        if role is not None and role not in ROLES:
            raise BadInput(f"there is no role '{role}'", fix=f"use one of {', '.join(ROLES)}")
        return self._changed(
            login,
            sign_out=role is not None,
            display_name=display_name,
            role=role,
            language=language,
        )

    def disable(self, login: str) -> Person:
        """No sign-in any more; what the person has done stays."""
        return self._changed(login, sign_out=True, active=False)

    def enable(self, login: str) -> Person:
        """Sign-in again."""
        return self._changed(login, sign_out=False, active=True)

    def _changed(self, login: str, *, sign_out: bool, **values: Any) -> Person:
        names = ("display_name", "role", "language", "active", "password_hash")
        given = {name: values.get(name) for name in names}
        if given["display_name"] is not None:
            given["display_name"] = plain(given["display_name"], 200)
        made = None
        if nameable(login):
            made = self._one("change", {"login": login.strip().lower(), **given})
        if made is None:
            raise BadInput(f"nobody has the login '{login}'", fix="list people, then try again")
        if sign_out:
            self.close_sessions(made.id)
        return made

    # -- ways in ---------------------------------------------------------------------------

    def open_session(self, person_id: int, lifetime_s: float, *, user_agent: str = "") -> str:
        """A new session; the token for the cookie, of which only the hash is kept."""
        token = secrets.token_urlsafe(32)
        self._do("open_session", [_hash(token), person_id, lifetime_s, plain(user_agent, 300)])
        return token

    def session(self, token: str) -> Person | None:
        """Who a session token stands for; None if it expired or the person is disabled."""
        return self._one("session", [_hash(token)])

    def session_roles(self, tokens: Sequence[str]) -> dict[str, str]:
        """The roles that many session tokens stand for; absent where `session` says None."""
        hashes = {_hash(token): token for token in tokens}
        with self._database.connection() as connection:
            found = connection.execute(self._queries["session_roles"], [list(hashes)]).fetchall()
        return {hashes[bytes(h)]: role for h, role in found}

    def close_session(self, token: str) -> None:
        """Sign out."""
        self._do("close_session", [_hash(token)])

    def close_sessions(self, person_id: int) -> int:
        """Sign a person out everywhere; how many sessions that ended."""
        return self._do("close_sessions", [person_id])

    def drop_expired(self) -> int:
        """Forget sessions and links that have had their time."""
        with self._database.connection() as connection:
            row = connection.execute(self._queries["drop_expired"]).fetchone()
        return int(row[0]) if row else 0

    def sign_in_link(self, person_id: int, lifetime_s: float, uses: int | None = None) -> str:
        """A token for a sign-in link, good for a time and, if given, so many uses."""
        token = secrets.token_urlsafe(32)
        self._do("add_link", [_hash(token), person_id, lifetime_s, uses])
        return token

    def use_link(self, token: str) -> Person | None:
        """Who a link signs in; counts the use. None if it is no longer good."""
        return self._one("use_link", [_hash(token)])

    def api_token(self, person_id: int, name: str, lifetime_s: float | None = None) -> str:
        """A bearer token for programs; BadInput if the name is taken."""
        token = "fw_" + secrets.token_urlsafe(32)
        given = [_hash(token), person_id, name, lifetime_s, lifetime_s]
        if not self._do("add_token", given):
            raise BadInput(f"there is a token named '{name}'", fix="revoke it or name another")
        return token

    def bearer(self, token: str) -> Person | None:
        """Who a bearer token stands for; None if it is no longer good."""
        return self._one("bearer", [_hash(token)])

    def revoke_token(self, name: str) -> bool:
        """End a token; False if there was none of that name."""
        return self._do("revoke_token", [name]) > 0

    # -- audit -----------------------------------------------------------------------------

    def audit(
        self, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Note who did what to whom: sign-ins, reveals of masked data, exports, settings."""
        given = [plain(text) for text in (actor, action, subject)]
        self._do("audit", [*given, json(dict(detail or {}))])

    def audit_entries(
        self, limit: int = 100, *, subject: str | None = None, before: int | None = None
    ) -> Sequence[AuditEntry]:
        """The audit, newest first; `before` is the last id of the page above."""
        given = {"limit": limit, "subject": subject, "before": before}
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(AuditEntry)) as cursor,
        ):
            return cursor.execute(self._queries["audit_entries"], given).fetchall()


def _login(text: str) -> str:
    login = text.strip().lower()
    odd = any(c.isspace() or not c.isprintable() for c in login)
    if not login or odd or len(login) > 100:
        raise BadInput(f"'{text}' cannot be a login", fix="use letters and digits without spaces")
    return login


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
