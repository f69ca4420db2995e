"""Plots of the scenario library, one SVG a story, for the eye of an engineer.

    python -m simulators.gallery docs/gallery [name ...]

Three panels: voltages of the devices the truth names (grey: their neighbours on the same
transformer), what tells most about the kind of fault, and the transformer. Marks: onset,
detectable, failure, cleared. Plain SVG, so that no plotting library is needed.
"""

import json
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.dataset import Dataset
from grid.network import Network
from grid.readings import ReadingBatch
from simulators.scenario import SCENARIOS, simulate
from simulators.spec import Scenario, load_scenario

Floats = NDArray[np.float64]
Line = tuple[str, NDArray[np.int64], Floats]  # style class, times, values
WIDTH, PANEL, LEFT, TOP = 900, 150, 64, 64
TELLING = {
    "momentary": ("v_a_min", "lowest voltage, V"),
    "hot_terminal": ("t_terminal", "terminal, degC"),
    "transformer_thermal": ("t_oil", "top oil, degC"),
    "transformer_overload": ("t_oil", "top oil, degC"),
    "insulation_leakage": ("i_residual", "residual current, A"),
    "sensor_fault": ("t_oil", "top oil, degC"),
    "neutral_loose": ("i_n", "neutral current, A"),
    "neutral_broken": ("v_n", "neutral to earth, V"),
    "unbalance": ("i_n", "neutral current, A"),
    "meter_health": ("p", "power, W"),
}
_STYLE = """
.frame{fill:none;stroke:#999}.grid{stroke:#ddd}text{font:12px sans-serif;fill:#222}
.peer{stroke:#bbb;fill:none;stroke-width:.7}.a{stroke:#c33;fill:none}.b{stroke:#282;fill:none}
.c{stroke:#26c;fill:none}.one{stroke:#a0a;fill:none}.mark{stroke-dasharray:4 3;stroke:#333}
.title{font-size:15px;font-weight:bold}
"""


def draw(name: str, out: Path) -> Path:
    """Simulate one story of the library and write its picture."""
    spec = load_scenario(SCENARIOS / f"{name}.toml")
    with tempfile.TemporaryDirectory(prefix="forewatt-gallery-") as folder:
        data = Path(folder) / name
        simulate(SCENARIOS / f"{name}.toml", data)
        dataset = Dataset(data)
        whole = ReadingBatch.concat(list(dataset.batches(order="time"))).readings()
        truth = [json.loads(t) for t in (data / "truth.jsonl").read_text("utf-8").splitlines()]
        svg = _picture(spec, dataset.network, whole, truth)
    target = out / f"{name}.svg"
    target.write_text(svg, encoding="utf-8")
    return target


def _picture(
    spec: Scenario, network: Network, whole: ReadingBatch, truth: list[dict[str, Any]]
) -> str:
    begin = min([_us(t["onset"]) for t in truth], default=spec.start_us) - 43_200_000_000
    last = spec.start_us + spec.length_us
    ends = [_us(t["cleared"]) + 10_800_000_000 if t["cleared"] else last for t in truth]
    end = min(max(ends, default=last), last)
    inside = (whole.time >= begin) & (whole.time < end)
    whole = whole.select(inside)
    main = truth[0] if truth else None
    touched = [d for t in truth for d in t["devices"]][:40]
    area = _area(network, touched[0] if touched else network.devices[0].id)
    panels = [
        ("voltage, V", _voltages(network, whole, area, set(touched))),
        _telling(network, whole, area, touched, main),
        ("transformer, kVA", _load(whole, f"{area}-TM")),
    ]
    height = TOP + len(panels) * (PANEL + 34) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}"><style>{_STYLE}</style>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" class="title">{escape(spec.title.en)} · '
        f"{escape(spec.title.zh)}</text>",
        f'<text x="{LEFT}" y="42">{escape(area)}; red, green, blue: phases a, b, c; '
        "grey: not named by the truth</text>",
    ]
    for k, (label, lines) in enumerate(panels):
        parts.append(_panel(k, label, lines, begin, end, truth, spec))
    return "\n".join([*parts, "</svg>\n"])


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def _area(network: Network, device: str) -> str:
    found = network.transformer_of("device", device)
    return found.id if found else network.transformers[0].id


def _rows(whole: ReadingBatch, device: str) -> NDArray[np.intp]:
    if device not in whole.names:
        return np.zeros(0, np.intp)
    return np.flatnonzero(whole.device == whole.names.index(device))


def _voltages(network: Network, whole: ReadingBatch, area: str, touched: set[str]) -> list[Line]:
    lines: list[Line] = []
    phase = {u.id: u.phase for u in network.usage_points}
    for d in network.devices_within("transformer", area):
        if d.kind != "meter" or d.usage_point is None:
            continue
        rows = _rows(whole, d.id)
        own = phase[d.usage_point]
        for k, letter in enumerate("abc" if own == "abc" else own):
            style = letter if d.id in touched else "peer"
            values = np.asarray(whole.value(f"v_{'abc'[k]}")[rows], np.float64)
            lines.append((style, whole.time[rows], values))
    # Few enough to read: the named ones over some of their neighbours.
    peers = [line for line in lines if line[0] == "peer"]
    named = [line for line in lines if line[0] != "peer"]
    return peers[:6] + named[:14]


def _telling(
    network: Network,
    whole: ReadingBatch,
    area: str,
    touched: list[str],
    main: dict[str, Any] | None,
) -> tuple[str, list[Line]]:
    kind = main["fault"] if main else ""
    quantity, label = TELLING.get(kind, ("i_a", "current, A"))
    column = whole.value(quantity)
    devices = [*(d for d in touched if not d.endswith("-TM")), f"{area}-TM"]
    lines: list[Line] = []
    for d in devices:
        rows = _rows(whole, d)
        values = np.asarray(column[rows], np.float64)
        if rows.size and not np.isnan(values).all():
            lines.append(("one", whole.time[rows], values))
    meters = [line for line, d in zip(lines, devices, strict=False) if not d.endswith("-TM")]
    return label, meters if quantity == "i_a" and meters else lines


def _load(whole: ReadingBatch, monitor: str) -> list[Line]:
    rows = _rows(whole, monitor)
    kva = np.hypot(whole.value("p")[rows], whole.value("q")[rows]) / 1000.0
    return [("one", whole.time[rows], np.asarray(kva, np.float64))]


def _panel(
    index: int,
    label: str,
    lines: list[Line],
    begin: int,
    end: int,
    truth: list[dict[str, Any]],
    spec: Scenario,
) -> str:
    top = TOP + index * (PANEL + 34)
    values = np.concatenate([v for _, _, v in lines]) if lines else np.zeros(1)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = max((high - low) * 0.06, 0.5)
    low, high = low - margin, high + margin
    width = WIDTH - LEFT - 14

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
    zone = spec.start.tzinfo
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
    for t in truth:
        for word in ("onset", "detectable", "failure", "cleared"):
            if t[word] and begin <= _us(t[word]) < end:
                at = float(x(_us(t[word])))
                text = (
                    f'<text x="{at + 2:.1f}" y="{top + 11}">{word}</text>'
                    if len(truth) == 1
                    else ""
                )
                parts.append(
                    f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" '
                    f'y2="{top + PANEL}"/>{text}'
                )
    parts.append(f'<rect class="frame" x="{LEFT}" y="{top}" width="{width}" height="{PANEL}"/>')
    return "\n".join(parts)


def _polyline(style: str, x: Floats, y: Floats) -> str:
    """Lines that break where data is missing, at most about 170 points each."""
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    every = max(1, x.size // 170)
    x, y = x[::every], y[::every]
    if x.size < 2:
        return ""
    step = np.diff(x)
    cuts = np.flatnonzero(step > 3.0 * np.median(step)) + 1
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


def main(arguments: list[str]) -> None:
    """Draw the named stories, or all."""
    out = Path(arguments[0] if arguments else "docs/gallery")
    out.mkdir(parents=True, exist_ok=True)
    skipped = {"demo", "quiet", "quiet_month"}
    names = arguments[1:] or [p.stem for p in sorted(SCENARIOS.glob("*.toml"))]
    for name in names:
        if arguments[1:] or name not in skipped:
            print(draw(name, out))


if __name__ == "__main__":
    main(sys.argv[1:])
