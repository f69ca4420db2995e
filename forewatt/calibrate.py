"""`forewatt calibrate`: limits for the tickets of a budget, from data believed healthy.

Runs the detectors over a dataset, takes the highest score of every episode, leaves out what is
known to have been a fault (truth.jsonl, verdicts of closed tickets), fits each detector's tail
and proposes the least scores at which the false tickets keep to their share of the budget. The
proposal takes effect when somebody has accepted it and `[alerts] limits` names it.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from detectors import Engine
from detectors.scoring import Places, TruthLine
from detectors.scoring.lines import read_truth
from detectors.scoring.matching import DAY_US
from detectors.scoring.tail import Tail, benjamini_hochberg, common_rate
from forewatt.admission import Admission
from forewatt.config import DetectorConfig, load_config
from forewatt.delays import usual_delays
from forewatt.judging import detector_settings
from forewatt.limits import Limit, accept, write_limits
from forewatt.progress import Progress
from grid.dataset import read_dataset
from grid.errors import BadInput
from grid.faults import FAULTS
from grid.records import Finding
from storage.database import Database
from storage.ledger import PostgresLedger

FALSE_SHARE = 0.1
RIGHT = ("confirmed_fault", "confirmed_precursor")
WRONG = ("no_fault", "data_or_mapping_error")
# A detector whose tickets are mostly judged wrong loses the right to open more.
VERDICTS_MIN = 10
RIGHT_SHARE_MIN = 0.3
WATCH_ONLY = 1000.0
TICKETS_READ = 100_000

Key = tuple[str, str]


@dataclass(slots=True)
class Episode:
    """The highest score of one asset and fault, from its raise to a day after its last."""

    detector: str
    fault: str
    asset_kind: str
    asset: str
    start_us: int
    end_us: int
    score: float
    severity: str


@dataclass(frozen=True, slots=True)
class Label:
    """What people found at a closed ticket."""

    detector: str
    fault: str
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """What calibration proposes, and what it rests on."""

    limits: tuple[Limit, ...]
    budget: float
    false_share: float
    days: float
    healthy: int
    left_out: int
    to_watch_list: tuple[Episode, ...] = ()
    discoveries: int = 0
    labels: tuple[Label, ...] = field(default=(), repr=False)


def episodes(findings: Iterable[Finding]) -> list[Episode]:
    """Findings of one asset and fault less than a day apart are one episode."""
    open_: dict[tuple[str, str, str, str], Episode] = {}
    out: list[Episode] = []
    for f in findings:
        if f.score < 1.0 or f.fault == "unknown":
            continue
        key = (f.detector, f.fault, f.asset_kind, f.asset)
        e = open_.get(key)
        if e is None or f.tick_us - e.end_us > DAY_US:
            e = open_[key] = Episode(*key, f.tick_us, f.tick_us, 0.0, f.severity)
            out.append(e)
        e.end_us = f.tick_us
        e.score = max(e.score, min(float(f.score), WATCH_ONLY))
        e.severity = min(e.severity, f.severity)
    return out


def faulty(e: Episode, truth: Sequence[TruthLine], places: Places, end_us: int) -> bool:
    """Whether an episode came while something on its line of supply is known to have happened."""
    here = (e.asset_kind, e.asset)
    return any(
        not t.benign
        and places.steps(here, (t.asset_kind, t.asset)) is not None
        and e.start_us <= t.over_us(end_us) + DAY_US
        and e.end_us >= t.onset_us
        for t in truth
    )  # fmt: skip


def propose(
    found: Sequence[Episode],
    days: float,
    budget: float,
    false_share: float,
    labels: Sequence[Label] = (),
    left_out: int = 0,
) -> Proposal:
    """Limits at which healthy data keeps to `budget * false_share` tickets a day.

    P1 stands outside the budget and is not limited; wrong tickets count as healthy episodes.
    """
    scores: dict[Key, list[float]] = {}
    for e in found:
        if e.severity != "P1":
            scores.setdefault((e.detector, e.fault), []).append(e.score)
    for x in labels:
        if not x.right:
            scores.setdefault((x.detector, x.fault), []).append(x.score)
    tails = {key: Tail.fit(s, days) for key, s in sorted(scores.items())}
    allowed = common_rate([t.rate(1.0) for t in tails.values()], budget * false_share)
    limits = []
    judged = {(x.detector, x.fault) for x in labels}
    for key in sorted(set(tails) | judged):
        tail = tails.get(key) or Tail.fit([], days)
        least = tail.limit(allowed) if tail.scores else 1.0
        right = sum(x.right for x in labels if (x.detector, x.fault) == key)
        wrong = sum(not x.right for x in labels if (x.detector, x.fault) == key)
        if right + wrong >= VERDICTS_MIN and right < RIGHT_SHARE_MIN * (right + wrong):
            least = WATCH_ONLY
        after = tail.rate(least)
        n = len(tail.scores)
        limits.append(Limit(*key, least, n, tail.rate(1.0), after, right, wrong))
    least_of = {(x.detector, x.fault): x.least_score for x in limits}
    lost = [
        e
        for e in found
        if e.severity != "P1" and e.score < least_of.get((e.detector, e.fault), 1.0)
    ]
    judged_right = [x for x in labels if x.right]
    p = [
        tails.get((x.detector, x.fault), Tail.fit([], days)).p_value(x.score) for x in judged_right
    ]
    stands = sum(benjamini_hochberg(p, false_share))
    return Proposal(
        tuple(limits), budget, false_share, days, len(found), left_out, tuple(lost), stands,
        tuple(labels),
    )  # fmt: skip


def calibrate(
    folder: Path,
    budget: float,
    *,
    false_share: float = FALSE_SHARE,
    labels: Sequence[Label] = (),
    detectors: DetectorConfig | None = None,
    country: str = "CN",
) -> Proposal:
    """Limits from a dataset folder. Raises BadInput as `backtest` does."""
    if not budget > 0:
        raise BadInput(f"a budget of {budget} tickets a day", fix="give a positive number")
    if not 0 < false_share <= 1:
        raise BadInput(f"a false share of {false_share}", fix="give a number up to 1")
    dataset = read_dataset(folder)
    settings = detector_settings(detectors or DetectorConfig(), country)
    delays = usual_delays(dataset.network, dataset.batches(order="received"), settings)
    engine, admission = Engine(delays.network, settings), Admission(delays.network)
    findings: list[Finding] = []
    first, last = 2**62, -(2**62)
    with Progress("judged", dataset) as progress:
        for batch in delays.batches:
            rows = admission.admit(batch)
            if len(rows):
                first, last = min(first, int(rows.time.min())), max(last, int(rows.time.max()))
            findings += engine.feed("dataset", rows)
            progress.add(batch)
    findings += engine.flush()
    days = (last - first) / DAY_US
    if days < 1:
        raise BadInput(
            f"{max(days, 0):.1f} days of data", file=str(folder), fix="calibrate with weeks"
        )
    found = episodes(findings)
    truth = _truth(folder / "truth.jsonl")
    places = Places(dataset.network)
    healthy = [e for e in found if not faulty(e, truth, places, last)]
    return propose(healthy, days, budget, false_share, labels, len(found) - len(healthy))


def _truth(path: Path) -> list[TruthLine]:
    if not path.is_file():
        return []
    return read_truth(path.read_text(encoding="utf-8").splitlines(), path.name)


def labels_from_csv(path: Path) -> list[Label]:
    """Verdicts of a file: detector, fault, score, verdict. Raises BadInput naming the line."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as problem:
        raise BadInput(
            f"not a CSV file ({problem})", file=str(path), fix="save as CSV"
        ) from problem
    missing = {"detector", "fault", "score", "verdict"} - set(frame.columns)
    if missing:
        raise BadInput(
            f"column {sorted(missing)[0]!r} is missing", file=path.name, line=1, fix="add it"
        )
    out = []
    for n, row in enumerate(frame.to_dict("records"), 2):
        verdict = str(row["verdict"])
        if verdict not in (*RIGHT, *WRONG):
            continue  # a customer's own side, planned work: neither right nor wrong
        try:
            score = float(row["score"])
        except ValueError as problem:
            raise BadInput(
                f"{row['score']!r} is no number", file=path.name, line=n, column="score",
                fix="give the alert's score",
            ) from problem  # fmt: skip
        if row["fault"] not in FAULTS:
            raise BadInput(
                f"fault {row['fault']!r} is not in the catalogue", file=path.name, line=n,
                column="fault", fix=f"use one of {', '.join(FAULTS)}",
            )  # fmt: skip
        out.append(Label(str(row["detector"]), str(row["fault"]), score, verdict in RIGHT))
    return out


def labels_from_ledger(ledger: PostgresLedger) -> list[Label]:
    """Verdicts of the closed tickets of an installation, with their alerts' scores."""
    with ledger.reading() as reading:
        closed = reading.tickets(states=("closed",), limit=TICKETS_READ)
        alerts = reading.alerts_by_id([t.episode for t in closed if t.verdict])
    out = []
    for t in closed:
        alert = alerts.get(t.episode)
        if alert is not None and t.verdict in (*RIGHT, *WRONG):
            out.append(Label(alert.detector, alert.fault, alert.score, t.verdict in RIGHT))
    return out


def print_proposal(p: Proposal, console: Console) -> None:
    """The proposal for the person who reviews it."""
    console.print(
        f"{p.days:.1f} days, {p.healthy} healthy episodes"
        + (f" ({p.left_out} known faults left out)" if p.left_out else "")
        + f"; budget {p.budget:g} tickets a day, at most {100 * p.false_share:g} % of them false"
    )
    table = Table(box=SIMPLE_HEAD)
    for name in ("detector", "fault", "healthy episodes", "a day now", "least score", "a day then"):
        table.add_column(name)
    table.add_column("verdicts right/wrong")
    for x in p.limits:
        least = "watch list only" if x.least_score >= WATCH_ONLY else f"{x.least_score:.2f}"
        table.add_row(
            x.detector, x.fault, str(x.healthy_episodes), f"{x.healthy_a_day:.3f}", least,
            f"{x.healthy_a_day_after:.3f}", f"{x.judged_right}/{x.judged_wrong}",
        )  # fmt: skip
    console.print(table)
    console.print(f"{len(p.to_watch_list)} of these episodes would be on the watch list instead")
    right = sum(x.right for x in p.labels)
    if right:
        console.print(
            f"{p.discoveries} of {right} confirmed faults stand out from healthy data at a false "
            f"discovery rate of {100 * p.false_share:g} % (Benjamini-Hochberg)"
        )


def calibrate_command(args: argparse.Namespace) -> int:
    """`forewatt calibrate DIR --budget N --out limits.toml`, or `--accept FILE --by NAME`."""
    if args.accept is not None:
        accept(args.accept, args.by or "")
        print(f"{args.accept} is accepted; name it as [alerts] limits and restart")
        return 0
    if args.folder is None:
        raise BadInput("no dataset folder", fix="forewatt calibrate DIR, or --accept FILE")
    labels = [] if args.verdicts is None else labels_from_csv(args.verdicts)
    detectors, country = DetectorConfig(), "CN"
    if args.config is not None:
        config = load_config(args.config)
        detectors, country = config.detectors, config.site.country
        with Database(config.database_url(), application="forewatt calibrate") as database:
            labels += labels_from_ledger(PostgresLedger(database, config.site.realm))
    made = calibrate(
        args.folder,
        args.budget,
        false_share=args.false_share,
        labels=labels,
        detectors=detectors,
        country=args.country or country,
    )
    head = {
        "budget": made.budget,
        "false_share": made.false_share,
        "healthy_days": made.days,
        "data": str(args.folder),
    }
    write_limits(args.out, made.limits, head)
    if args.json:
        print(json.dumps({**head, "limits": [asdict(x) for x in made.limits]}, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 130
        print_proposal(made, console)
        print(
            f"proposed in {args.out}; look at it, then: "
            f"forewatt calibrate --accept {args.out} --by NAME"
        )
    return 0
