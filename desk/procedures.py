"""Checklists for each kind of fault, from data files in both languages, each with its version.

A file of `checklists/` is one procedure; whoever improves it raises its version, and the ticket
keeps which version was used.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from grid.errors import BadInput
from grid.faults import fault as fault_kind

FOLDER: Final = Path(__file__).parent / "checklists"
LANGUAGES: Final = ("zh-CN", "en")
PARTS: Final = ("safety", "clerk", "crew", "close")


@dataclass(frozen=True, slots=True)
class Procedure:
    """What to do about one kind of fault, in one language.

    safety : before anything else; clerk : what to ask and say; crew : what to do on site;
    close : what must be there before the ticket is closed
    """

    key: str
    version: int
    title: str
    safety: tuple[str, ...]
    clerk: tuple[str, ...]
    crew: tuple[str, ...]
    close: tuple[str, ...]


def procedure(fault: str, language: str) -> Procedure:
    """The checklist for a fault kind; Chinese for any language that begins with `zh`.

    >>> procedure("neutral_loose", "en").title
    'Loose or broken neutral'
    """
    return by_key(fault_kind(fault).procedure, language)


def by_key(key: str, language: str) -> Procedure:
    """The checklist of that name, as it came with the program."""
    spoken = "zh-CN" if language.startswith("zh") else "en"
    return load(FOLDER / f"{key}.toml")[spoken]


@cache
def keys() -> tuple[str, ...]:
    """The names of all checklists."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def load(path: Path) -> dict[str, Procedure]:
    """Both languages of one file; BadInput names what is missing."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise BadInput(str(e), file=path.name, fix="mend the checklist") from e
    version = data.get("version")
    if not isinstance(version, int) or version < 1:
        raise BadInput("it has no version", file=path.name, fix="begin with version = 1")
    return {spoken: _one(path, version, spoken, data.get(spoken)) for spoken in LANGUAGES}


def _one(path: Path, version: int, spoken: str, part: Any) -> Procedure:
    wanted = ("title", *PARTS)
    if not isinstance(part, dict) or set(part) != set(wanted):
        raise BadInput(
            f"the part [{spoken}] does not have exactly {', '.join(wanted)}",
            file=path.name,
            fix="add what is missing",
        )
    lists = {name: tuple(map(str, part[name])) for name in PARTS}
    return Procedure(path.stem, version, str(part["title"]), **lists)
