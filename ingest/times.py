"""Times of the wire to microseconds UTC: epoch milliseconds or RFC 3339 with its zone."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# 0001-01-01 to 9999-12-31 in milliseconds: what `datetime` can show to people afterwards.
MILLISECONDS_MIN: Final = -62_135_596_800_000
MILLISECONDS_MAX: Final = 253_402_300_799_999
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:([Zz])|([+-])(\d\d):?(\d\d))",
    re.ASCII,  # digits of other scripts are not those of RFC 3339
)


def time_us(value: Any) -> int:
    """Microseconds UTC of one wire time; raises ValueError with a reason in words.

    >>> time_us(1700000000000), time_us("2023-11-14T22:13:20.5Z")
    (1700000000000000, 1700000000500000)
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"time is {_kind(value)}; send epoch milliseconds or RFC 3339 text")
    if not MILLISECONDS_MIN <= value <= MILLISECONDS_MAX:  # refuses NaN and infinity as well
        raise ValueError(f"time {value!r} is not in epoch milliseconds")
    return value * 1000 if isinstance(value, int) else round(value * 1000)


@lru_cache(maxsize=4096)  # one text stands for many devices that report at the same instant
def _from_text(text: str) -> int:
    found = _RFC3339.fullmatch(text)
    if not found:
        raise ValueError(
            f"time {text[:40]!r} is not RFC 3339 with a zone, such as 2026-03-01T08:15:00+08:00"
        )
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    try:
        whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"time {text[:40]!r} does not exist: {error}") from None
    if second > 60:
        raise ValueError(f"time {text[:40]!r} does not exist: second must be in 0..59")
    micros = int((found[7] or "0").ljust(6, "0")[:6])
    if second == 60:  # a leap second: count it as the last instant before the next minute
        micros = 999_999
    offset_s = 0
    if found[9]:
        offset_s = int(found[10]) * 3600 + int(found[11]) * 60
        if int(found[10]) > 23 or int(found[11]) > 59:
            raise ValueError(f"time {text[:40]!r} has an impossible zone")
        if found[9] == "-":
            offset_s = -offset_s
    since = whole - _EPOCH
    return (since.days * 86_400 + since.seconds - offset_s) * 1_000_000 + micros


def milliseconds_us(given: Sequence[Any]) -> NDArray[np.int64] | None:
    """int64[n] microseconds when all values are plain epoch milliseconds, else None."""
    if set(map(type, given)) != {int}:
        return None
    try:
        time = np.array(given, np.int64)
    except OverflowError:
        return None
    if int(time.min()) < MILLISECONDS_MIN or int(time.max()) > MILLISECONDS_MAX:
        return None
    out: NDArray[np.int64] = time * 1000
    return out


def _kind(value: Any) -> str:
    names = {"NoneType": "missing", "bool": "true/false", "list": "a list", "dict": "an object"}
    return names.get(type(value).__name__, type(value).__name__)
