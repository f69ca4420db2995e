"""A changed source never meets an old compiled kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import TypingError

import detectors.compiled
from detectors.compiled import F8

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


def test_a_view_of_a_row_counts_no_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting took a third of the time; whoever allocates must say so, or is not compiled."""
    monkeypatch.setattr(detectors.compiled, "CACHE", tmp_path)

    def raise_rows(state: F8, much: float) -> None:
        for k in range(len(state)):
            row = state[k]
            if row[0] > 5.0:
                continue
            for j in range(2):
                half = row[j : j + 1]
                half[0] += much

    compiled = detectors.compiled.kernel("void(float64[:, ::1], float64)")(raise_rows)
    state = np.array([[1.0, 2.0], [6.0, 7.0]])
    compiled(state, 1.0)

    assert [[2.0, 3.0], [6.0, 7.0]] == state.tolist()
    assert not any("NRT_incref" in text for text in compiled.inspect_llvm().values())

    def make(n: int) -> float:
        return float(np.zeros(n).sum())

    with pytest.raises(TypingError, match="Only accept returning of array passed"):
        detectors.compiled.kernel("float64(int64)")(make)
    assert detectors.compiled.kernel("float64(int64)", allocates=True)(make)(3) == 0.0
