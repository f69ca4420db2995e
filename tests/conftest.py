"""Fixtures for every distance of test: unit, contract, integration, acceptance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from forewatt.services.doctor import find_browser

REPOSITORY = Path(__file__).resolve().parent.parent
_NO_BROWSER = "no Chromium on this machine: apt-get install chromium fonts-noto-cjk   (as root)"


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


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's Chromium, for playwright's `executable_path`.

    Without one the test is skipped and counted loudly; with FOREWATT_REQUIRE_BROWSER=1 (CI) it
    fails.
    """
    found = find_browser()
    if found is None:
        if os.environ.get("FOREWATT_REQUIRE_BROWSER") == "1":
            pytest.fail(_NO_BROWSER)
        pytest.skip(_NO_BROWSER)
    return found


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say how many browser tests were not run: a page nobody looked at must not pass unnoticed."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(_NO_BROWSER in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section("browser tests", sep="!", red=True, bold=True)
        terminalreporter.line(f"{count} BROWSER TESTS WERE SKIPPED: {_NO_BROWSER}", red=True)
