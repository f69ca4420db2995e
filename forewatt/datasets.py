"""`forewatt simulate`: a dataset made from a scenario, with its truth."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from grid.dataset import read_dataset
from simulators.realism import measured_folder, realism_text
from simulators.scenario import simulate

SHOWN_EVERY_S = 2.0


def simulate_command(args: argparse.Namespace) -> int:
    """`forewatt simulate SCENARIO.toml --out DIR`."""
    measured: dict[str, Path] = {}
    if isinstance(args.validate, Path):
        # A wrong folder is refused before the work.
        measured["measured"] = measured_folder(args.validate)
        next(read_dataset(measured["measured"]).batches(), None)
    progress = _Progress("simulated").share
    summary = simulate(args.scenario, args.out, processes=args.processes, progress=progress)
    if args.json:
        print(json.dumps(dataclasses.asdict(summary), default=str))
    else:
        print(
            f"{summary.readings} readings and {summary.events} events of {summary.devices} "
            f"devices, {summary.faults} faults, {summary.contacts} calls: simulated in "
            f"{summary.seconds:.1f} s, written to {args.out}"
        )
    if args.validate:
        text = realism_text({"simulated": args.out, **measured})
        print(text, file=sys.stderr if args.json else sys.stdout)
    return 0


class _Progress:
    """A line on a terminal now and then; silence where nobody looks."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._next = time.monotonic() + SHOWN_EVERY_S

    def share(self, done: float) -> None:
        """`done` is 0 to 1."""
        if sys.stderr.isatty() and time.monotonic() >= self._next:
            print(f"{self._verb} {100 * done:.0f} %", file=sys.stderr, flush=True)
            self._next = time.monotonic() + SHOWN_EVERY_S
