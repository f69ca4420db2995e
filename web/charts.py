"""Which readings show a fault, and how they become a chart: the plan by fault class, the data
of several devices on one time axis.

A chart is panels; a panel has one unit, at most eight lines of at most 2,000 points, limits and
the band that the detector judged. Phases differ by dash as well as by colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from grid.faults import FAULTS
from grid.network import Device, Network
from grid.quantities import quantity
from grid.records import Alert
from storage.series import Series
from web.doors import SeriesSource
from web.i18n import Words

POINTS_MAX: Final = 2_000
LINES_MAX: Final = 8
GAP_STEPS: Final = 2.5  # of the usual step: a longer one is a gap
SPANS: Final = {"6h": 6 * 3600, "24h": 86_400, "7d": 7 * 86_400}

# Fault class to panels of quantities; the first panel stands for "the" chart of the class.
PANELS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "neutral": (("v_a", "v_b", "v_c"), ("v_n", "i_n")),
    "voltage": (("v_a", "v_b", "v_c"),),
    "supply": (("v_a", "v_b", "v_c"),),
    "winding": (("v_a", "v_b", "v_c"), ("i_a", "i_b", "i_c")),
    "joint": (("t_terminal",), ("v_a", "v_b", "v_c"), ("i_a", "i_b", "i_c")),
    "thermal": (("t_oil", "t_winding", "t_ambient"), ("p",)),
    "unbalance": (("i_a", "i_b", "i_c", "i_n"),),
    "insulation": (("i_residual",),),
    "loss": (("p",), ("v_a", "v_b", "v_c")),
}
DEVICE_PANELS: Final = (
    ("v_a", "v_b", "v_c"),
    ("i_a", "i_b", "i_c", "i_n"),
    ("p",),
    ("v_n",),
    ("t_oil", "t_winding", "t_terminal", "t_ambient"),
    ("i_residual",),
)
# Supply voltage limits as shares of nominal: GB/T 12325 (220 V single phase) and EN 50160.
VOLTAGE_LIMITS: Final[dict[str, tuple[float, float, float]]] = {
    "CN": (220.0, 0.90, 1.07),
    "EU": (230.0, 0.90, 1.10),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One device's quantity, and what it is in the picture: its own phase or a peer."""

    device: str
    quantity: str
    look: str


def span_of(
    alert: Alert, now_us: int, asked: str | None, start_us: int | None, end_us: int | None
) -> tuple[int, int]:
    """From where to where: as asked, else the judged window with as much again before it."""
    if start_us is not None and end_us is not None and start_us < end_us:
        return start_us, end_us
    end = min(now_us, (alert.cleared_us or now_us) + 3600_000_000)
    if asked in SPANS:
        return end - SPANS[asked] * 1_000_000, end
    first = alert.evidence.window[0] or alert.raised_us - 6 * 3600_000_000
    first = min(first, alert.raised_us)
    lead = max(alert.raised_us - first, 2 * 3600_000_000)
    return max(first - lead, end - SPANS["7d"] * 1_000_000), max(end, alert.raised_us)


def lines_of(network: Network, alert: Alert, quantities: Sequence[str]) -> list[Line]:
    """The alert's own devices first, then the transformer's monitor and the named peers."""
    own = _speakers(network, [d for d in alert.devices if d in network.device_index])
    area = network.transformer_of(alert.asset_kind, alert.asset)
    monitors = [
        d.id
        for d in network.devices
        if area and d.transformer == area.id and d.kind == "transformer_monitor"
    ]
    if not own:
        own = monitors[:1]
    lines: list[Line] = []
    for device in own:
        entry = network.devices[network.device_index[device]]
        for q in reported(entry, quantities):
            lines.append(Line(device, q, _look(network, entry, q, len(lines), len(own))))
    rest = [d for d in (*monitors, *alert.evidence.peers) if d not in own]
    for device in dict.fromkeys(rest):
        i = network.device_index.get(device)
        if i is None or len(lines) >= LINES_MAX:
            continue
        names = reported(network.devices[i], quantities)
        room = LINES_MAX - len(lines)
        lines += [Line(device, q, "peer") for q in names[:room]]
    return lines[:LINES_MAX]


def _speakers(network: Network, devices: Sequence[str]) -> list[str]:
    """At most two devices a phase and four in all, so that every phase is seen."""
    taken: dict[str, int] = {}
    out: list[str] = []
    for device in devices:
        phase = phase_of(network, network.devices[network.device_index[device]])
        if taken.get(phase, 0) < 2 and len(out) < 4:
            taken[phase] = taken.get(phase, 0) + 1
            out.append(device)
    return out


def phase_of(network: Network, device: Device) -> str:
    """The network phase of a single-phase meter, "" where it has none or is not known."""
    i = network.usage_point_index.get(device.usage_point or "")
    phase = network.usage_points[i].phase if i is not None else ""
    return phase if device.wiring == "1p" and phase in ("a", "b", "c") else ""


def reported(device: Device, quantities: Sequence[str]) -> list[str]:
    """Single-phase meters report in phase A's place, whichever phase they hang on."""
    if device.wiring == "1p" and device.kind == "meter":
        return [q for q in quantities if not q.endswith(("_b", "_c"))]
    return list(quantities)


def _look(network: Network, device: Device, q: str, number: int, devices: int) -> str:
    """A phase's colour and dash where the line is a phase, else a colour of its own."""
    last = q.rsplit("_", 1)[-1]
    phase = phase_of(network, device)
    if phase and last == "a":
        return f"phase-{phase}"
    if devices == 1 and last in ("a", "b", "c", "n") and device.wiring != "1p":
        return f"phase-{last}"
    return f"own-{number % 3 + 1}"


def label_of(network: Network, line: Line, t: Words) -> str:
    """Device and quantity; of a single-phase meter the phase it hangs on instead."""
    entry = network.devices[network.device_index[line.device]]
    name = line.quantity
    if entry.wiring == "1p" and entry.kind == "meter" and name.endswith("_a"):
        phase = phase_of(network, entry)
        return f"{line.device} {phase.upper()}" if phase else line.device
    return f"{line.device} {t.word('quantity', name)}"


def panel(
    readings: SeriesSource,
    network: Network,
    lines: Sequence[Line],
    start_us: int,
    end_us: int,
    zone: ZoneInfo,
    t: Words,
    limits: Sequence[tuple[float, str]] = (),
) -> dict[str, Any] | None:
    """Lines of one unit on a common axis, ready for the browser; None without any reading.

    Times are seconds of *site* time (the zone's offset is added), so the browser needs no zone
    arithmetic while zooming.
    """
    by_device: dict[str, list[str]] = {}
    for line in lines:
        by_device.setdefault(line.device, []).append(line.quantity)
    data = {d: readings.series(d, qs, start_us, end_us, POINTS_MAX) for d, qs in by_device.items()}
    axis = _axis(list(data.values()))
    shown: list[dict[str, Any]] = []
    for line in lines:
        found = data[line.device]
        values = found.values.get(line.quantity)
        if values is None or not np.isfinite(values[1]).any():
            continue
        entry = {
            "label": label_of(network, line, t),
            "device": line.device,
            "quantity": line.quantity,
            "look": line.look,
            **sparse(axis, found.time, values[1]),
        }
        shown.append(entry)
    if not shown:
        return None
    return {
        "unit": unit(lines[0].quantity),
        "time": [int(x) for x in (axis + _offset_us(zone, start_us)) // 1_000_000],
        "lines": shown,
        "limits": [{"value": value, "label": label} for value, label in limits],
    }


def unit(name: str) -> str:
    """The unit as written on an axis."""
    return {"degC": "°C", "1": ""}.get(quantity(name).unit, quantity(name).unit)


def _axis(found: Sequence[Series]) -> NDArray[np.int64]:
    """All times of all devices, thinned to at most `POINTS_MAX`; one moment more in each gap of a
    device, so that its line has somewhere to break."""
    if not found:
        return np.empty(0, np.int64)
    axis: NDArray[np.int64] = np.empty(0, np.int64)
    for one in found:
        axis = np.union1d(axis, np.union1d(one.time, gaps_of(one.time)))
    if axis.size > POINTS_MAX:
        axis = axis[np.linspace(0, axis.size - 1, POINTS_MAX).astype(np.int64)]
    return axis


def gaps_of(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Moments at which a device should have reported and began not to."""
    if time.size < 3:
        return np.empty(0, np.int64)
    steps = np.diff(time)
    usual = np.median(steps)
    began: NDArray[np.int64] = time[:-1][steps > GAP_STEPS * usual] + np.int64(usual)
    return began


def sparse(
    axis: NDArray[np.int64], time: NDArray[np.int64], values: NDArray[np.float32]
) -> dict[str, Any]:
    """A line's values and where on the axis they stand.

    Devices report at times of their own, so between two values of one line there may be times of
    others: those are joined. A null says that the device itself missed readings: there the line
    breaks.
    """
    wanted = np.isfinite(values)
    at = np.searchsorted(axis, time)
    wanted &= (at < axis.size) & (axis[np.minimum(at, axis.size - 1)] == time)
    at, values = at[wanted], values[wanted]
    mean: list[float | None] = [round(v, 2) for v in values.tolist()]
    places: list[int] = at.tolist()
    if at.size > 2:
        steps = np.diff(axis[at])
        broken = np.flatnonzero((steps > GAP_STEPS * np.median(steps)) & (np.diff(at) > 1))
        for i in broken[::-1].tolist():
            places.insert(i + 1, places[i] + 1)
            mean.insert(i + 1, None)
    return {"at": places, "mean": mean}


def _offset_us(zone: ZoneInfo, at_us: int) -> int:
    offset = datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(zone).utcoffset()
    return int(offset.total_seconds() * 1e6) if offset else 0


def seconds(zone: ZoneInfo, us: int, reference_us: int) -> int:
    """A moment on a chart's axis (site seconds, with the offset of the chart's start)."""
    return (us + _offset_us(zone, reference_us)) // 1_000_000


def voltage_limits(
    network: Network, alert_kind: str, asset: str, country: str, t: Words
) -> list[tuple[float, str]]:
    """Lowest and highest permitted voltage at a place, with their names."""
    nominal, low, high = VOLTAGE_LIMITS.get(country, VOLTAGE_LIMITS["EU"])
    area = network.transformer_of(alert_kind, asset)
    if area and area.nominal_v:
        nominal = area.nominal_v
    return [
        (round(nominal * high, 1), t("chart.upper_limit")),
        (round(nominal * low, 1), t("chart.lower_limit")),
    ]


def alert_chart(
    readings: SeriesSource,
    network: Network,
    alert: Alert,
    start_us: int,
    end_us: int,
    zone: ZoneInfo,
    country: str,
    t: Words,
) -> dict[str, Any]:
    """The panels that show this alert, the judged band and the moment it was raised."""
    entry = FAULTS.get(alert.fault)
    wanted = PANELS.get(entry.incident_class if entry else "", (("v_a", "v_b", "v_c"),))
    if any(name.startswith("power_") for name in alert.evidence.numbers):
        # What an odd meter is odd in comes first: voltage says nothing of what it draws.
        wanted = (("p",), *(q for q in wanted if q != ("p",)))
    panels = []
    for quantities in wanted:
        for group in _by_unit(quantities):
            volts = group[0].startswith("v_") and group[0] != "v_n"
            limits = (
                voltage_limits(network, alert.asset_kind, alert.asset, country, t) if volts else ()
            )
            made = panel(
                readings,
                network,
                lines_of(network, alert, group),
                start_us,
                end_us,
                zone,
                t,
                limits,
            )
            if made:
                panels.append(made)
    window = alert.evidence.window
    return {
        "panels": panels,
        "from": seconds(zone, start_us, start_us),
        "to": seconds(zone, end_us, start_us),
        "from_us": start_us,
        "to_us": end_us,
        "band": [seconds(zone, w, start_us) for w in window] if window[1] > window[0] else None,
        "band_label": t("chart.judged"),
        "raised": seconds(zone, alert.raised_us, start_us),
        "raised_label": t("chart.raised"),
        "nothing": t("chart.nothing"),
    }


def device_chart(
    readings: SeriesSource,
    network: Network,
    device: str,
    start_us: int,
    end_us: int,
    zone: ZoneInfo,
    t: Words,
) -> dict[str, Any]:
    """Everything one device reports, a panel a unit."""
    entry = network.devices[network.device_index[device]]
    panels = []
    for quantities in DEVICE_PANELS:
        names = reported(entry, quantities)
        lines = [Line(device, q, _look(network, entry, q, i, 1)) for i, q in enumerate(names)]
        made = panel(readings, network, lines, start_us, end_us, zone, t)
        if made:
            panels.append(made)
    return {
        "panels": panels,
        "from": seconds(zone, start_us, start_us),
        "to": seconds(zone, end_us, start_us),
        "from_us": start_us,
        "to_us": end_us,
        "band": None,
        "raised": None,
        "nothing": t("chart.nothing"),
    }


def _by_unit(quantities: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for q in quantities:
        groups.setdefault(quantity(q).unit, []).append(q)
    return list(groups.values())
