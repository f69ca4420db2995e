"""A trial against what really happened: the scores of both settings and what differs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alerts.lines import rfc3339
from detectors.scoring import (
    AlertLine,
    Exposure,
    Places,
    Score,
    compare,
    read_alerts,
    read_truth,
    score,
)
from detectors.scoring.matching import FALSE
from forewatt.trial_files import SIDES, TrialFolder

SHOWN = 200


def scored(folder: Path, labels: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """`a` and `b` (as far as they ran) with their figures, and `differences` between them.

    `labels` are truth lines that people have set by hand, on top of the source's own. Without any
    truth the sides say only how much they found. Raises BadInput for a wrong line of truth.
    """
    trial = TrialFolder(folder)
    lines = [json.dumps(x) for x in (*trial.truth(), *labels)]
    truth = read_truth(lines, "truth.jsonl")
    places, exposure = Places(trial.network), exposure_of(trial)
    found: dict[str, list[AlertLine]] = {}
    out: dict[str, Any] = {"truth": len(truth)}
    for side in SIDES:
        if (folder / f"{side}.alerts.jsonl").is_file():
            alerts = read_alerts([json.dumps(x) for x in trial.alerts(side)], side)
            found[side] = alerts
            made = score(alerts, truth, exposure, places) if truth else None
            out[side] = _figures(alerts, made)
    if len(found) == len(SIDES):
        differences = compare(found["a"], found["b"])
        out["differences"] = [
            {
                "change": d.change,
                "fields": list(d.fields),
                "at_us": d.at_us,
                **{n: _alert(x) for n, x in (("a", d.a), ("b", d.b))},
            }
            for d in differences[:SHOWN]
        ]
        out["differences_count"] = len(differences)
    return out


def exposure_of(trial: TrialFolder) -> Exposure:
    """Span of the trial's readings and the meters of each area that reported."""
    places, seen = Places(trial.network), set(trial.devices())
    meters: dict[str, int] = {}
    for d in trial.network.devices:
        if d.kind == "meter" and d.id in seen:
            area = places.area(("device", d.id))
            meters[area] = meters.get(area, 0) + 1
    start_us, end_us = trial.span_us
    return Exposure(start_us, end_us, meters)


def _figures(alerts: Sequence[AlertLine], made: Score | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "alerts": len(alerts),
        "tickets": sum(a.ticket for a in alerts),
        "summary": {},
    }
    if made is None:
        return out
    whole = made.as_dict()
    overall = whole["groups"][-1]
    out["summary"] = {
        **whole["summary"],
        "incidents": overall["incidents"],
        "found": overall["found"],
        "lead_h": overall["lead_h"]["value"],
        "delay_h": overall["delay_h"]["value"],
        "false_tickets": sum(j["verdict"] in FALSE for j in whole["verdicts"]),
    }
    out["kinds"] = whole["kinds"]
    out["missed"] = whole["missed"]
    out["verdicts"] = whole["verdicts"]
    return out


def _alert(x: AlertLine | None) -> dict[str, Any] | None:
    if x is None:
        return None
    return {
        "id": x.id,
        "fault": x.fault,
        "asset_kind": x.asset_kind,
        "asset": x.asset,
        "severity": x.severity,
        "raised": rfc3339(x.raised_us),
        "raised_us": x.raised_us,
        "ticket": x.ticket,
    }
