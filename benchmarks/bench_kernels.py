"""How fast does the engine judge readings, and how far is that from the memory's own speed?

A fleet of meters with 15-minute values, rows of each tick in shuffled order, goes through frames
and the whole catalogue on one core. Compiling is shown apart, the first frames are warm-up.
`numpy copy` is the speed at which this machine copies the same bytes: the limit.

    python benchmarks/bench_kernels.py [--meters 100000] [--frames 40]
"""

import argparse
import platform
import subprocess
import time

import numba
import numpy as np

from detectors import warm_up
from grid.network import Device, Feeder, Network, Transformer, UsagePoint
from grid.readings import ReadingBatch

STEP_US = 900_000_000
START_US = 1_767_225_600_000_000
SEED = 11
PER_AREA, PER_BRANCH = 100, 25


def fleet(meters: int) -> Network:
    """Areas of 100 single-phase meters on four branches, each with a monitor."""
    transformers, points, devices = [], [], []
    for a in range(max(1, meters // PER_AREA)):
        t = f"T{a}"
        transformers.append(Transformer(t, "F1", rated_kva=400.0, nominal_v=230.0))
        devices.append(Device(f"{t}-TM", "transformer_monitor", None, t, None, 900.0))
        for m in range(PER_AREA):
            phase = "abc"[m % 3]
            u = UsagePoint(f"{t}-U{m}", t, f"{t}-B{m // PER_BRANCH}", None, phase, None)  # type: ignore[arg-type]
            points.append(u)
            devices.append(Device(f"{t}-M{m}", "meter", u.id, None, None, 900.0))
    return Network((Feeder("F1"),), (), tuple(transformers), tuple(points), tuple(devices))


def ticks(net: Network, frames: int) -> list[ReadingBatch]:
    """One batch a tick, rows shuffled: v_a, i_a, p, q of meters, all phases of monitors."""
    rng = np.random.default_rng(SEED)
    names = tuple(d.id for d in net.devices)
    n = len(names)
    monitor = np.array([d.kind == "transformer_monitor" for d in net.devices])
    out = []
    for k in range(frames):
        order = rng.permutation(n)
        i = rng.gamma(1.5, 1.5, n)
        values = {
            "v_a": 230.0 + rng.normal(0, 1, n) - 0.2 * i,
            "i_a": i,
            "p": 230.0 * i,
            "q": 20.0 * i,
        }
        for phase in "bc":
            values[f"v_{phase}"] = np.where(monitor, values["v_a"], np.nan)
            values[f"i_{phase}"] = np.where(monitor, i, np.nan)
        batch = ReadingBatch.of(names, np.arange(n), np.full(n, START_US + k * STEP_US), values)
        out.append(batch.select(order))
    return out


def copy_bandwidth() -> float:
    """GB/s that numpy copies from one large array to another."""
    a, b = np.ones(50_000_000 // 8), np.empty(50_000_000 // 8)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        np.copyto(b, a)
        best = max(best, a.nbytes / (time.perf_counter() - start) / 1e9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    compile_s = warm_up()
    from detectors.engine import Engine

    net = fleet(args.meters)
    batches = ticks(net, args.frames)
    engine = Engine(net)
    warm = max(4, args.frames // 5)
    for b in batches[:warm]:
        engine.feed("bench", b)
    measured = batches[warm:]
    # Processor time: the machine may be shared. Wall time stands beside it.
    start, wall = time.process_time(), time.perf_counter()
    for b in measured:
        engine.feed("bench", b)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    rows = sum(len(b) for b in measured)
    given = sum(int(np.isfinite(v).sum()) for b in measured for v in b.values.values())
    stats = engine.stats
    start = time.perf_counter()
    data = engine.snapshot()
    save_s = time.perf_counter() - start
    start = time.perf_counter()
    Engine(net).restore(data)
    restore_s = time.perf_counter() - start
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    ).stdout.strip()
    devices = len(net.devices)
    bandwidth = copy_bandwidth()
    table = [
        ("meters (and monitors)", f"{devices:,}"),
        ("frames judged, one core, arrival shuffled", f"{len(measured)}"),
        ("rows a second, processor time", f"{rows / seconds / 1e6:.2f} M"),
        ("values a second, processor time", f"{given / seconds / 1e6:.2f} M"),
        ("values a second, wall time", f"{given / wall / 1e6:.2f} M"),
        ("a year of 10,000 meters at 15 minutes", f"{10_000 * 35_040 / (rows / seconds):.0f} s"),
        ("numpy copy", f"{bandwidth:.1f} GB/s = {bandwidth / 4:.2f} G values/s"),
        ("detector state a device", f"{stats.state_bytes / devices:.0f} B"),
        ("open frames a device", f"{stats.frame_bytes / devices:.0f} B"),
        ("snapshot", f"{len(data) / 1e6:.1f} MB in {save_s:.2f} s"),
        ("restore (a new engine included)", f"{restore_s:.2f} s"),
        ("kernels compiled or loaded in", f"{compile_s:.1f} s"),
        ("findings", f"{stats.findings}"),
    ]
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
    )
    print(f"{platform.machine()}, {platform.system()} {platform.release()}, {versions}")
    print(f"commit {commit}, seed {SEED}")
    for name, value in table:
        print(f"| {name:<45} | {value:>28} |")


if __name__ == "__main__":
    main()
