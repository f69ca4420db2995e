"""The command line as a person meets it: words, exit status, one sentence on errors."""

from __future__ import annotations

import errno
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
        ["demo", "--port", "²"],
        ["quarantine", "list", "--limit", "0"],
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


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "{folder}", "--out", "{folder}/out"],
        ["score", "{folder}/absent", "--alerts", "{folder}"],
        ["demo", "--scenario", "{folder}/absent.toml", "--data", "{folder}/data"],
        ["config", "check", "--config", "{folder}"],
        ["config", "try-mapping", "tasmota", "--topic", "tele/M1/SENSOR"],
        ["config", "try-mapping", "no-such-mapping"],
        ["modbus", "read", "127.0.0.1:1", "--profile", "{folder}"],
    ],
)
def test_a_file_that_is_none_is_one_sentence_and_status_2(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([word.format(folder=tmp_path) for word in words])

    said = capsys.readouterr().err.splitlines()[-1]
    assert 2 == status
    assert said.startswith("forewatt: ") and said.count(". ") + said.count("; ") >= 1
    assert "Errno" not in said


def test_a_place_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system says of a file is said with the file's name and the fix, without a trace."""

    def full(args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "alerts.jsonl"))

    monkeypatch.setattr("forewatt.status.status", full)

    status = main(["status"])

    assert 1 == status
    assert (
        f"forewatt: {tmp_path / 'alerts.jsonl'}: No space left on device; free space on this disk\n"
        == capsys.readouterr().err
    )


def test_an_error_without_a_file_is_a_fault_of_ours_and_keeps_its_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(args: object) -> int:
        raise OSError("something of ours")

    monkeypatch.setattr("forewatt.status.status", broken)

    with pytest.raises(OSError, match="something of ours"):
        main(["status"])
