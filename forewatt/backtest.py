"""`forewatt backtest`: a dataset through the same detectors and alert rules, in arrival order.

No broker, no database, no clock: the same folder gives the same file, byte for byte.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from alerts.lines import alert_lines
from alerts.memory import MemoryLedger
from alerts.unattended import UnattendedDesk
from forewatt.admission import Admission
from forewatt.ahead import ahead
from forewatt.config import AlertConfig, DetectorConfig, load_config
from forewatt.delays import usual_delays
from forewatt.judging import Judge, detector_settings
from forewatt.memory import keep_freed_memory
from forewatt.progress import Progress
from grid.dataset import Dataset, read_dataset
from grid.readings import ReadingBatch

SOURCE = "dataset"


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
    delays = usual_delays(
        dataset.network,
        dataset.batches(order="received"),
        detector_settings(settings[0], country),
    )
    network = delays.network
    if delays.note is not None:
        dataset.notes.say(delays.note)
    desk, admission = UnattendedDesk(ledger, network), Admission(network)
    with ThreadPoolExecutor(1, "families") as helper:
        judge = Judge(network, *settings, helper=helper)
        rows, events = _judge_all(dataset, delays.batches, judge, desk, admission)
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


def _judge_all(
    dataset: Dataset,
    batches: Iterable[ReadingBatch],
    judge: Judge,
    desk: UnattendedDesk,
    admission: Admission,
) -> tuple[int, int]:
    rows = made = 0
    with Progress("judged", dataset) as progress:
        # Reading and checking take one core, judging the other.
        read = ((b, admission.admit(b)) for b in batches)
        for batch, admitted in ahead(read):
            rows += len(batch)
            events = judge.batch(SOURCE, admitted)
            desk.take(events)
            made += len(events)
            progress.add(batch)
    events = judge.flush()
    desk.take(events)
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
