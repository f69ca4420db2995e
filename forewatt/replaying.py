"""`forewatt replay`: a dataset or a recording played over the wire, with a hand on it."""

import argparse
import dataclasses
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from forewatt.replay_hand import Hand, moment_us
from forewatt.replay_shown import Shown
from forewatt.run import catch_stop
from forewatt.shared_clock import SharedClock
from forewatt.stepping import play_all, prepare_clock, run_out
from grid.dataset import read_dataset
from grid.errors import BadInput
from simulators.pace import Controls
from simulators.replay import ReplaySummary, replay


def replay_command(args: argparse.Namespace) -> int:
    """`forewatt replay DIR`: until the dataset ends or SIGINT or SIGTERM comes."""
    with ExitStack() as ending:
        args.recording = args.folder.resolve()
        if args.map is not None:
            args.folder = _converted(args.folder, args.map, ending)
        _span(args)
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


def _span(args: argparse.Namespace) -> None:
    """--from, --to and seeks may be offsets from the first reading."""
    first = next((int(b.time.min()) for b in read_dataset(args.folder).batches()), 0)
    args.first_us = first
    args.start_us = None if args.start is None else moment_us(args.start, first)
    args.end_us = None if args.end is None else moment_us(args.end, first)
    if args.clock is not None and args.speed is None and (args.start or args.resume):
        raise BadInput(
            "--clock at full speed plays from the beginning",
            fix="leave out --from and --resume, or give --speed a number",
        )


def _replay(args: argparse.Namespace) -> int:
    stop, asked = threading.Event(), catch_stop()
    controls = Controls()
    if args.paused:
        controls.pause()
    resume = _place(args)
    shown = Shown(controls, hinted=sys.stdin.isatty() and not args.commands)
    hand = Hand(controls, stop, args.first_us, commands=args.commands)
    with ThreadPoolExecutor(1) as pool, hand, shown:
        playing = pool.submit(_play, args, controls, shown, resume, stop)
        while not playing.done():
            if asked():
                stop.set()
            wait([playing], timeout=0.1)
            shown.refresh()
    told = playing.result()
    if args.json:
        print(json.dumps(dataclasses.asdict(told), default=str))
        return 0
    print(
        f"{told.rows} readings and {told.events} events in {told.messages} messages sent in "
        f"{told.seconds:.1f} s, {told.acked} acknowledged"
        + (f"; {told.modbus_rows} readings offered on Modbus" if told.modbus_rows else "")
        + (f"; {told.resumed_rows} rows had been sent before" if told.resumed_rows else "")
    )
    if told.stopped and told.reached_us:
        at = datetime.fromtimestamp(told.reached_us // 1_000_000, UTC).strftime("%FT%TZ")
        how = "--resume goes on from there" if resume else f"--from {at} goes on about there"
        print(f"stopped at {at}; {how}")
    return 0


def _place(args: argparse.Namespace) -> Path | None:
    """The file of --resume: the one named, or one that belongs to this dataset and receiver."""
    if args.resume is None or isinstance(args.resume, Path):
        return args.resume
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    what = f"{args.recording} {args.mqtt} {args.realm} {args.start} {args.end}"
    return home / "forewatt" / f"replay-{sha256(what.encode()).hexdigest()[:16]}"


def _play(
    args: argparse.Namespace,
    controls: Controls,
    shown: Shown,
    resume: Path | None,
    stop: threading.Event,
) -> ReplaySummary:
    clock = None if args.clock is None else _clock(args.folder, args.clock)
    if clock is not None and args.speed is None:
        told = play_all(
            args.folder, args.mqtt, clock, end_us=args.end_us, realm=args.realm, stop=stop
        )
        run_out(clock, stop)
        return told
    if clock is not None and not args.paused:
        clock.run(args.speed)
    told = replay(
        args.folder,
        args.mqtt,
        modbus_port=args.modbus,
        clock=clock,
        speed=args.speed,
        start_us=args.start_us,
        end_us=args.end_us,
        realm=args.realm,
        resume=resume,
        resume_as=f"{args.recording} {args.realm}",
        controls=controls,
        on_progress=shown.told,
        stop=stop,
    )
    if clock is not None:
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
