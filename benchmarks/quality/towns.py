"""Towns full of incidents: one of nearly every fault kind a town, look-alikes between them.

A seed fixes network, loads, weather and incidents. Each low-voltage area carries one incident of
the transformer, or two on different branches, so that causes do not mix; a section of each feeder
loses supply on the last day but one. Ten healthy days come first. Faults differ in place, size,
growth and life from seed to seed; nothing here knows a detector or a threshold.
"""

import csv
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.quality.run import judged
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
    FaultSpec,
    LoadSpec,
    Scenario,
    TownSpec,
    TransformerSpec,
    WeatherSpec,
)

Spoil = Callable[[ReadingBatch, np.random.Generator], ReadingBatch]
HERE = Path(__file__).parent
DAYS = 21
AREAS = 16
GROWTHS = ("exponential", "step", "thermal_cycling")
GROWING = (
    "neutral_loose",
    "neutral_broken",
    "joint_resistance",
    "hot_terminal",
    "transformer_winding",
    "transformer_thermal",
    "insulation_leakage",
    "energy_loss",
)
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
    )
}


def scenario(
    seed: int, variant: Variant = VARIANTS["clear"], areas: int = AREAS, step_s: int = 300
) -> Scenario:
    """A town with its incidents; `step_s` 900 is coarser and three times as quick to make."""
    rng = np.random.default_rng([seed, 77])
    season: Any = ("between", "winter", "summer")[seed % 3]
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
    weather = {"between": 14.0, "winter": 3.0, "summer": 28.0}[season]
    return Scenario(
        start=datetime(2026, 3, 2, tzinfo=_CHINA),
        days=DAYS,
        seed=seed,
        step_s=step_s,
        town=town,
        weather=WeatherSpec(mean_c=weather),
        load=LoadSpec(season=season),
        delivery=DeliverySpec(
            gasp_rate=variant.gasp_rate, missing=variant.missing, daily=variant.daily
        ),
        fault=tuple(_incidents(rng, seed, variant.strength, areas)),
    )


def quiet(seed: int, areas: int, days: float = 30.0, step_s: int = 300) -> Scenario:
    """A fleet where nothing happens."""
    base = scenario(seed, areas=max(areas, 3), step_s=step_s)
    town = replace(base.town, transformers=areas, customers=(48, 52), transformer=())
    return replace(base, days=days, town=town, fault=())


# -- incidents ------------------------------------------------------------------------------------

_AT_TRANSFORMER: tuple[tuple[str, ...], ...] = (
    ("over_voltage",),
    ("under_voltage",),
    ("transformer_overload",),
    ("transformer_thermal",),
    ("transformer_winding",),
    ("unbalance",),
    ("outage", "phase_loss", "neutral_broken", "comms_failure"),
)
_BELOW: tuple[str, ...] = (
    "neutral_loose",
    "neutral_broken",
    "joint_resistance",
    "joint_resistance",
    "hot_terminal",
    "outage",
    "phase_loss",
    "momentary",
    "energy_loss",
    "insulation_leakage",
    "meter_health",
    "sensor_fault",
    "comms_failure",
    "unbalance",
)
_BENIGN_BELOW = ("new_ev", "new_pv", "moved_out", "meter_exchange")


def _incidents(rng: np.random.Generator, seed: int, strength: float, areas: int) -> list[FaultSpec]:
    out: list[FaultSpec] = []
    for n, kinds in enumerate(_AT_TRANSFORMER[:areas], 1):
        kind = kinds[seed % len(kinds)]
        out.append(_made(kind, f"T{n}", rng, strength))
    below = [_BELOW[i] for i in rng.permutation(len(_BELOW))]
    first = len(_AT_TRANSFORMER) + 1
    for k, kind in enumerate(below):
        area = first + k // 2
        if area > areas - 2:
            break
        out.append(_made(kind, _place(kind, area, 1 + k % 2, rng), rng, strength))
    if areas >= AREAS:
        out.append(_made("tap_change", f"T{areas - 1}", rng, 1.0))
        out.append(_made("planned_outage", f"T{areas}", rng, 1.0))
        for k, kind in enumerate(_BENIGN_BELOW):
            out.append(_made(kind, f"T{areas - k % 2}-U{5 + 6 * k:03d}", rng, 1.0))
        out.append(_made("feeder_switching", "F1", rng, 1.0))
        out += [_feeder_outage(f"F{n}-S2", n, rng) for n in (1, 2)]
    return out


def _place(kind: str, area: int, branch: int, rng: np.random.Generator) -> str:
    """A branch, or a usage point of its half of the area (branches follow each other in order)."""
    at_branch = {
        "neutral_loose": 0.8,
        "neutral_broken": 0.8,
        "joint_resistance": 0.35,
        "outage": 0.7,
        "phase_loss": 1.0,
        "momentary": 0.5,
        "insulation_leakage": 1.0,
        "unbalance": 1.0,
    }.get(kind, 0.0)
    if rng.random() < at_branch:
        return f"T{area}-B{branch}"
    number = int(rng.integers(1, 7)) + (20 if branch == 2 else 0)
    letter = "M" if kind in ("meter_health", "sensor_fault", "comms_failure") else "U"
    return f"T{area}-{letter}{number:03d}"


def _one_of(letters: str, rng: np.random.Generator) -> Any:
    return letters[int(rng.integers(len(letters)))]


def _offset(days: float) -> str:
    minutes = round(days * 1440)
    return f"{minutes // 1440}d {minutes % 1440 // 60:02d}:{minutes % 60:02d}"


def _made(kind: str, asset: str, rng: np.random.Generator, strength: float) -> FaultSpec:
    onset = float(rng.uniform(10.0, 12.0))
    life = float(rng.uniform(2.5, 6.0))
    growth: Any = GROWTHS[int(rng.integers(3))]
    named: Any = kind
    id_ = f"{kind}-{asset}"
    spec = FaultSpec(
        id_,
        named,
        asset,
        _offset(onset),
        cleared=_offset(onset + life + 1.0),
        growth=growth,
    )
    shape = _SHAPES.get(kind)
    made = shape(spec, onset, life, rng) if shape else spec
    if kind in GROWING and strength != 1.0:
        made = _weaker(made, strength, life)
    return made


def _weaker(f: FaultSpec, strength: float, life: float) -> FaultSpec:
    """Grown to a part of its strength and found or mended before it fails."""
    amount = f.amount * strength
    if f.kind == "transformer_thermal":
        amount = 1.0 + (f.amount - 1.0) * strength
    end = max(f.ohm_end * strength, f.ohm_start)
    return replace(f, ohm_end=end, amount=amount, failure="")


Shape = Callable[[FaultSpec, float, float, np.random.Generator], FaultSpec]


def _contact(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    """A contact that grows; a broken neutral, a joint and a terminal fail in the end."""
    depth = f.asset.count("-") + ("-U" in f.asset)  # 0 transformer, 1 branch, 2 usage point
    neutral = f.kind.startswith("neutral")
    end = {0: 0.35, 1: 1.2, 2: 3.0}[depth] if neutral else {0: 0.08, 1: 0.3, 2: 1.2}[depth]
    failure = "" if f.kind == "neutral_loose" else _offset(onset + life)
    cleared = _offset(onset + life + float(rng.uniform(0.1, 0.3)))
    end *= float(rng.uniform(0.8, 1.4))
    return replace(f, failure=failure, cleared=cleared, ohm_start=0.02 * end, ohm_end=end)


def _hot(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    return replace(
        f,
        failure=_offset(onset + life),
        cleared=_offset(onset + life + 0.2),
        ohm_start=0.002,
        ohm_end=0.08,
    )


def _short(low_h: float, high_h: float) -> Shape:
    def shape(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
        return replace(f, cleared=_offset(onset + float(rng.uniform(low_h, high_h)) / 24.0))

    return shape


def _amount(low: float, high: float, days: float = 0.0, **more: Any) -> Shape:
    def shape(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
        amount = float(rng.uniform(low, high))
        cleared = _offset(onset + days) if days else f.cleared
        return replace(f, amount=amount, cleared=cleared, **more)

    return shape


def _winding(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    return replace(
        f,
        amount=float(rng.uniform(0.012, 0.02)),
        conductor=_one_of("abc", rng),
        failure=_offset(onset + life),
        cleared=_offset(onset + life + 0.3),
    )


def _evening(customers: int, conductor: Any = "") -> Shape:
    def shape(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
        return replace(
            f,
            customers=customers + int(rng.integers(0, 4)),
            amount=7.0,
            conductor=conductor,
            between=("18:00", "22:30"),
        )

    return shape


def _phase(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    conductor = _one_of("abc", rng)
    hours = float(rng.uniform(2.0, 6.0))
    return replace(f, conductor=conductor, cleared=_offset(onset + hours / 24.0), mode="lv")


def _meter(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    mode = ("stuck", "reset", "drift")[int(rng.integers(3))]
    return replace(f, mode=mode, amount=600.0 if mode == "drift" else 0.0)


_SHAPES: dict[str, Shape] = {
    "neutral_loose": _contact,
    "neutral_broken": _contact,
    "joint_resistance": _contact,
    "hot_terminal": _hot,
    "over_voltage": _amount(0.06, 0.09),
    "under_voltage": _amount(0.16, 0.20),
    "transformer_overload": _evening(26),
    "unbalance": _evening(9, "a"),
    "transformer_thermal": _amount(2.5, 3.5),
    "transformer_winding": _winding,
    "outage": _short(1.0, 4.0),
    "phase_loss": _phase,
    "momentary": _amount(2.0, 4.0),
    "energy_loss": _amount(0.6, 0.9, days=9.5),
    "insulation_leakage": _amount(1.0, 3.0),
    "meter_health": _meter,
    "sensor_fault": _amount(30.0, 60.0),
    "comms_failure": _short(12.0, 48.0),
    "planned_outage": _short(2.0, 5.0),
    "tap_change": _amount(-0.0125, 0.0125, days=9.5),
    "feeder_switching": _amount(-0.015, 0.01),
    "new_ev": _amount(6.0, 7.4, days=9.5),
    "new_pv": _amount(3.0, 6.0, days=9.5),
}


def _feeder_outage(section: str, n: int, rng: np.random.Generator) -> FaultSpec:
    at = 19.5 + 0.3 * n + float(rng.uniform(0.0, 0.1))
    hours = float(rng.uniform(1.0, 3.0))
    return FaultSpec(
        f"outage-{section}", "outage", section, _offset(at), cleared=_offset(at + hours / 24.0)
    )


# -- running --------------------------------------------------------------------------------------


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
    readings: int
    simulate_s: float
    judge_s: float


def run_scenario(
    spec: Scenario, variant: Variant = VARIANTS["clear"], spoil: Spoil | None = None
) -> TownResult:
    """Simulate, spoil and judge one scenario in a folder of its own, which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="forewatt-quality-") as parent:
        folder = Path(parent) / "town"
        made = simulate(spec, folder)
        _measure(folder, variant)
        return judge_town(folder, spec.seed, made.readings, made.seconds, spoil)


def judge_town(
    folder: Path, seed: int, readings: int = 0, simulate_s: float = 0.0, spoil: Spoil | None = None
) -> TownResult:
    """Judge a simulated folder; `spoil` changes its readings first."""
    dataset = read_dataset(folder)
    batches = list(dataset.batches())
    if spoil is not None:
        batches = [spoil(ReadingBatch.concat(batches), np.random.default_rng([seed, 5]))]
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
        readings,
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
    """Simulate into a folder that stays, for looking at (tuning seeds only)."""
    shutil.rmtree(folder, ignore_errors=True)
    simulate(spec, folder)
    _measure(folder, variant)


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
