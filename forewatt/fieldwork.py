"""Commands beside a meter: try a mapping, scan a Modbus line, read one meter. Nothing is stored."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from grid.errors import BadInput, ForewattError
from grid.quantities import quantity
from ingest.exports import BadExport
from ingest.layout_files import FOLDER as LAYOUTS
from ingest.layout_files import load_layout
from ingest.mapping_files import Sample, find_mapping, load_mappings, load_samples, read_toml_file
from ingest.modbus_frame import LinkError
from ingest.modbus_tools import Found, read_table, scan, table_lines
from ingest.profile_files import load_profile
from ingest.try_mapping import try_layout, try_mapping

READ_TIMEOUT_S, SCAN_TIMEOUT_S = 2.0, 0.5


def try_mapping_command(args: argparse.Namespace) -> int:
    """`forewatt config try-mapping FILE`: status 1 when something of the sample is refused."""
    if is_layout(args.mapping):
        return _try_layout(args)
    try:
        rules = load_mappings(args.mapping)
    except BadInput as error:
        if error.file is not None:
            raise
        layouts = ", ".join(sorted(path.stem for path in LAYOUTS.glob("*.toml")))
        raise BadInput(error.problem, fix=f"{error.fix}; layouts of files: {layouts}") from error
    samples = _samples(args)
    now_us = time.time_ns() // 1000
    said: list[dict[str, Any]] = []
    good = True
    for sample in samples:
        lines = try_mapping(rules, sample.topic, sample.payload, now_us)
        good = good and not any(line.startswith("refused") for line in lines)
        said.append({"topic": sample.topic, "becomes": lines})
    if args.json:
        print(json.dumps({"ok": good, "samples": said}, ensure_ascii=False, indent=1))
        return 0 if good else 1
    for rule in rules:
        print(f"mapping {rule.name!r} subscribes {rule.topic.subscription}")
    for one in said:
        print(f"\n{one['topic']}")
        print("\n".join(f"  {line}" for line in one["becomes"]))
    return 0 if good else 1


def is_layout(name_or_path: str) -> bool:
    """Whether this describes exports, and not messages."""
    try:
        path = find_mapping(name_or_path, LAYOUTS)
    except BadInput:
        return False  # not one of the layouts by name; a mapping may have it
    table, _ = read_toml_file(path)
    return "mapping" not in table


def _try_layout(args: argparse.Namespace) -> int:
    layout = load_layout(args.mapping)
    if args.sample is None:
        raise BadInput("an export to try is missing", fix="give --sample export.csv")
    try:
        lines = try_layout(layout, args.sample, time.time_ns() // 1000)
    except BadExport as bad:
        lines = [f"refused: {bad}"]
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=str(args.sample)) from error
    good = not any(line.startswith("refused") for line in lines)
    if args.json:
        print(json.dumps({"ok": good, "becomes": lines}, ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines))
    return 0 if good else 1


def _samples(args: argparse.Namespace) -> tuple[Sample, ...]:
    if args.sample is None:
        if args.topic:
            raise BadInput("--topic is given without its message", fix="give --sample FILE as well")
        found = load_samples(args.mapping)
        if not found:
            raise BadInput(
                f"{args.mapping} brings no [[sample]] along",
                fix="give --topic TOPIC and --sample FILE (- for standard input)",
            )
        return found
    if not args.topic:
        raise BadInput("a sample needs its topic", fix="give --topic, such as tele/M1/SENSOR")
    return (Sample(args.topic, read_sample(args.sample)),)


def read_sample(path: Path) -> bytes:
    """The bytes of a sample file, or of standard input for `-`."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=str(path)) from error


def modbus_url(host: str) -> str:
    """What a person types to an address: `10.0.4.17` is `tcp://10.0.4.17:502`."""
    if "://" in host:
        return host
    if host.startswith("/dev/"):
        return f"serial://{host}"
    return f"tcp://{host}"


def modbus_scan(args: argparse.Namespace) -> int:
    """`forewatt modbus scan HOST`: status 1 when nobody answers."""
    url = modbus_url(args.host)

    def tell(unit: int) -> None:
        if sys.stderr.isatty():
            print(f"\runit {unit} ", end="", file=sys.stderr, flush=True)

    try:
        found = scan(url, args.units, timeout_s=args.timeout or SCAN_TIMEOUT_S, on_unit=tell)
    except LinkError as error:
        raise ForewattError(f"{url}: {error}") from error
    if sys.stderr.isatty():
        print("\r" + " " * 12 + "\r", end="", file=sys.stderr)
    if args.json:
        units = [{"unit": f.unit, "profiles": f.profiles, "note": f.note} for f in found]
        print(json.dumps(units, indent=1))
    elif not found:
        first, last = args.units[0], args.units[-1]
        print(f"{url}: no unit from {first} to {last} answers")
    else:
        print(f"{'unit':<6}{'may be (profile)':<40}note")
        for one in found:
            print(_found_line(one))
        print(f"look at one: forewatt modbus read {args.host} --unit N --profile P")
    return 0 if found else 1


def _found_line(found: Found) -> str:
    kinds = ", ".join(found.profiles) or "no shipped profile fits"
    return f"{found.unit:<6}{kinds:<40}{found.note}".rstrip()


def modbus_read(args: argparse.Namespace) -> int:
    """`forewatt modbus read HOST --profile P`."""
    url, unit = modbus_url(args.host), args.unit[0]
    profile = load_profile(args.profile)
    try:
        values = read_table(url, unit, profile, timeout_s=args.timeout or READ_TIMEOUT_S)
    except LinkError as error:
        raise ForewattError(f"{url}, unit {unit}: {error}") from error
    if args.json:
        rows = [
            {
                "quantity": v.quantity,
                "value": None if v.value != v.value else v.value,
                "unit": quantity(v.quantity).unit,
                "address": v.address,
                "words": v.words,
                "trouble": v.trouble,
            }
            for v in values
        ]
        print(json.dumps(rows, indent=1))
    else:
        print(f"{profile.title}, unit {unit}, {len(profile.plan())} requests")
        print("\n".join(table_lines(values)))
    return 1 if any(v.trouble for v in values) else 0
