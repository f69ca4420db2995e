"""Every fault kind has a checklist in both languages, with the same parts and a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from desk.procedures import FOLDER, LANGUAGES, load, procedure
from grid.errors import BadInput
from grid.faults import FAULTS


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_has_a_checklist_in_both_languages(kind: str, language: str) -> None:
    found = procedure(kind, language)

    assert (FAULTS[kind].procedure, 1) <= (found.key, found.version)
    assert all((found.safety, found.clerk, found.crew, found.close))
    words = " ".join([found.title, *found.safety, *found.clerk, *found.crew, *found.close])
    assert words.isascii() == (language == "en")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda p: p.stem)
def test_both_languages_have_as_many_points(path: Path) -> None:
    zh, en = (load(path)[language] for language in LANGUAGES)

    for part in ("safety", "clerk", "crew", "close"):
        assert len(getattr(zh, part)) == len(getattr(en, part)), part


def test_no_checklist_is_without_a_fault() -> None:
    assert {p.stem for p in FOLDER.glob("*.toml")} == {f.procedure for f in FAULTS.values()}


@pytest.mark.parametrize("text", ["nonsense", "version = 0\n", 'version = 1\n[en]\ntitle = "x"\n'])
def test_a_broken_checklist_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)

    with pytest.raises(BadInput, match=r"broken\.toml"):
        load(path)
