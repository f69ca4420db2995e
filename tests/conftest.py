"""Fixtures for every distance of test: unit, contract, integration, acceptance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.acceptance.needed import NO_AXE, NO_BROWSER

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real measured data sets that lies beside the checkout, else a skip.

    FOREWATT_SHARED names it when it lies elsewhere.
    """
    named = os.environ.get("FOREWATT_SHARED")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no shared data at {folder}: real-data tests are skipped; set FOREWATT_SHARED to the "
            "folder that holds station_area_1 and the others"
        )
    return folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say how many browser tests were not run: a page nobody looked at must not pass unnoticed."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for reason in (NO_BROWSER, NO_AXE):
        count = sum(reason in text for text in skipped)
        if count:
            terminalreporter.section("browser tests", sep="!", red=True, bold=True)
            terminalreporter.line(f"{count} BROWSER TESTS WERE SKIPPED: {reason}", red=True)
