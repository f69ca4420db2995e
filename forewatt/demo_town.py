"""The demo's town: simulated once for each scenario and simulator source, then kept.

The cache's name is a hash of everything that the dataset depends on, so a changed simulator never
plays an old town. Old towns are removed, all but the newest few.
"""

import difflib
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from grid.errors import BadInput, ForewattError
from grid.network import Network
from grid.network_files import load_network

KEPT = 3
SIMULATE_S = 300.0


STORIES: Final = Path(__file__).resolve().parents[1] / "simulators" / "scenarios"


def demo_scenario() -> Path:
    """The story that is told when no other is named."""
    return STORIES / "demo.toml"


def story_of(given: Path) -> Path:
    """The file of a scenario: itself, or the one of the library that has this name."""
    if given.is_file():
        return given
    kept = STORIES / given.with_suffix(".toml").name
    if given.parent == Path() and kept.is_file():
        return kept
    near = difflib.get_close_matches(given.stem, [p.stem for p in STORIES.glob("*.toml")], 3)
    raise BadInput(
        "no such scenario",
        file=str(given),
        fix=f"name a TOML file or a story: {', '.join(near or ['storm_night', 'neutral_loose'])}",
    )


def town_key(scenario: Path) -> str:
    """Hash of the scenario and of every source file that a simulation runs through."""
    return source_key("simulators", "grid", also=scenario.read_bytes())


def source_key(*packages: str, also: bytes = b"") -> str:
    """Hash of all sources of some rooms, without importing them, and of the Python that runs."""
    digest = hashlib.sha256(sys.version.encode() + also)
    for package in packages:
        folder = Path(__file__).resolve().parents[1] / package
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".py", ".csv", ".json", ".toml") and file.is_file():
                digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class TownData:
    """A simulated town with its story."""

    folder: Path

    @cached_property
    def network(self) -> Network:
        """What hangs where in the town."""
        return load_network(self.folder)

    @cached_property
    def span_us(self) -> tuple[int, int]:
        """First and last reading of the dataset, microseconds UTC."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.folder / "readings.parquet")
        column = file.schema_arrow.get_field_index("time")
        groups = [
            file.metadata.row_group(n).column(column).statistics
            for n in range(file.metadata.num_row_groups)
        ]
        first = min(g.min for g in groups)
        last = max(g.max for g in groups)
        return _micros(first), _micros(last)

    @cached_property
    def story_us(self) -> int:
        """Where the healthy days end and the clock begins to run."""
        from simulators.spec import load_scenario

        scenario = load_scenario(self.folder / "scenario.toml")
        return scenario.story_start_us

    def affected_account(self) -> str | None:
        """A customer who will notice something, for the customer's page."""
        truth = self.folder / "truth.jsonl"
        lines = truth.read_text(encoding="utf-8").splitlines() if truth.is_file() else []
        faults: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for fault in faults:
            found = self.network.customers_within(fault["asset_kind"], fault["asset"])
            if found and not fault.get("benign"):
                return found[0].account
        return self.network.customers[0].account if self.network.customers else None


def _micros(moment: Any) -> int:
    return int(moment.timestamp()) * 1_000_000 + int(moment.microsecond)


class Towns:
    """The kept towns in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, scenario: Path) -> "Simulation":
        """The town of a scenario, ready or being simulated by a process of its own."""
        scenario = story_of(scenario)
        place = self._folder / town_key(scenario)
        if place.is_dir():
            place.touch()
            return Simulation(place, None)
        self._folder.mkdir(parents=True, exist_ok=True)
        words = ("-m", "forewatt", "simulate", str(scenario.resolve()), "--out", str(place))
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return Simulation(place, process)

    def forget_old(self) -> None:
        """Keep the towns used last."""
        towns = [p for p in self._folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        towns.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for town in towns[KEPT:]:
            shutil.rmtree(town)


@dataclass
class Simulation:
    """A town on its way."""

    place: Path
    process: "subprocess.Popen[bytes] | None"

    def wait(self) -> TownData:
        """The town; ForewattError with the simulator's own sentence when it failed."""
        if self.process is not None:
            try:
                _, said = self.process.communicate(timeout=SIMULATE_S)
            except subprocess.TimeoutExpired:
                self.stop()
                raise ForewattError(
                    f"the town was not simulated within {SIMULATE_S:.0f} s; is the machine busy?"
                ) from None
            if self.process.returncode:
                text = said.decode(errors="replace").strip().splitlines()
                how = f"the simulator ended without a word (status {self.process.returncode})"
                raise ForewattError((text or [how])[-1])
        return TownData(self.place)

    def stop(self) -> None:
        """End a simulation that nobody waits for any more."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
