"""Settings of a trial: `key = value` in TOML, checked like the configuration file.

A key without a table belongs to `[detectors]`; `alerts.flaps = 3` to `[alerts]`.
"""

import dataclasses
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from forewatt.config import AlertConfig, DetectorConfig
from forewatt.toml_reader import Source, build
from grid.errors import BadInput

TABLES = {"detectors": DetectorConfig, "alerts": AlertConfig}


@dataclasses.dataclass(frozen=True, slots=True)
class TrialSettings:
    """What one side of a trial is judged with."""

    detectors: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    alerts: AlertConfig = dataclasses.field(default_factory=AlertConfig)

    @classmethod
    def of(
        cls, given: Sequence[str], option: str = "--set", base: "TrialSettings | None" = None
    ) -> "TrialSettings":
        """`base` with some settings changed.

        Raises BadInput naming the setting and its fix.
        """
        base = base or cls()
        tables: dict[str, dict[str, Any]] = {name: _plain(getattr(base, name)) for name in TABLES}
        for n, text in enumerate(given, 1):
            key, value = _one(text, option, n)
            table, _, name = key.rpartition(".")
            if (table or "detectors") not in TABLES:
                raise BadInput(
                    f"{key!r} names no table",
                    file=option,
                    line=n,
                    fix=f"write it as one of {', '.join(f'{t}.{name}' for t in TABLES)}",
                )
            tables[table or "detectors"][name] = value
        source = Source(option, Path.cwd(), tuple(given))
        return cls(
            build(DetectorConfig, tables["detectors"], source, "detectors"),
            build(AlertConfig, tables["alerts"], source, "alerts"),
        )


def _plain(config: Any) -> dict[str, Any]:
    """A table as TOML would have given it."""
    table = dataclasses.asdict(config)
    table = {k: str(v) if isinstance(v, Path) else v for k, v in table.items() if v is not None}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in table.items()}


def _one(text: str, option: str, line: int) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    fix = 'write key = value, such as lateness_s = 300 or disabled = ["joint"]'
    if not equals or not key:
        raise BadInput(f"{text!r} is no setting", file=option, line=line, fix=fix)
    try:
        return key, tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise BadInput(
            f"{key}: {value.strip()!r} is no value", file=option, line=line, fix=fix
        ) from error


def known_settings() -> Iterator[tuple[str, str, str]]:
    """(key, what it means, default) of everything that a trial may set."""
    for table, kind in TABLES.items():
        for field in dataclasses.fields(kind):
            default = getattr(kind(), field.name)
            if default is None:
                continue  # a file of one's own: nothing to show
            key = field.name if table == "detectors" else f"{table}.{field.name}"
            shown = list(default) if isinstance(default, tuple) else default
            yield key, field.metadata["doc"], str(shown)
