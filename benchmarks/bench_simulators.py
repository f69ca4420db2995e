"""How much faster than real time is the simulated town, and what holds it up?

Ten thousand meters and a hundred transformer monitors, one day at one-minute steps, one process:
loads, power flow on OpenDSS, meter layer, truth and files. The goal is 1,000 times real time of
one core and less than 2 GB. The second table is OpenDSS alone on one area, so that the whole
chain can be read as a multiple of it. The third is the replay's own pace into a broker.

Run: python benchmarks/bench_simulators.py [--quick]
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forewatt.services import PrivateServices
from simulators.areas import prepare
from simulators.powerflow import OpenDssPowerFlow
from simulators.replay import replay
from simulators.scenario import simulate
from simulators.spec import Scenario, TownSpec
from simulators.town import build_town

DAY_S = 86_400


def town_of(areas: int) -> Scenario:
    """`areas` transformers with 100 meters each, a reading a minute."""
    return Scenario(
        start=datetime.fromisoformat("2026-03-02T00:00:00+08:00"),
        days=1,
        seed=1,
        step_s=60,
        town=TownSpec(
            feeders=max(1, areas // 10),
            transformers=areas,
            customers=(100, 100),
            branches=(4, 6),
            meter_interval_s=60,
            monitor_interval_s=60,
            meter_quantities="basic",
            monitor="ttu",
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the town")
    areas = 5 if parser.parse_args().quick else 100
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {version('numpy')}, "
        f"dss-python {version('dss-python')}"
    )
    alone_s = power_flow_alone()
    with tempfile.TemporaryDirectory(prefix="forewatt-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        whole_chain(areas, folder / "town", alone_s)
        wire(folder)


def power_flow_alone() -> float:
    """CPU seconds a power flow of a 100-customer area takes, median of five days."""
    spec = town_of(1)
    town = build_town(spec.town, spec.seed)
    bench = prepare(spec, town, town.areas[0])
    engine = OpenDssPowerFlow(bench.network)
    inputs = bench.drive([], slice(None)).inputs(bench.network)
    answer = engine.run(inputs)  # warm
    took = []
    for _ in range(5):
        began = time.process_time()
        answer = engine.run(inputs)
        took.append((time.process_time() - began) / answer.iterations.size)
    each = float(np.median(took))
    print(
        f"\npower flow alone: {len(bench.network.loads)} loads, {1 / each:,.0f} a second, "
        f"{answer.iterations.mean():.1f} iterations, "
        f"median {np.median(np.abs(answer.v_load)):.1f} V"
    )
    return each


def whole_chain(areas: int, out: Path, alone_s: float) -> None:
    """Simulate the town and print times and memory."""
    began, cpu = time.perf_counter(), time.process_time()
    summary = simulate(town_of(areas), out)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = (
        ("meters and monitors", f"{summary.devices:,}"),
        ("readings", f"{summary.readings:,}"),
        ("power flows", f"{summary.power_flows:,}"),
        ("seconds of one core", f"{cpu:.1f}"),
        ("seconds on this shared machine", f"{wall:.1f}"),
        ("times real time, of one core", f"{DAY_S / cpu:,.0f}"),
        ("times real time, as it ran", f"{DAY_S / wall:,.0f}"),
        ("whole chain / OpenDSS alone", f"{cpu / (summary.power_flows * alone_s):.2f}"),
        ("largest memory", f"{memory:,.0f} MB"),
        ("file", f"{(out / 'readings.parquet').stat().st_size / 1e6:,.0f} MB"),
    )
    print(f"\nwhole chain, {areas} areas, one day at one minute")
    for name, value in rows:
        print(f"  {name:<32} {value:>14}")


def wire(folder: Path) -> None:
    """Replay at full speed into a real broker."""
    small = folder / "small"
    simulate(town_of(2), small)
    with PrivateServices.start(folder / "services", database=False) as services:
        told = replay(small, services.mqtt_url)
    print(f"\nreplay, columns, QoS 1: {told.rows / told.seconds:,.0f} readings a second")


if __name__ == "__main__":
    main()
