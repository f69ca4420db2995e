"""The demo waits for its compiler, says so, and gives up with a sentence."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forewatt import demo
from grid.errors import ForewattError


def compiler(words: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> demo.WarmUp:
    """A compiler that does something else."""
    real = subprocess.Popen

    def popen(_: Any, **others: Any) -> subprocess.Popen[bytes]:
        return real((sys.executable, "-c", words), **others)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return demo.WarmUp(folder)


def test_a_slow_compiler_is_waited_for_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends only once that has been said."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setattr(demo, "WARM_UP_S", (0.0, 60.0))
    say = demo._say

    def said(sentence: str) -> None:
        say(sentence)
        gate.write_text("go", encoding="utf-8")

    monkeypatch.setattr(demo, "_say", said)

    compiler(f"open({str(gate)!r}).read()", monkeypatch, tmp_path / "marks").wait()

    assert "still compiling" in capsys.readouterr().err
    assert len(list((tmp_path / "marks").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("import time; time.sleep(600)", "not compiled within 0 s"),
        ("import sys; sys.exit(3)", "could not be compiled"),
    ],
)
def test_a_compiler_that_fails_or_never_ends_is_named(
    words: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "WARM_UP_S", (0.0, 0.0 if "sleep" in words else 60.0))
    warm_up = compiler(words, monkeypatch, tmp_path / "marks")

    with pytest.raises(ForewattError, match=says):
        warm_up.wait()

    warm_up.stop()
    assert not (tmp_path / "marks").exists()
