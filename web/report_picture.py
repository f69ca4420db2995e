"""An alert's evidence as one picture: what, where, why, the readings, what to do next.

Made for a crew's phone: one narrow page, large letters, no link to follow and nothing to load.
PNG, or the same as a PDF page. Draws what `web.charts` would draw; knows nothing of HTTP or SQL.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal
from unicodedata import east_asian_width

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from PIL import Image

from grid.records import Alert
from web.evidence import lines
from web.i18n import Words

Form = Literal["png", "pdf"]
FORMS: Final[tuple[Form, ...]] = ("png", "pdf")
WIDTH_IN, DPI = 5.0, 160  # 800 pixels across: a phone shows it without zooming
PANEL_IN, LINE_IN, MARGIN_IN = 2.0, 0.245, 0.3
PANELS_MAX: Final = 3
COLUMNS: Final = 62  # Latin letters a line holds; Chinese ones are twice as wide
LEGEND_IN, LEGEND_COLUMNS = 0.14, 3
# The same colours and dashes as on the pages in the light (web/static/app.css, chart.js).
LOOKS: Final[dict[str, tuple[str, str]]] = {
    "phase-a": ("#a87400", "-"),
    "phase-b": ("#1d7a46", "--"),
    "phase-c": ("#c2312b", ":"),
    "phase-n": ("#2f62a8", "-."),
    "own-1": ("#0b6b74", "-"),
    "own-2": ("#7a4fa3", "--"),
    "own-3": ("#a03c6e", ":"),
    "peer": ("#8493a1", ":"),
}
SEVERITY: Final = {"P1": "#b3261e", "P2": "#b04a00", "P3": "#7a6200", "P4": "#46627f"}
# A tick says year, month-day, month-day, hour, minute, second: whatever changes there.
FORMATS: Final = ["%Y", "%m-%d", "%m-%d", "%H:%M", "%H:%M", "%H:%M:%S"]
INK, QUIET, GRID = "#16202a", "#4d5b69", "#dfe5ea"
FACES: Final = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK JP",
    "Noto Serif CJK JP",
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the picture says, ready in the reader's language.

    `paragraphs` are (heading, text); `chart` is a chart of `web.charts`.
    """

    severity: str
    title: str
    place: str
    paragraphs: Sequence[tuple[str, str]]
    chart: Mapping[str, Any]
    foot: str


def folded(text: str, columns: int = COLUMNS) -> list[str]:
    """A text in lines; between Chinese letters a line may break anywhere.

    >>> folded("three small words", 11), folded("中性线断开", 6)
    (['three small', 'words'], ['中性线', '断开'])
    """
    pieces = re.findall(r"[\u2e80-\uffef]|[^\u2e80-\uffef\s]+\s*|\s+", text)
    lines, line, width = [], "", 0
    for piece in pieces:
        size = sum(2 if east_asian_width(c) in "WF" else 1 for c in piece.rstrip())
        if width + size > columns and line.strip():
            lines.append(line.rstrip())
            line, width = "", 0
        while len(piece) > columns:  # a word longer than a line
            lines.append(piece[:columns])
            piece = piece[columns:]
        line += piece
        width += sum(2 if east_asian_width(c) in "WF" else 1 for c in piece)
    return [*lines, line.rstrip()]


@cache
def faces() -> tuple[str, ...]:
    """Fonts of this machine that have Chinese letters, in front of the one that comes along."""
    fonts = font_manager.fontManager
    if not any(f.name in FACES for f in fonts.ttflist):
        # The list is kept between runs: a font that was installed since is not in it.
        for path in {*font_manager.findSystemFonts()} - {f.fname for f in fonts.ttflist}:
            with suppress(OSError, RuntimeError):  # a file that is no font
                fonts.addfont(path)
    known = {f.name for f in fonts.ttflist}
    return (*(f for f in FACES if f in known), "DejaVu Sans")


def chinese_can_be_drawn() -> bool:
    """Whether this machine has a font with Chinese letters."""
    return len(faces()) > 1


def draw(sheet: Sheet, form: Form) -> bytes:
    """The picture's bytes."""
    texts = [(heading, folded(text)) for heading, text in sheet.paragraphs]
    panels = sheet.chart["panels"][:PANELS_MAX]
    lines = 3.2 + sum(1.15 + len(rows) for _, rows in texts) + 1.6
    legends = [-(-len(p["lines"]) // LEGEND_COLUMNS) * LEGEND_IN for p in panels]
    height = 2 * MARGIN_IN + lines * LINE_IN + len(panels) * PANEL_IN + sum(legends)
    with mpl.rc_context({"font.family": list(faces()), "axes.unicode_minus": False}):
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        y = _text(figure, sheet, texts, height)
        for panel, legend in zip(panels, legends, strict=True):
            y -= legend
            bottom = y - PANEL_IN + 0.45
            box = (0.62 / WIDTH_IN, bottom / height, 1 - 0.85 / WIDTH_IN, (PANEL_IN - 0.6) / height)
            _panel(figure.add_axes(box), sheet.chart, panel)
            y -= PANEL_IN
        figure.text(
            MARGIN_IN / WIDTH_IN, MARGIN_IN / height / 2, sheet.foot, color=QUIET, fontsize=7
        )
        out = io.BytesIO()
        figure.savefig(out, format="png")
    if form == "png":
        return out.getvalue()
    # A picture in a page: Chinese letters then need no font on the phone that shows it.
    page = io.BytesIO()
    Image.open(out).convert("RGB").save(page, "PDF", resolution=DPI, title=sheet.title)
    return page.getvalue()


def _text(
    figure: Figure, sheet: Sheet, texts: Sequence[tuple[str, list[str]]], height: float
) -> float:
    """Title and paragraphs; returns the height in inches at which the charts begin."""
    x = MARGIN_IN / WIDTH_IN
    y = height - MARGIN_IN

    def say(text: str, size: float, colour: str = INK, weight: str = "normal") -> None:
        # `$` would begin mathematics; people's text is never that.
        figure.text(
            x, y / height, text, va="top", fontsize=size, color=colour, weight=weight,
            parse_math=False,
        )  # fmt: skip

    say(sheet.title, 14, SEVERITY.get(sheet.severity, INK), "bold")
    y -= 1.5 * LINE_IN
    say(sheet.place, 9.5, INK, "bold")
    y -= 1.5 * LINE_IN
    for heading, rows in texts:
        say(heading, 7.5, QUIET)
        y -= 0.85 * LINE_IN
        for row in rows:
            say(row, 9.5)
            y -= LINE_IN
        y -= 0.25 * LINE_IN
    return y


def _panel(axes: Axes, chart: Mapping[str, Any], panel: Mapping[str, Any]) -> None:
    """One unit's lines with limits, the judged window and the moment of the raise."""

    def at(seconds: float) -> float:
        # Days, as matplotlib counts them; the seconds are the site's wall clock already.
        return seconds / 86_400

    for line in panel["lines"]:
        colour, style = LOOKS.get(line["look"], LOOKS["own-1"])
        axes.plot(
            [at(panel["time"][k]) for k in line["at"]],
            [float("nan") if v is None else v for v in line["mean"]],
            color=colour,
            linestyle=style,
            linewidth=0.8 if line["look"] == "peer" else 1.3,
            label=_plain(line["label"]),
        )
    if chart.get("band"):
        axes.axvspan(*(at(x) for x in chart["band"]), color="#b04a00", alpha=0.12, linewidth=0)
    for limit in panel["limits"]:
        low, high = axes.get_ylim()
        if low <= limit["value"] <= high:
            axes.axhline(limit["value"], color="#b04a00", linestyle="--", linewidth=0.8)
    if chart.get("raised"):
        axes.axvline(at(chart["raised"]), color="#b3261e", linewidth=1)
    axes.set_xlim(at(chart["from"]), at(chart["to"]))
    axes.grid(color=GRID, linewidth=0.6)
    axes.tick_params(labelsize=6.5, colors=QUIET)
    locator: Any = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    form: Any = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, formats=FORMATS, show_offset=False
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(form)
    axes.set_title(panel["unit"], loc="left", fontsize=7, color=QUIET, pad=2)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.08, 1.0), ncols=LEGEND_COLUMNS, fontsize=5.5,
        frameon=False, borderpad=0, handlelength=2, columnspacing=1,
    )  # fmt: skip
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _plain(label: str) -> str:
    """A label that neither hides itself (a leading `_`) nor is read as mathematics."""
    return label.lstrip("_").replace("$", r"\$")


def words_of(t: Words, alert: Alert) -> list[tuple[str, str]]:
    """Why: the rule, its numbers, what was ruled out, what to check next."""
    e = alert.evidence
    said = lines(t, alert.fault, alert.detector, e) if e.numbers else []
    numbers = t.semicolon.join(f"{x.name} {x.value}" for x in said)
    out = [(t("alert.why"), t.pick(e.rule, e.rule_zh))]
    if numbers:
        out.append((t("report.numbers"), numbers))
    if e.next_check or e.next_check_zh:
        out.append((t("report.next"), t.pick(e.next_check, e.next_check_zh)))
    return out
