"""What browser tests need of the machine: missing, they are skipped and counted loudly (see
`tests/conftest.py`); with FOREWATT_REQUIRE_BROWSER=1, as in CI, they fail."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from forewatt.services.doctor import find_browser

NO_BROWSER = "no Chromium on this machine: apt-get install chromium fonts-noto-cjk   (as root)"
NO_AXE = "axe-core is not fetched: make web"
AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


def chromium() -> str:
    """The system's Chromium, or the one that FOREWATT_BROWSER names."""
    found = find_browser()
    if found is None:
        _missing(NO_BROWSER)
    if shutil.which(found) is None:
        pytest.fail(f"FOREWATT_BROWSER={found} is no program; name another or unset it")
    return found


def axe() -> str:
    """The source of axe-core; `npm ci` fetches it with the libraries of the pages."""
    if not AXE.is_file():
        _missing(NO_AXE)
    return AXE.read_text(encoding="utf-8")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("FOREWATT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"FOREWATT_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)
