"""`forewatt simulate`: a dataset made from a scenario, with its truth."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from grid.dataset import read_dataset
from simulators.scenario import simulate

SHOWN_EVERY_S = 2.0


def simulate_command(args: argparse.Namespace) -> int:
    """`forewatt simulate SCENARIO.toml --out DIR`."""
    if isinstance(args.validate, Path):
        read_dataset(args.validate).network  # noqa: B018  refuse a wrong folder before the work
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
        from simulators.realism import realism_text

        measured = {} if args.validate is True else {"measured": args.validate}
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
