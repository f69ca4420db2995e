"""The command line as a person meets it: words, exit status, one sentence on errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forewatt.cli import main


def test_help_names_every_command_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    said = capsys.readouterr().out
    assert 0 == ended.value.code
    for word in "demo run simulate replay backtest doctor config import db user status".split():
        assert f"\n    {word} " in said


def test_help_loads_no_heavy_library() -> None:
    """Answering `--help` must not cost the seconds that numba and pandas need."""
    program = (
        "import sys\nfrom forewatt.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numba', 'numpy', 'pandas', 'fastapi', 'psycopg', 'paho'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dmeo"],
        ["run", "--only", "collect,histrian"],
        ["demo", "--speed", "max"],
        ["demo", "--speed", "-3"],
        ["demo", "--port", "70000"],
        ["demo", "--for", "never"],
        ["replay"],
        ["backtest", "somewhere"],
    ],
)
def test_wrong_usage_ends_with_status_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert 2 == ended.value.code
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["run"], ["config", "check"], ["status"], ["db", "migrate"]])
def test_a_missing_configuration_is_one_sentence_and_status_2(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([*words, "--config", str(tmp_path / "absent.toml")])

    said = capsys.readouterr().err
    assert 2 == status
    assert 1 == said.count("\n")
    assert "absent.toml: no such file" in said and "docs/forewatt.toml" in said
