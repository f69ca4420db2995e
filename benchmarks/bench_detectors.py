"""How fast does the engine judge readings, beside its peers and the memory's own speed?

A fleet of meters with 15-minute values, rows of each tick in shuffled order, goes through frames
and the whole catalogue on one core, after four days in which the detectors have learned what is
usual (before, they do less). In the same run: river's HalfSpaceTrees (one row of four
features an update), stumpy's stumpi (one value an update), scikit-learn's IsolationForest (batches
of 20,000 rows), and numpy's copy of the same bytes, the limit. Then what a restart costs, and days
of 10,000 meters through `forewatt backtest`, Parquet to alerts: some days and four times as many,
so that what happens once (loading libraries, the network) is not counted 365 times.

    python benchmarks/bench_detectors.py [--quick] [--meters 100000] [--frames 96] [--days 6]
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

# One core for everybody. stumpi is 35 times slower when numba may use two threads (tried).
os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numba
import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectors import warm_up
from grid.network import Device, Feeder, Network, Transformer, UsagePoint
from grid.readings import ReadingBatch

STEP_US = 900_000_000
START_US = 1_767_225_600_000_000
SEED = 11
PER_AREA, PER_BRANCH = 100, 25
MILLION = 1_000_000
YEAR_ROWS = 10_100 * 35_040  # with the monitors
TICKS = 96  # of different values
LEARNED = 4 * 96 + 16  # ticks after which every family judges, and the first ranking is done
Row = tuple[str, str, str]


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


def write_network(net: Network, folder: Path) -> None:
    """The fleet's network as CSV files."""
    folder.mkdir()
    transformers = ["transformer,feeder,rated_kva,nominal_v"]
    transformers += [f"{t.id},F1,400,230" for t in net.transformers]
    points = ["usage_point,transformer,branch,phase"]
    points += [f"{u.id},{u.transformer},{u.branch},{u.phase}" for u in net.usage_points]
    devices = ["device,kind,usage_point,transformer,interval_s"]
    devices += [
        f"{d.id},{d.kind},{d.usage_point or ''},{d.transformer or ''},900" for d in net.devices
    ]
    files = {
        "feeders": ["feeder", "F1"],
        "transformers": transformers,
        "usage_points": points,
        "devices": devices,
    }
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def ticks(net: Network, frames: int, shuffled: bool = True) -> list[ReadingBatch]:
    """One batch a tick, rows shuffled: v_a, i_a, p, q of meters, all phases of monitors.

    As on a street: the voltages of a phase move together, each less its own drop, and the monitor
    counts what its meters draw. (Of voltages without anything in common no daily map can be made;
    looking for one among all transformers costs more than all else.)
    """
    rng = np.random.default_rng(SEED)
    names = tuple(d.id for d in net.devices)
    n = len(names)
    monitor = np.array([d.kind == "transformer_monitor" for d in net.devices])
    area = np.cumsum(monitor) - 1
    bus = 3 * area + (np.arange(n) - np.flatnonzero(monitor)[area] - 1) % 3  # of the meters
    out = []
    for k in range(frames):
        source = 230.0 + rng.normal(0, 1) + rng.normal(0, 1, 3 * int(monitor.sum()))
        amps = np.where(monitor, 0.0, rng.gamma(1.5, 1.5, n))
        total = np.bincount(bus, amps, source.size).reshape(-1, 3)
        noise = rng.normal(0, 0.1, n)
        values = {"v_a": source[bus] - 0.2 * amps + noise, "i_a": amps.copy()}
        for c, phase in enumerate("abc"):
            if c:
                values |= {f"v_{phase}": np.full(n, np.nan), f"i_{phase}": np.full(n, np.nan)}
            values[f"v_{phase}"][monitor] = source[c::3] + noise[monitor]
            values[f"i_{phase}"][monitor] = total[:, c]
        amps[monitor] = 1.02 * total.sum(1)
        values |= {"p": 230.0 * amps, "q": 20.0 * amps}
        batch = ReadingBatch.of(names, np.arange(n), np.full(n, START_US + k * STEP_US), values)
        out.append(batch.select(rng.permutation(n)) if shuffled else batch)
    return out


def moved(batch: ReadingBatch, tick: int) -> ReadingBatch:
    """The rows of another tick."""
    time_us = np.full(len(batch), START_US + tick * STEP_US)
    return replace(batch, time=time_us, received=time_us)


def write_days(net: Network, folder: Path, days: int) -> int:
    """Parquet of so many days, a day a row group; every fourth day has the same values."""
    folder.mkdir()
    write_network(net, folder / "network")
    base = ticks(net, 96 * min(days, 4), shuffled=False)
    rows = 0
    writer: pq.ParquetWriter | None = None
    for d in range(days):
        day = [moved(base[(96 * d + k) % len(base)], 96 * d + k) for k in range(96)]
        table = ReadingBatch.concat(day).to_arrow()
        writer = writer or pq.ParquetWriter(
            folder / "readings.parquet", table.schema, compression="zstd"
        )
        writer.write_table(table)
        rows += len(table)
    if writer is not None:
        writer.close()
    return rows


def copy_bandwidth() -> float:
    """GB/s that numpy copies from one large array to another."""
    a, b = np.ones(50_000_000 // 8), np.empty(50_000_000 // 8)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        np.copyto(b, a)
        best = max(best, a.nbytes / (time.perf_counter() - start) / 1e9)
    return best


def a_second(step: Callable[[], int], least_s: float = 2.0) -> float:
    """Updates a second of processor time; `step` does some and says how many."""
    step()
    done, start = 0, time.process_time()
    while time.process_time() - start < least_s:
        done += step()
    return done / (time.process_time() - start)


def half_space_trees() -> float:
    """river, as its documentation shows it: score, then learn, four features."""
    from river.anomaly import HalfSpaceTrees

    rng = np.random.default_rng(SEED)
    rows = [dict(enumerate(r)) for r in rng.random((2_000, 4)).tolist()]
    model = HalfSpaceTrees(seed=SEED)

    def step() -> int:
        for row in rows:
            model.score_one(row)
            model.learn_one(row)
        return len(rows)

    return a_second(step)


def stumpi() -> float:
    """stumpy, a week of quarter-hours with a window of half a day, oldest value going."""
    import stumpy

    rng = np.random.default_rng(SEED)
    stream = stumpy.stumpi(rng.random(672), m=48, egress=True)

    def step() -> int:
        for x in rng.random(500).tolist():
            stream.update(x)
        return 500

    return a_second(step)


def isolation_forest() -> float:
    """scikit-learn, batches of 20,000 rows of four features, fitted before."""
    from sklearn.ensemble import IsolationForest

    rows = np.random.default_rng(SEED).random((20_000, 4))
    model = IsolationForest(random_state=SEED).fit(rows)

    def step() -> int:
        model.score_samples(rows)
        return len(rows)

    return a_second(step)


def start_up() -> float:
    """Seconds to load the compiled kernels in a new process, after they were compiled."""
    code = "from detectors import warm_up; print(warm_up())"
    root = Path(__file__).resolve().parents[1]
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                timeout=300,
                check=True,
                cwd=root,
            ).stdout
        )
        for _ in range(2)
    ]
    return min(times)


def engine_rows(meters: int, frames: int, warm: int) -> tuple[list[Row], float, float]:
    """Speed, state and restart; also rows and values a second."""
    from detectors.engine import Engine

    net = fleet(meters)
    base = ticks(net, TICKS)
    engine = Engine(net)
    for k in range(warm):
        engine.feed("bench", moved(base[k % TICKS], k))
    measured = [moved(base[k % TICKS], k) for k in range(warm, warm + frames)]
    # Processor time: the machine may be shared. Wall time stands beside it.
    start, wall = time.process_time(), time.perf_counter()
    found = [f for b in measured for f in engine.feed("bench", b)]
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    rows = sum(len(b) for b in measured)
    given = sum(int(np.isfinite(v).sum()) for b in measured for v in b.values.values())
    stats = engine.stats
    faults = sum(f.detector != "odd" for f in found)
    start = time.process_time()
    data = engine.snapshot()
    save_s = time.process_time() - start
    fresh = Engine(net)
    start = time.process_time()
    fresh.restore(data)
    restore_s = time.process_time() - start
    devices = len(net.devices)
    state = stats.state_bytes / devices
    million = restore_s * MILLION / devices
    table = [
        ("meters (and monitors), arrival shuffled", f"{devices:,}", ""),
        ("rows a second, one core, processor time", f"{rows / seconds / 1e6:.2f} M", ""),
        ("values a second, processor time", f"{given / seconds / 1e6:.2f} M", ">= 10 M"),
        ("values a second, wall time", f"{given / wall / 1e6:.2f} M", ""),
        ("detector state a device", f"{state:.0f} B", "<= 2,048 B"),
        ("open frames a device", f"{stats.frame_bytes / devices:.0f} B", "stated"),
        ("snapshot", f"{len(data) / 1e6:.1f} MB in {save_s:.2f} s", ""),
        ("restore, of a million meters", f"{restore_s:.2f} s, {million:.1f} s", "< 10 s"),
        ("findings, but for the ranking of odd meters", f"{faults}", "0"),
    ]
    return table, rows / seconds, given / seconds


def peer_rows(rows_s: float, values_s: float) -> list[Row]:
    """The peers, and how many times faster the engine is."""
    trees, matrix, forest = half_space_trees(), stumpi(), isolation_forest()
    return [
        ("river HalfSpaceTrees, rows of 4 a second", f"{trees:,.0f}", ""),
        (
            "times HalfSpaceTrees, values to its rows: the goal's line",
            f"{values_s / trees:.0f}",
            ">= 200",
        ),
        ("times HalfSpaceTrees, rows to its rows", f"{rows_s / trees:.0f}", "stated"),
        ("stumpy stumpi, values a second", f"{matrix:,.0f}", ""),
        ("times stumpi, values", f"{values_s / matrix:,.0f}", ">= 2,500"),
        ("IsolationForest, rows of 4 a second", f"{forest:,.0f}", ""),
        ("times IsolationForest, rows", f"{rows_s / forest:.1f}", "stated"),
    ]


def backtest_rows(days: int, meters: int = 10_000) -> list[Row]:
    """Days of a fleet through the real command, Parquet to alerts."""
    from forewatt.backtest import backtest

    net = fleet(meters)
    sizes, seconds, walls, made = [], [], [], []
    for length in (days, 4 * days):
        with tempfile.TemporaryDirectory(prefix="forewatt-bench-") as parent:
            folder = Path(parent) / "days"
            sizes.append(write_days(net, folder, length))
            start, wall = time.process_time(), time.perf_counter()
            made.append(backtest(folder, folder / "alerts.jsonl"))
            seconds.append(time.process_time() - start)
            walls.append(time.perf_counter() - wall)

    def year(taken: list[float]) -> float:
        """By the rate of the days that the longer run has more; the rest happens once."""
        rate = (taken[1] - taken[0]) / (sizes[1] - sizes[0])
        return taken[0] + rate * (YEAR_ROWS - sizes[0])

    return [
        (f"backtest of {4 * days} days of {meters:,} meters, two threads", f"{walls[1]:.1f} s", ""),
        ("rows a second through backtest, wall", f"{sizes[1] / walls[1] / 1e6:.2f} M", ""),
        ("a year by that rate: wall", f"{year(walls):.0f} s", "< 120 s"),
        ("a year by that rate: processor, both threads", f"{year(seconds):.0f} s", "stated"),
        (
            "tickets, and alerts on the watch list",
            f"{made[1].tickets}, {made[1].alerts}",
            "0 tickets",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer meters, frames and days")
    parser.add_argument("--meters", type=int)
    parser.add_argument("--frames", type=int)
    parser.add_argument(
        "--days",
        type=int,
        help="of 10,000 meters through backtest, then four times as many; 0 = none",
    )
    args = parser.parse_args()
    meters = args.meters or (20_000 if args.quick else 100_000)
    frames = args.frames or (16 if args.quick else 96)
    warm = 4 if args.quick else LEARNED
    days = (1 if args.quick else 6) if args.days is None else args.days
    compile_s = warm_up()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    ).stdout.strip()
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
    )
    print(f"{os.cpu_count()} cores {platform.machine()}, load {os.getloadavg()[0]:.1f}, {versions}")
    print(f"commit {commit}, seed {SEED}\n")
    print("| what | measured | goal |\n|---|---|---|", flush=True)
    table, rows_s, values_s = engine_rows(meters, frames, warm)
    show(table)
    bandwidth = copy_bandwidth()
    limit = bandwidth * 1e9 / 4
    show([
        ("numpy copy, the limit", f"{bandwidth:.1f} GB/s, {limit / 1e9:.2f} G values/s", ""),
        ("share of the limit", f"{100 * values_s / limit:.1f} %", "stated"),
        ("kernels compiled or loaded here", f"{compile_s:.1f} s", ""),
        ("kernels loaded in a new process", f"{start_up():.1f} s", "< 2 s"),
    ])  # fmt: skip
    show(peer_rows(rows_s, values_s))
    if days:
        show(backtest_rows(days))


def show(rows: list[Row]) -> None:
    """Print rows as they come: some take a while."""
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
