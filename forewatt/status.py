"""`forewatt status`: how the running processes do; `--watch` shows it live, source by source."""

import argparse
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from forewatt.config import load_config
from forewatt.health import Report, read_reports
from forewatt.site import Place

EVERY_S = 1.0
SHOWN = 12  # units and devices in trouble, at most


def status(args: argparse.Namespace) -> int:
    """One line a process; status 1 when one is not well."""
    folder = Place.of(load_config(args.config)).health
    if args.watch:
        return watch(folder)
    reports = read_reports(folder)
    if args.json:
        print(json.dumps({role: _as_json(r) for role, r in reports.items()}, indent=1))
    elif not reports:
        print("nothing runs with this configuration; start it: forewatt run")
    else:
        for role, report in reports.items():
            print(f"{role:<11}{sentence(report)}")
    return 0 if reports and all(r.healthy for r in reports.values()) else 1


def _as_json(report: Report) -> dict[str, object]:
    return {
        "healthy": report.healthy,
        "alive": report.alive,
        "ready": report.ready,
        "pid": report.pid,
        "offset": report.offset,
        "lag_entries": report.lag,
        "commit_age_s": None if report.commit_at is None else time.time() - report.commit_at,
        "waiting_for": report.waiting_for,
        **report.detail,
    }


def sentence(report: Report) -> str:
    """How one process does, in a line."""
    if not report.alive:
        return f"does not answer (process {report.pid})"
    words = [f"process {report.pid}", "serves" if report.ready else "starts"]
    if report.waiting_for:
        words.append(f"waits for {report.waiting_for}")
    if report.lag is not None:
        words.append(f"{report.lag} entries behind")
    if since := delayed_since(report):
        words.append(since)
    if report.commit_at is not None:
        words.append(f"last commit {time.time() - report.commit_at:.0f} s ago")
    if report.detail.get("rebuilt"):
        words.append(str(report.detail["rebuilt"]))
    return ", ".join(words)


def delayed_since(report: Report) -> str:
    """Since when readings wait: in the journal for the database, or at the broker for the journal;
    empty while they do not."""
    at = None
    if report.waiting_for and report.lag:
        at = report.commit_at
    elif any(_map(report.detail, "holding").values()):
        at = report.at - max(_map(report.detail, "unacknowledged_seconds").values(), default=0.0)
    if at is None:
        return ""
    return f"readings delayed since {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


# -- live ----------------------------------------------------------------------------------


def watch(folder: Path) -> int:
    """The live view, until Ctrl-C."""
    before: dict[str, Report] = {}
    console = Console()
    try:
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while True:
                reports = read_reports(folder)
                live.update(view(reports, before), refresh=True)
                # Rates are over two reports of a process, not over two looks at one of them.
                before |= {
                    role: r for role, r in reports.items() if role not in before or _aged(r, before)
                }
                time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return 0


def _aged(report: Report, before: Mapping[str, Report]) -> bool:
    return report.at - before[report.role].at >= 2 * EVERY_S


def view(reports: Mapping[str, Report], before: Mapping[str, Report]) -> RenderableType:
    """Everything that a person looks for, worst things last where the eye ends."""
    if not reports:
        return Text("nothing runs with this configuration; start it: forewatt run")
    parts: list[RenderableType] = [_processes(reports)]
    for role in (r for r in reports if r.partition("-")[0] == "collect"):
        parts.append(_sources(reports[role], before.get(role)))
        parts += _troubles(reports[role])
    parts += [Text(since, "bold red") for r in reports.values() if (since := delayed_since(r))]
    historian = reports.get("historian")
    if historian is not None:
        parts.append(_history(historian, before.get("historian")))
    return Group(*parts)


def _processes(reports: Mapping[str, Report]) -> Table:
    table = Table("process", "", "behind", "last commit", "waits for", box=SIMPLE_HEAD)
    for role, r in reports.items():
        state = "well" if r.healthy else "waits" if r.alive and r.ready else "starts"
        state = state if r.alive else "gone"
        style = {"well": "green", "gone": "bold red"}.get(state, "yellow")
        table.add_row(
            role,
            Text(state, style),
            "" if r.lag is None else f"{r.lag:,}",
            "" if r.commit_at is None else f"{time.time() - r.commit_at:.0f} s ago",
            Text(r.waiting_for, "yellow"),
        )
    return table


def _sources(report: Report, earlier: Report | None) -> Table:
    detail = report.detail
    table = Table(
        "source", "", "msg/s", "rows/s", "readings", "refused", "waiting", "oldest",
        box=SIMPLE_HEAD,
    )  # fmt: skip
    table.columns[0].min_width = 18  # a broker's address in one or two lines of a narrow terminal
    for column in table.columns[2:]:
        column.justify = "right"
    for name, connected in _map(detail, "connected").items():
        holding = _map(detail, "holding").get(name)
        state = (
            ("holds", "bold red") if holding else ("on", "green") if connected else ("off", "red")
        )
        table.add_row(
            name,
            Text(*state),
            _rate(report, earlier, "messages_total", name),
            _rate(report, earlier, "readings_total", name),
            f"{_map(detail, 'readings_total').get(name, 0):,}",
            "",
            f"{_map(detail, 'waiting').get(name, 0):,}",
            f"{_map(detail, 'unacknowledged_seconds').get(name, 0):.1f} s",
        )
    refused = sum(_map(detail, "quarantined_total").values())
    table.add_row("journal", "", "", "", "", f"{refused:,}", _size(detail.get("journal_bytes")), "")
    return table


def _troubles(report: Report) -> list[RenderableType]:
    """Sources, units and devices that somebody should look at."""
    lines: list[Text] = []
    for name, text in _map(report.detail, "troubles").items():
        lines.append(Text(f"{name}: {text}", "red"))
    for name, found in _map(report.detail, "warnings").items():
        lines += [Text(f"{name}: {warning}", "yellow") for warning in found]
    units = _map(report.detail, "unit_troubles")
    lines += [Text(f"{name}: {text}", "yellow") for name, text in list(units.items())[:SHOWN]]
    if len(units) > SHOWN:
        lines.append(Text(f"... and {len(units) - SHOWN} more units", "yellow"))
    for device, ahead_s in list(_map(report.detail, "clock_ahead_seconds").items())[:SHOWN]:
        way = "ahead" if ahead_s > 0 else "behind"
        lines.append(Text(f"{device}: its clock is {abs(ahead_s):,.0f} s {way}", "yellow"))
    lines += [Text(f"reload: {text}", "red") for text in report.reload.get("troubles", ())]
    return [Group(*lines)] if lines else []


def _history(report: Report, earlier: Report | None) -> Table:
    detail = report.detail
    table = Table(
        "history", "rows/s", "rows", "twice", "conflicts", "gaps open", "in quarantine",
        box=SIMPLE_HEAD,
    )  # fmt: skip
    table.add_row(
        "database",
        _rate(report, earlier, "rows_total"),
        *(
            f"{detail.get(name, 0):,}"
            for name in (
                "rows_total", "duplicates_total", "conflicts_total", "gaps_open", "in_quarantine"
            )
        ),
    )  # fmt: skip
    return table


def _map(detail: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = detail.get(name)
    return found if isinstance(found, Mapping) else {}


def _rate(report: Report, earlier: Report | None, name: str, of: str | None = None) -> str:
    """Growth a second between two reports; empty where there is no earlier one."""

    def value(r: Report) -> float:
        found = _map(r.detail, name).get(of, 0) if of is not None else r.detail.get(name, 0)
        return float(found)

    if earlier is None or earlier.pid != report.pid or report.at <= earlier.at:
        return ""
    return f"{max(0.0, value(report) - value(earlier)) / (report.at - earlier.at):,.0f}"


def _size(count: Any) -> str:
    return "" if count is None else f"{float(count) / 1e6:,.1f} MB"
