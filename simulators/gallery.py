"""Plots of the scenario library, one SVG a story, for the eye of an engineer.

    python -m simulators.gallery docs/gallery [name ...]

A story of one fault has three panels: voltages of the devices that the truth names (grey: their
neighbours), what tells most about the kind of fault, and the transformer's load. A story of
several has one panel for each, with what tells most about it.
"""

import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.dataset import Dataset
from grid.network import Network
from grid.readings import ReadingBatch
from simulators.plot_svg import Floats, Line, Mark, picture
from simulators.scenario import SCENARIOS, simulate
from simulators.spec import FaultSpec, Scenario, load_scenario

LABELS = {
    "v": "voltage, V",
    "bus": "voltage at the busbar, V",
    "i_a": "current, A",
    "v_a_min": "lowest voltage, V",
    "t_terminal": "terminal, degC",
    "t_oil": "top oil, degC",
    "i_residual": "residual current, A",
    "i_n": "neutral current, A",
    "v_n": "neutral to earth, V",
    "p": "power, W",
    "kva": "transformer, kVA",
    "e_import": "register since the beginning, kWh",
    "late": "arrival after the measurement, h",
    "clock": "clock error, s",
    "gaps": "voltage of one meter (gaps: lost), V",
}
TELLING = {
    "momentary": "v_a_min",
    "hot_terminal": "t_terminal",
    "transformer_thermal": "t_oil",
    "transformer_overload": "t_oil",
    "insulation_leakage": "i_residual",
    "neutral_loose": "i_n",
    "neutral_broken": "v_n",
    "unbalance": "i_n",
    "outage": "bus",
    "phase_loss": "bus",
    "over_voltage": "bus",
    "under_voltage": "bus",
    "transformer_winding": "bus",
    "new_ev": "p",
    "new_pv": "p",
    "moved_out": "p",
    "meter_exchange": "e_import",
    "planned_outage": "kva",
    "joint_resistance": "i_a",
    "energy_loss": "i_a",
}
_BY_MODE = {"reset": "e_import", "drift": "clock", "backlog": "late", "missing": "gaps"}
_ALONE = {  # in a story of several faults, what shows one by itself
    "neutral_broken": "v",
    "joint_resistance": "v",
    "phase_loss": "v",
    "outage": "v",
    "transformer_overload": "kva",
}
_AT_MONITOR = ("bus", "i_n", "v_n", "i_residual", "t_oil", "kva")


def stories() -> list[str]:
    """Stories in which something happens; the demo's is the sum of others."""
    files = sorted(SCENARIOS.glob("*.toml"))
    return [p.stem for p in files if p.stem != "demo" and load_scenario(p).fault]


def draw(name: str, out: Path) -> Path:
    """Simulate one story of the library and write its picture."""
    spec = load_scenario(SCENARIOS / f"{name}.toml")
    with tempfile.TemporaryDirectory(prefix="forewatt-gallery-") as folder:
        data = Path(folder) / name
        simulate(SCENARIOS / f"{name}.toml", data)
        dataset = Dataset(data)
        whole = ReadingBatch.concat(list(dataset.batches(order="time"))).readings()
        truth = [json.loads(t) for t in (data / "truth.jsonl").read_text("utf-8").splitlines()]
        svg = _story(spec, dataset.network, whole, truth)
    target = out / f"{name}.svg"
    target.write_text(svg, encoding="utf-8")
    return target


def _story(
    spec: Scenario, network: Network, whole: ReadingBatch, truth: list[dict[str, Any]]
) -> str:
    begin = min(_us(t["onset"]) for t in truth) - 43_200_000_000
    last = spec.start_us + spec.length_us
    ends = [_us(t["cleared"]) + 10_800_000_000 if t["cleared"] else last for t in truth]
    begin, end = max(begin, spec.start_us), min(max(ends), last)
    shown = _Shown(network, whole.select((whole.time >= begin) & (whole.time < end)))
    panels: list[tuple[str, list[Line], list[Mark]]] = []
    if len(truth) == 1:
        what, fault = truth[0], spec.fault[0]
        telling = _telling(fault, alone=False)
        for quantity in ("v", telling, "kva"):
            panels.append((LABELS[quantity], shown.lines(quantity, what), _marks(what)))
        where = shown.area(what)
    else:
        for what, fault in zip(truth, spec.fault, strict=True):
            telling = _telling(fault, alone=True)
            label = f"{fault.kind} at {fault.asset}: {LABELS[telling]}"
            panels.append((label, shown.lines(telling, what), _marks(what)))
        where = f"{len(truth)} things happen"
    return picture(
        f"{spec.title.en} · {spec.title.zh}",
        f"{where}; red, green, blue: phases a, b, c; grey: neighbours",
        panels,
        (begin, end),
        spec.start.tzinfo,
    )


def _telling(fault: FaultSpec, *, alone: bool) -> str:
    if fault.mode in _BY_MODE:
        return _BY_MODE[fault.mode]
    if fault.quantity in LABELS:
        return fault.quantity
    if fault.mode == "burst":
        return "gaps"
    found = TELLING.get(fault.kind, "v" if alone else "i_a")
    return _ALONE.get(fault.kind, found) if alone else found


def _marks(what: dict[str, Any]) -> list[Mark]:
    words = ("onset", "detectable", "failure", "cleared")
    return [(word, _us(what[word])) for word in words if what[word]]


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


class _Shown:
    """Lines of a dataset's rows around what the truth names."""

    def __init__(self, network: Network, whole: ReadingBatch) -> None:
        self._network, self._whole = network, whole
        self._phase = {u.id: u.phase for u in network.usage_points}

    def area(self, what: dict[str, Any]) -> str:
        """The transformer of the first device named, else of the asset."""
        network = self._network
        for device in what["devices"]:
            found = network.transformer_of("device", device)
            if found:
                return str(found.id)
        found = network.transformer_of(what["asset_kind"], what["asset"])
        return found.id if found else network.transformers[0].id

    def lines(self, quantity: str, what: dict[str, Any]) -> list[Line]:
        """What a panel of that quantity shows of one line of the truth."""
        area = self.area(what)
        named = [d for d in what["devices"] if not d.endswith("-TM")]
        if quantity == "v":
            return self._voltages(area, set(named), peers=6)
        if quantity == "gaps":
            return [("one gap", *self._series(named[0], "v_a"))]
        monitor = f"{area}-TM"
        if quantity == "bus":
            return [
                (p, *self._series(monitor, f"v_{p}")) for p in "abc" if self._rows(monitor).size
            ]
        devices = [monitor] if quantity in _AT_MONITOR else named[:14] or [monitor]
        found = [("one", *self._series(d, quantity)) for d in devices if self._rows(d).size]
        return [line for line in found if not np.isnan(line[2]).all()]

    def _rows(self, device: str) -> NDArray[np.intp]:
        names = self._whole.names
        if device not in names:
            return np.zeros(0, np.intp)
        return np.flatnonzero(self._whole.device == names.index(device))

    def _series(self, device: str, quantity: str) -> tuple[NDArray[np.int64], Floats]:
        rows, whole = self._rows(device), self._whole
        times = whole.time[rows]
        values: NDArray[np.floating]
        if quantity == "kva":
            values = np.hypot(whole.value("p")[rows], whole.value("q")[rows]) / 1000.0
        elif quantity == "late":
            values = (whole.received[rows] - times) / 3.6e9
        elif quantity == "clock":
            known = next(d.interval_s for d in self._network.devices if d.id == device)
            interval = (known or 900.0) * 1e6
            values = (times - np.round(times / interval) * interval) / 1e6
        elif quantity == "e_import":
            values = (whole.value(quantity)[rows] - whole.value(quantity)[rows][0]) / 1000.0
        else:
            values = whole.value(quantity)[rows]
        return times, np.asarray(values, np.float64)

    def _voltages(self, area: str, named: set[str], peers: int) -> list[Line]:
        around: list[Line] = []
        concerned: list[Line] = []
        for d in self._network.devices_within("transformer", area):
            if d.kind != "meter" or d.usage_point is None:
                continue
            own = self._phase[d.usage_point]
            for k, letter in enumerate("abc" if own == "abc" else own):
                series = self._series(d.id, f"v_{'abc'[k]}")
                if d.id in named:
                    concerned.append((letter, *series))
                else:
                    around.append(("peer", *series))
        # Few enough to read: the named ones over some of their neighbours.
        return around[:peers] + concerned[:14]


def write_index(out: Path) -> Path:
    """A page of all pictures with what one should see in them, in both languages."""
    parts = [
        "# Stories of the library\n",
        "`make gallery` draws these pictures anew from `simulators/scenarios/`. Three panels:",
        "voltages of the devices that the truth names (grey: neighbours), the quantity that",
        "tells most, the transformer's load. Dashed: onset, detectable, failure, cleared.\n",
    ]
    for drawn in sorted(out.glob("*.svg")):
        spec = load_scenario(SCENARIOS / f"{drawn.stem}.toml")
        parts += [
            f"## {spec.title.en} · {spec.title.zh}\n",
            f"`{drawn.stem}.toml`: {spec.story.en.strip()}\n",
            f"{spec.story.zh.strip()}\n",
            f"![{spec.title.en}]({drawn.name})\n",
        ]
    page = out / "README.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def main(arguments: list[str]) -> None:
    """Draw the named stories, or all, and write the page that shows them."""
    out = Path(arguments[0] if arguments else "docs/gallery")
    out.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or stories():
        print(draw(name, out))
    print(write_index(out))


if __name__ == "__main__":
    main(sys.argv[1:])
