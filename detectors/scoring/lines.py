"""truth.jsonl and alerts.jsonl as values; a bad line is named with its file, line and fix.

Times become microseconds UTC. Unknown keys are left aside: the formats may grow.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from grid.errors import BadInput
from grid.faults import FAULTS, SEVERITY_NAMES
from grid.network_files import parse_time

ANY_FAULT = "any"
"""The fault of an alarm that names none (the baselines): it matches every kind."""

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class TruthLine:
    """One incident that happened; a `benign` one is a look-alike that must not be ticketed."""

    id: str
    fault: str
    asset_kind: str
    asset: str
    onset_us: int
    detectable_us: int | None = None
    failure_us: int | None = None
    cleared_us: int | None = None
    benign: bool = False

    @property
    def foretellable(self) -> bool:
        """Whether something could be seen before it failed."""
        if self.failure_us is None:
            return False
        return self.failure_us > (
            self.onset_us if self.detectable_us is None else self.detectable_us
        )

    def deadline_us(self, end_us: int) -> int:
        """Until when raising counts as found: the failure that could be foreseen, else the end."""
        if self.foretellable and self.failure_us is not None:
            return self.failure_us
        return self.over_us(end_us)

    def over_us(self, end_us: int) -> int:
        """When the trouble was over: cleared, else the end of the data."""
        return end_us if self.cleared_us is None else self.cleared_us


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as `backtest` writes it; only what scoring reads."""

    id: str
    fault: str
    asset_kind: str
    asset: str
    severity: str
    raised_us: int
    known_us: int
    cleared_us: int | None = None
    score: float = 1.0
    ticket: bool = True
    rule: str = ""
    rule_zh: str = ""


def read_truth(lines: Iterable[str], file: str = "truth.jsonl") -> list[TruthLine]:
    """Incidents of a truth file, in its order. Raises BadInput naming line and fix."""
    return _read(lines, file, _truth)


def read_alerts(lines: Iterable[str], file: str = "alerts.jsonl") -> list[AlertLine]:
    """Alerts of an alert file, sorted by raised and id. Raises BadInput naming line and fix."""
    return sorted(_read(lines, file, _alert), key=lambda a: (a.raised_us, a.id))


class _Wrong(Exception):
    """A cell that cannot be used, before file and line are known."""

    def __init__(self, problem: str, column: str | None, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.column, self.fix = problem, column, fix


def _read(lines: Iterable[str], file: str, make: Callable[[Mapping[str, Any]], Line]) -> list[Line]:
    out: list[Line] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            cells = json.loads(text)
        except json.JSONDecodeError as problem:
            raise BadInput(
                f"not a JSON line ({problem.msg} at character {problem.pos + 1})",
                file=file,
                line=number,
                fix="write one JSON object a line",
            ) from problem
        if not isinstance(cells, dict):
            raise BadInput(
                "not a JSON object", file=file, line=number, fix="write one JSON object a line"
            )
        try:
            made = make(cells)
            key = _text(cells, "id")
            if key in seen:
                raise _Wrong(
                    f"id {key!r} stands in line {seen[key]} already", "id", "give each line its id"
                )
        except _Wrong as wrong:
            raise BadInput(
                wrong.problem, file=file, line=number, column=wrong.column, fix=wrong.fix
            ) from wrong
        seen[key] = number
        out.append(made)
    return out


def _truth(cells: Mapping[str, Any]) -> TruthLine:
    onset = _time(cells, "onset")
    if onset is None:
        raise _Wrong("onset is missing", "onset", "say when it began, RFC 3339 with zone")
    line = TruthLine(
        _text(cells, "id"),
        _text(cells, "fault"),
        _text(cells, "asset_kind"),
        _text(cells, "asset"),
        onset,
        _time(cells, "detectable"),
        _time(cells, "failure"),
        _time(cells, "cleared"),
        _flag(cells, "benign", False),
    )
    if not line.benign and line.fault not in FAULTS:
        raise _Wrong(
            f"fault {line.fault!r} is not in the catalogue",
            "fault",
            f"use one of {', '.join(FAULTS)}, or mark the line benign",
        )
    for name, at in (("failure", line.failure_us), ("cleared", line.cleared_us)):
        if at is not None and at < onset:
            raise _Wrong(f"{name} lies before onset", name, "correct the times of this line")
    return line


def _alert(cells: Mapping[str, Any]) -> AlertLine:
    raised = _time(cells, "raised")
    if raised is None:
        raise _Wrong("raised is missing", "raised", "say when it was raised, RFC 3339 with zone")
    known = _time(cells, "known")
    fault = _text(cells, "fault")
    if fault not in FAULTS and fault != ANY_FAULT:
        raise _Wrong(
            f"fault {fault!r} is not in the catalogue", "fault", f"use one of {', '.join(FAULTS)}"
        )
    severity = _text(cells, "severity")
    if severity not in SEVERITY_NAMES:
        raise _Wrong(
            f"severity {severity!r} is not known",
            "severity",
            f"use one of {', '.join(SEVERITY_NAMES)}",
        )
    evidence = cells.get("evidence")
    reason: Mapping[str, Any] = evidence if isinstance(evidence, dict) else {}
    return AlertLine(
        _text(cells, "id"),
        fault,
        _text(cells, "asset_kind"),
        _text(cells, "asset"),
        severity,
        raised,
        raised if known is None else known,
        _time(cells, "cleared"),
        _number(cells, "score", 1.0),
        _flag(cells, "ticket", True),
        str(reason.get("rule", "")),
        str(reason.get("rule_zh", "")),
    )


def _text(cells: Mapping[str, Any], name: str) -> str:
    value = cells.get(name)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"{name} is missing or not text", name, f"give {name!r} as a string")
    return value


def _flag(cells: Mapping[str, Any], name: str, default: bool) -> bool:
    value = cells.get(name, default)
    if not isinstance(value, bool):
        raise _Wrong(f"{name} is {value!r}", name, "write true or false")
    return value


def _number(cells: Mapping[str, Any], name: str, default: float) -> float:
    value = cells.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"{name} is {value!r}", name, "write a number")
    return float(value)


def _time(cells: Mapping[str, Any], name: str) -> int | None:
    value = cells.get(name)
    if value is None:
        return None
    try:
        return parse_time(value)
    except (ValueError, AttributeError, TypeError) as problem:
        raise _Wrong(
            f"{value!r} is not a time with zone",
            name,
            "write RFC 3339, such as 2026-03-01T08:00:00+08:00",
        ) from problem
