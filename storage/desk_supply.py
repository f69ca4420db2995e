"""What meters told last, for the answer at the counter: newest reading, newest power events."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from grid.quantities import EVENT_CODE
from storage.database import Connection, Database
from storage.desk_records import LastSeen, SwitchState
from storage.queries import queries
from storage.times import micros, moment

_LOST: Final = frozenset({EVENT_CODE["last_gasp"], EVENT_CODE["power_down"]})
_BACK: Final = frozenset({EVENT_CODE["power_up"]})
_OPEN, _CLOSED = EVENT_CODE["relay_open"], EVENT_CODE["relay_closed"]
_SHUT, _TRIPPED = EVENT_CODE["switch_closed"], EVENT_CODE["switch_open"]
_AWAY, _THERE = EVENT_CODE["comms_lost"], EVENT_CODE["comms_back"]
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
        names = list(devices)
        with self._database.connection() as connection:
            given = [self._realm, names]
            readings = connection.execute(queries("desk")["last_seen"], given).fetchall()
            told = self._told(connection, names, _ASKED)
        read = {name: (micros(at), volts) for name, at, volts in readings}
        return {
            name: _last(read.get(name), told.get(name, {}))
            for name in names
            if name in read or name in told
        }

    def switches(self, devices: Sequence[str]) -> Mapping[str, SwitchState]:
        """What telemetry said last of each switch; those that never said anything are absent."""
        if not devices:
            return {}
        with self._database.connection() as connection:
            told = self._told(connection, list(devices), [_SHUT, _TRIPPED, _AWAY, _THERE])
        return {name: _switch(e) for name, e in told.items() if _SHUT in e or _TRIPPED in e}

    def last_seen_at(self, devices: Sequence[str], at_us: int) -> Mapping[str, LastSeen]:
        """What each device had told by a time of the past; silence of two days is absence."""
        if not devices:
            return {}
        given = {
            "realm": self._realm,
            "devices": list(devices),
            "events": _ASKED,
            "at": moment(at_us),
        }
        with self._database.connection() as connection:
            readings = connection.execute(queries("desk")["last_seen_at"], given).fetchall()
            events = connection.execute(queries("desk")["last_events_at"], given).fetchall()
        told: dict[str, dict[int, int]] = {}
        for name, event, at in events:
            told.setdefault(name, {})[event] = micros(at)
        read = {name: (micros(at), volts) for name, at, volts in readings}
        return {n: _last(read.get(n), told.get(n, {})) for n in read.keys() | told.keys()}

    def power_words(self, devices: Sequence[str], since_us: int) -> Mapping[str, LastSeen]:
        """What these devices told last, and all others that told of power since `since_us`."""
        given = {
            "realm": self._realm,
            "devices": list(devices),
            "since": moment(since_us),
            "lost": sorted(_LOST),
            "back": sorted(_BACK),
        }
        with self._database.connection() as connection:
            found = connection.execute(queries("desk")["power_words"], given).fetchall()
        return {
            name: LastSeen(_micros(read), volts, _micros(lost), _micros(back))
            for name, read, volts, lost, back in found
        }

    def _told(
        self, connection: Connection, names: list[str], events: list[int]
    ) -> dict[str, dict[int, int]]:
        """By device and event, when it was told last."""
        given = {"realm": self._realm, "devices": names, "events": events}
        told: dict[str, dict[int, int]] = {}
        for name, event, at in connection.execute(queries("desk")["last_events"], given):
            told.setdefault(name, {})[event] = micros(at)
        return told


def _micros(time: datetime | None) -> int | None:
    return None if time is None else micros(time)


def _switch(told: Mapping[int, int]) -> SwitchState:
    closed_us, opened_us = told.get(_SHUT, -1), told.get(_TRIPPED, -1)
    at_us = max(closed_us, opened_us)
    # A switch that tells its state can be heard.
    heard = max(told.get(_THERE, -1), at_us) >= told.get(_AWAY, -1)
    return SwitchState(closed_us > opened_us, at_us, heard)


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
