"""Read what people typed: bounded, stripped, and nothing but text."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from storage.desk_text import plain

TEXT_MAX = 2_000


class Fields(dict[str, str]):
    """What was typed, by field; a field that was not there is empty."""

    def __missing__(self, key: str) -> str:
        return ""


async def form_of(request: Request, text_max: int = TEXT_MAX) -> Fields:
    """The fields of a form, each at most `text_max` characters; files are refused."""
    form = await request.form(max_files=0, max_fields=100)
    return Fields(
        (k, plain(v, text_max))
        for k, v in form.multi_items()
        if isinstance(v, str) and k != "_csrf"
    )


def local_path(given: str | None, default: str = "/") -> str:
    r"""A path of this site, never an address elsewhere.

    >>> local_path("/tickets/3"), local_path("//evil.example"), local_path("/\\evil.example")
    ('/tickets/3', '/', '/')
    """
    if not given or not given.startswith("/") or given[1:2] in ("/", "\\"):
        return default
    return default if any(ord(c) < 32 for c in given) else given


def site_time_us(given: str, zone: ZoneInfo) -> int | None:
    """A `datetime-local` field in the site's zone as microseconds UTC; None if it is no time.

    >>> site_time_us("2026-11-22T08:00", ZoneInfo("UTC"))
    1795334400000000
    """
    try:
        at = datetime.fromisoformat(given)
        if at.tzinfo is None:
            at = at.replace(tzinfo=zone)
        return int(at.timestamp() * 1e6)
    except (ValueError, OverflowError):
        return None


_SAID = re.compile(
    r"(?P<day>昨天|昨|yesterday)?\s*(?P<h>2[0-3]|[01]?\d)\s*(?:[:.点时h]?\s*(?P<m>[0-5]\d))?"
)


def said_time_us(given: str, now_us: int, zone: ZoneInfo) -> int | None:
    """The last moment before now that somebody means by "8", "19:30", "0830" or "昨天8点".

    >>> utc = ZoneInfo("UTC")
    >>> noon = site_time_us("2026-11-22T12:00", utc)
    >>> [(noon - said_time_us(x, noon, utc)) // 60_000_000 for x in ("8", "1130", "21:15")]
    [240, 30, 885]
    >>> said_time_us("soon", noon, utc) is None
    True
    """
    found = _SAID.search(given)
    if found is None:
        return None
    now = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(zone)
    at = now.replace(hour=int(found["h"]), minute=int(found["m"] or 0), second=0, microsecond=0)
    if found["day"] or at > now:
        at -= timedelta(days=1)
    return int(at.timestamp() * 1e6)


def whole(given: str | None, default: int = 0) -> int:
    """A whole number, or the default."""
    try:
        return int(given or "")
    except ValueError:
        return default


def see(path: str) -> Response:
    """After a change: go and look at it (so that reloading changes nothing again)."""
    return RedirectResponse(path, 303)
