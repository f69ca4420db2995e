"""`forewatt simulate` and `forewatt replay`: datasets made and played over the wire."""

import argparse
import dataclasses
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from forewatt.run import catch_stop
from forewatt.shared_clock import SharedClock
from forewatt.stepping import play_all, prepare_clock, run_out
from grid.errors import BadInput
from simulators.replay import ReplaySummary, replay
from simulators.scenario import simulate

SHOWN_EVERY_S = 2.0


def simulate_command(args: argparse.Namespace) -> int:
    """`forewatt simulate SCENARIO.toml --out DIR`."""
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


def replay_command(args: argparse.Namespace) -> int:
    """`forewatt replay DIR`: until the dataset ends or SIGINT or SIGTERM comes."""
    with ExitStack() as ending:
        if args.map is not None:
            args.folder = _converted(args.folder, args.map, ending)
        if not args.prepare:
            return _replay(args)
        if args.clock is None:
            raise BadInput("--prepare needs a clock", fix="add --clock FILE")
        prepare_clock(args.folder, args.clock)
        print(f"{args.clock} stands at the first reading; start forewatt run, then replay")
        return 0


def _converted(recording: Path, mapping: Path, ending: ExitStack) -> Path:
    """A recording as a dataset folder that goes with the command."""
    from simulators.recorded import convert_recorded

    place = Path(ending.enter_context(TemporaryDirectory(prefix="forewatt-recording-")))
    found = convert_recorded(recording, mapping, place / "dataset")
    if found.unreadable:
        print(f"forewatt: {found.unreadable} cells could not be read", file=sys.stderr)
    return found.folder


def _replay(args: argparse.Namespace) -> int:
    stop = threading.Event()
    asked = catch_stop()
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(_play, args, stop)
        while not playing.done():
            if asked():
                stop.set()
            wait([playing], timeout=0.1)
    told = playing.result()
    if args.json:
        print(json.dumps(dataclasses.asdict(told), default=str))
    else:
        print(
            f"{told.rows} readings and {told.events} events in {told.messages} messages sent in "
            f"{told.seconds:.1f} s, {told.acked} acknowledged"
            + (f"; {told.modbus_rows} readings offered on Modbus" if told.modbus_rows else "")
        )
    return 0


def _play(args: argparse.Namespace, stop: threading.Event) -> ReplaySummary:
    if args.clock is None:
        return replay(
            args.folder,
            args.mqtt,
            modbus_port=args.modbus,
            speed=args.speed,
            stop=stop,
        )
    clock = _clock(args.folder, args.clock)
    if args.speed is None:
        told = play_all(args.folder, args.mqtt, clock, stop=stop)
        run_out(clock, stop)
        return told
    clock.run(args.speed)
    told = replay(
        args.folder,
        args.mqtt,
        modbus_port=args.modbus,
        clock=clock,
        stop=stop,
    )
    clock.hold()
    return told


def _clock(folder: Path, path: Path) -> SharedClock:
    if not path.exists():
        return prepare_clock(folder, path)
    try:
        return SharedClock(path)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"not a clock file ({error})", file=str(path), fix="remove it, or use --prepare"
        ) from error


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
