"""How a head-end lays out its exports: which column is what, in which unit.

A layout is data (TOML, docs/files.md); `ingest.layout_files` reads and checks it, `ingest.exports`
applies it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from ingest.codes import Meaning
from ingest.times import time_us

TimeForm = Literal["local", "rfc3339", "epoch_s", "epoch_ms"]
TIME_FORMS = ("local", "rfc3339", "epoch_s", "epoch_ms")
# What head-ends write; the first that fits counts.
LOCAL_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
    "%Y%m%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Names = tuple[str, ...]  # headings, of which the first that the file has counts


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where a line's time stands and how it is written; two columns (date, clock) are joined."""

    column: Names
    clock: Names = ()
    form: TimeForm = "local"
    zone: str = "UTC"
    format: str = ""  # as strptime has it; empty: one of LOCAL_FORMATS

    def read(self, text: str) -> int:
        """Microseconds UTC; raises ValueError with the reason."""
        text = text.strip()
        if self.form == "rfc3339":
            return time_us(text)
        if self.form in ("epoch_s", "epoch_ms"):
            try:
                return time_us(float(text) * (1000 if self.form == "epoch_s" else 1))
            except ValueError:
                raise ValueError(f"time {text[:40]!r} is not in {self.form}") from None
        return int((self._local(text) - _EPOCH) / timedelta(microseconds=1))

    def _local(self, text: str) -> datetime:
        zone = ZoneInfo(self.zone)
        text = text.replace("T", " ")
        # 24:00 is how some head-ends write the end of a day; fractions of a second are cut.
        whole = text.replace(" 24:00", " 00:00", 1)
        plain = whole.partition(".")[0] if ":" in whole else whole
        for form in (self.format,) if self.format else LOCAL_FORMATS:
            try:
                found = datetime.strptime(plain, form).replace(tzinfo=zone)
            except ValueError:
                continue
            return found + timedelta(days=whole != text)
        known = f"{self.format!r}" if self.format else "a date and time"
        raise ValueError(f"time {text[:40]!r} cannot be read as {known}")


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """One quantity: the number of the first heading that the file has, x `scale`."""

    quantity: str
    column: Names
    scale: float = 1.0
    absent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Points:
    """Columns of a line that holds many times: `P{n}`, n from `first`, `count` of them a day."""

    column: Names = ()
    first: int = 1
    count: int = 1
    first_s: float = 0.0

    @property
    def step_us(self) -> int:
        """From one point to the next, microseconds."""
        return 86_400_000_000 // self.count


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout.

    Attributes
    ----------
    device : headings of the column that names the meter; `devices` maps their names to ours
    values : quantities with their columns (a `{n}` in a heading stands for the points)
    code : headings of a column that says which quantity a line holds; `codes` explains its words
    ct_ratio, pt_ratio : headings of columns with the transformers' ratios
    primary : the numbers are primary values already (or become so by the ratio columns), so the
        ratios of devices.csv are not applied again
    """

    name: str
    device: Names
    time: TimeColumn
    values: tuple[ValueColumn, ...] = ()
    points: Points = Points()
    code: Names = ()
    codes: Mapping[str, Meaning] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    ct_ratio: Names = ()
    pt_ratio: Names = ()
    primary: bool = False
    absent: tuple[float, ...] = ()
    encoding: str = "auto"
    delimiter: str = "auto"
    decimal: str = "."
    header_line: int = 1
    sheet: str = ""  # of a workbook; empty: its first
