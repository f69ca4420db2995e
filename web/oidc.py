"""Sign-in at the organisation's own provider: OpenID Connect, authorization code with PKCE.

Receives what the provider says and hands on an identity that was checked: signature by the
provider's published keys, issuer, audience, time and the nonce of this very sign-in. Knows nothing
of people or sessions.
"""

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from grid.errors import ForewattError

ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
DISCOVERY: Final = "/.well-known/openid-configuration"
TIMEOUT_S: Final = 10.0
KEEP_S: Final = 3600.0
LEEWAY_S: Final = 60
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class ProviderFailed(ForewattError):
    """The provider did not answer as it should; the log says how."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One provider.

    issuer : its address, https except on this machine
    name : what the button says
    login_claim : whose value is the login here
    roles_claim, roles : claim that names groups or roles, and which role each of them gives. With
        `roles`, somebody new is let in and roles follow the provider; without, only people who
        are known here
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str = "OpenID Connect"
    login_claim: str = "email"
    roles_claim: str = "roles"
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """Where to send the browser, and what must be remembered until it comes back."""

    address: str
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is for the provider; `role` None if no group of theirs gives one."""

    login: str
    name: str
    role: str | None


class Provider:
    """The provider of a site; its metadata and keys are asked for once an hour."""

    def __init__(self, settings: OidcSettings) -> None:
        parts = urlsplit(settings.issuer)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ForewattError(
                f"[oidc] issuer {settings.issuer} is not https; what it says could be forged"
            )
        self.settings = settings
        self._lock = threading.Lock()
        self._known: tuple[float, Mapping[str, Any], KeySet] | None = None

    def start(self, redirect_uri: str) -> Start:
        """Begin a sign-in; ProviderFailed when the provider does not answer."""
        metadata, _ = self._metadata()
        nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        with self._session() as session:
            client = self._client(session, redirect_uri)
            address, state = client.create_authorization_url(
                metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
            )
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "redirect": redirect_uri}
        return Start(address, kept)

    def finish(self, answer: Mapping[str, str], kept: Mapping[str, Any]) -> Identity:
        """Who has come back; ProviderFailed for an answer that is not to this sign-in."""
        if not answer.get("code") or answer.get("state") != kept["state"]:
            raise ProviderFailed(f"not the answer to this sign-in: {answer.get('error', '')}")
        metadata, keys = self._metadata()
        try:
            with self._session() as session:
                token = self._client(session, kept["redirect"]).fetch_token(
                    metadata["token_endpoint"],
                    auth=(self.settings.client_id, self.settings.client_secret),
                    code=answer["code"],
                    code_verifier=kept["verifier"],
                )
            claims = self._checked(str(token["id_token"]), keys, str(kept["nonce"]))
        except (AuthlibBaseError, JoseError, httpx.HTTPError, KeyError, ValueError) as e:
            raise ProviderFailed(f"the provider's token cannot be used: {e!r}") from e
        return self._identity(claims)

    def _checked(self, id_token: str, keys: KeySet, nonce: str) -> dict[str, Any]:
        decoded = jwt.decode(id_token, keys, algorithms=ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(decoded.claims)
        return dict(decoded.claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        s = self.settings
        login = claims.get(s.login_claim)
        if not isinstance(login, str) or not login.strip():
            raise ProviderFailed(f"the token has no claim '{s.login_claim}'")
        if s.login_claim == "email" and claims.get("email_verified") is False:
            raise ProviderFailed("the provider has not verified this e-mail address")
        groups = claims.get(s.roles_claim)
        named = groups if isinstance(groups, list) else [groups]
        role = next((r for group, r in s.roles.items() if group in named), None)
        return Identity(login.strip().lower(), str(claims.get("name") or login), role)

    # -- the provider's own words -------------------------------------------------------------

    def _session(self) -> httpx.Client:
        return httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)

    def _client(self, session: httpx.Client, redirect_uri: str) -> Any:
        return OAuth2Client(
            session,
            client_id=self.settings.client_id,
            redirect_uri=redirect_uri,
            scope="openid profile email",
            code_challenge_method="S256",
        )

    def _metadata(self) -> tuple[Mapping[str, Any], KeySet]:
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > KEEP_S:
                self._known = (time.monotonic(), *self._ask())
            return self._known[1], self._known[2]

    def _ask(self) -> tuple[Mapping[str, Any], KeySet]:
        issuer = self.settings.issuer
        try:
            with self._session() as session:
                found = session.get(issuer.rstrip("/") + DISCOVERY).raise_for_status().json()
                if found["issuer"] != issuer:
                    raise ProviderFailed(f"the provider calls itself {found['issuer']}")
                keys = session.get(found["jwks_uri"]).raise_for_status().json()
            return found, KeySet.import_key_set(keys)
        except (httpx.HTTPError, KeyError, TypeError, ValueError, JoseError) as e:
            raise ProviderFailed(f"the provider {issuer} does not answer: {e!r}") from e
