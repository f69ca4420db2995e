"""How heavily transformers were loaded, hour by hour, from what their monitors measured.

A heavy load (重载) is a list for people who plan, 80 to 100 % of the rating; beyond it a detector
judges (`detectors/transformer.py`). The mean of an hour is what counts here: two heavy hours in a
day make an entry.
"""

from dataclasses import dataclass
from typing import Final

from grid.network import Network
from storage.database import Database
from storage.queries import queries
from storage.realms import find_realm
from storage.times import micros, moment

HEAVY: Final = 0.8
OVER: Final = 1.0
HOURS_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class Load:
    """A transformer in a span: `peak` and its hour, `heavy_h` and `over_h` are hours at or above
    80 % and above 100 % of the rating; shares are of the rated power."""

    transformer: str
    peak: float
    peak_us: int
    heavy_h: int
    over_h: int


def heavy_loads(
    database: Database, network: Network, low_us: int, high_us: int, *, realm: str = "live"
) -> list[Load]:
    """Transformers with at least `HOURS_MIN` heavy hours in [low, high), the heaviest first.

    Only those with a monitor and a rating can be judged; `judged` says how many these are.
    """
    rated = _monitors(network)
    names = list(rated)
    with database.connection() as connection:
        key = find_realm(connection, realm)
        if key is None or not names:
            return []
        rows = connection.execute(
            queries("loads")["heavy"],
            {
                "realm": key,
                "devices": names,
                "rated": [rated[n][1] for n in names],
                "low": moment(low_us),
                "high": moment(high_us),
                "heavy": HEAVY,
                "over": OVER,
                "hours": HOURS_MIN,
            },
        ).fetchall()
    return [
        Load(rated[str(device)][0], float(peak), micros(at), int(heavy), int(over))
        for device, peak, at, heavy, over in rows
    ]


def judged(network: Network) -> int:
    """How many transformers have a monitor and a rating."""
    return len({area for area, _ in _monitors(network).values()})


def _monitors(network: Network) -> dict[str, tuple[str, float]]:
    """Monitor to its transformer and the rating in VA."""
    out = {}
    for d in network.devices:
        if d.kind != "transformer_monitor" or d.transformer is None:
            continue
        at = network.transformer_index.get(d.transformer)
        rated_kva = network.transformers[at].rated_kva if at is not None else None
        if rated_kva:
            out[d.id] = (d.transformer, float(rated_kva) * 1e3)
    return out
