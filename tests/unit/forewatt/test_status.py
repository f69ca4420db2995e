"""The live view: what a person sees of sources, units and history."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from typing import Any

from rich.console import Console

from forewatt.collect import figures
from forewatt.health import Report
from forewatt.status import delayed_since, sentence, view
from ingest.metrics import CollectorMetrics, UnitMetrics


def shown(reports: dict[str, Report], before: dict[str, Report] | None = None) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(view(reports, before or {}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def collector() -> CollectorMetrics:
    metrics = CollectorMetrics(journal_bytes=12_300_000)
    broker = metrics.source("mqtt 10.0.0.1:1883")
    broker.connected, broker.messages, broker.readings = True, 1_000, 5_000
    broker.quarantined["bad_time"] = 3
    broker.warnings = ("raise max_packet_size",)
    bus = metrics.source("modbus 10.0.0.2:502")
    bus.trouble = "cannot connect: refused"
    metrics.units["modbus 10.0.0.2:502", 7] = UnitMetrics("T7", last_error="no answer within 2 s")
    metrics.skewed = {"M9": -3600.0}
    return metrics


def report(role: str, detail: dict[str, Any], at: float | None = None) -> Report:
    return Report(role, os.getpid(), True, at or time.time(), offset=5, lag=2, detail=detail)


def test_the_view_names_sources_their_rates_and_what_is_wrong() -> None:
    metrics = collector()
    now = time.time()
    before = report("collect", figures(metrics), now - 10)
    metrics.source("mqtt 10.0.0.1:1883").messages += 2_000
    metrics.source("mqtt 10.0.0.1:1883").readings += 10_000

    text = shown({"collect": report("collect", figures(metrics), now)}, {"collect": before})

    (line,) = [line for line in text.splitlines() if line.strip().startswith("mqtt 10.0.0.1:1883 ")]
    assert ["mqtt", "10.0.0.1:1883", "on", "200", "1,000", "15,000"] == line.split()[:6]
    assert "12.3 MB" in text
    for said in (
        "modbus 10.0.0.2:502: cannot connect: refused",
        "modbus 10.0.0.2:502 unit 7 (T7): no answer within 2 s",
        "mqtt 10.0.0.1:1883: raise max_packet_size",
        "M9: its clock is 3,600 s behind",
    ):
        assert said in text


def test_a_process_that_waits_says_for_what() -> None:
    waiting = replace(report("historian", {"rows_total": 7}), waiting_for="the database")

    text = shown({"historian": waiting})

    (line,) = [line for line in text.splitlines() if line.strip().startswith("historian")]
    assert ["historian", "waits", "2", "the", "database"] == line.split()


def test_readings_that_wait_are_told_with_the_time_since_when() -> None:
    """In the journal while the database is away; at the broker while the journal is full."""
    at = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
    away = replace(report("historian", {}), waiting_for="the database", commit_at=at)
    full = report("collect", {"holding": {"mqtt": 1}, "unacknowledged_seconds": {"mqtt": 60}}, at)

    assert "readings delayed since 2027-01-15 08:00:00 UTC" in sentence(away)
    assert "readings delayed since 2027-01-15 07:59:00 UTC" == delayed_since(full)
    assert "readings delayed since 2027-01-15 07:59:00 UTC" in shown({"collect": full})
    assert "" == delayed_since(replace(away, waiting_for=""))


def test_an_empty_installation_is_told_how_to_start() -> None:
    assert "start it: forewatt run" in shown({})


def test_a_restart_gives_no_negative_rate() -> None:
    metrics = collector()
    before = replace(report("collect", figures(metrics), time.time() - 10), pid=1)

    text = shown({"collect": report("collect", figures(metrics))}, {"collect": before})

    (line,) = [line for line in text.splitlines() if line.strip().startswith("mqtt 10.0.0.1:1883 ")]
    assert ["on", "5,000"] == line.split()[2:4]
