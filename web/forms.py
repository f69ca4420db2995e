"""Read what people typed: bounded, stripped, and nothing but text."""

from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from storage.desk_text import plain

TEXT_MAX = 2_000


class Fields(dict[str, str]):
    """What was typed, by field; a field that was not there is empty."""

    def __missing__(self, key: str) -> str:
        return ""


async def form_of(request: Request) -> Fields:
    """The fields of a form, each at most `TEXT_MAX` characters; files are refused."""
    form = await request.form(max_files=0, max_fields=100)
    return Fields(
        (k, plain(v, TEXT_MAX))
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


def whole(given: str | None, default: int = 0) -> int:
    """A whole number, or the default."""
    try:
        return int(given or "")
    except ValueError:
        return default


def see(path: str) -> Response:
    """After a change: go and look at it (so that reloading changes nothing again)."""
    return RedirectResponse(path, 303)
