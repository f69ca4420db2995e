"""The trials of a site: started for the engineer's page, supervised, bounded, cleaned up.

Each is the command `forewatt trial` in a process of its own, so that a heavy replay or its crash
never touches the pages. One thread starts and watches them; they end with it, however it ends.
"""

import hashlib
import json
import logging
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from detectors.scoring import read_truth
from forewatt.cli import speed
from forewatt.config import Config
from forewatt.demo_town import STORIES
from forewatt.trial_files import TrialFolder, read_json, write_whole
from forewatt.trial_score import scored
from forewatt.trial_settings import TrialSettings, known_settings
from forewatt.trial_source import FORMS, LIVE
from grid.errors import BadInput, ForewattError
from grid.network_files import parse_time
from web.trial_doors import ENDED, TrialAsk, TrialSource

WAITING_MAX: Final = 8
LABELS_MAX: Final = 2_000
POLL_S: Final = 0.1
END_S: Final = 5.0
SCENARIOS: Final = STORIES

log = logging.getLogger(__name__)


class TooManyTrials(ForewattError):
    """So many trials wait already; stop one of them or come back later."""


class TrialRoom:
    """Implements `web.trial_doors.Trials` in a folder.

    Parameters
    ----------
    folder : where the trials are kept
    config : the installation's; its file gives the live past and the network for single files
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config = folder, config
        self.limits = config.trials
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "labels").mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        self._scores: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        for id_, view in self.known():
            if view.status.get("state") not in ENDED:
                self._say(id_, "stopped", "The pages were started again meanwhile.")

    # -- what there is -----------------------------------------------------------------------

    def sources(self) -> Sequence[TrialSource]:
        """The live past, datasets and files of `[trials] datasets`, scenarios that come along."""
        out = [TrialSource(LIVE, LIVE, LIVE)]
        place = self.limits.datasets
        if place is not None and place.is_dir():
            for path in sorted(place.iterdir()):
                if path.is_dir() and any((path / f"readings{form}").is_file() for form in FORMS):
                    truth = (path / "truth.jsonl").is_file()
                    out.append(TrialSource(f"dataset:{path.name}", "dataset", path.name, truth))
                elif path.is_file() and path.name.endswith(FORMS):
                    out.append(TrialSource(f"file:{path.name}", "file", path.name))
        for path in sorted(SCENARIOS.glob("*.toml")):
            out.append(TrialSource(f"scenario:{path.stem}", "scenario", path.stem, True))
        return out

    def settings(self) -> Sequence[tuple[str, str, str]]:
        """(key, what it means, default) of what a trial may set."""
        return list(known_settings())

    def known(self) -> Sequence[tuple[str, TrialFolder]]:
        """All trials, newest first."""
        ids = [p.name for p in self.folder.iterdir() if p.name.startswith("replay-")]
        return [(id_, TrialFolder(self.folder / id_)) for id_ in sorted(ids, reverse=True)]

    def open(self, id_: str) -> TrialFolder | None:
        """One trial, None if there is none of that name."""
        # Compared with what is there: a name out of an address never becomes a path.
        return next((view for known, view in self.known() if known == id_), None)

    # -- start and watch ---------------------------------------------------------------------

    def start(self, ask: TrialAsk) -> str:
        """Let a trial run as soon as there is room; returns its id.

        Raises BadInput for a wrong setting, time or source before anything is started, and
        TooManyTrials.
        """
        argv = self._argv(ask)
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                raise TooManyTrials(str(TooManyTrials.__doc__))
            id_ = f"replay-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
            folder = self.folder / id_
            folder.mkdir()
            request = asdict(ask) | {"command": self.command(ask), "argv": argv}
            write_whole(folder / "request.json", json.dumps(request, ensure_ascii=False))
            self._say(id_, "waiting")
            self._waiting.append(id_)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="trials", daemon=True)
                self._thread.start()
        self._wake.set()
        return id_

    def command(self, ask: TrialAsk) -> str:
        """The same run as a line for the command line."""
        return shlex.join(["forewatt", "trial", *self._argv(ask), "--out", "DIR"])

    def _argv(self, ask: TrialAsk) -> list[str]:
        TrialSettings.of(ask.a, "a")
        if ask.b is not None:
            TrialSettings.of(ask.b, "b")
        argv = [self._source(ask.source)]
        for option, text in (("--from", ask.start), ("--to", ask.end)):
            if text:
                try:
                    parse_time(text)
                except ValueError as error:
                    raise BadInput(
                        f"{text!r} is no time with zone",
                        column=option.strip("-"),
                        fix="write it as 2026-03-01T08:00:00+08:00",
                    ) from error
                argv += [option, text]
        if ask.source == LIVE and not (ask.start and ask.end):
            raise BadInput("the live past needs its bounds", fix="say from when to when")
        if ask.speed != "max":
            try:
                speed(ask.speed)
            except Exception as error:
                raise BadInput(str(error), column="speed", fix="write 60 or max") from error
            argv += ["--speed", ask.speed]
        for text in ask.a:
            argv += ["--set", text]
        if ask.b is not None:
            for text in ask.b or ("",):
                argv += ["--against", text] if text else ["--against"]
        if ask.lenient:
            argv.append("--lenient")
        return [*argv, "--config", str(self.config.file)]

    def _source(self, key: str) -> str:
        known = {s.key: s for s in self.sources()}
        source = known.get(key)
        if source is None:
            raise BadInput(f"{key!r} is not among the sources", fix="choose one of the list")
        if source.kind == LIVE:
            return LIVE
        if source.kind == "scenario":
            return str(SCENARIOS / f"{source.name}.toml")
        assert self.limits.datasets is not None, "only its folder gives such sources"
        return str(self.limits.datasets / source.name)

    def control(self, id_: str, speed_text: str, paused: bool, steps: int) -> None:
        """Change the speed, pause, go on, or make some steps of a quarter of an hour."""
        view = self._must(id_)
        wanted = {"speed": speed(speed_text), "paused": paused, "steps": min(max(steps, 0), 96)}
        write_whole(view.folder / "control.json", json.dumps(wanted))

    def stop(self, id_: str) -> None:
        """End a trial; what it has found so far stays."""
        self._must(id_)
        with self._lock:
            if id_ in self._waiting:
                self._waiting.remove(id_)
                self._say(id_, "stopped")
            elif id_ in self._running:
                self._running[id_][0].send_signal(signal.SIGTERM)

    def remove(self, id_: str) -> None:
        """Forget a trial that has ended."""
        view = self._must(id_)
        if view.status.get("state") not in ENDED:
            raise BadInput(f"{id_} is still running", fix="stop it first")
        shutil.rmtree(view.folder, ignore_errors=True)
        self._scores.pop(id_, None)

    def close(self) -> None:
        """End all trials and the thread that watches them."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(END_S * 2)

    # -- labels and scores -------------------------------------------------------------------

    def labels(self, id_: str) -> list[dict[str, Any]]:
        """What people have labelled by hand in this trial's source."""
        path = self._labels(id_)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.strip()]

    def keep_labels(self, id_: str, labels: Sequence[Mapping[str, Any]]) -> None:
        """Replace the labels of this trial's source. Raises BadInput for a wrong one."""
        if len(labels) > LABELS_MAX:
            raise BadInput(f"more than {LABELS_MAX} labels", fix="export them and begin anew")
        lines = [json.dumps(x, ensure_ascii=False) for x in labels]
        read_truth(lines, "labels")
        write_whole(self._labels(id_), "".join(line + "\n" for line in lines))

    def scored(self, id_: str) -> Mapping[str, Any]:
        """Both sides against truth and labels, and what differs; kept until the labels change."""
        view, labels = self._must(id_), self.labels(id_)
        key = (json.dumps(labels, sort_keys=True), view.status.get("state"))
        kept = self._scores.get(id_)
        if kept is None or kept[0] != key:
            kept = (key, scored(view.folder, labels))
            self._scores[id_] = kept
        return kept[1]

    def _labels(self, id_: str) -> Path:
        source = str(self._must(id_).request.get("source", ""))
        name = hashlib.sha256(source.encode()).hexdigest()[:16]
        return self.folder / "labels" / f"{name}.jsonl"

    def _must(self, id_: str) -> TrialFolder:
        view = self.open(id_)
        if view is None:
            raise BadInput(f"there is no replay {id_!r}", fix="choose one of the list")
        return view

    # -- the thread that keeps them ----------------------------------------------------------

    def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                self._look()
            except Exception:
                log.exception("the trials cannot be looked after")
            self._wake.wait(POLL_S if self._running else 1.0)
            self._wake.clear()
        with self._lock:
            running = [p for p, _ in self._running.values()]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(END_S)

    def _look(self) -> None:
        with self._lock:
            ended = [
                (id_, p) for id_, (p, began) in self._running.items() if self._over(id_, p, began)
            ]
            for id_, process in ended:
                del self._running[id_]
                self._settle(id_, process.returncode)
            while self._waiting and len(self._running) < self.limits.running:
                id_ = self._waiting.pop(0)
                self._running[id_] = (self._spawn(id_), time.monotonic())
        if ended:
            self._tidy()

    def _over(self, id_: str, process: "subprocess.Popen[bytes]", began: float) -> bool:
        if process.poll() is not None:
            return True
        overdue = time.monotonic() - began - self.limits.minutes_max * 60
        if overdue > END_S:
            process.kill()
        elif overdue > 0:
            process.terminate()
        return False

    def _spawn(self, id_: str) -> "subprocess.Popen[bytes]":
        folder = self.folder / id_
        argv = read_json(folder / "request.json")["argv"]
        words = [sys.executable, "-m", "forewatt", "trial", *argv, "--out", str(folder)]
        with (folder / "log.txt").open("wb") as said:
            return subprocess.Popen(
                [*words, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def _settle(self, id_: str, status: int) -> None:
        """A process that ended without its last word gets one."""
        state = read_json(self.folder / id_ / "status.json").get("state")
        if state not in ENDED:
            text = f"The process ended with status {status} before it was done; see log.txt."
            self._say(id_, "failed" if status else "stopped", text)

    def _say(self, id_: str, state: str, text: str = "") -> None:
        status = {"state": state, "at": time.time()} | ({"error": {"text": text}} if text else {})
        write_whole(self.folder / id_ / "status.json", json.dumps(status))

    def _tidy(self) -> None:
        """Keep the newest trials, within number and disk."""
        ended = [(i, v) for i, v in self.known() if v.status.get("state") in ENDED]
        room = self.limits.kept_bytes
        for n, (id_, view) in enumerate(ended):
            room -= sum(f.stat().st_size for f in view.folder.rglob("*") if f.is_file())
            if n >= self.limits.kept or (room < 0 and n > 0):
                self.remove(id_)
