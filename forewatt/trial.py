"""`forewatt trial`: past data through the detectors once more, in a realm of its own.

Reads a source whole, judges it with one or two settings at any speed, and keeps everything that a
page needs to show it in one folder. Nothing reaches the live site: no row, no ticket, no notice.
The engineer's page runs exactly this command.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alerts.lines import alert_lines
from alerts.memory import MemoryLedger
from alerts.unattended import UnattendedDesk
from detectors.near import NearScores
from forewatt.admission import Admission
from forewatt.child import begin
from forewatt.config import load_config
from forewatt.delays import usual_delays
from forewatt.judging import Judge, budget_settings, detector_settings
from forewatt.run import catch_stop
from forewatt.site import keep_network
from forewatt.trial_files import SIDES, read_json, write_series, write_whole
from forewatt.trial_score import scored
from forewatt.trial_settings import TrialSettings
from forewatt.trial_source import Given, joined, load_source
from grid.errors import BadInput, ForewattError
from grid.network import Network
from grid.network_files import parse_time
from grid.readings import ReadingBatch
from grid.records import Finding
from ingest.files import without_ratios

STEP_US = 900_000_000
TELL_S = 0.5
LOOK_S = 0.1
FINDINGS_MAX = 1_000_000
SOURCE = "trial"


@dataclass
class Side:
    """One set of settings on its way through the data, with a ledger in memory as its realm."""

    name: str
    network: Network
    settings: TrialSettings
    country: str
    dropped: int = 0
    near: NearScores = field(default_factory=NearScores)
    rows: list[tuple[int, str, str, str, str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.judge = Judge(
            self.network,
            self.settings.detectors,
            self.settings.alerts,
            self.country,
            told=self._note,
            near=self.near,
        )
        self.ledger = MemoryLedger(f"replay-{self.name}")
        self.desk = UnattendedDesk(self.ledger, self.network)

    def _note(self, findings: Sequence[Finding]) -> None:
        """Every score at or over the limit, for the chart; beyond the bound it is counted. What
        came near is heard by `near`, with a bound of its own."""
        room = FINDINGS_MAX - len(self.rows)
        self.dropped += max(0, len(findings) - room)
        self.rows += [
            (f.tick_us, f.detector, f.fault, f.asset_kind, f.asset, float(f.score))
            for f in findings[: max(0, room)]
        ]

    def feed(self, batch: ReadingBatch) -> None:
        """Judge more rows."""
        self.desk.take(self.judge.batch(SOURCE, batch))

    def end(self) -> None:
        """No more rows come."""
        self.desk.take(self.judge.flush())

    def limits(self) -> list[tuple[str, str, float]]:
        """Detector, fault and the least score that may open a ticket, where it is not 1."""
        given = budget_settings(self.settings.alerts).limits
        return [(d, f, x) for (d, f), x in sorted(given.items())]

    def lines(self) -> list[dict[str, Any]]:
        """The alerts so far, as their public lines."""
        return alert_lines(self.ledger)

    def scores(self) -> pa.Table:
        """The noted scores in order of time, with those that came near their limit."""
        names = ("tick_us", "detector", "fault", "asset_kind", "asset", "score")
        rows = sorted([*self.rows, *self.near.points])
        columns = [[row[n] for row in rows] for n in range(len(names))]
        kinds = (pa.int64(), *(pa.string(),) * 4, pa.float64())
        return pa.table({n: pa.array(c, k) for n, c, k in zip(names, columns, kinds, strict=True)})


class Pace:
    """How fast event time may run: a number, `max`, paused, or so many steps.

    `control.json` in the trial's folder changes it meanwhile.
    """

    def __init__(self, folder: Path, speed: float | None, stopping: Callable[[], bool]) -> None:
        self._control = folder / "control.json"
        self.speed, self.paused, self._steps = speed, False, 0
        self._stopping = stopping
        self._at_us: int | None = None
        self._since = time.monotonic()
        self._seen: float | None = None

    @property
    def free(self) -> bool:
        """Whether nothing holds it back now."""
        self._look()
        return self.speed is None and not self.paused

    def _look(self) -> None:
        try:
            changed = self._control.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed == self._seen:
            return
        self._seen = changed
        wanted = read_json(self._control)
        self.speed = wanted.get("speed")
        self.paused = bool(wanted.get("paused"))
        self._steps += int(wanted.get("steps", 0))
        self._at_us = None  # from here on at the new speed

    def wait(self, until_us: int, idle: Callable[[], None] = lambda: None) -> bool:
        """Until event time may reach `until_us`; False when asked to stop. `idle` is called now
        and then meanwhile."""
        while not self._stopping():
            self._look()
            idle()
            if self.paused and self._steps > 0:
                self._steps -= 1
                return True
            if not self.paused:
                if self.speed is None:
                    return True
                if self._at_us is None:
                    self._at_us, self._since = until_us, time.monotonic()
                due = self._since + (until_us - self._at_us) / 1e6 / self.speed
                if time.monotonic() >= due:
                    return True
            # Somebody may press a button meanwhile: look often, wait on nothing else.
            threading.Event().wait(LOOK_S)
        return False


@dataclass
class Trial:
    """One run into one folder."""

    folder: Path
    request: dict[str, Any]
    pace: Pace
    said_at: float = 0.0

    def say(self, state: str, **more: Any) -> None:
        """Write the status: what everybody who watches reads."""
        self.said_at = time.monotonic()
        write_whole(
            self.folder / "status.json",
            json.dumps({"state": state, "at": time.time(), **more}, ensure_ascii=False),
        )

    def run(self, given: Given, sides: Sequence[Side]) -> dict[str, Any]:
        """Judge everything; returns the result that the last status carries."""
        began = time.monotonic()
        self._furnish(given)
        start_us, end_us = given.span_us
        network = without_ratios(given.network) if given.primary else given.network
        admission = Admission(network)
        done, at_us = 0, start_us
        told = self._write_alerts(sides)

        def tell() -> None:
            if time.monotonic() - self.said_at > TELL_S:
                self.say(
                    "running", rows=done, rows_all=given.rows, at_us=at_us, start_us=start_us,
                    end_us=end_us, alerts=told, speed=self.pace.speed, paused=self.pace.paused,
                )  # fmt: skip

        self.said_at = 0.0
        for step in self._steps(given):
            if not self.pace.wait(int(step.time.max()), tell):
                raise Stopped
            admitted = admission.admit(step)
            for side in sides:
                side.feed(admitted)
            done, at_us = done + len(step), int(step.time.max())
            if time.monotonic() - self.said_at > TELL_S:
                told = self._write_alerts(sides)
                tell()
        for side in sides:
            side.end()
            pq.write_table(
                side.scores(), self.folder / f"{side.name}.scores.parquet", row_group_size=20_000
            )
        told = self._write_alerts(sides)
        self.say("scoring", rows=done, rows_all=given.rows, start_us=start_us, end_us=end_us)
        result = {
            "rows": done,
            "start_us": start_us,
            "end_us": end_us,
            "seconds": round(time.monotonic() - began, 2),
            "alerts": told,
            "scores_dropped": sum(s.dropped for s in sides),
            "limits": {s.name: s.limits() for s in sides},
            "notes": [*given.notes, *admission.sentences()],
        }
        self.say("done", **result)
        return result

    def _furnish(self, given: Given) -> None:
        self.say("loading", rows_all=given.rows)
        keep_network(self.folder / "network.json", given.network)
        whole = joined(given)
        write_series(self.folder / "series", whole)
        if given.truth is not None:
            write_whole(self.folder / "truth.jsonl", given.truth)

    def _steps(self, given: Given) -> Iterator[ReadingBatch]:
        """Whole batches while nothing holds it back, a quarter of an hour at a time otherwise."""
        for batch in given.batches:
            at = 0
            while at < len(batch):
                end = len(batch)
                if not self.pace.free:
                    mark = (int(batch.received[at]) // STEP_US + 1) * STEP_US
                    end = max(at + 1, int(np.searchsorted(batch.received, mark)))
                yield batch.select(slice(at, end))
                at = end

    def _write_alerts(self, sides: Sequence[Side]) -> dict[str, int]:
        told = {}
        for side in sides:
            lines = side.lines()
            told[side.name] = len(lines)
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            write_whole(self.folder / f"{side.name}.alerts.jsonl", text)
        return told


class Stopped(ForewattError):
    """The trial was stopped before its end."""


def trial_command(args: argparse.Namespace) -> int:
    """`forewatt trial SOURCE --out DIR`."""
    if args.parent:
        os.nice(10)  # a replay is never as urgent as the live site
    stopping = begin("trial", args.parent).is_set if args.parent else catch_stop()
    folder: Path = args.out
    folder.mkdir(parents=True, exist_ok=True)
    trial = Trial(folder, {}, Pace(folder, args.speed, stopping))
    try:
        result = _run(trial, args)
    except ForewattError as error:
        trial.say("stopped" if isinstance(error, Stopped) else "failed", error=_plain(error))
        raise
    except MemoryError as error:
        short = ForewattError("this machine has too little memory; choose a shorter span")
        trial.say("failed", error=_plain(short))
        raise short from error
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        for note in result["notes"]:
            print(f"forewatt: {note}", file=sys.stderr)
        counts = ", ".join(f"{k}: {n} alerts" for k, n in result["alerts"].items())
        print(f"{result['rows']} rows in {result['seconds']:.1f} s, {counts}, kept in {folder}")
        if (folder / "truth.jsonl").is_file():
            _print_scores(folder)
    return 0


def _run(trial: Trial, args: argparse.Namespace) -> dict[str, Any]:
    config = load_config(args.config) if args.config else None
    base = TrialSettings(config.detectors, config.alerts) if config else None
    settings = [TrialSettings.of(args.set, "--set", base)]
    if args.against is not None:
        settings.append(TrialSettings.of([x for x in args.against if x], "--against", base))
    country = args.country or (config.site.country if config else "CN")
    trial.say("loading")
    given = load_source(
        args.source,
        trial.folder,
        config=config,
        network=args.network,
        start_us=_moment(args.start, "--from"),
        end_us=_moment(args.end, "--to"),
        lenient=args.lenient,
    )
    if not given.network.devices:
        raise BadInput("the network has no devices", fix="import a network first")
    # Both sides wait alike: by the settings of the first.
    delays = usual_delays(
        given.network, given.batches, detector_settings(settings[0].detectors, country)
    )
    notes = given.notes if delays.note is None else (*given.notes, delays.note)
    given = replace(given, network=delays.network, notes=notes)
    sides = [Side(n, given.network, s, country) for n, s in zip(SIDES, settings, strict=False)]
    return trial.run(given, sides)


def _moment(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise BadInput(
            f"{option}: {text!r} is no time with zone",
            fix="write it as 2026-03-01T08:00:00+08:00",
        ) from error


def _plain(error: ForewattError) -> dict[str, Any]:
    """An error as the page shows it: where, what, and how to mend it."""
    names = ("problem", "file", "line", "column", "fix")
    return {"text": str(error), **{n: getattr(error, n, None) for n in names}}


def _print_scores(folder: Path) -> None:
    for side, found in scored(folder).items():
        if side in SIDES:
            shown = {k: v for k, v in found["summary"].items() if v is not None}
            print(f"{side}: " + ", ".join(f"{k} {v}" for k, v in shown.items()))
