"""Signed links: a right that travels in an address, needs no account, and ends by itself.

A link carries its facts in the open and a signature of the site's secret over them, so nothing
is stored; what it opens is checked against the ticket each time it is used.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

LENGTH_MAX: Final = 1_000
_SIGNATURE_BYTES: Final = 24


def sign(secret: bytes, purpose: str, facts: Mapping[str, Any], until_s: float) -> str:
    """A token for an address; `until_s` is its end, seconds of real time since 1970."""
    body = json.dumps({**facts, "until": int(until_s)}, ensure_ascii=False, sort_keys=True)
    raw = body.encode()
    return f"{_text(raw)}.{_text(_signature(secret, purpose, raw))}"


def read(
    secret: bytes, purpose: str, token: str, *, now: Callable[[], float] = time.time
) -> dict[str, Any] | None:
    """The facts of a token; None if it was not signed here for this purpose, or has ended.

    >>> token = sign(b"s", "crew", {"ticket": 3}, 100)
    >>> read(b"s", "crew", token, now=lambda: 99.0)["ticket"]
    3
    >>> read(b"s", "crew", token, now=lambda: 101.0), read(b"x", "crew", token, now=lambda: 0.0)
    (None, None)
    """
    body, _, signature = token.partition(".")
    if len(token) > LENGTH_MAX:
        return None
    try:
        raw, given = _bytes(body), _bytes(signature)
    except (ValueError, binascii.Error):
        return None
    if not hmac.compare_digest(given, _signature(secret, purpose, raw)):
        return None
    facts: dict[str, Any] = json.loads(raw)
    return facts if facts["until"] > now() else None


def _signature(secret: bytes, purpose: str, raw: bytes) -> bytes:
    key = hmac.digest(secret, b"forewatt:" + purpose.encode(), hashlib.sha256)
    return hmac.digest(key, raw, hashlib.sha256)[:_SIGNATURE_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
