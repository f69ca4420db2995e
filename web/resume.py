"""What somebody typed into a form after their session had ended: kept on the page they get instead.

The sign-in page carries the fields; after sign-in they are shown and sent again with one key. Only
a page of ours can begin this (the guard has checked the Origin), and nothing is stored.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from web.forms import TEXT_MAX, Fields

PREFIX: Final = "kept:"
FIELDS_MAX: Final = 60
# A password is typed again; a form token belonged to the session that has ended.
NEVER: Final = frozenset({"password", "again", "current", "_csrf"})


async def typed_of(request: Request, bytes_max: int) -> Fields | None:
    """The fields of a plain form; None for what is none, or is too large to be carried."""
    kind = request.headers.get("content-type", "")
    if request.method != "POST" or not kind.startswith("application/x-www-form-urlencoded"):
        return None
    if not request.headers.get("content-length", "").isdecimal():
        return None
    if int(request.headers["content-length"]) > bytes_max:
        return None
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > bytes_max:
                return None
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except (ClientDisconnect, ValueError):
        return None
    return Fields((k, v[:TEXT_MAX]) for k, v in pairs if k not in NEVER)


def carried(form: Fields) -> Fields:
    """The fields that a sign-in page has carried along."""
    return Fields(unprefixed(form.items()))


def unprefixed(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Only what was kept, under its own names.

    >>> unprefixed([("login", "li"), ("kept:text", "no light")])
    [('text', 'no light')]
    """
    return [(k.removeprefix(PREFIX), v) for k, v in items if k.startswith(PREFIX)]
