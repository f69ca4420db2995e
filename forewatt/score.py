"""`forewatt score`: alerts of a backtest against what really happened, beside two baselines.

Reads the dataset folder, truth and alerts; `detectors.scoring` counts; here are the files.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

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
from detectors.scoring.report import TRUE_RATE
from detectors.settings import COUNTRIES
from forewatt.score_tables import print_details, print_score
from grid.dataset import Dataset, read_dataset
from grid.errors import BadInput
from grid.network import Network
from grid.readings import ReadingBatch

VOLTAGES = ("v_a", "v_b", "v_c")
CHUNK_ROWS = 1_000_000
AFTER_US = 6 * 3_600_000_000
"""A customer who calls this long after the end still speaks of the incident."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of one alerts file and of the two baselines on the same data."""

    score: Score
    baselines: Mapping[str, Score]
    differences: tuple[Difference, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        out = self.score.as_dict()
        out["baselines"] = {name: s.as_dict() for name, s in self.baselines.items()}
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
    baselines = {"random": scored(chance), "one threshold": scored(ruled)}
    return Scored(scored(lines), baselines, differences)


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
    print_score(console, result.score, result.baselines, result.differences)
    if args.list:
        print_details(console, result.score)
    return 0


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
