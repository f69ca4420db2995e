"""One replay as a chart: phases, peers, scores, alerts of both sides and truth on one time axis.

The readings come out of the trial's own folder through the same panels as those of the live site,
so what an engineer sees here looks as it does for an operator.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert, Evidence
from web.charts import LINES_MAX, POINTS_MAX, alert_chart, device_chart, seconds, sparse
from web.i18n import Words
from web.trial_doors import TrialView

MARKS_MAX: Final = 200
SIDES: Final = ("a", "b")
Line = Mapping[str, Any]


def us(text: str | None) -> int | None:
    """A time of a public line in microseconds UTC."""
    return None if not text else round(datetime.fromisoformat(text).timestamp() * 1e6)


def alert_of(line: Line) -> Alert:
    """An alert as the charts of the live site know it, out of its public line."""
    e = line.get("evidence") or {}
    window = [us(w) or 0 for w in e.get("window") or ("", "")]
    raised = us(line["raised"]) or 0
    return Alert(
        id=line["id"],
        fault=line["fault"],
        asset_kind=line["asset_kind"],
        asset=line["asset"],
        severity=line["severity"],
        raised_us=raised,
        known_us=us(line.get("known")) or raised,
        score=line.get("score") or 0.0,
        devices=tuple(line.get("devices") or ()),
        evidence=Evidence(
            e.get("rule", ""),
            e.get("rule_zh", ""),
            e.get("numbers") or {},
            e.get("limit"),
            (window[0], window[1]),
            tuple(e.get("peers") or ()),
            tuple(e.get("excluded") or ()),
            e.get("next_check") or "",
            e.get("next_check_zh") or "",
        ),
        cleared_us=us(line.get("cleared")),
        ticket=bool(line.get("ticket")),
    )


def place_as_alert(network: Network, fault: str, kind: str, asset: str, at_us: int) -> Alert:
    """A place of which nobody has raised anything, drawn as if somebody had."""
    points = {p.id for p in network.usage_points_within(kind, asset)}
    devices = [d.id for d in network.devices if d.usage_point in points]
    if kind == "device":
        devices = [asset]
    return Alert(
        id="",
        fault=fault,
        asset_kind=kind,
        asset=asset,
        severity="P3",
        raised_us=at_us,
        known_us=at_us,
        score=0.0,
        devices=tuple(devices),
        evidence=Evidence("", "", window=(at_us, at_us)),
    )


def near(network: Network, kind: str, asset: str) -> set[str]:
    """Ids of everything in the same low-voltage area, devices too; of a feeder itself alone."""
    area = network.transformer_of(kind, asset)
    if area is None:
        return {asset}
    nodes = network.within("transformer", area.id)
    names = {network.asset_of(n)[1] for n in nodes}
    devices = {d.id for d in network.devices if d.transformer == area.id or d.usage_point in names}
    return names | devices | {asset}


def trial_chart(
    view: TrialView,
    alert: Alert,
    devices: Sequence[str],
    start_us: int,
    end_us: int,
    zone: ZoneInfo,
    country: str,
    t: Words,
    labels: Sequence[Line],
) -> dict[str, Any]:
    """The panels of an alert (or of chosen devices), with scores, marks and bands.

    `devices` chosen by hand are drawn instead of those of the alert, everything they report.
    """
    network = view.network
    if devices:
        made = device_chart(view, network, devices[0], start_us, end_us, zone, t)
    else:
        made = alert_chart(view, network, alert, start_us, end_us, zone, country, t)
    made["raised"] = None
    if not alert.id:
        made["band"] = None
    around = near(network, alert.asset_kind, alert.asset)
    score = score_panel(view, around, start_us, end_us, zone, t)
    if score is not None:
        made["panels"].append(score)

    def at(moment_us: int) -> int:
        return seconds(zone, moment_us, start_us)

    made["marks"] = [
        {"at": at(raised), "label": _mark(x, t), "side": side}
        for side in SIDES
        for x in view.alerts(side)
        if x["asset"] in around and start_us <= (raised := us(x["raised"]) or 0) <= end_us
    ][:MARKS_MAX]
    made["bands"] = []
    for kind, lines in (("truth", view.truth()), ("label", labels)):
        for x in lines:
            onset = us(x["onset"]) or 0
            ends = us(x.get("cleared")) or us(x.get("failure")) or end_us
            if x["asset"] in around and onset <= end_us and ends >= start_us:
                made["bands"].append(
                    {
                        "from": at(max(onset, start_us)),
                        "to": at(min(ends, end_us)),
                        "kind": "benign" if x.get("benign") else kind,
                        "label": fault_or_event(t, x["fault"]),
                    }
                )
    return made


def _mark(x: Line, t: Words) -> str:
    """What stands at an alert's line; without a ticket it stayed on the watch list."""
    name = f"{t.fault(x['fault'])} {x['asset']}"
    return name if x.get("ticket") else f"{name} ({t('replay.watched')})"


def fault_or_event(t: Words, name: str) -> str:
    """A fault kind's name; look-alikes (a new charger, a tap change) have words of their own."""
    return t.fault(name) if name in FAULTS else t.word("benign", name).replace("_", " ")


def score_panel(
    view: TrialView, assets: set[str], start_us: int, end_us: int, zone: ZoneInfo, t: Words
) -> dict[str, Any] | None:
    """What the detectors gave these assets, both sides, also below the limit, which is 1; None
    without any. Where a side's settings want more for a ticket, that limit is drawn as well."""
    curves: list[tuple[float, str, str, Any, Any]] = []
    tickets: dict[str, float] = {}
    for side in SIDES:
        table = view.scores(side, assets)
        if not len(table):
            continue
        frame = table.to_pandas()
        frame = frame[(frame["tick_us"] >= start_us) & (frame["tick_us"] <= end_us)]
        for (fault, asset), part in frame.groupby(["fault", "asset"], sort=True):
            part = part.groupby("tick_us")["score"].max()
            values = part.to_numpy(np.float32)
            name = f"{side.upper()} {t.fault(str(fault))} {asset}"
            curves.append((float(values.max()), side, name, part.index.to_numpy(), values))
            tickets |= _ticket_limits(view, side, str(fault), t)
    if not curves:
        return None
    curves = sorted(curves, key=lambda c: (-c[0], c[2]))[:LINES_MAX]
    axis = np.unique(np.concatenate([c[3] for c in curves]))
    steps = np.diff(axis)
    if steps.size:  # a moment after each stretch, so that its line has somewhere to break
        usual = np.int64(np.median(steps))
        axis = np.union1d(axis, axis[:-1][steps > 2.5 * usual] + usual)
    if axis.size > POINTS_MAX:
        axis = axis[np.linspace(0, axis.size - 1, POINTS_MAX).astype(np.int64)]
    shown = [
        {
            "label": name,
            "device": "",
            "quantity": "score",
            "look": f"own-{n % 3 + 1}" if side == "a" else "peer",
            **sparse(axis, time, values),
        }
        for n, (_, side, name, time, values) in enumerate(sorted(curves, key=lambda c: c[2]))
    ]
    return {
        "unit": "",
        "time": [seconds(zone, int(x), start_us) for x in axis],
        "lines": shown,
        "limits": [
            {"value": 1.0, "label": t("replay.limit")},
            *({"value": value, "label": label} for label, value in sorted(tickets.items())),
        ],
        "whole": True,
    }


def _ticket_limits(view: TrialView, side: str, fault: str, t: Words) -> dict[str, float]:
    """Words to the least score of a fault that may open a ticket, where it is not the limit."""
    found = (view.status.get("limits") or {}).get(side) or ()
    return {
        t("replay.ticket_limit", side=side.upper(), fault=t.fault(fault)): float(value)
        for _, kind, value in found
        if kind == fault and value != 1.0
    }
