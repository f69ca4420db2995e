"""Panels of lines over time as plain SVG, so that no plotting library is needed."""

from collections.abc import Iterable
from datetime import datetime, tzinfo
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Line = tuple[str, NDArray[np.int64], Floats]
"""Style class, times in microseconds, values."""
Mark = tuple[str, int]
"""Word and time of a dashed upright."""
WIDTH, PANEL, LEFT, TOP, RIGHT = 900, 150, 64, 64, 34
STYLE = """
.frame{fill:none;stroke:#999}.grid{stroke:#ddd}text{font:12px sans-serif;fill:#222}
.peer{stroke:#bbb;fill:none;stroke-width:.7}.a{stroke:#c33;fill:none}.b{stroke:#282;fill:none}
.c{stroke:#26c;fill:none}.one{stroke:#a0a;fill:none}.mark{stroke-dasharray:4 3;stroke:#333}
.title{font-size:15px;font-weight:bold}
"""


def picture(
    title: str,
    subtitle: str,
    panels: list[tuple[str, list[Line], list[Mark]]],
    span_us: tuple[int, int],
    zone: tzinfo | None,
) -> str:
    """The whole SVG: a title and panels (label, lines, marks) under each other."""
    height = TOP + len(panels) * (PANEL + 34) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}"><style>{STYLE}</style>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" class="title">{escape(title)}</text>',
        f'<text x="{LEFT}" y="42">{escape(subtitle)}</text>',
    ]
    parts += [_panel(k, *panel, span_us, zone) for k, panel in enumerate(panels)]
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    index: int,
    label: str,
    lines: list[Line],
    marks: list[Mark],
    span_us: tuple[int, int],
    zone: tzinfo | None,
) -> str:
    begin, end = span_us
    top = TOP + index * (PANEL + 34)
    values = np.concatenate([v for _, _, v in lines]) if lines else np.zeros(1)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = max((high - low) * 0.06, 0.5)
    low, high = low - margin, high + margin
    width = WIDTH - LEFT - RIGHT

    def x(t: Any) -> Any:
        return LEFT + (np.asarray(t, np.float64) - begin) / (end - begin) * width

    def y(v: Any) -> Any:
        return top + PANEL - (np.asarray(v, np.float64) - low) / (high - low) * PANEL

    parts = [f'<text x="{LEFT}" y="{top - 5}">{escape(label)}</text>']
    for value in _ticks(low, high):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + width}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"/><text x="{LEFT - 6}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value + 0.0:g}</text>'
        )
    every = 6 if end - begin < 3 * 86.4e9 else 24
    for hour in range(-(-begin // 3_600_000_000), end // 3_600_000_000 + 1):
        local = datetime.fromtimestamp(hour * 3600, zone)
        if local.hour % every == 0:
            at = float(x(hour * 3_600_000_000))
            parts.append(
                f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + PANEL}"/>'
                f'<text x="{at:.1f}" y="{top + PANEL + 14}" text-anchor="middle">'
                f"{local:%d %H:%M}</text>"
            )
    for style, times, column in lines:
        parts.append(_polyline(style, x(times), y(column)))
    line = 0
    last = -1e9
    for word, time_us in sorted(marks, key=lambda m: m[1]):
        if begin <= time_us < end:
            at = float(x(time_us))
            # Words that would lie on each other go below each other, at the edge to the left.
            line = line + 1 if at - last < 8 * len(word) + 10 else 0
            last = at
            left = at > LEFT + width - 60
            parts.append(
                f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" '
                f'y2="{top + PANEL}"/><text x="{at + (-2 if left else 2):.1f}" '
                f'y="{top + 11 + 12 * line}" text-anchor="{"end" if left else "start"}">'
                f"{escape(word)}</text>"
            )
    parts.append(f'<rect class="frame" x="{LEFT}" y="{top}" width="{width}" height="{PANEL}"/>')
    return "\n".join(parts)


def _polyline(style: str, x: Floats, y: Floats) -> str:
    """Lines that break where data is missing, at most about 170 points each.

    Style "gap" shows each missing reading.
    """
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    gaps = "gap" in style
    every = max(1, x.size // (600 if gaps else 170))
    x, y = x[::every], y[::every]
    if x.size < 2:
        return ""
    step = np.diff(x)
    cuts = np.flatnonzero(step > (1.5 if gaps else 3.0) * np.median(step)) + 1
    pieces = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    path = " ".join(
        "M" + " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(px, py, strict=True)) for px, py in pieces
    )
    return f'<path class="{style}" d="{path}"/>'


def _ticks(low: float, high: float) -> Iterable[float]:
    raw = (high - low) / 4.0
    size = 10.0 ** np.floor(np.log10(raw))
    step = size * min((s for s in (1, 2, 5, 10) if s * size >= raw), default=10)
    value = np.ceil(low / step) * step
    while value <= high:
        yield round(float(value), 6)
        value += step
