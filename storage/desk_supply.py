"""What meters told last, for the answer at the counter: newest reading, newest power events."""

from collections.abc import Mapping, Sequence
from typing import Final

from grid.quantities import EVENT_CODE
from storage.database import Database
from storage.desk_records import LastSeen
from storage.queries import queries
from storage.times import micros

_LOST: Final = frozenset({EVENT_CODE["last_gasp"], EVENT_CODE["power_down"]})
_BACK: Final = frozenset({EVENT_CODE["power_up"]})
_OPEN, _CLOSED = EVENT_CODE["relay_open"], EVENT_CODE["relay_closed"]
_ASKED: Final = sorted({*_LOST, *_BACK, _OPEN, _CLOSED})


class Supply:
    """Implements `desk.answer.SupplyEvidence` on the tables of readings and events."""

    def __init__(self, database: Database, realm: str = "live") -> None:
        self._database, self._realm = database, realm

    def heard(self, devices: Sequence[str]) -> Mapping[str, int]:
        """When each device was last heard, microseconds UTC."""
        if not devices:
            return {}
        given = [self._realm, list(devices)]
        with self._database.connection() as connection:
            found = connection.execute(queries("desk")["heard"], given).fetchall()
        return {name: micros(at) for name, at in found}

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        """What each device told last; devices never heard of are absent."""
        if not devices:
            return {}
        named, names = queries("desk"), list(devices)
        with self._database.connection() as connection:
            readings = connection.execute(named["last_seen"], [self._realm, names]).fetchall()
            given = {"realm": self._realm, "devices": names, "events": _ASKED}
            events = connection.execute(named["last_events"], given).fetchall()
        read = {name: (micros(at), volts) for name, at, volts in readings}
        told: dict[str, dict[int, int]] = {}
        for name, event, at in events:
            told.setdefault(name, {})[event] = micros(at)
        return {
            name: _last(read.get(name), told.get(name, {}))
            for name in names
            if name in read or name in told
        }


def _last(read: tuple[int, float | None] | None, told: Mapping[int, int]) -> LastSeen:
    opened, closed = told.get(_OPEN), told.get(_CLOSED)
    is_open = opened is not None and (closed is None or opened > closed)
    return LastSeen(
        read_us=read[0] if read else None,
        volts=read[1] if read else None,
        lost_us=max((t for e, t in told.items() if e in _LOST), default=None),
        back_us=max((t for e, t in told.items() if e in _BACK), default=None),
        relay_open_us=opened if is_open else None,
    )
