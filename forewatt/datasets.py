"""`forewatt simulate` and `forewatt replay`: datasets made and played over the wire."""

import argparse
import dataclasses
import json
import sys
import threading
import time

from forewatt.run import catch_stop
from simulators.replay import replay
from simulators.scenario import simulate

SHOWN_EVERY_S = 2.0


def simulate_command(args: argparse.Namespace) -> int:
    """`forewatt simulate SCENARIO.toml --out DIR`."""
    summary = simulate(args.scenario, args.out, progress=_Progress("simulated").share)
    if args.json:
        print(json.dumps(dataclasses.asdict(summary), default=str))
    else:
        print(f"{summary} in {args.out}")
    return 0


def replay_command(args: argparse.Namespace) -> int:
    """`forewatt replay DIR`: until the dataset ends or SIGINT or SIGTERM comes."""
    stop = threading.Event()
    asked = catch_stop()
    result = []

    def play() -> None:
        result.append(
            replay(args.folder, args.mqtt, modbus_port=args.modbus, speed=args.speed, stop=stop)
        )

    player = threading.Thread(target=play, daemon=True)
    player.start()
    while player.is_alive():
        if asked():
            stop.set()
        player.join(0.1)
    if args.json:
        print(json.dumps(dataclasses.asdict(result[0]), default=str))
    else:
        print(result[0])
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
