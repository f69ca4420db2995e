"""`forewatt score`: alerts of a backtest against what really happened, beside two baselines.

Reads the dataset folder, truth and alerts; `detectors.scoring` counts; here the files and the
tables on a terminal.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from alerts.lines import rfc3339
from detectors.scoring import (
    AlertLine,
    Difference,
    Exposure,
    Places,
    Score,
    ScoreSettings,
    TruthLine,
    compare,
    random_alerts,
    read_alerts,
    read_truth,
    score,
    threshold_alerts,
)
from detectors.scoring.intervals import Interval
from detectors.scoring.report import TRUE_RATE, KindScore
from detectors.settings import COUNTRIES
from grid.dataset import Dataset, read_dataset
from grid.errors import BadInput
from grid.network import Network
from grid.readings import ReadingBatch

VOLTAGES = ("v_a", "v_b", "v_c")
CHUNK_ROWS = 1_000_000
AFTER_US = 6 * 3_600_000_000
"""A customer who calls this long after the end still speaks of the incident."""
DIFFERENCES_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of one alerts file and of the two baselines on the same data."""

    score: Score
    random: Score
    threshold: Score
    differences: tuple[Difference, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        out = self.score.as_dict()
        out["baselines"] = {
            "random": self.random.as_dict(),
            "one threshold": self.threshold.as_dict(),
        }
        if self.differences is not None:
            out["differences"] = [_difference(d) for d in self.differences]
        return out


def score_dataset(
    folder: Path,
    alerts: Path,
    *,
    truth: Path | None = None,
    other: Path | None = None,
    true_rate: float = TRUE_RATE,
    country: str = "CN",
) -> Scored:
    """Score an alerts file against a dataset's truth; `other` is a second file to compare with.

    Raises BadInput naming file, line and fix.
    """
    dataset = read_dataset(folder)
    network = dataset.network
    lines = load_alerts(alerts)
    happened = load_truth(truth or dataset.folder / "truth.jsonl")
    watched = Watched(dataset, network)
    ruled = threshold_alerts(watched.batches(), network, nominal_v=COUNTRIES[country].nominal_v)
    exposure = watched.exposure()
    places = Places(network)
    chance = random_alerts(lines, network, exposure.start_us, exposure.end_us)
    first = first_contacts(dataset, network, happened, exposure.end_us)
    settings = ScoreSettings(true_rate)

    def scored(given: Sequence[AlertLine]) -> Score:
        return score(given, happened, exposure, places, first_contact_us=first, settings=settings)

    differences = None if other is None else tuple(compare(lines, load_alerts(other)))
    return Scored(scored(lines), scored(chance), scored(ruled), differences)


def load_alerts(path: Path) -> list[AlertLine]:
    """Alerts of a file. Raises BadInput naming file, line and fix."""
    return read_alerts(_lines(path, "write it with forewatt backtest"), path.name)


def load_truth(path: Path) -> list[TruthLine]:
    """Truth of a file. Raises BadInput naming file, line and fix."""
    fix = "name it with --truth, or use forewatt pilot for data without truth"
    return read_truth(_lines(path, fix), path.name)


def _lines(path: Path, fix: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as problem:
        raise BadInput("no such file", file=str(path), fix=fix) from problem
    except UnicodeDecodeError as problem:
        raise BadInput(
            f"byte {problem.start} is not UTF-8", file=str(path), fix="save it as UTF-8"
        ) from problem


class Watched:
    """The voltages of a dataset once through, noting which devices reported and when."""

    def __init__(self, dataset: Dataset, network: Network) -> None:
        self._dataset = dataset
        self._network = network
        self._seen: set[str] = set()
        self._start_us: int | None = None
        self._end_us: int | None = None

    def batches(self) -> Iterator[ReadingBatch]:
        """Readings in the order of the files; the exposure grows as they pass."""
        for batch in self._voltages():
            if len(batch):
                low, high = int(batch.time.min()), int(batch.time.max())
                self._start_us = low if self._start_us is None else min(self._start_us, low)
                self._end_us = high if self._end_us is None else max(self._end_us, high)
                self._seen.update(batch.names)
                yield batch

    def _voltages(self) -> Iterator[ReadingBatch]:
        path = self._dataset.file("readings")
        if path is None or path.suffix != ".parquet":
            yield from self._dataset.batches(order="time")
            return
        # Only the columns that count: a year of a fleet has thirty others.
        parquet = pq.ParquetFile(path)
        present = parquet.schema_arrow.names
        wanted = [c for c in ("time", "device", *VOLTAGES) if c in present]
        if "time" not in present or "device" not in present:
            yield from self._dataset.batches(order="time")  # says what is missing
            return
        for chunk in parquet.iter_batches(batch_size=CHUNK_ROWS, columns=wanted):
            yield ReadingBatch.from_arrow(pa.table(chunk))

    def exposure(self) -> Exposure:
        """Span of the data and meters by area, of all that passed."""
        if self._start_us is None or self._end_us is None:
            raise BadInput(
                "there are no readings to score against",
                file=str(self._dataset.folder),
                fix="put readings.parquet or readings.csv into the folder",
            )
        places = Places(self._network)
        meters: dict[str, int] = {}
        for d in self._network.devices:
            if d.kind == "meter" and d.id in self._seen:
                area = places.area(("device", d.id))
                meters[area] = meters.get(area, 0) + 1
        return Exposure(self._start_us, self._end_us, meters)


def first_contacts(
    dataset: Dataset, network: Network, truth: Sequence[TruthLine], end_us: int
) -> dict[str, int]:
    """Incident id to its first fault contact, microseconds, from contacts.csv.

    A contact belongs to an incident when its account, or the account of its phone, is supplied
    through the asset and it came between onset and a quarter day after the end.
    """
    frame = dataset.contacts()
    if frame.empty:
        return {}
    if "kind" in frame.columns:
        frame = frame[frame["kind"].isin(("", "fault"))]
    phones = {c.phone: c.account for c in network.customers if c.phone}
    account = frame["account"] if "account" in frame.columns else frame["time"].map(lambda _: "")
    if "phone" in frame.columns:
        account = account.where(account != "", frame["phone"].map(phones))
    by_account: dict[str, list[int]] = {}
    for name, at in zip(account.tolist(), frame["time_us"].tolist(), strict=True):
        if isinstance(name, str) and name:
            by_account.setdefault(name, []).append(int(at))
    out: dict[str, int] = {}
    for t in truth:
        until = t.over_us(end_us) + AFTER_US
        moments = [
            at
            for c in network.customers_within(t.asset_kind, t.asset)
            for at in by_account.get(c.account, ())
            if t.onset_us <= at <= until
        ]
        if moments and not t.benign:
            out[t.id] = min(moments)
    return out


def score_command(args: argparse.Namespace) -> int:
    """`forewatt score DIR --alerts alerts.jsonl [--truth F] [--json] [--compare B.jsonl]`."""
    result = score_dataset(
        args.folder,
        args.alerts,
        truth=args.truth,
        other=args.compare,
        true_rate=args.true_rate,
        country=args.country or "CN",
    )
    if args.json:
        print(json.dumps(result.as_dict(), ensure_ascii=False))
        return 0
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150
    print_score(console, result)
    if args.list:
        console.print(_missed_table(result.score))
        console.print(_false_tickets(result.score))
    return 0


# -- tables on a terminal ------------------------------------------------------------------------


def print_score(console: Console, result: Scored) -> None:
    """The score as tables: by kind, what false tickets cost, the baselines, differences."""
    s = result.score
    console.print(kind_table(s))
    console.print(_false_table(s))
    console.print(
        baseline_table({"these": s, "random": result.random, "one threshold": result.threshold})
    )
    if result.differences is not None:
        console.print(_difference_table(result.differences))


def kind_table(s: Score) -> Table:
    """One row a fault kind."""
    table = _table("By fault kind (95 % intervals by bootstrap over incidents)")
    table.add_column("fault", no_wrap=True)
    for name in (
        "incidents",
        "recall",
        "late",
        "right asset",
        "tickets a cause",
        "lead h",
        "attainable h",
        "lead share",
        "delay h",
        "before 1st contact",
    ):
        table.add_column(name, justify="right", no_wrap=name == "recall")
    for n, k in enumerate((*s.kinds, *s.groups)):
        if n == len(s.kinds):
            table.add_section()
        table.add_row(*_kind_row(k))
    return table


def _table(title: str, **options: Any) -> Table:
    return Table(title=title, box=SIMPLE_HEAD, title_justify="left", **options)


def _kind_row(k: KindScore) -> tuple[str, ...]:
    return (
        k.name,
        str(k.incidents),
        _percent(k.recall),
        str(k.late) if k.late else "",
        _percent(k.right_asset, interval=False),
        _number(k.tickets_a_cause, 2),
        _number(k.lead_h, 1),
        _number(k.attainable_h, 1),
        _number(k.lead_share, 2),
        _number(k.delay_h, 1),
        _percent(k.known_before_contact, interval=False),
    )


def _false_table(s: Score) -> Table:
    table = _table(
        f"What it costs: {s.tickets} tickets, {s.watch_list} watch-list lines, "
        f"{s.meter_days:,.0f} meter-days",
        show_header=False,
    )
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_row("ticket precision", _percent(s.precision))
    restated = ""
    if s.precision_restated is not None and s.precision_restated_low is not None:
        restated = (
            f"{100 * s.precision_restated:.1f} % (at least {100 * s.precision_restated_low:.0f})"
        )
    table.add_row(f"precision restated at {s.true_rate:g} faults per 1,000 meter-days", restated)
    for name, rate in s.false_per_1000.items():
        table.add_row(f"false tickets per 1,000 meter-days, {name}", _spread(rate, 3))
    table.add_row("the same, in areas where nothing happened", _spread(s.false_in_healthy_areas, 3))
    table.add_row(f"look-alikes that became a ticket (of {s.benign})", _percent(s.benign_ticketed))
    table.add_row("tickets of a wrong family", _percent(s.wrong_family))
    table.add_row("precision of the top 20 of a day", _percent(s.top_of_day))
    causes = ", ".join(f"{n} {_CAUSES[v]}" for v, n in s.false_by_cause.items() if n)
    table.add_row("false tickets are", causes or "none")
    return table


_CAUSES: Mapping[str, str] = {
    "wrong_family": "of a wrong family",
    "wrong_place": "at a wrong place",
    "benign": "on look-alikes",
    "early": "before the onset",
    "nothing": "about nothing",
}


def baseline_table(scores: Mapping[str, Score]) -> Table:
    """The score beside the baselines, one row each."""
    table = _table("Beside the baselines")
    table.add_column("")
    names = ("tickets", "recall", "P1 and P2 recall", "precision", "false / 1,000 meter-days")
    for name in (*names, "tickets a cause", "lead share"):
        table.add_column(name, justify="right")
    for name, s in scores.items():
        table.add_row(
            name,
            str(s.tickets),
            _percent(s.overall.recall),
            _percent(s.groups[0].recall),
            _percent(s.precision),
            _spread(s.false_per_1000["all"], 3),
            _number(s.overall.tickets_a_cause, 2),
            _number(s.overall.lead_share, 2),
        )
    return table


def _missed_table(s: Score) -> Table:
    table = _table(f"Incidents not found in time: {len(s.missed)}")
    for name in ("incident", "fault", "asset", "onset", "detectable", "failure", "instead"):
        table.add_column(name)
    for t in s.missed:
        others = s.matching.by_incident.get(t.id, [])
        instead = ", ".join(f"{j.verdict} {j.alert.fault} {j.alert.asset}" for j in others)
        times = (t.onset_us, t.detectable_us, t.failure_us)
        words = ("" if at is None else rfc3339(at) for at in times)
        table.add_row(t.id, t.fault, f"{t.asset_kind} {t.asset}", *words, instead)
    return table


def _false_tickets(s: Score) -> Table:
    false = [j for j in s.matching.judged if j.false]
    table = _table(f"False tickets: {len(false)}")
    for name in ("raised", "severity", "fault", "asset", "verdict", "near"):
        table.add_column(name)
    for j in false:
        a, near = j.alert, "" if j.incident is None else j.incident.id
        where = f"{a.asset_kind} {a.asset}"
        table.add_row(rfc3339(a.raised_us), a.severity, a.fault, where, j.verdict, near)
    return table


def _difference_table(differences: Sequence[Difference]) -> Table:
    table = _table(f"Alerts that differ: {len(differences)}")
    for name in ("raised", "alert", "change"):
        table.add_column(name)
    for d in differences[:DIFFERENCES_SHOWN]:
        alert = d.a or d.b
        if alert is not None:
            what = f"{alert.severity} {alert.fault} {alert.asset_kind} {alert.asset}"
            table.add_row(rfc3339(alert.raised_us), what, _change(d))
    if len(differences) > DIFFERENCES_SHOWN:
        table.add_row("", f"and {len(differences) - DIFFERENCES_SHOWN} more: see --json", "")
    return table


def _change(d: Difference) -> str:
    if d.change != "differs" or d.a is None or d.b is None:
        return "only in the first" if d.a is not None else "only in the second"
    parts = []
    for f in d.fields:
        old, new = getattr(d.a, f), getattr(d.b, f)
        if f.endswith("_us"):
            old, new = (None if t is None else rfc3339(t) for t in (old, new))
        parts.append(f"{f.removesuffix('_us')} {old} -> {new}")
    return ", ".join(parts)


def _difference(d: Difference) -> dict[str, Any]:
    alert = d.a or d.b
    return {
        "change": d.change,
        "a": d.a.id if d.a else None,
        "b": d.b.id if d.b else None,
        "fault": alert.fault if alert else None,
        "asset": alert.asset if alert else None,
        "raised": rfc3339(alert.raised_us) if alert else None,
        "fields": list(d.fields),
    }


def _percent(i: Interval, *, interval: bool = True) -> str:
    if i.value is None:
        return ""
    text = f"{100 * i.value:.1f} %"
    if not interval or i.low is None or i.high is None:
        return text
    return f"{text} ({100 * i.low:.0f}-{100 * i.high:.0f})"


def _number(i: Interval, digits: int) -> str:
    return "" if i.value is None else f"{i.value:.{digits}f}"


def _spread(i: Interval, digits: int) -> str:
    if i.value is None:
        return ""
    if i.low is None or i.high is None:
        return _number(i, digits)
    return f"{i.value:.{digits}f} ({i.low:.{digits}f}-{i.high:.{digits}f})"
