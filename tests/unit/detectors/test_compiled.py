"""A changed source never meets an old compiled kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import detectors.compiled

CALLER = """
from detectors.compiled import kernel
from detectors.callee import half

@kernel("float64(float64)")
def twice_half(x):
    return 2.0 * half(x)
"""


def callee(factor: float) -> str:
    return f"""
from detectors.compiled import kernel

@kernel("float64(float64)")
def half(x):
    return {factor} * x
"""


@pytest.mark.timeout(120)
def test_an_edited_callee_in_another_file_gives_the_new_result(tmp_path: Path) -> None:
    """numba's own cache returned the old result (tried): the cache folder bears a source hash."""
    package = tmp_path / "detectors"
    package.mkdir()
    shutil.copy(detectors.compiled.__file__, package / "compiled.py")
    (package / "__init__.py").write_text("")
    (package / "caller.py").write_text(CALLER)

    def run() -> float:
        code = "from detectors.caller import twice_half; print(twice_half(3.0))"
        environment = {
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            cwd=tmp_path,
            check=True,
        )
        return float(done.stdout)

    (package / "callee.py").write_text(callee(0.5))
    first, again = run(), run()
    (package / "callee.py").write_text(callee(0.25))
    edited = run()

    assert (first, again, edited) == (3.0, 3.0, 1.5)
