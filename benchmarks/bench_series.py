"""How good is the detector for series without a model? By NAB's own published rules.

One setting for all 58 files; the threshold is the one that is best for the corpus, as NAB does it.
Windowed Gaussian has 39.6 in the standard profile, random 11.0, the best published 74.9.

    python benchmarks/bench_series.py --data DIR   (DIR/nab holds data/ and labels/)
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectors.scoring.nab import PROFILES, Series, corpus_score
from detectors.series import SeriesDetector, learning_span


def scored(folder: Path) -> tuple[list[Series], int, float]:
    """Every file of NAB judged, the number of values and the seconds of processor time."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    out, values, seconds = [], 0, 0.0
    for name, windows in sorted(labels.items()):
        frame = pd.read_csv(folder / "data" / name, parse_dates=["timestamp"])
        detector = SeriesDetector(learning_span(len(frame)))
        start = time.process_time()
        scores = np.array([detector.update(x) for x in frame["value"].tolist()])
        seconds += time.process_time() - start
        values += len(frame)
        rows = []
        for first, last in windows:
            inside = frame["timestamp"].between(pd.Timestamp(first), pd.Timestamp(last))
            at = np.flatnonzero(inside)
            rows.append((int(at[0]), int(at[-1])))
        out.append(Series(scores, tuple(rows)))
    return out, values, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="there is but one form")
    parser.add_argument("--data", type=Path, help="folder of the real data")
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=10
    ).stdout.strip()
    print(f"commit {commit}\n\n| what | measured | goal |\n|---|---|---|")
    if args.data is None or not (args.data / "nab").is_dir():
        print("| NAB | not run: give --data DIR with nab | |")
        return
    series, values, seconds = scored(args.data / "nab")
    for name, profile in PROFILES.items():
        score, threshold = corpus_score(series, profile)
        goal = ">= 55" if name == "standard" else "reported"
        print(f"| NAB {name} | {score:.1f} at threshold {threshold:.4f} | {goal} |")
    print(f"| values a second, processor time | {values / seconds:,.0f} | stated |")


if __name__ == "__main__":
    main()
