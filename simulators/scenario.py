"""Simulate a scenario file into a dataset folder.

`simulate` builds the town, runs its areas (in processes if asked), merges their readings in the
order of arrival and writes everything beside the target before it renames: a folder is whole or
not there.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grid.dataset import write_events
from grid.errors import BadInput
from grid.quantities import QUANTITIES
from grid.readings import ReadingBatch
from simulators.areas import AreaOutcome, run_area, zone_seconds
from simulators.callers import stray_calls, write_contacts
from simulators.drive import Place, conductors, find_place, needs_joint
from simulators.fault_rules import check_fault
from simulators.meters import EventRow, event_batch
from simulators.network_folder import write_network
from simulators.spec import FaultSpec, Scenario, load_scenario
from simulators.spill import Spill, merged
from simulators.town import Town, build_town
from simulators.truth import rfc3339, truth_line

SCENARIOS = Path(__file__).parent / "scenarios"
_MERGE_ROWS = 400_000
_STAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What a simulation wrote."""

    folder: Path
    areas: int
    devices: int
    readings: int
    events: int
    contacts: int
    faults: int
    power_flows: int
    seconds: float


def simulate(
    scenario: Path | Scenario,
    out: Path,
    *,
    processes: int = 1,
    progress: Callable[[float], None] | None = None,
) -> SimulationSummary:
    """Write the dataset of a scenario to `out`, which must not exist or be empty.

    The same scenario gives the same bytes, whatever `processes`. `progress` hears 0..1.
    Raises BadInput naming file, key and fix; PowerFlowError where the network has no solution.
    """
    began = time.perf_counter()
    file = scenario if isinstance(scenario, Path) else None
    spec = load_scenario(scenario) if isinstance(scenario, Path) else scenario
    town = check_scenario(spec, str(file or "scenario"))
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(
            "already holds something", file=str(out), fix="Give a new folder or empty this one."
        )
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    _sweep(out)
    beside.mkdir(parents=True)
    try:
        outcomes = _run_areas(spec, town, beside, processes, progress)
        summary = _write(spec, town, beside, outcomes)
        if file is not None:
            shutil.copyfile(file, beside / "scenario.toml")
        if out.exists():
            out.rmdir()
        beside.rename(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    rows, events, calls = summary
    return SimulationSummary(
        folder=out,
        areas=len(town.areas),
        devices=sum(len(a.usage_points) + bool(a.monitor) for a in town.areas),
        readings=rows,
        events=events,
        contacts=calls,
        faults=len(spec.fault),
        power_flows=sum(o.power_flows for o in outcomes),
        seconds=time.perf_counter() - began,
    )


def _sweep(out: Path) -> None:
    """Remove what killed simulations of the same target left beside it."""
    for left in out.parent.glob(f".{out.name}.*.part"):
        pid = left.name.split(".")[-2]
        if not pid.isdigit() or int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def check_scenario(spec: Scenario, file: str) -> Town:
    """The town, once every fault has been found in it and no two work on one conductor."""
    try:
        town = build_town(spec.town, spec.seed)
        taken: list[tuple[str, str, int, int, str]] = []
        for fault in spec.fault:
            for area_id, place in find_place(fault, town).items():
                area = next(a for a in town.areas if a.id == area_id)
                check_fault(fault, place, area, spec.town)
                taken += _claims(fault, place, area_id, spec.length_us)
        for i, (where, contact, begin, end, who) in enumerate(taken):
            for other_where, other, start, stop, other_who in taken[:i]:
                if (where, contact) == (other_where, other) and begin < stop and start < end:
                    raise ValueError(
                        f"faults {other_who} and {who} work on the same conductor of {where} at "
                        "the same time; move one of them in time or to another place"
                    )
    except ValueError as problem:
        text, _, fix = str(problem).partition("; ")
        raise BadInput(text, file=file, fix=fix or None) from problem
    return town


def _claims(
    fault: FaultSpec, place: Place, area: str, length_us: int
) -> list[tuple[str, str, int, int, str]]:
    end = fault.cleared_us if fault.cleared_us is not None else length_us
    if fault.kind in ("outage", "planned_outage") and not needs_joint(fault, place):
        return [(fault.asset, f"{area}.supply", fault.onset_us, end, fault.id)]
    if not needs_joint(fault, place):
        return []
    return [
        (area, f"{place.head}.{c}", fault.onset_us, end, fault.id) for c in conductors(fault, place)
    ]


def _run_areas(
    spec: Scenario,
    town: Town,
    folder: Path,
    processes: int,
    progress: Callable[[float], None] | None,
) -> list[AreaOutcome]:
    done: dict[str, AreaOutcome] = {}

    def finished(outcome: AreaOutcome) -> None:
        done[outcome.area] = outcome
        if progress:
            progress(len(done) / len(town.areas))

    jobs = [(spec, town, a, folder / f"{a.id}.spill") for a in town.areas]
    if processes <= 1:
        for job in jobs:
            finished(run_area(*job))
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for future in as_completed([pool.submit(run_area, *job) for job in jobs]):
                finished(future.result())
    return [done[a.id] for a in town.areas]


def _write(
    spec: Scenario, town: Town, folder: Path, outcomes: list[AreaOutcome]
) -> tuple[int, int, int]:
    places = {f.id: find_place(f, town) for f in spec.fault}
    kinds = {i: next(iter(found.values())).kind for i, found in places.items()}

    def absolute(offset: int | None) -> str:
        return rfc3339(spec.start_us + (spec.length_us if offset is None else offset))

    planned = [
        (
            kinds[f.id],
            f.asset,
            absolute(f.onset_us),
            absolute(f.cleared_us),
            f.reason or "计划检修 / planned work",
        )
        for f in spec.fault
        if f.kind == "planned_outage"
    ]
    write_network(town, folder / "network", planned, 86_400 if spec.delivery.daily else None)
    rows = _write_readings(folder / "readings.parquet", [o.spill for o in outcomes])
    events = [row for o in outcomes for row in o.events] + _switch_events(spec, town)
    write_events(folder, event_batch(events))
    lines = [
        truth_line(
            f,
            kinds[f.id],
            spec.start_us,
            spec.length_us,
            [o.shown[f.id] for o in outcomes if f.id in o.shown],
        )
        for f in spec.fault
    ]
    with (folder / "truth.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    calls = [c for o in outcomes for c in o.calls]
    end_us = spec.start_us + spec.length_us
    calls += stray_calls(town, spec.callers, spec.start_us, end_us, zone_seconds(spec), spec.seed)
    written = write_contacts(folder / "contacts.csv", calls)
    for o in outcomes:
        o.spill.path.unlink()
    return rows, len(events), written


def _switch_events(spec: Scenario, town: Town) -> list[EventRow]:
    """A section fed from its neighbour: its own switch opens, and closes when it comes back."""
    switch = {s[0]: s[3] for s in town.sections}
    rows = []
    for f in spec.fault:
        if f.kind == "feeder_switching" and f.asset in switch:
            marks = [("switch_open", f.onset_us), ("switch_closed", f.cleared_us)]
            for event, offset in marks:
                if offset is not None:
                    at = spec.start_us + offset
                    rows.append((at, switch[f.asset], event, at + 2_000_000))
    return rows


def _write_readings(path: Path, spills: list[Spill]) -> int:
    """Merge the areas' readings by arrival into one Parquet file, in bounded pieces."""
    heads = [b for b in (_first(s) for s in spills) if len(b)]
    used = [q for q in QUANTITIES if any(q.name in b.values for b in heads)]
    schema = pa.schema(
        [("time", _STAMP), ("device", pa.dictionary(pa.int32(), pa.string()))]
        + [(q.name, pa.float64() if q.double else pa.float32()) for q in used]
        + [("received", _STAMP)]
    )
    names = sorted({name for b in heads for name in b.names})
    place = {name: i for i, name in enumerate(names)}
    words = pa.array(names, pa.string())
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in merged(spills, _MERGE_ROWS):
            device = np.array([place[n] for n in piece.names], np.int32)[piece.device]
            # At one instant, rows stand in the order of device, whatever process made them.
            order = np.lexsort((device, piece.time, piece.received))
            columns = [pa.array(piece.time[order]).cast(_STAMP)]
            columns.append(pa.DictionaryArray.from_arrays(pa.array(device[order]), words))
            columns += [pa.array(piece.value(q.name)[order], from_pandas=True) for q in used]
            columns.append(pa.array(piece.received[order]).cast(_STAMP))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            rows += len(piece)
    return rows


def _first(spill: Spill) -> ReadingBatch:
    """The first piece: it names all devices and quantities of its area."""
    return next(iter(merged([spill], 1)), ReadingBatch.empty())
