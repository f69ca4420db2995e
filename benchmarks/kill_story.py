"""Does the demo lose or double anything when its processes are killed at random moments?

Starts a real `forewatt demo` in a temporary folder, sends `kill -9` to collect, historian and
watch in turn at random moments, and compares what came of it with the dataset that was played
and with an undisturbed `forewatt backtest` of the same town, up to a moment shortly before the
end. Takes as long as it is told to; with --speed 60 a quarter of an hour covers the loosening
neutral, the outage and the first evening of the overload. Exit status 1 when anything differs.

Run: python benchmarks/kill_story.py [--kills 20] [--minutes 15] [--speed 60] [--seed 1]
"""

import argparse
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forewatt.demo_town import TownData
from forewatt.health import Report, read_reports
from forewatt.shared_clock import SharedClock
from grid.dataset import read_dataset
from storage.database import Database
from storage.fleet import gaps
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("collect", "historian", "watch")
READY_S = 300.0
BACK_S = 120.0
MARGIN_US = 1_800_000_000  # of site time: what is compared lies this long before the end
MICROS = "(extract(epoch FROM r.time) * 1000000)::bigint"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=15.0, help="of real time, after ready")
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending the demo
    with tempfile.TemporaryDirectory(prefix="forewatt-kills-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (folder / "demo-log.txt").open("wb") as log:
            words = ("demo", "--speed", str(given.speed), "--data", str(folder / "demo"))
            process = subprocess.Popen(
                [sys.executable, "-m", "forewatt", *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            story = Story(folder / "demo", _printed(process))
            killed = story.disturb(given.kills, given.minutes * 60.0, given.seed)
            outcome = story.compare(folder / "undisturbed.jsonl", killed)
        finally:
            process.terminate()
            process.wait(60)
    outcome.show(given)
    return 0 if outcome.well() else 1


def _printed(process: subprocess.Popen[str]) -> dict[str, str]:
    """The `name: value` lines of the demo."""
    found: dict[str, str] = {}

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.match(r"(\w+): (.*)", line):
                found[match[1]] = match[2]

    threading.Thread(target=listen, daemon=True).start()
    wait_for(lambda: "broker" in found or process.poll() is not None, READY_S, "the demo's lines")
    if "broker" not in found:
        raise SystemExit("the demo did not start; run it by hand: forewatt demo")
    return found


@dataclass(frozen=True)
class Outcome:
    """What was counted, and what ought to be equal."""

    lines: Sequence[tuple[str, object]]
    pairs: Sequence[tuple[str, object, object]]

    def well(self) -> bool:
        return all(is_ == ought for _, is_, ought in self.pairs)

    def show(self, given: argparse.Namespace) -> None:
        """One table, with the machine and the versions."""
        print(
            f"{given.kills} kills in {given.minutes:g} min at speed {given.speed:g}, seed "
            f"{given.seed}; Python {platform.python_version()}, {platform.machine()}, "
            f"{os.cpu_count()} processors, load {os.getloadavg()[1]:.1f}"
        )
        for what, value in self.lines:
            print(f"  {what:<58} {value}")
        print(f"  {'':<58} {'is':>10} {'ought':>10}")
        for what, is_, ought in self.pairs:
            print(f"  {what:<58} {is_!s:>10} {ought!s:>10} {'' if is_ == ought else '  DIFFERS'}")


class Story:
    """A running demo and what it was told."""

    def __init__(self, folder: Path, printed: dict[str, str]) -> None:
        self.run = folder / "run"
        self.printed = printed
        plan = json.loads((self.run / "plan.json").read_text(encoding="utf-8"))
        self.town = TownData(Path(plan["town"]))
        self.health = Path(plan["health"])
        self.clock = SharedClock(self.run / "clock.json")

    def reports(self) -> dict[str, Report]:
        return read_reports(self.health)

    # -- disturbing --------------------------------------------------------------------------

    def disturb(self, kills: int, seconds: float, seed: int) -> dict[str, int]:
        """Kill at random moments of the given time; how often each role was."""
        wait_for(lambda: self.clock.state.speed > 0, READY_S, "the story to begin")
        choice = random.Random(seed)
        began = time.monotonic()
        moments = sorted(choice.uniform(5.0, seconds - 45.0) for _ in range(kills))
        roles = [ROLES[n % len(ROLES)] for n in range(kills)]
        choice.shuffle(roles)
        for moment, role in zip(moments, roles, strict=True):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            self._kill(role)
            at = _local(self.clock.now_us())
            print(f"{time.monotonic() - began:6.1f} s  {at}  killed {role}", flush=True)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        return {role: roles.count(role) for role in ROLES}

    def _kill(self, role: str) -> None:
        """`kill -9`, once it has come (again)."""

        def pid() -> int:
            report = self.reports().get(role)
            return report.pid if report and Path(f"/proc/{report.pid}").exists() else 0

        os.kill(wait_for(pid, BACK_S, f"{role} to be back"), signal.SIGKILL)

    # -- comparing ---------------------------------------------------------------------------

    def compare(self, backtest: Path, killed: dict[str, int]) -> Outcome:
        """Everything up to half an hour of site time before now."""
        cut_us = self.clock.now_us() - MARGIN_US

        def judged() -> bool:
            reports = self.reports()
            watch, historian = reports.get("watch"), reports.get("historian")
            reached: Any = watch.detail.get("watermark_us", 0) if watch else 0
            return bool(historian) and reached >= cut_us

        wait_for(judged, BACK_S, "everything to be judged")
        wait_for(lambda: self._stored(cut_us)[0] >= self._published(cut_us), BACK_S, "all stored")
        restarts = self.reports()["supervisor"].detail["restarts"]
        rows, distinct = self._stored(cut_us)
        live, tickets = self._alerts(), self._get("/api/v1/tickets?limit=1000")
        subprocess.run(
            [sys.executable, "-m", "forewatt", "backtest", str(self.town.folder)]
            + ["--out", str(backtest), "--config", str(self.run / "forewatt.toml")],
            cwd=ROOT,
            check=True,
            timeout=600,
        )
        lines = [json.loads(x) for x in backtest.read_text(encoding="utf-8").splitlines()]
        known = [x for x in lines if _micros(x["known"]) <= cut_us]
        ids, all_ids = {x["id"] for x in known}, {x["id"] for x in lines}
        due = {x["id"] for x in known if x["ticket"]}
        all_due = {x["id"] for x in lines if x["ticket"]}
        on_desk = [t["episode"] for t in tickets]
        truth = (self.town.folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()
        begun = [f["asset"] for f in map(json.loads, truth) if _micros(f["onset"]) <= cut_us]
        assets = [t["asset"] for t in tickets]
        polls, breaks, recorded, owed = self._polls()
        return Outcome(
            [
                ("killed", ", ".join(f"{role} {n}" for role, n in killed.items())),
                ("restarted by the supervisor", restarts),
                ("compared up to (site time)", _local(cut_us)),
                ("faults begun by then", ", ".join(begun)),
                ("tickets on the desk", ", ".join(f"{t['fault']} {t['asset']}" for t in tickets)),
                ("alerts live", len(live)),
                ("Modbus polls stored in the story", polls),
                ("readings owed in gap rows of Modbus", owed),
            ],
            [
                ("readings published over MQTT, stored", distinct, self._published(cut_us)),
                ("rows of them in the table", rows, distinct),
                ("alerts of the undisturbed run that are missing", len(ids - live), 0),
                ("alerts that the undisturbed run has not", len(live - all_ids), 0),
                ("tickets of the undisturbed run that are missing", len(due - set(on_desk)), 0),
                ("tickets that the undisturbed run has not", len(set(on_desk) - all_due), 0),
                (
                    "tickets for one episode, at most",
                    max(map(on_desk.count, on_desk), default=0),
                    1,
                ),
                ("tickets for one asset, at most", max(map(assets.count, assets), default=0), 1),
                ("breaks of Modbus polls that have their gap row", recorded, breaks),
            ],
        )

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        with (
            Database(self.printed["database"], application="kill story") as database,
            database.connection() as connection,
        ):
            return connection.execute(statement.encode()).fetchall()

    def _monitors(self) -> set[str]:
        return {d.id for d in self.town.network.devices if d.profile and d.unit is not None}

    def _published(self, cut_us: int) -> int:
        """Readings of the dataset that went over MQTT and were sent by then."""
        return len(self._sent(cut_us))

    def _sent(self, cut_us: int) -> set[tuple[str, int]]:
        sent: set[tuple[str, int]] = set()
        monitors, story_us = self._monitors(), self.town.story_us
        for batch in read_dataset(self.town.folder).batches(order="received"):
            if len(batch) and int(batch.received[0]) > cut_us:
                break
            keep = (batch.event == 0) & (batch.received <= cut_us)
            for device, at in zip(
                batch.device[keep].tolist(), batch.time[keep].tolist(), strict=True
            ):
                name = batch.names[device]
                if name not in monitors or at < story_us:
                    sent.add((name, at))
        return sent

    def _stored(self, cut_us: int) -> tuple[int, int]:
        """Rows of what was sent by then, and how many different ones."""
        found = self._query(
            f"SELECT d.name, {MICROS} FROM reading r JOIN device d ON d.id = r.device"
        )
        sent = self._sent(cut_us)
        of_sent = [row for row in found if (row[0], row[1]) in sent]
        return len(of_sent), len(set(of_sent))

    def _polls(self) -> tuple[int, int, int, int]:
        """Stored polls, breaks between them, breaks that a gap row names, readings owed."""
        polls = breaks = recorded = owed = 0
        with Database(self.printed["database"], application="kill story") as database:
            for device in self.town.network.devices:
                if device.id not in self._monitors():
                    continue
                times = [
                    row[0]
                    for row in self._query(
                        f"SELECT {MICROS} FROM reading r JOIN device d ON d.id = r.device WHERE "
                        f"d.name = '{device.id}' ORDER BY r.time"
                    )
                    if row[0] >= self.town.story_us
                ]
                polls += len(times)
                most_us = 1.5e6 * (device.interval_s or 900.0)
                found = {
                    (g.after_us, g.before_us): g.missing
                    for g in gaps(database, device=device.id, open_only=False, limit=10_000)
                }
                for after, before in pairwise(times):
                    if before - after > most_us:
                        breaks += 1
                        recorded += (after, before) in found
                        owed += found.get((after, before), 0)
        return polls, breaks, recorded, owed

    def _alerts(self) -> set[str]:
        return {a["id"] for a in self._get("/api/v1/alerts?limit=1000")}

    def _get(self, path: str) -> list[dict[str, Any]]:
        with httpx.Client(base_url=self.printed["url"], timeout=30, follow_redirects=True) as desk:
            desk.get(self.printed["engineer"])
            answer = desk.get(path)
            answer.raise_for_status()
            items: list[dict[str, Any]] = answer.json()["items"]
            return items


def _micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def _local(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone().isoformat(" ", "seconds")


if __name__ == "__main__":
    sys.exit(main())
