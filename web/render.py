"""Turn values into pages: Jinja with autoescape, words of the reader, times of the site.

Times come in as microseconds UTC and are shown in the site's zone, absolute first; an age is an
addition, never a replacement.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from web import policy
from web.bad_input import said
from web.i18n import LANGUAGES, Language, Words, choose, words
from web.rehearsal import realm_of
from web.settings import WebSettings
from web.viewer import Viewer, viewer_of

HERE: Final = Path(__file__).parent
LANGUAGE_COOKIE: Final = "forewatt-language"


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a text is made: language, zone and the site's present time."""

    t: Words
    zone: ZoneInfo
    now_us: int

    def local(self, us: int) -> datetime:
        return datetime.fromtimestamp(us / 1e6, UTC).astimezone(self.zone)

    def clock(self, us: int | None, seconds: bool = False) -> str:
        """`14:02` today, `11-20 14:02` this year, else with the year; a time beyond the calendar
        as it is kept, because one wrong time must not take the page with it."""
        if us is None:
            return "–"
        try:
            at, now = self.local(us), self.local(self.now_us)
        except (ValueError, OverflowError, OSError):
            return f"{us} µs"
        form = "%H:%M:%S" if seconds else "%H:%M"
        if at.date() != now.date():
            form = ("%m-%d " if at.year == now.year else "%Y-%m-%d ") + form
        return at.strftime(form)

    def time(self, us: int | None, seconds: bool = False) -> Markup:
        """A `<time>` element: readable by people, exact for programs."""
        if us is None:
            return Markup("–")
        try:
            iso = datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")
            full = self.local(us).strftime("%Y-%m-%d %H:%M:%S %Z")
        except (ValueError, OverflowError, OSError):
            return Markup("{} µs").format(us)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            iso, full, self.clock(us, seconds)
        )

    def ago(self, us: int | None) -> Markup:
        """An age that the browser keeps up to date."""
        if us is None:
            return Markup("")
        return Markup('<span class="age" data-since="{}">{}</span>').format(
            us, self.duration((self.now_us - us) / 1e6)
        )

    def duration(self, seconds: float | None) -> str:
        """Two units at most: `12 min`, `3 h 12 min`, `2 d 4 h`."""
        if seconds is None:
            return "–"
        s = max(0, int(seconds))
        if s < 60:
            return self.t("unit.s", n=s)
        if s < 3600:
            return self.t("unit.min", n=s // 60)
        if s < 86_400:
            hours, minutes = s // 3600, s % 3600 // 60
            head = self.t("unit.h", n=hours)
            return f"{head} {self.t('unit.min', n=minutes)}" if minutes else head
        days, hours = s // 86_400, s % 86_400 // 3600
        head = self.t("unit.d", n=days)
        return f"{head} {self.t('unit.h', n=hours)}" if hours and days < 7 else head


def number(value: object) -> str:
    """A figure with as many digits as help.

    >>> [number(x) for x in (231.42, 0.12, 0.0314159, 20000, None, float("nan"))]
    ['231.4', '0.12', '0.03142', '20,000', '–', '–']
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    places = 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.1 else 5
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if places > 1 else text


def spoken(texts: Iterable[str], language: str) -> list[str]:
    """Texts that exist in one language only, for readers of that language."""
    chinese = language == "zh-CN"
    return [t for t in texts if chinese == any("\u4e00" <= c <= "\u9fff" for c in t)]


def _address(request: Request) -> str:
    """Where the page can be opened again; a form's answer, at the page that the form stood on."""
    url = request.url
    if request.method == "POST":
        url = URL(request.headers.get("referer", ""))
        if url.netloc != request.headers.get("host"):
            return "/"
    return f"{url.path}?{url.query}" if url.query else url.path


class Renderer:
    """Templates and static files of `web/`, for one site."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self.zone = ZoneInfo(settings.time_zone)
        self._versions: dict[str, str] = {}
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.filters.update(number=number, spoken=spoken)
        self.environment.globals.update(
            static=self.static_url,
            policy=policy,
            LANGUAGES=LANGUAGES,
            site=settings,
            bad_input=said,
        )

    def static_url(self, name: str) -> str:
        """The address of a static file; it changes with the content."""
        if name not in self._versions:
            content = (HERE / "static" / name).read_bytes()
            self._versions[name] = hashlib.sha256(content).hexdigest()[:10]
        return f"/static/{name}?v={self._versions[name]}"

    @cached_property
    def vendored(self) -> bool:
        """Whether the browser libraries have been fetched (`make web`)."""
        return (HERE / "static" / "vendor" / "htmx.min.js").exists()

    def reader(self, language: Language) -> Reader:
        """The reader of a language, now."""
        return Reader(words(language), self.zone, self.settings.clock.now_us())

    def language(self, request: Request) -> Language:
        """The reader's choice, else the browser's, else the site's."""
        asked = request.cookies.get(LANGUAGE_COOKIE)
        accept = request.headers.get("accept-language", "")
        return choose(asked, accept, self.settings.language)

    def html(self, template: str, reader: Reader, viewer: Viewer, **values: Any) -> str:
        """One template, for pages and for the live stream alike."""
        return self.environment.get_template(template).render(
            t=reader.t, r=reader, viewer=viewer, **values
        )

    def page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
    ) -> Response:
        """A page for this request; `partial` is true when htmx asks for a part only."""
        return HTMLResponse(self.text(request, template, values), status)

    def text(
        self, request: Request, template: str, values: Mapping[str, Any] | None = None
    ) -> Markup:
        """A template for this request's reader and viewer."""
        made = self.html(
            template,
            self.reader(self.language(request)),
            viewer_of(request),
            path=request.url.path,
            here=_address(request),
            partial=request.headers.get("hx-request") == "true",
            vendored=self.vendored,
            rehearsing=realm_of(request, self.settings.cookie),
            **(values or {}),
        )
        return Markup(made)
