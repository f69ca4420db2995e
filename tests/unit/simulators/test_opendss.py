"""The engine's library loads in whatever folder and locale a person has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_engine_loads_in_a_folder_with_chinese_characters_under_any_locale(
    locale: str, tmp_path: Path
) -> None:
    """Below such a folder, not in it, the library broke down under LC_ALL=C."""
    below = tmp_path / "测试" / "forewatt"
    below.mkdir(parents=True)
    program = "from simulators.opendss import opendss; print(opendss().NewContext().Version)"

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=below,
        env={**os.environ, "LC_ALL": locale, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "DSS" in done.stdout
