"""`forewatt doctor --data DIR`: which fault kinds this data can show, area by area, and why not.

Reads the folder once, as a backtest would; counts who reports what; lets the detectors' own
record check (`detectors.records`) name wrong ratios and meters at the wrong place.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from detectors import Engine
from detectors.catalogue import FAMILIES
from detectors.observable import AreaFacts, Observable, observable
from detectors.outage import OutageDetector
from detectors.records import RecordsDetector
from detectors.settings import DetectorSettings
from forewatt.admission import Admission
from forewatt.delays import usual_delays
from grid.dataset import read_dataset
from grid.faults import FAULTS
from grid.network import Network
from grid.quantities import EVENTS, INDEX, NAMES
from grid.readings import ReadingBatch
from grid.records import Finding

AREAS_NAMED = 6
NO_AREA = "(no transformer)"


@dataclass(frozen=True, slots=True)
class AreaReport:
    """One area's facts and what can be seen there."""

    facts: AreaFacts
    kinds: tuple[Observable, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """All areas, what the records have wrong, and what was left aside while reading."""

    areas: tuple[AreaReport, ...]
    records: tuple[Finding, ...]
    learned: int
    rows: int
    days: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "rows": self.rows,
            "days": round(self.days, 3),
            "places_learned": self.learned,
            "areas": [
                {
                    "area": r.facts.area,
                    "meters": r.facts.meters,
                    "heard": r.facts.heard,
                    "monitor": r.facts.monitor,
                    "interval_s": r.facts.interval_s,
                    "delivery_s": r.facts.delivery_s,
                    "kinds": [dataclasses.asdict(k) for k in r.kinds],
                }
                for r in self.areas
            ],
            "records": [
                {
                    "device": f.asset,
                    "fault": f.fault,
                    "rule": f.evidence.rule,
                    "rule_zh": f.evidence.rule_zh,
                    "numbers": dict(f.evidence.numbers),
                    "fix": f.evidence.next_check,
                }
                for f in self.records
            ],
            "notes": list(self.notes),
        }


class _Census:
    """Who reported what, how often and how late; bounded by devices times quantities."""

    def __init__(self, network: Network) -> None:
        n = len(network.devices)
        self.network = network
        self.values = np.zeros((n, len(NAMES)), np.int64)
        self.events = np.zeros((n, len(EVENTS) + 1), np.int64)
        self.interval_us = np.zeros(n)
        self.rows = 0
        self.first_us, self.last_us = 2**62, -(2**62)

    def add(self, batch: ReadingBatch) -> None:
        """Count one batch of admitted rows."""
        if not len(batch):
            return
        index = np.array([self.network.device_index[n] for n in batch.names], np.int64)
        device = index[batch.device]
        self.rows += len(batch)
        reading = batch.event == 0
        for name, column in batch.values.items():
            seen = device[reading & np.isfinite(column)]
            self.values[:, INDEX[name]] += np.bincount(seen, minlength=len(self.values))
        np.add.at(self.events, (device[~reading], batch.event[~reading].astype(np.int64)), 1)
        if not reading.any():
            return
        self.first_us = min(self.first_us, int(batch.time[reading].min()))
        self.last_us = max(self.last_us, int(batch.time[reading].max()))
        self._time(device[reading], batch.time[reading])

    def _time(self, device: Any, time: Any) -> None:
        """The usual interval of devices not timed yet: the median step of their first batch."""
        if (self.interval_us[np.unique(device)] > 0).all():
            return
        order = np.lexsort((time, device))
        device, time = device[order], time[order]
        step = np.diff(time)
        same = (np.diff(device) == 0) & (step > 0)
        owner, step = device[1:][same], step[same]
        for d in np.unique(owner).tolist():
            mine = step[owner == d]
            if self.interval_us[d] == 0 and mine.size >= 3:
                self.interval_us[d] = float(np.median(mine))

    def areas(self) -> list[AreaFacts]:
        """Facts of each transformer's area, and of the devices of none."""
        network = self.network
        members: dict[int, list[int]] = {t: [] for t in range(len(network.transformers))}
        for i, t in enumerate(network.device_transformer.tolist()):
            if network.devices[i].kind in ("meter", "transformer_monitor"):
                members.setdefault(int(t), []).append(i)
        order = sorted(members, key=lambda t: (t < 0, t))
        return [self._area(t, members[t]) for t in order if t >= 0 or members[t]]

    def _area(self, t: int, devices: list[int]) -> AreaFacts:
        network = self.network
        point = network.usage_point_index
        meters = [i for i in devices if network.devices[i].kind == "meter"]
        monitors = [i for i in devices if network.devices[i].kind != "meter"]
        heard = [i for i in meters if self.values[i].any()]
        phases = []
        for i in meters:
            d = network.devices[i]
            u = network.usage_points[point[d.usage_point]] if d.usage_point else None
            phase = u.phase if u else "unknown"
            phases.append("abc" if d.wiring.startswith("3p") else phase)
        has = [bool((self.values[monitors, INDEX[q]] > 0).any()) for q in NAMES]
        share = (self.values[heard] > 0).mean(0) if heard else np.zeros(len(NAMES))
        stated = [network.devices[i].delivery_s or 0.0 for i in devices]
        timed = self.interval_us[heard or monitors]
        timed = timed[timed > 0]
        totals = self.events.sum(0)  # of the site: an area without an outage had nothing to tell
        transformer = network.transformers[t] if t >= 0 else None
        return AreaFacts(
            area=transformer.id if transformer else NO_AREA,
            meters=len(meters),
            heard=len(heard),
            single_known=sum(p in ("a", "b", "c") for p in phases),
            single_unknown=sum(p == "unknown" for p in phases),
            three_phase=sum(p == "abc" for p in phases),
            monitor=any(has),
            rated=bool(transformer and transformer.rated_kva),
            interval_s=float(np.median(timed)) / 1e6 if timed.size else None,
            delivery_s=max(stated, default=0.0),
            meter_share={q: float(share[INDEX[q]]) for q in NAMES if share[INDEX[q]] > 0},
            monitor_has=frozenset(q for q, seen in zip(NAMES, has, strict=True) if seen),
            events={name: int(totals[code]) for code, name in enumerate(EVENTS) if totals[code]},
        )


def examine(folder: Path, country: str = "CN") -> DataReport:
    """Read a dataset folder and say what it can show. Raises BadInput as `backtest` does."""
    dataset = read_dataset(folder)
    others = [f.name for f in FAMILIES if f is not RecordsDetector]
    settings = DetectorSettings(country=country, disabled=(*others, OutageDetector.name))
    delays = usual_delays(dataset.network, dataset.batches(order="received"), settings)
    network = delays.network
    engine, census, admission = Engine(network, settings), _Census(network), Admission(network)
    last: dict[tuple[str, str], Finding] = {}
    for batch in delays.batches:
        admitted = admission.admit(batch)
        census.add(admitted)
        for f in engine.feed("dataset", admitted):
            last[f.asset, f.fault] = f
    for f in engine.flush():
        last[f.asset, f.fault] = f
    areas = tuple(AreaReport(a, observable(a, settings)) for a in census.areas())
    wrong = tuple(last[k] for k in sorted(last) if last[k].score >= 1.0)
    notes = [*dataset.notes.sentences, *admission.sentences()]
    if delays.note is not None:
        notes.append(delays.note)
    if engine.late:
        notes.append(f"{engine.late} rows came too late to be judged")
    days = max(0.0, (census.last_us - census.first_us) / 86400e6)
    guessed = sum(not x.contradicts for x in engine.learned.values())
    return DataReport(areas, wrong, guessed, census.rows, days, tuple(notes))


def print_report(report: DataReport, console: Console, chinese: bool = False) -> None:
    """Areas of the same kind together, each kind that cannot be seen with its reason."""
    console.print(f"{report.rows} rows, {report.days:.1f} days")
    for areas, kinds in _alike(report.areas):
        more = f" and {len(areas) - AREAS_NAMED} more" if len(areas) > AREAS_NAMED else ""
        names = ", ".join(a.area for a in areas[:AREAS_NAMED]) + more
        table = Table(title=f"{names}: {_described(areas)}", box=SIMPLE_HEAD, title_justify="left")
        for column in ("fault kind", "seen", "why not"):
            table.add_column(column)
        for k in kinds:
            fault = FAULTS[k.fault]
            name = f"{k.fault} {fault.name_zh}"
            table.add_row(name, k.seen, k.why_zh if chinese else k.why)
        console.print(table)
    if report.learned:
        console.print(f"{report.learned} meters without phase or transformer were given theirs")
    for f in report.records:
        e = f.evidence
        rule, fix = (e.rule_zh, e.next_check_zh) if chinese else (e.rule, e.next_check)
        console.print(f"NO  {f.asset}: {rule}\n      -> {fix}")
    for note in report.notes:
        console.print(f"note: {note}")


def _alike(
    areas: Iterable[AreaReport],
) -> list[tuple[list[AreaFacts], tuple[Observable, ...]]]:
    found: dict[tuple[Any, ...], tuple[list[AreaFacts], tuple[Observable, ...]]] = {}
    for r in areas:
        key = tuple((k.fault, k.seen, k.why) for k in r.kinds)
        found.setdefault(key, ([], r.kinds))[0].append(r.facts)
    return sorted(found.values(), key=lambda row: -len(row[0]))


def _described(areas: list[AreaFacts]) -> str:
    heard, meters = sum(a.heard for a in areas), sum(a.meters for a in areas)
    monitors = sum(a.monitor for a in areas)
    steps = sorted({round(a.interval_s) for a in areas if a.interval_s})
    every = f", every {' or '.join(map(str, steps[:3]))} s" if steps else ""
    return f"{heard} of {meters} meters and {monitors} of {len(areas)} monitors report{every}"


def doctor_data(args: argparse.Namespace) -> int:
    """`forewatt doctor --data DIR`: status 1 when something on record is wrong."""
    report = examine(args.data, args.country or "CN")
    if args.json:
        print(json.dumps(report.as_dict(), ensure_ascii=False, default=str))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 150
        print_report(report, console, chinese=args.language == "zh-CN")
    return 1 if report.records else 0
