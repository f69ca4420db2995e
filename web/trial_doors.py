"""What the replay page asks of the program: start a trial, watch it, read what it found.

The program keeps and supervises the runs (`forewatt.trials.TrialRoom`); a page only sees this.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from numpy.typing import NDArray

from grid.network import Network
from web.doors import SeriesSource

ENDED = frozenset({"done", "failed", "stopped"})


@dataclass(frozen=True, slots=True)
class TrialSource:
    """Something that can be replayed; `key` is what the address carries (`dataset:week-12`)."""

    key: str
    kind: str
    name: str
    truth: bool = False


@dataclass(frozen=True, slots=True)
class TrialAsk:
    """What an engineer asks for; times RFC 3339 or "", `speed` a number or `max`.

    `a`, `b` : settings, one `key = value` each; `b` None compares with nothing
    """

    source: str
    start: str = ""
    end: str = ""
    speed: str = "max"
    a: tuple[str, ...] = ()
    b: tuple[str, ...] | None = None
    lenient: bool = False


class TrialView(SeriesSource, Protocol):
    """One trial as far as it has come."""

    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def status(self) -> Mapping[str, Any]: ...
    @property
    def network(self) -> Network: ...
    @property
    def span_us(self) -> tuple[int, int]: ...
    @property
    def quantities(self) -> Sequence[str]: ...
    def devices(self) -> Sequence[str]: ...
    def rows(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int
    ) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]: ...
    def alerts(self, side: str) -> list[dict[str, Any]]: ...
    def truth(self) -> list[dict[str, Any]]: ...
    def scores(self, side: str, assets: Collection[str]) -> pa.Table: ...


class Trials(Protocol):
    """All trials of a site."""

    def sources(self) -> Sequence[TrialSource]: ...
    def settings(self) -> Sequence[tuple[str, str, str]]: ...
    def known(self) -> Sequence[tuple[str, TrialView]]: ...
    def open(self, id_: str) -> TrialView | None: ...
    def start(self, ask: TrialAsk) -> str: ...
    def command(self, ask: TrialAsk) -> str: ...
    def control(self, id_: str, speed: str, paused: bool, steps: int) -> None: ...
    def stop(self, id_: str) -> None: ...
    def remove(self, id_: str) -> None: ...
    def labels(self, id_: str) -> list[dict[str, Any]]: ...
    def keep_labels(self, id_: str, labels: Sequence[Mapping[str, Any]]) -> None: ...
    def scored(self, id_: str) -> Mapping[str, Any]: ...
    def close(self) -> None: ...
