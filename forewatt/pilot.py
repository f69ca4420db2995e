"""`forewatt pilot`: a utility's own past months, judged as if they were live, tickets withheld.

Backtests the folder, then lays the utility's past repairs beside what would have been raised:
how many would have been known, how early, how many tickets a day. The result is one page for a
manager, without scripts or outside files.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from alerts.lines import rfc3339
from detectors.scoring import AlertLine, Exposure, Places
from detectors.scoring.matching import DAY_US, same_family
from forewatt.backtest import backtest
from forewatt.score import Watched, load_alerts
from grid.dataset import read_dataset
from grid.errors import BadInput
from grid.faults import FAULTS, SEVERITY_NAMES
from grid.network import Network
from grid.network_files import parse_time

LOOK_BACK_US = 90 * DAY_US
"""A ticket older than this before a repair is not taken for the same trouble."""
CLEARED_BEFORE_US = 7 * DAY_US
LATE_US = DAY_US
DEFAULT_BUDGET = 3.0
SITE_ZONE: Final = ZoneInfo("Asia/Shanghai")

# Words of past tickets that name a fault, longest first; the rest is read as "any fault".
WORDS: Mapping[str, str] = {
    "零线": "neutral_broken",
    "中性线": "neutral_broken",
    "neutral": "neutral_broken",
    "过载": "transformer_overload",
    "重过载": "transformer_overload",
    "overload": "transformer_overload",
    "油温": "transformer_thermal",
    "over-temperature": "transformer_thermal",
    "绕组": "transformer_winding",
    "winding": "transformer_winding",
    "缺相": "phase_loss",
    "phase loss": "phase_loss",
    "停电": "outage",
    "没电": "outage",
    "无电": "outage",
    "outage": "outage",
    "power cut": "outage",
    "no power": "outage",
    "低电压": "under_voltage",
    "电压低": "under_voltage",
    "low voltage": "under_voltage",
    "高电压": "over_voltage",
    "电压高": "over_voltage",
    "high voltage": "over_voltage",
    "不平衡": "unbalance",
    "unbalance": "unbalance",
    "接头": "joint_resistance",
    "虚接": "joint_resistance",
    "接触不良": "joint_resistance",
    "joint": "joint_resistance",
    "connector": "joint_resistance",
    "端子": "hot_terminal",
    "烧": "hot_terminal",
    "burnt": "hot_terminal",
    "terminal": "hot_terminal",
    "窃电": "energy_loss",
    "线损": "energy_loss",
    "theft": "energy_loss",
    "漏电": "insulation_leakage",
    "leakage": "insulation_leakage",
    "通信": "comms_failure",
    "离线": "comms_failure",
    "communication": "comms_failure",
    "电表": "meter_health",
    "电能表": "meter_health",
    "meter": "meter_health",
}

Outcome = Literal["known", "late", "unseen", "outside"]


@dataclass(frozen=True, slots=True)
class Repair:
    """A past ticket of the utility; `fault` is None when its words name none."""

    line: int
    time_us: int
    assets: tuple[tuple[str, str], ...]
    reach: int
    fault: str | None
    text: str

    @property
    def place(self) -> str:
        """The first asset's id."""
        return self.assets[0][1]


@dataclass(frozen=True, slots=True)
class Told:
    """What would have been known about one past repair; `ahead_h` is negative when late."""

    repair: Repair
    outcome: Outcome
    alert: AlertLine | None = None

    @property
    def ahead_h(self) -> float | None:
        """Hours between knowing and the utility's own ticket."""
        if self.alert is None:
            return None
        return (self.repair.time_us - self.alert.known_us) / 3.6e9


@dataclass(frozen=True, slots=True)
class Pilot:
    """The result: what the page shows and the summary says."""

    exposure: Exposure
    told: tuple[Told, ...]
    tickets: tuple[AlertLine, ...]
    unexplained: tuple[AlertLine, ...]
    budget: float

    @property
    def in_data(self) -> tuple[Told, ...]:
        """Past repairs within the span of the data."""
        return tuple(t for t in self.told if t.outcome != "outside")

    @property
    def known(self) -> tuple[Told, ...]:
        """Past repairs that would have been known before."""
        return tuple(t for t in self.told if t.outcome == "known")

    @property
    def tickets_a_day(self) -> float:
        """All tickets over the days of the data."""
        return len(self.tickets) / max(self.exposure.days, 1e-9)

    @property
    def unexplained_a_day(self) -> float:
        """Tickets that no past repair explains: false, or troubles nobody had a ticket for."""
        return len(self.unexplained) / max(self.exposure.days, 1e-9)

    @property
    def ahead_h(self) -> float | None:
        """Median hours ahead of the repairs that would have been known."""
        hours = [t.ahead_h for t in self.known if t.ahead_h is not None]
        return median(hours) if hours else None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "meters": sum(self.exposure.meters.values()),
            "days": round(self.exposure.days, 3),
            "repairs": len(self.in_data),
            "repairs_outside_the_data": len(self.told) - len(self.in_data),
            "known": len(self.known),
            "known_late": sum(t.outcome == "late" for t in self.told),
            "median_hours_ahead": self.ahead_h,
            "tickets": len(self.tickets),
            "tickets_a_day": round(self.tickets_a_day, 4),
            "unexplained_a_day": round(self.unexplained_a_day, 4),
            "budget": self.budget,
            "details": [
                {
                    "line": t.repair.line,
                    "time": rfc3339(t.repair.time_us),
                    "asset": t.repair.place,
                    "fault": t.repair.fault,
                    "outcome": t.outcome,
                    "alert": t.alert.id if t.alert else None,
                    "hours_ahead": None if t.ahead_h is None else round(t.ahead_h, 3),
                }
                for t in self.told
            ],
        }


def read_repairs(path: Path, network: Network) -> list[Repair]:
    """Past tickets: time, asset_kind and asset, or account, and fault or text.

    Raises BadInput naming line, column and fix.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as problem:
        raise BadInput("no such file", file=str(path), fix="check the path") from problem
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as problem:
        raise BadInput(
            f"not a CSV file ({problem})", file=path.name, fix="save it as CSV in UTF-8"
        ) from problem
    if "time" not in frame.columns:
        raise BadInput("column 'time' is missing", file=path.name, line=1, fix="add it")
    if "account" not in frame.columns and not {"asset_kind", "asset"} <= set(frame.columns):
        raise BadInput(
            "neither account nor asset_kind and asset",
            file=path.name,
            line=1,
            fix="say where each repair was: an account, or asset_kind and asset",
        )
    rows = frame.to_dict("records")
    return [
        _repair({str(k): str(v).strip() for k, v in row.items()}, n, path.name, network)
        for n, row in enumerate(rows, 2)
    ]


def _repair(row: Mapping[str, str], line: int, file: str, network: Network) -> Repair:
    try:
        time_us = parse_time(row["time"])
    except ValueError as problem:
        raise BadInput(
            f"{row['time']!r} is not a time with zone",
            file=file,
            line=line,
            column="time",
            fix="write RFC 3339, such as 2026-03-01T08:00:00+08:00",
        ) from problem
    said = " ".join(filter(None, (row.get("fault", ""), row.get("text", ""))))
    fault = read_fault(row.get("fault", "")) or read_fault(row.get("text", ""))
    kind, asset = row.get("asset_kind", ""), row.get("asset", "")
    if asset:
        if network.node(kind, asset) is None and asset not in network.device_index:
            raise BadInput(
                f"there is no {kind or 'asset'} {asset!r} in the network",
                file=file,
                line=line,
                column="asset",
                fix="use an id of network/, with its asset_kind, or the account instead",
            )
        return Repair(line, time_us, ((kind, asset),), 1, fault, said)
    account = row.get("account", "")
    points = network.usage_points_of_account.get(account, ())
    if not points:
        raise BadInput(
            f"account {account!r} is not in the network",
            file=file,
            line=line,
            column="account",
            fix="check usage_points.csv, or name the asset",
        )
    # A customer knows only that it was at home: anything up to the transformer may be the cause.
    return Repair(line, time_us, tuple(("usage_point", u.id) for u in points), 2, fault, said)


def read_fault(text: str) -> str | None:
    """The fault that a past ticket's words name; None if they name none.

    >>> read_fault("更换零线线夹"), read_fault("neutral_loose"), read_fault("visited")
    ('neutral_broken', 'neutral_loose', None)
    """
    if text.strip() in FAULTS:
        return text.strip()
    low = text.lower()
    for word in sorted(WORDS, key=len, reverse=True):
        if word in low:
            return WORDS[word]
    return None


def lay_beside(
    alerts: Sequence[AlertLine],
    repairs: Sequence[Repair],
    exposure: Exposure,
    places: Places,
    budget: float = DEFAULT_BUDGET,
) -> Pilot:
    """Past repairs beside the tickets that would have been raised; pure."""
    tickets = tuple(sorted((a for a in alerts if a.ticket), key=lambda a: (a.known_us, a.id)))
    told = tuple(
        _told(r, tickets, exposure, places)
        for r in sorted(repairs, key=lambda r: (r.time_us, r.line))
    )
    explained = {
        a.id for r in repairs for a in tickets if _speaks_of(a, r, places) and _in_time(a, r)
    }
    unexplained = tuple(a for a in tickets if a.id not in explained)
    return Pilot(exposure, told, tickets, unexplained, budget)


def _told(r: Repair, tickets: Sequence[AlertLine], exposure: Exposure, places: Places) -> Told:
    if not exposure.start_us <= r.time_us <= exposure.end_us:
        return Told(r, "outside")
    about = [a for a in tickets if _in_time(a, r) and _speaks_of(a, r, places)]
    if not about:
        return Told(r, "unseen")
    first = about[0]
    return Told(r, "known" if first.known_us <= r.time_us else "late", first)


def _in_time(a: AlertLine, r: Repair) -> bool:
    if not r.time_us - LOOK_BACK_US <= a.known_us <= r.time_us + LATE_US:
        return False
    return a.cleared_us is None or a.cleared_us >= r.time_us - CLEARED_BEFORE_US


def _speaks_of(a: AlertLine, r: Repair, places: Places) -> bool:
    if r.fault is not None and not same_family(a.fault, r.fault):
        return False
    here = (a.asset_kind, a.asset)
    return any((s := places.steps(here, at)) is not None and s <= r.reach for at in r.assets)


def pilot(
    folder: Path,
    out: Path,
    *,
    repairs: Path | None = None,
    budget: float = DEFAULT_BUDGET,
    country: str = "CN",
    zone: ZoneInfo = SITE_ZONE,
) -> Pilot:
    """Backtest a folder and write the page to `out`, its alerts beside it."""
    if not budget > 0:
        raise BadInput(f"a budget of {budget} tickets a day", fix="give a positive number")
    dataset = read_dataset(folder)
    network = dataset.network
    past = [] if repairs is None else read_repairs(repairs, network)
    alerts = out.with_suffix(".alerts.jsonl")
    backtest(folder, alerts, country=country)
    watched = Watched(dataset, network)
    for _ in watched.batches():  # once through, for the span and the meters that reported
        continue
    result = lay_beside(load_alerts(alerts), past, watched.exposure(), Places(network), budget)
    beside = out.with_suffix(out.suffix + ".tmp")
    beside.write_text(page(result, dataset.folder.name, zone), encoding="utf-8")
    beside.replace(out)
    return result


def page(result: Pilot, name: str, zone: ZoneInfo = SITE_ZONE) -> str:
    """The page of a pilot, one self-contained HTML text in both languages; times in `zone`."""
    environment = Environment(
        loader=PackageLoader("forewatt"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minute"] = lambda time_us: _minute(time_us, zone)
    template = environment.get_template("pilot.html")
    return template.render(
        p=result,
        name=name,
        faults=FAULTS,
        severities=SEVERITY_NAMES,
        days=_a_day(result, zone),
        zone=zone.key,
    )


def _minute(time_us: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(time_us / 1e6, zone).strftime("%Y-%m-%d %H:%M")


def _a_day(p: Pilot, zone: ZoneInfo) -> list[tuple[str, int]]:
    """(date, tickets known that day) for each of the zone's days in the data."""
    first, last = (
        datetime.fromtimestamp(t / 1e6, zone).date()
        for t in (p.exposure.start_us, p.exposure.end_us)
    )
    counts = {first + timedelta(days=n): 0 for n in range((last - first).days + 1)}
    for a in p.tickets:
        day = datetime.fromtimestamp(a.known_us / 1e6, zone).date()
        counts[min(max(day, first), last)] += 1
    return [(day.isoformat(), n) for day, n in counts.items()]


def summary(p: Pilot) -> str:
    """What a manager hears first, two or three sentences."""
    said = []
    if p.told:
        ahead = "" if p.ahead_h is None else f", half of them {hours(p.ahead_h)} or more ahead"
        said.append(
            f"{len(p.known)} of {len(p.in_data)} past repairs would have been known before{ahead}."
        )
    within = "within" if p.tickets_a_day <= p.budget else "above"
    said.append(
        f"{p.tickets_a_day:.2f} tickets a day, {within} the budget of {p.budget:g}; "
        f"{p.unexplained_a_day:.2f} a day that no past repair explains."
    )
    outside = len(p.told) - len(p.in_data)
    if outside:
        said.append(f"{outside} past repairs lie outside the data and are not counted.")
    return " ".join(said)


def hours(h: float) -> str:
    """A span as people say it.

    >>> hours(0.5), hours(30), hours(100)
    ('30 minutes', '30 hours', '4.2 days')
    """
    if h < 2:
        return f"{h * 60:.0f} minutes"
    return f"{h:.0f} hours" if h < 72 else f"{h / 24:.1f} days"


def pilot_command(args: argparse.Namespace) -> int:
    """`forewatt pilot DIR [--tickets past.csv] [--out pilot.html]`."""
    result = pilot(
        args.folder,
        args.out,
        repairs=args.tickets,
        budget=args.budget,
        country=args.country or "CN",
        zone=_zone(args.time_zone),
    )
    if args.json:
        print(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        print(summary(result))
        print(f"page: {args.out}")
    return 0


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as problem:
        raise BadInput(
            f"{name!r} is no time zone", fix='use an IANA name such as "Asia/Shanghai"'
        ) from problem
