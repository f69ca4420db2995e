"""Which devices are without supply now, and of which nobody can say yet.

A meter that has lost supply is not silent before its next reading is missed. What it said last and
the outages above it tell sooner: a last gasp with nothing after it is dark; below an open outage
everything is dark that has not sent a reading since it began. Supply that is said to be back, but
that no reading has shown yet, is neither well nor dark: it is awaited.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alerts.places import Asset, Places
from desk.answer import ON_VOLTS
from storage.desk_records import LastSeen, LostSupply
from storage.fleet import REPORTING_KINDS


@dataclass(frozen=True, slots=True)
class Unsupplied:
    """Devices that must not be taken for well; empty where all is.

    Attributes
    ----------
    dark : without supply, since when as far as known, microseconds UTC
    awaited : supply may be back, or never went: no reading has said so since
    below : nodes of the tree at and below an open outage, whether a device is there or not
    """

    dark: Mapping[str, int] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()
    below: frozenset[int] = frozenset()


ALL_WELL: Final = Unsupplied()


@dataclass(slots=True)
class Cover:
    """Of the outages above a device: when the last of them began, whether one is still open."""

    began_us: int
    open: bool


def covered(outages: Sequence[LostSupply], places: Places) -> dict[str, Cover]:
    """The devices at and below outages, open or ended. Switches and gateways have batteries."""
    found: dict[str, Cover] = {}
    for lost in outages:
        for device in places.devices_within((lost.asset_kind, lost.asset)):
            if device.kind not in REPORTING_KINDS:
                continue
            is_open = lost.cleared_us is None
            cover = found.setdefault(device.id, Cover(lost.raised_us, is_open))
            cover.began_us = max(cover.began_us, lost.raised_us)
            cover.open = cover.open or is_open
    return found


def unsupplied(
    outages: Sequence[LostSupply],
    below: Mapping[str, Cover],
    told: Mapping[str, LastSeen],
    places: Places,
) -> Unsupplied:
    """Judge the devices `below` outages and all of which something was `told`."""
    dark: dict[str, int] = {}
    awaited = set()
    for device in below.keys() | told.keys():
        state = _judged(told.get(device) or LastSeen(), below.get(device))
        if state == "awaited":
            awaited.add(device)
        elif isinstance(state, int):
            dark[device] = state
    nodes: set[int] = set()
    open_at: set[Asset] = {(a.asset_kind, a.asset) for a in outages if a.cleared_us is None}
    for kind, asset in open_at:
        nodes.update(places.network.within(kind, asset))
    return Unsupplied(dark, frozenset(awaited), frozenset(nodes))


def _judged(last: LastSeen, cover: Cover | None) -> int | str:
    """Dark since when; else "well" or "awaited"."""
    read_us, back_us, lost_us = last.read_us or 0, last.back_us or 0, last.lost_us or 0
    if lost_us and lost_us >= max(read_us, back_us):
        return lost_us
    if read_us and read_us >= back_us and last.volts is not None and last.volts < ON_VOLTS:
        return cover.began_us if cover is not None else read_us
    if back_us > read_us and (cover is None or back_us > cover.began_us):
        return "awaited"
    if cover is None or read_us > cover.began_us:
        return "well"
    return cover.began_us if cover.open else "awaited"
