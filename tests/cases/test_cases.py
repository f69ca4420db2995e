"""Every case folder here, and in the folders that FOREWATT_CASES names, raises what it expects."""

import os
from pathlib import Path
from typing import Any

import pytest

from grid.errors import BadInput
from grid.faults import FAULTS
from tests.cases.case import Case, load_case

HERE = Path(__file__).parent
ROOTS = [HERE, *(Path(p) for p in os.environ.get("FOREWATT_CASES", "").split(os.pathsep) if p)]
FOLDERS = sorted(f.parent for root in ROOTS for f in root.glob("*/expected.toml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_case_raises_what_its_folder_expects(folder: Path, tmp_path: Path) -> None:
    case = load_case(folder)

    assert [] == case.complaints(case.alerts(tmp_path)), case.title


def test_there_are_cases_of_both_kinds() -> None:
    """A folder with its own readings, and one that is simulated."""
    assert any((f / "network").is_dir() for f in FOLDERS)
    assert any((f / "scenario.toml").is_file() for f in FOLDERS)


def case_of(folder: Path, text: str) -> Case:
    (folder / "expected.toml").write_text(text, encoding="utf-8")
    return load_case(folder)


def alert(**more: Any) -> dict[str, Any]:
    return {
        "fault": "outage",
        "asset": "T1",
        "severity": "P1",
        "raised": "2026-03-09T10:00:00Z",
        "ticket": True,
        "score": 2.0,
        "evidence": {"numbers": {"silent": 4}},
        **more,
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[expect]]\nfault = "outage"\nasset = "T2"\n', "missing: outage at T2"),
        ('[[expect]]\nfault = "outage"\nbefore = 2026-03-09T09:00:00Z\n', "missing: outage"),
        ('[[expect]]\nfault = "outage"\nnumbers = { silent = [5, 9] }\n', "missing: outage"),
        ("", "a ticket beyond those expected: outage at T1"),
        ('others = true\n[[never]]\nfault = "outage"\n', "must not be: outage at T1"),
    ],
)
def test_what_is_not_as_expected_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in case_of(tmp_path, text).complaints([alert()])[0]


def test_what_is_as_expected_is_not_said(tmp_path: Path) -> None:
    text = '[[expect]]\nfault = "outage"\nasset = "T1"\nnumbers = { silent = [1, 9] }\n'

    assert [] == case_of(tmp_path, text).complaints([alert()])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1\n", "unknown key 'colour'"),
        ('[[expect]]\nfault = "fire"\n', f"use one of {next(iter(FAULTS))}"),
        ('[[expect]]\nfault = "outage"\nafter = "now"\n', "as in 2026-03-09T18:00:00"),
    ],
)
def test_a_mistake_in_a_case_is_named_with_its_fix(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as wrong:
        case_of(tmp_path, text)

    assert said in f"{wrong.value} {wrong.value.fix}"
