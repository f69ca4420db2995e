"""A real OpenID Connect provider on a loopback port: PKCE, signed tokens, mistakes."""

import base64
import hashlib
import secrets
import threading
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.unit.web.server import free_port
from tests.waiting import wait_for

CLIENT, SECRET = "forewatt", "a secret of both"


class OidcProvider:
    """Signs in whoever comes as `claims` say; each attribute is one thing it may do wrong."""

    def __init__(self) -> None:
        self.port = free_port()
        self.key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})
        self.sign_with = self.key
        self.claims: dict[str, Any] = {
            "sub": "u-1", "email": "Li@grid.example", "email_verified": True,
            "name": "李新", "roles": ["grid-clerks", "everybody"],
        }  # fmt: skip
        self.wrong: dict[str, Any] = {}  # claims that override the right ones
        self.codes: dict[str, dict[str, str]] = {}
        self.server = uvicorn.Server(
            uvicorn.Config(
                self._app(),
                host="127.0.0.1",
                port=self.port,
                log_config=None,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.get("/.well-known/openid-configuration")
        def discovery() -> dict[str, Any]:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            return {"keys": [self.key.as_dict(private=False)]}

        @app.get("/authorize")
        def authorize(request: Request) -> Response:
            asked = dict(request.query_params)
            assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
            assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"]
            code = secrets.token_urlsafe(12)
            self.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

        @app.post("/token")
        async def token(request: Request) -> Response:
            form = dict(await request.form())
            asked = self.codes.pop(str(form.get("code")), None)
            given = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
            if asked is None or request.headers.get("authorization") != f"Basic {given}":
                return JSONResponse({"error": "invalid_client"}, 401)
            digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if challenge != asked["code_challenge"]:
                return JSONResponse({"error": "invalid_grant"}, 400)
            now = int(time.time())
            right = {
                "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60,
                "nonce": asked["nonce"], **self.claims,
            }  # fmt: skip
            signed = jwt.encode(
                {"alg": "RS256", "kid": "k1"}, {**right, **self.wrong}, self.sign_with
            )
            return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": signed})

        return app

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        wait_for(lambda: self.server.started, 20, "the provider has started")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.should_exit = True
        self.thread.join(10)
