"""Arrays in, findings out: the early-warning core.

Receives `ReadingBatch`es and ticks of event time, hands on `Finding`s. Knows nothing of files,
clocks, databases or tickets.
"""

from typing import TYPE_CHECKING

from detectors.settings import COUNTRIES, Country, DetectorSettings

if TYPE_CHECKING:
    from detectors.engine import Engine
    from detectors.localise import locate
    from detectors.warming import warm_up

__all__ = ["COUNTRIES", "Country", "DetectorSettings", "Engine", "locate", "warm_up"]

_LAZY = {
    "Engine": "detectors.engine",
    "locate": "detectors.localise",
    "warm_up": "detectors.warming",
}


def __getattr__(name: str) -> object:
    # The engine pulls in numba (seconds): whoever only reads settings need not wait for it.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'detectors' has no attribute {name!r}")
