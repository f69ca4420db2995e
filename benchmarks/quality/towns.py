"""Towns full of incidents: one of nearly every fault kind a town, look-alikes between them.

A seed fixes network, loads, weather and incidents. Each low-voltage area carries one incident of
the transformer, or two on different branches, so that causes do not mix; a section of each feeder
loses supply on the last day but one. Ten healthy days come first. Faults differ in place, size,
growth and life from seed to seed; nothing here knows a detector or a threshold.
"""

import csv
import hashlib
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.quality.incidents import AREAS, incidents
from benchmarks.quality.run import judged
from benchmarks.quality.spoil import SPOILERS, WRONG_PHASES, Spoiler, wrong_phase_map
from detectors.scoring import (
    AlertLine,
    Exposure,
    Places,
    Score,
    TruthLine,
    score,
    threshold_alerts,
)
from detectors.scoring.places import Asset
from forewatt.score import Watched, first_contacts, load_truth
from grid.dataset import read_dataset
from grid.network import Network
from grid.readings import ReadingBatch
from simulators.scenario import simulate
from simulators.spec import (
    DeliverySpec,
    Scenario,
    TownSpec,
    TransformerSpec,
    WeatherSpec,
)

HERE = Path(__file__).parent
DAYS = 21
OVERLOADED_KVA = 160.0
_CHINA = timezone(timedelta(hours=8))


def seeds(file: str, name: str) -> list[int]:
    """Seeds of a TOML file beside this one."""
    with (HERE / file).open("rb") as stream:
        table: dict[str, list[int]] = tomllib.load(stream)
    return table[name]


@dataclass(frozen=True, slots=True)
class Variant:
    """How a town is measured and delivered; `strength` scales what a growing fault grows to."""

    name: str
    strength: float = 1.0
    gasp_rate: float = 0.85
    missing: float = 0.002
    monitor: bool = True
    interval_s: int = 900
    daily: bool = False
    columns: tuple[str, ...] = ()  # readings kept besides time and device; () keeps all


VARIANTS = {
    v.name: v
    for v in (
        Variant("clear"),
        Variant("quarter strength", strength=0.25),
        Variant("60 % of gasps, 10 % of readings lost", gasp_rate=0.34, missing=0.10),
        Variant("no monitors", monitor=False),
        Variant("hourly", interval_s=3600),
        Variant("daily delivery", daily=True),
        Variant("voltage only", monitor=False, columns=("v_a", "v_b", "v_c")),
        Variant("daily registers", interval_s=86400, columns=("e_import",)),
    )
}


def scenario(
    seed: int, variant: Variant = VARIANTS["clear"], areas: int = AREAS, step_s: int = 300
) -> Scenario:
    """A town with its incidents; `step_s` 900 is coarser and three times as quick to make."""
    rng = np.random.default_rng([seed, 77])
    mean_c = (14.0, 3.0, 28.0)[seed % 3]
    town = TownSpec(
        feeders=2,
        transformers=areas,
        customers=(28, 44),
        branches=(3, 4),
        three_phase_share=float(rng.uniform(0.04, 0.12)),
        ev_share=float(rng.uniform(0.03, 0.10)),
        pv_share=float(rng.uniform(0.03, 0.15)),
        meter_interval_s=variant.interval_s,
        monitor="ttu" if variant.monitor else "none",
        monitor_interval_s=step_s,
        transformer=(TransformerSpec("T3", rated_kva=OVERLOADED_KVA),),
    )
    return Scenario(
        start=datetime(2026, 3, 2, tzinfo=_CHINA),
        days=DAYS,
        seed=seed,
        step_s=step_s,
        town=town,
        weather=WeatherSpec(mean_c=mean_c),
        delivery=DeliverySpec(
            gasp_rate=variant.gasp_rate, missing=variant.missing, daily=variant.daily
        ),
        fault=tuple(incidents(rng, seed, variant.strength, areas)),
    )


def quiet(seed: int, areas: int, days: float = 30.0, step_s: int = 300) -> Scenario:
    """A fleet where nothing happens."""
    base = scenario(seed, areas=max(areas, 3), step_s=step_s)
    town = replace(base.town, transformers=areas, customers=(48, 52), transformer=())
    return replace(base, days=days, town=town, fault=())


@dataclass(frozen=True, slots=True)
class TownResult:
    """One town, judged: everything needed to score many towns together."""

    seed: int
    network: Network
    alerts: list[AlertLine]
    truth: list[TruthLine]
    exposure: Exposure
    baseline: list[AlertLine]
    first_contact_us: dict[str, int]
    simulate_s: float
    judge_s: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One town to judge: what is simulated, how it is measured, what spoils it (a name)."""

    spec: Scenario
    variant: Variant = VARIANTS["clear"]
    spoiler: str = ""


def town(seed: int, variant: Variant = VARIANTS["clear"], step_s: int = 300) -> Asked:
    """A town with its incidents, to be judged as `variant` measures it."""
    return Asked(scenario(seed, variant, step_s=step_s), variant)


def judged_towns(
    asked: Sequence[Asked], keep: Path | None = None, processes: int = 1
) -> Iterator[TownResult]:
    """Simulate (once only, where `keep` holds the folder already) and judge, in the order asked."""
    tasks = [(one, keep) for one in asked]
    if processes == 1:
        yield from map(_judged_town, tasks)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_judged_town, tasks)


def _judged_town(task: tuple[Asked, Path | None]) -> TownResult:
    asked, keep = task
    with tempfile.TemporaryDirectory(prefix="forewatt-quality-") as parent:
        folder = Path(parent) / "town" if keep is None else keep / _name(asked)
        began = time.perf_counter()
        if not folder.exists():
            keep_town(asked.spec, folder, asked.variant)
        made_s = time.perf_counter() - began
        rng = np.random.default_rng([asked.spec.seed, 6])
        if asked.spoiler == WRONG_PHASES:
            folder = shutil.copytree(folder, Path(parent) / "spoiled")
            wrong_phase_map(folder, rng)
        return judge_town(folder, asked.spec.seed, made_s, SPOILERS.get(asked.spoiler))


def _name(asked: Asked) -> str:
    """A folder's name that changes with the scenario, the variant and the simulator's source."""
    digest = hashlib.sha256(f"{asked.spec!r} {asked.variant!r}".encode())
    for source in sorted((HERE.parents[1] / "simulators").rglob("*.py")):
        digest.update(source.read_bytes())
    return f"{asked.spec.seed}-{digest.hexdigest()[:16]}"


def judge_town(
    folder: Path, seed: int, simulate_s: float = 0.0, spoiler: Spoiler | None = None
) -> TownResult:
    """Judge a simulated folder; `spoiler` changes its readings first."""
    dataset = read_dataset(folder)
    batches = list(dataset.batches())
    if spoiler is not None:
        batches = [spoiler(ReadingBatch.concat(batches), np.random.default_rng([seed, 5]))]
    began = time.perf_counter()
    alerts = judged(dataset.network, batches)
    judge_s = time.perf_counter() - began
    watched = Watched(dataset, dataset.network)
    baseline = threshold_alerts(watched.batches(), dataset.network)
    exposure = watched.exposure()
    truth = load_truth(folder / "truth.jsonl")
    first = first_contacts(dataset, dataset.network, truth, exposure.end_us)
    return TownResult(
        seed,
        dataset.network,
        alerts,
        truth,
        exposure,
        baseline,
        first,
        simulate_s,
        judge_s,
    )


class _TownPlaces(Places):
    """Places of several towns at once: assets bear their town's seed in front."""

    def __init__(self, results: Sequence[TownResult]) -> None:
        super().__init__()
        self._towns = {str(r.seed): Places(r.network) for r in results}

    def _supply_chain(self, asset: Asset) -> tuple[Asset, ...]:
        town, _, id_ = asset[1].partition("/")
        chain = self._towns[town].chain((asset[0], id_))
        return tuple((kind, f"{town}/{i}") for kind, i in chain)


def pooled(results: Sequence[TownResult]) -> tuple[Score, Score]:
    """(score, score of the one-threshold baseline) of several towns together."""
    places = _TownPlaces(results)

    def of(name: str) -> list[AlertLine]:
        return [
            replace(a, id=f"{r.seed}/{a.id}", asset=f"{r.seed}/{a.asset}")
            for r in results
            for a in getattr(r, name)
        ]

    truth = [
        replace(t, id=f"{r.seed}/{t.id}", asset=f"{r.seed}/{t.asset}")
        for r in results
        for t in r.truth
    ]
    contacts = {f"{r.seed}/{i}": at for r in results for i, at in r.first_contact_us.items()}
    exposure = Exposure(
        min(r.exposure.start_us for r in results),
        max(r.exposure.end_us for r in results),
        {f"{r.seed}/{area}": n for r in results for area, n in r.exposure.meters.items()},
    )
    ours = score(of("alerts"), truth, exposure, places, first_contact_us=contacts)
    return ours, score(of("baseline"), truth, exposure, places)


def keep_town(spec: Scenario, folder: Path, variant: Variant = VARIANTS["clear"]) -> None:
    """Simulate into a folder that stays, whole or not at all; only tuning seeds are looked at."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as parent:
        made = Path(parent) / "town"
        simulate(spec, made)
        _measure(made, variant)
        made.rename(folder)


def _measure(folder: Path, variant: Variant) -> None:
    """What a variant changes after the simulation: the columns kept, the delivery stated."""
    if variant.columns:
        path = folder / "readings.parquet"
        table = pq.read_table(path)
        kept = [
            c for c in ("time", "device", *variant.columns, "received") if c in table.schema.names
        ]
        pq.write_table(table.select(kept), path, compression="zstd")
    if variant.daily:
        path = folder / "network" / "devices.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if row["kind"] == "meter":
                row["delivery_s"] = "86400"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
