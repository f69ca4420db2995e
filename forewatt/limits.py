"""The file of calibrated limits: proposed by `forewatt calibrate`, in effect once accepted.

TOML, so that a person can read what is proposed and change a number before accepting it.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid.errors import BadInput


@dataclass(frozen=True, slots=True)
class Limit:
    """The least score at which one detector's finding of one kind may open a ticket."""

    detector: str
    fault: str
    least_score: float
    healthy_episodes: int = 0
    healthy_a_day: float = 0.0
    healthy_a_day_after: float = 0.0
    judged_right: int = 0
    judged_wrong: int = 0


def load_limits(path: Path) -> dict[tuple[str, str], float]:
    """(detector, fault) to the least score. Raises BadInput where nobody has accepted the file."""
    document = _read(path)
    if not document.get("accepted"):
        raise BadInput(
            "these limits are proposed, nobody has accepted them",
            file=str(path),
            fix=f"look at them, then: forewatt calibrate --accept {path} --by NAME",
        )
    out: dict[tuple[str, str], float] = {}
    for n, row in enumerate(document.get("limit", []), 1):
        try:
            detector, fault = str(row["detector"]), str(row["fault"])
            score = float(row["least_score"])
        except (KeyError, TypeError, ValueError) as problem:
            raise BadInput(
                f"limit {n} lacks detector, fault or least_score",
                file=str(path),
                fix="write the file again with forewatt calibrate",
            ) from problem
        if not 1.0 <= score <= 1e6:
            raise BadInput(
                f"limit {n}: least_score is {score}", file=str(path), fix="write 1 or more"
            )
        out[detector, fault] = score
    return out


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise BadInput("cannot be read", file=str(path), fix="check the path") from problem
    except tomllib.TOMLDecodeError as problem:
        raise BadInput(
            f"not TOML ({problem})", file=str(path), fix="write it again with forewatt calibrate"
        ) from problem


def write_limits(path: Path, limits: Sequence[Limit], head: Mapping[str, Any]) -> None:
    """Write a proposal that nobody has accepted yet."""
    lines = [
        "# Proposed by forewatt calibrate. Look at it, then: forewatt calibrate --accept FILE",
        'accepted = ""',
        *(f"{key} = {_toml(value)}" for key, value in head.items()),
    ]
    for x in limits:
        lines += ["", "[[limit]]"]
        lines += [f"{name} = {_toml(getattr(x, name))}" for name in Limit.__slots__]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def accept(path: Path, by: str) -> None:
    """Note who has looked at a proposal, so that it may take effect."""
    if not by.strip() or '"' in by or "\\" in by or not by.isprintable():
        raise BadInput(f"{by!r} is no name", fix="say who accepts: --by NAME")
    document = _read(path)
    if "accepted" not in document or "healthy_days" not in document:
        raise BadInput(
            "not a proposal of limits", file=str(path), fix="make one with forewatt calibrate"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("accepted"))
    lines[at] = f'accepted = "{by.strip()}"'
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, float):
        return repr(round(value, 6))
    return str(value)
