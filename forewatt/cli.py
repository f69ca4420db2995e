"""The command line: which words there are, and which function each calls.

Only the standard library is imported here, so that `forewatt --help` answers at once; each
command imports what it needs. Exit status: 0 done, 1 failed, 2 wrong usage or bad input.
"""

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from forewatt import __version__
from grid.errors import ForewattError

DEFAULT_CONFIG = Path("forewatt.toml")
DEMO_SPEED = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors of ours become one line on standard error."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(given)
    module, _, name = args.command.partition(":")
    try:
        command: Callable[[argparse.Namespace], int] = getattr(import_module(module), name)
        status = command(args)
        sys.stdout.flush()
        return status
    except ForewattError as error:
        print(f"forewatt: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("forewatt: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise  # no file of the user's: a fault of ours keeps its trace
        print(f"forewatt: {error.filename}: {error.strerror}; {_file_fix(error)}", file=sys.stderr)
        return 2 if isinstance(error, _BAD_FILE) else 1


_BAD_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def _file_fix(error: OSError) -> str:
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "give the right to it, or name another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space on this disk"
    return "check the path"


def speed(text: str) -> float | None:
    """`60` is sixty times real time; `max` (None) is as fast as the receiver takes it."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed; write 60, 1, 0.5 or max")
    return value


def steady_speed(text: str) -> float:
    """A speed that is a number: the demo's clock has to tick."""
    value = speed(text)
    if value is None:
        raise argparse.ArgumentTypeError("'max' has no clock; write a number such as 60")
    return value


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    if not _is_number(text) or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number up to 65535")
    return int(text)


def count(text: str) -> int:
    """How many: processes, lines to show."""
    if not _is_number(text) or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from 1 to 256")
    return int(text)


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,18}", text) is not None


def realm(text: str) -> str:
    """A world of its own for readings, alerts and tickets; part of its topics' names."""
    if not re.fullmatch(r"live|(drill|replay)-[A-Za-z0-9._-]{1,48}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: write live, drill-NAME or replay-NAME")
    return text


def seconds(text: str) -> float:
    """A span of real time."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e8:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def roles(text: str) -> tuple[str, ...]:
    """Comma-separated processes of `run`."""
    known = ("collect", "historian", "watch", "web")
    chosen = tuple(word.strip() for word in text.split(",") if word.strip())
    unknown = [word for word in chosen if word not in known]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(f"{text!r}: choose among {', '.join(known)}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forewatt",
        description="Finds the faults of low-voltage grids while they grow and puts the repair "
        "ticket on the clerk's desk before the first customer calls.",
        epilog="forewatt demo shows everything on this machine; forewatt COMMAND --help explains.",
    )
    parser.add_argument("--version", action="version", version=f"forewatt {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _live(commands)
    _data(commands)
    _keeping(commands)
    _collecting(commands)
    return parser


def _add(commands: Any, name: str, command: str, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    made.set_defaults(command=command)
    return made


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: forewatt.toml"
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for a machine to read")


def _live(commands: Any) -> None:
    demo = _add(
        commands,
        "demo",
        "forewatt.demo:demo",
        "everything on this machine: a simulated town, a real broker and database",
    )
    demo.add_argument(
        "--speed", type=steady_speed, default=DEMO_SPEED, help="simulated seconds a second"
    )
    demo.add_argument("--port", type=port, default=0, help="of the pages; default: a free one")
    demo.add_argument(
        "--for", dest="run_s", type=seconds, metavar="SECONDS", help="end by itself after so long"
    )
    demo.add_argument("--open", action="store_true", help="open the operator's page in a browser")
    demo.add_argument("--data", type=Path, metavar="DIR", help="data folder; default: data/demo")
    demo.add_argument(
        "--scenario", type=Path, metavar="STORY", help="another story: a name or a file"
    )

    run = _add(commands, "run", "forewatt.run:run", "collect, store, judge and serve; production")
    _config(run)
    run.add_argument(
        "--only", type=roles, metavar="ROLES", help="collect,historian,watch,web; default: all"
    )

    child = commands.add_parser("child")  # started by the supervisor, not by people
    child.add_argument("role")
    child.add_argument("--parent", type=int)
    _config(child)
    child.set_defaults(command="forewatt.roles:child")

    reload = _add(
        commands, "reload", "forewatt.reload:reload_command", "take over a changed configuration"
    )
    _config(reload)
    _json(reload)

    status = _add(commands, "status", "forewatt.status:status", "how the running processes do")
    status.add_argument("--watch", action="store_true", help="live, until Ctrl-C")
    _config(status)
    _json(status)


def _data(commands: Any) -> None:
    simulate = _add(
        commands, "simulate", "forewatt.datasets:simulate_command", "a dataset with its truth"
    )
    simulate.add_argument("scenario", type=Path, metavar="SCENARIO.toml")
    simulate.add_argument("--out", type=Path, required=True, metavar="DIR")
    simulate.add_argument("--processes", type=count, default=1, help="areas at once; default: 1")
    simulate.add_argument(
        "--validate",
        nargs="?",
        type=Path,
        const=True,
        metavar="MEASURED",
        help="print how real the town is, beside a measured dataset if one is named",
    )
    _json(simulate)

    replay = _add(
        commands,
        "replay",
        "forewatt.replaying:replay_command",
        "play a dataset over the wire: devices with a profile by Modbus, the rest by MQTT",
    )
    replay.add_argument("folder", type=Path, metavar="DIR", help="or a recording, with --map")
    replay.add_argument(
        "--map", type=Path, metavar="TOML", help="which column of a recording is which quantity"
    )
    replay.add_argument("--mqtt", default="mqtt://127.0.0.1:1883", metavar="URL")
    replay.add_argument("--modbus", type=port, metavar="PORT")
    replay.add_argument("--speed", type=speed, default=1.0, help="a number, or max")
    replay.add_argument(
        "--realm", type=realm, default="live", help="live, drill-... or replay-...; default: live"
    )
    replay.add_argument(
        "--from", dest="start", metavar="TIME", help='RFC 3339, or "2d 06:30" from the beginning'
    )
    replay.add_argument("--to", dest="end", metavar="TIME", help="play the readings before it")
    replay.add_argument(
        "--resume",
        nargs="?",
        type=Path,
        const=True,
        metavar="FILE",
        help="go on where the last replay with --resume stopped, and remember it again",
    )
    replay.add_argument("--paused", action="store_true", help="begin with a pause")
    replay.add_argument(
        "--commands",
        action="store_true",
        help="take pause, resume, step, seek TIME, speed N, quit as lines on standard input; "
        "at a terminal there are keys",
    )
    replay.add_argument(
        "--clock",
        type=Path,
        metavar="FILE",
        help="drive the clock of [site] clock = { file = ... }",
    )
    replay.add_argument(
        "--prepare", action="store_true", help="only write that clock, at the first reading"
    )
    _json(replay)

    backtest = _add(
        commands,
        "backtest",
        "forewatt.backtest:backtest_command",
        "the same detectors and alert rules on a dataset: no broker, no database",
    )
    backtest.add_argument("folder", type=Path, metavar="DIR")
    backtest.add_argument("--out", type=Path, required=True, metavar="ALERTS.jsonl")
    backtest.add_argument("--config", type=Path, metavar="FILE", help="for [detectors], [alerts]")
    backtest.add_argument("--country", choices=("CN", "EU"), help="voltage limits")
    _json(backtest)

    score = _add(
        commands, "score", "forewatt.score:score_command", "alerts against what really happened"
    )
    score.add_argument("folder", type=Path, metavar="DIR")
    score.add_argument("--alerts", type=Path, required=True, metavar="ALERTS.jsonl")
    score.add_argument("--truth", type=Path, metavar="FILE", help="default: DIR/truth.jsonl")
    score.add_argument("--compare", type=Path, metavar="B.jsonl", help="list what differs in B")
    score.add_argument("--list", action="store_true", help="list missed incidents, false tickets")
    score.add_argument(
        "--true-rate",
        type=float,
        default=0.05,
        metavar="N",
        help="faults per 1,000 meter-days to restate precision at; default: 0.05",
    )
    score.add_argument("--country", choices=("CN", "EU"), help="for the baseline's limits")
    _json(score)

    report = _add(
        commands,
        "report",
        "forewatt.report:report_command",
        "the evidence of one alert as a picture for a crew's phone",
    )
    report.add_argument("alert", metavar="ALERT", help="its id, or the number of its ticket")
    report.add_argument("--out", type=Path, metavar="FILE", help=".png or .pdf; default: ALERT.png")
    report.add_argument("--trial", type=Path, metavar="DIR", help="an alert of a replay instead")
    report.add_argument("--side", choices=("a", "b"), default="a", help="of the replay")
    report.add_argument("--language", choices=("zh-CN", "en"), help="default: the site's")
    _config(report)

    trial = _add(
        commands,
        "trial",
        "forewatt.trial:trial_command",
        "past data through the detectors once more, in a realm of its own; two settings compared",
    )
    trial.add_argument(
        "source", metavar="SOURCE", help="dataset folder, SCENARIO.toml, readings file, or: live"
    )
    trial.add_argument("--out", type=Path, required=True, metavar="DIR")
    trial.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of side a"
    )
    trial.add_argument(
        "--against",
        action="append",
        nargs="?",
        const="",
        metavar="KEY=VALUE",
        help="a setting of side b, to compare with; alone: b on defaults",
    )
    trial.add_argument("--from", dest="start", metavar="TIME", help="RFC 3339 with zone")
    trial.add_argument("--to", dest="end", metavar="TIME")
    trial.add_argument("--speed", type=speed, default=None, help="a number, or max (default)")
    trial.add_argument("--network", type=Path, metavar="DIR", help="for a single file")
    trial.add_argument("--config", type=Path, metavar="FILE", help="defaults, network, live past")
    trial.add_argument("--country", choices=("CN", "EU"), help="voltage limits")
    trial.add_argument("--lenient", action="store_true", help="leave unreadable cells and rows out")
    trial.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    _json(trial)

    calibrate = _add(
        commands,
        "calibrate",
        "forewatt.calibrate:calibrate_command",
        "propose the scores from which tickets are opened, for a budget of tickets a day",
    )
    calibrate.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="healthy data")
    calibrate.add_argument("--budget", type=float, default=3.0, help="tickets a day; default: 3")
    calibrate.add_argument(
        "--false-share", type=float, default=0.1, metavar="N", help="of the budget; default: 0.1"
    )
    calibrate.add_argument("--out", type=Path, default=Path("limits.toml"), metavar="FILE")
    calibrate.add_argument("--verdicts", type=Path, metavar="CSV", help="verdicts of past tickets")
    calibrate.add_argument(
        "--config", type=Path, metavar="FILE", help="take verdicts from its database as well"
    )
    calibrate.add_argument("--country", choices=("CN", "EU"), help="voltage limits")
    calibrate.add_argument("--accept", type=Path, metavar="FILE", help="let a proposal take effect")
    calibrate.add_argument("--by", metavar="NAME", help="who accepts it")
    _json(calibrate)

    pilot = _add(
        commands, "pilot", "forewatt.pilot:pilot_command", "what your own past data would have told"
    )
    pilot.add_argument("folder", type=Path, metavar="DIR")
    pilot.add_argument("--tickets", type=Path, metavar="PAST.csv", help="your past repairs")
    pilot.add_argument("--out", type=Path, default=Path("pilot.html"), metavar="PAGE.html")
    pilot.add_argument("--budget", type=float, default=3.0, help="tickets a day; default: 3")
    pilot.add_argument("--country", choices=("CN", "EU"), help="voltage limits")
    pilot.add_argument(
        "--time-zone", default="Asia/Shanghai", metavar="ZONE", help="of the page's times"
    )
    _json(pilot)


def _keeping(commands: Any) -> None:
    doctor = _add(
        commands,
        "doctor",
        "forewatt.keeping:doctor",
        "what this machine has and lacks; or what your data can show, and why not",
    )
    doctor.add_argument("--data", type=Path, metavar="DIR", help="examine a dataset instead")
    doctor.add_argument("--country", choices=("CN", "EU"), help="voltage limits, with --data")
    doctor.add_argument("--language", choices=("zh-CN", "en"), default="en", help="with --data")
    _json(doctor)

    config = commands.add_parser("config", help="look at a configuration file")
    actions = config.add_subparsers(metavar="ACTION", required=True)
    check = _add(
        actions, "check", "forewatt.keeping:config_check", "read the file and say if it is right"
    )
    check.add_argument("--offline", action="store_true", help="contact no server")
    _config(check)
    _json(check)
    trial = _add(
        actions,
        "try-mapping",
        "forewatt.fieldwork:try_mapping_command",
        "what a sample message or export becomes under a mapping",
    )
    trial.add_argument("mapping", metavar="FILE", help="a TOML file, or a name such as tasmota")
    trial.add_argument("--topic", help="topic of the sample message")
    trial.add_argument(
        "--sample",
        type=Path,
        metavar="FILE",
        help="the message or export; - is standard input; default: the samples in the mapping",
    )
    _json(trial)

    imports = commands.add_parser("import", help="load the network")
    actions = imports.add_subparsers(metavar="WHAT", required=True)
    network = _add(
        actions, "network", "forewatt.keeping:import_network", "load a folder of network CSV files"
    )
    network.add_argument("folder", type=Path, metavar="DIR")
    _config(network)
    _json(network)
    contacts = _add(
        actions, "contacts", "forewatt.importing:import_contacts", "load a CSV file of contacts"
    )
    contacts.add_argument("file", type=Path, metavar="F")
    contacts.add_argument("--map", type=Path, metavar="TOML", help="what an export calls things")
    _config(contacts)
    _json(contacts)

    db = commands.add_parser("db", help="look after the database")
    actions = db.add_subparsers(metavar="ACTION", required=True)
    migrate = _add(
        actions, "migrate", "forewatt.keeping:db_migrate", "bring the database to this version"
    )
    _config(migrate)
    _json(migrate)

    rebuild = _add(
        commands,
        "rebuild",
        "forewatt.rebuild:rebuild_command",
        "judge stored history again; alerts that are known already stay as they are",
    )
    _config(rebuild)
    _json(rebuild)

    user = commands.add_parser("user", help="look after people's access")
    actions = user.add_subparsers(metavar="ACTION", required=True)
    add = _add(actions, "add", "forewatt.keeping:user_add", "a person, with a sign-in link")
    add.add_argument("name")
    add.add_argument(
        "--role",
        required=True,
        help="operator, clerk, dispatcher, engineer, supervisor, crew, admin or read_only",
    )
    add.add_argument("--team", help="of a crew: the team whose tickets it sees")
    add.add_argument("--token", action="store_true", help="a token for the API instead of a link")
    add.add_argument("--language", choices=("zh-CN", "en"))
    _config(add)
    _json(add)


def _collecting(commands: Any) -> None:
    modbus = commands.add_parser("modbus", help="look at meters on a Modbus line; reads only")
    actions = modbus.add_subparsers(metavar="ACTION", required=True)
    scan = _add(
        actions, "scan", "forewatt.fieldwork:modbus_scan", "which units answer, and what they are"
    )
    read = _add(actions, "read", "forewatt.fieldwork:modbus_read", "every value of one meter")
    for parser in (scan, read):
        parser.add_argument(
            "host", metavar="HOST", help="host[:port], rtu+tcp://host:port or serial:///dev/ttyUSB0"
        )
        parser.add_argument(
            "--timeout", type=seconds, metavar="SECONDS", help="until a silent unit is given up"
        )
        _json(parser)
    scan.add_argument(
        "--units", type=unit_span, default=range(1, 248), metavar="1-247", help="default: 1-247"
    )
    read.add_argument("--profile", required=True, metavar="P", help="a name or the path of a file")
    read.add_argument("--unit", type=unit_span, default=range(1, 2), metavar="N", help="default: 1")

    quarantine = commands.add_parser("quarantine", help="what was refused, and why")
    actions = quarantine.add_subparsers(metavar="ACTION", required=True)
    listed = _add(actions, "list", "forewatt.quarantine:list_command", "the newest refused first")
    listed.add_argument("--limit", type=count, default=30, metavar="N", help="default: 30")
    listed.add_argument("--reason", metavar="TEXT", help="only reasons that hold this text")
    show = _add(actions, "show", "forewatt.quarantine:show_command", "one with its whole payload")
    show.add_argument("id", type=int, metavar="ID")
    replay = _add(
        actions,
        "replay",
        "forewatt.quarantine:replay_command",
        "send again what a mended mapping or network can now take",
    )
    replay.add_argument("ids", type=int, nargs="*", metavar="ID", help="default: all")
    replay.add_argument("--reason", metavar="TEXT", help="only reasons that hold this text")
    for parser in (listed, show, replay):
        _config(parser)
        _json(parser)

    gaps = _add(commands, "gaps", "forewatt.quarantine:gaps_command", "which readings are owed")
    gaps.add_argument("--closed", action="store_true", help="those that are settled as well")
    twice = _add(
        commands,
        "conflicts",
        "forewatt.quarantine:conflicts_command",
        "readings that came again unlike",
    )
    for parser in (gaps, twice):
        parser.add_argument("--device", metavar="NAME", help="of one device")
        parser.add_argument("--limit", type=count, default=30, metavar="N", help="default: 30")
        _config(parser)
        _json(parser)


def unit_span(text: str) -> range:
    """Unit addresses of a Modbus line: one, or first-last."""
    first, _, last = text.partition("-")
    last = last or first
    if not (_is_number(first) and _is_number(last) and 0 <= int(first) <= int(last) <= 255):
        raise argparse.ArgumentTypeError(f"{text!r} are no units; write 1 or 1-247")
    return range(int(first), int(last) + 1)
