"""Microseconds since 1970 UTC, as used everywhere inside, to `datetime` for SQL and back."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment(time_us: int) -> datetime:
    """The aware datetime of a time in microseconds; exact, unlike a float timestamp."""
    return _EPOCH + timedelta(microseconds=int(time_us))


def micros(when: datetime) -> int:
    """The inverse of `moment`.

    >>> micros(moment(1_767_225_600_000_001))
    1767225600000001
    """
    return (when - _EPOCH) // _MICROSECOND
