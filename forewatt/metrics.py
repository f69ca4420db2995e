"""`/metrics` of the whole program in the Prometheus text form, from the reports of all processes.

A number under `detail` of a report becomes `forewatt_<name>{role="..."}`; a name that ends in
`_total` is a counter, any other a gauge; a mapping becomes one line for each of its keys.
"""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from forewatt.health import Report, read_reports

_HELP = {
    "up": "1 while the process reports",
    "ready": "1 while the process serves and waits for nothing",
    "commit_age_seconds": "seconds since the last commit",
    "journal_offset": "journal offset committed last",
    "lag_entries": "journal entries not yet consumed",
}


def prometheus_text(folder: Path) -> bytes:
    """All processes that report in `folder`."""
    lines: dict[str, list[str]] = {}
    for role, report in read_reports(folder).items():
        for name, labels, value in _samples(report):
            rows = lines.setdefault(name, _heading(name))
            text = ",".join(f'{k}="{_escaped(v)}"' for k, v in {"role": role, **labels}.items())
            rows.append(f"forewatt_{name}{{{text}}} {value:.17g}")
    return "".join(f"{row}\n" for rows in lines.values() for row in rows).encode()


def _heading(name: str) -> list[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    rows = [f"# TYPE forewatt_{name} {kind}"]
    if name in _HELP:
        rows.insert(0, f"# HELP forewatt_{name} {_HELP[name]}")
    return rows


def _samples(report: Report) -> Iterator[tuple[str, dict[str, str], float]]:
    yield "up", {}, float(report.alive)
    yield "ready", {}, float(report.healthy)
    if report.commit_at is not None:
        yield "commit_age_seconds", {}, max(0.0, time.time() - report.commit_at)
    if report.offset is not None:
        yield "journal_offset", {}, report.offset
    if report.lag is not None:
        yield "lag_entries", {}, report.lag
    for name, value in report.detail.items():
        bare = re.sub(r"\W", "_", name)
        if isinstance(value, Mapping):
            for key, one in value.items():
                if isinstance(one, (int, float)):
                    yield bare, {"of": str(key)}, float(one)
        elif isinstance(value, (int, float)):
            yield bare, {}, float(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
