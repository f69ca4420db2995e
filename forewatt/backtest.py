"""`forewatt backtest`: a dataset through the same detectors and alert rules, in arrival order.

No broker, no database, no clock: the same folder gives the same file, byte for byte.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from alerts.apply import apply_events
from alerts.lines import alert_lines
from alerts.memory import MemoryLedger
from detectors.arrivals import Arrivals
from forewatt.admission import Admission
from forewatt.ahead import ahead
from forewatt.config import AlertConfig, DetectorConfig, load_config
from forewatt.judging import Judge, detector_settings
from forewatt.memory import keep_freed_memory
from forewatt.progress import Progress
from grid.dataset import Dataset, read_dataset
from grid.network import Network
from grid.readings import ReadingBatch

SOURCE = "dataset"
FIRST_ROWS = 200_000  # show how late readings usually come


@dataclass(frozen=True, slots=True)
class BacktestSummary:
    """What was read and what came of it."""

    rows: int
    events: int
    alerts: int
    tickets: int
    seconds: float
    notes: tuple[str, ...]


def backtest(
    folder: Path,
    out: Path,
    *,
    detectors: DetectorConfig | None = None,
    alerts: AlertConfig | None = None,
    country: str = "CN",
) -> BacktestSummary:
    """Judge the dataset in `folder` and write one JSON line for each alert to `out`."""
    started = time.perf_counter()
    keep_freed_memory()
    dataset = read_dataset(folder)
    ledger = MemoryLedger()
    settings = detectors or DetectorConfig(), alerts or AlertConfig(), country
    batches = dataset.batches(order="received")
    network, first = _usual_delays(dataset.network, batches, settings[0], country)
    waited = sum(a != b for a, b in zip(network.devices, dataset.network.devices, strict=True))
    if waited:
        dataset.notes.say(
            f"readings of {waited} devices usually come later than `delivery_s` in "
            "network/devices.csv says: their areas are waited for"
        )
    admission = Admission(network)
    with ThreadPoolExecutor(1, "families") as helper:
        judge = Judge(network, *settings, helper=helper)
        batches = chain(first, batches)
        rows, events = _judge_all(dataset, batches, network, judge, ledger, admission)
    lines = alert_lines(ledger)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    beside = out.with_suffix(out.suffix + ".tmp")
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(text, encoding="utf-8")
    beside.replace(out)
    return BacktestSummary(
        rows,
        events,
        len(lines),
        sum(bool(line["ticket"]) for line in lines),
        time.perf_counter() - started,
        (*dataset.notes.sentences, *admission.sentences()),
    )


def _usual_delays(
    network: Network, batches: Iterator[ReadingBatch], detectors: DetectorConfig, country: str
) -> tuple[Network, list[ReadingBatch]]:
    """The network with the delays that its first readings show, and these readings."""
    arrivals = Arrivals(network, detector_settings(detectors, country))
    first: list[ReadingBatch] = []
    for batch in batches:
        first.append(batch)
        arrivals.add(batch)
        if sum(map(len, first)) >= FIRST_ROWS:
            break
    return arrivals.network(), first


def _judge_all(
    dataset: Dataset,
    batches: Iterable[ReadingBatch],
    network: Network,
    judge: Judge,
    ledger: MemoryLedger,
    admission: Admission,
) -> tuple[int, int]:
    rows = made = 0
    with Progress("judged", dataset) as progress:
        # Reading and checking take one core, judging the other.
        read = ((b, admission.admit(b)) for b in batches)
        for batch, admitted in ahead(read):
            rows += len(batch)
            events = judge.batch(SOURCE, admitted)
            apply_events(events, ledger, network)
            made += len(events)
            progress.add(batch)
    events = judge.flush()
    apply_events(events, ledger, network)
    return rows, made + len(events)


def backtest_command(args: argparse.Namespace) -> int:
    """`forewatt backtest DIR --out ALERTS.jsonl`."""
    detectors, alerts, country = DetectorConfig(), AlertConfig(), "CN"
    if args.config is not None:
        config = load_config(args.config)
        detectors, alerts, country = config.detectors, config.alerts, config.site.country
    summary = backtest(
        args.folder, args.out, detectors=detectors, alerts=alerts, country=args.country or country
    )
    for note in summary.notes:
        print(f"forewatt: {note}", file=sys.stderr)
    if args.json:
        print(json.dumps(dataclasses.asdict(summary)))
    else:
        print(
            f"{summary.rows} rows in {summary.seconds:.1f} s: {summary.alerts} alerts, "
            f"{summary.tickets} with a ticket, written to {args.out}"
        )
    return 0
