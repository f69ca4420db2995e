"""A case folder: a dataset or a scenario, and `expected.toml` with the alerts it must raise."""

import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from forewatt.backtest import backtest
from grid.errors import BadInput
from grid.faults import FAULTS
from simulators.scenario import simulate

TOP = ("title", "country", "others", "expect", "never")


@dataclass(frozen=True, slots=True)
class Expected:
    """One alert that must (or, under `never`, must not) be among those raised; "" is any."""

    fault: str
    asset: str = ""
    severity: str = ""
    after: datetime | None = None
    before: datetime | None = None
    ticket: bool = True
    numbers: Mapping[str, Sequence[float]] | None = None  # name = [lowest, highest]

    def fits(self, alert: Mapping[str, Any]) -> bool:
        """Whether an alert line is this one."""
        raised = datetime.fromisoformat(alert["raised"])
        return (
            alert["fault"] == self.fault
            and self.asset in ("", alert["asset"])
            and self.severity in ("", alert["severity"])
            and (alert["ticket"] or not self.ticket)
            and (self.after is None or self.after <= raised)
            and (self.before is None or raised <= self.before)
            and all(self._within(alert, name, r) for name, r in (self.numbers or {}).items())
        )

    @staticmethod
    def _within(alert: Mapping[str, Any], name: str, between: Sequence[float]) -> bool:
        value = alert["evidence"]["numbers"].get(name)
        return isinstance(value, int | float) and between[0] <= value <= between[1]


@dataclass(frozen=True, slots=True)
class Case:
    """What a folder asks for; `others` says whether tickets beyond `expect` are allowed."""

    folder: Path
    title: str
    country: str
    others: bool
    expect: tuple[Expected, ...]
    never: tuple[Expected, ...]

    def alerts(self, scratch: Path) -> list[dict[str, Any]]:
        """The alerts of the whole program on this data, which `scratch` may hold meanwhile."""
        data = self.folder
        if (self.folder / "scenario.toml").is_file() and not (self.folder / "network").is_dir():
            data = scratch / "data"
            shutil.rmtree(data, ignore_errors=True)
            simulate(self.folder / "scenario.toml", data)
        out = scratch / "alerts.jsonl"
        backtest(data, out, country=self.country)
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    def complaints(self, alerts: Sequence[Mapping[str, Any]]) -> list[str]:
        """What is not as expected, in sentences; empty when all is."""
        said = [
            f"missing: {e.fault} at {e.asset or 'any asset'}"
            for e in self.expect
            if not any(e.fits(a) for a in alerts)
        ]
        for a in alerts:
            what = f"{a['fault']} at {a['asset']}, raised {a['raised']}, score {a['score']}"
            if any(n.fits(a) for n in self.never):
                said.append(f"must not be: {what}")
            elif a["ticket"] and not self.others and not any(e.fits(a) for e in self.expect):
                said.append(f"a ticket beyond those expected: {what}")
        return said


def load_case(folder: Path) -> Case:
    """Read `expected.toml`; raises BadInput naming file, key and fix."""
    file = folder / "expected.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as wrong:
        raise BadInput(f"{file}: {wrong}", fix="mend the TOML") from wrong
    _known(file, table, TOP)
    return Case(
        folder,
        str(table.get("title", folder.name)),
        str(table.get("country", "CN")),
        bool(table.get("others", False)),
        tuple(_expected(file, "expect", e) for e in table.get("expect", ())),
        tuple(_expected(file, "never", {"ticket": False, **e}) for e in table.get("never", ())),
    )


def _expected(file: Path, key: str, table: Mapping[str, Any]) -> Expected:
    _known(file, table, [f.name for f in fields(Expected)])
    if table.get("fault") not in FAULTS:
        raise BadInput(
            f"{file}, {key}.fault: no such fault kind {table.get('fault')!r}",
            fix=f"use one of {', '.join(FAULTS)}",
        )
    for name in ("after", "before"):
        at = table.get(name)
        if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
            raise BadInput(
                f"{file}, {key}.{name}: {at!r} is no time with zone",
                fix="write it without quotes, as in 2026-03-09T18:00:00+08:00",
            )
    return Expected(**table)


def _known(file: Path, table: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in table:
        if key not in names:
            raise BadInput(f"{file}: unknown key {key!r}", fix=f"use {', '.join(names)}")
