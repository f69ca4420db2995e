"""What every detector is: state in arrays, a step a frame, findings for the few over the limit.

A detector of a group sees that group's frames in order. It keeps O(1) state a meter in numpy
arrays whose first axis is devices, areas, branches or tree nodes; the engine saves and restores
them by key, so that an edited network keeps what it can.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F8, I4, I8, kernel
from detectors.frames import NEVER, Frame
from detectors.layout import GroupLayout
from detectors.near import NearScores
from detectors.settings import DetectorSettings
from grid.records import Finding

Axis = Literal[
    "device", "three", "service", "lone", "voltage", "area", "run", "run3", "node", "one"
]
Array = NDArray[Any]


class Stateful(ABC):
    """Arrays with a named first axis; the key lists say whose row each is."""

    name: ClassVar[str]
    version: ClassVar[int]
    faults: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self.state: dict[str, Array] = {}
        self.axes: dict[str, Axis] = {}

    @abstractmethod
    def keys(self, axis: Axis) -> list[str]:
        """Whose state each row of an axis is."""

    def _array(
        self,
        name: str,
        axis: Axis,
        shape: Any,
        dtype: Any,
        fill: float = 0,
        order: Literal["C", "F"] = "C",
    ) -> Array:
        """A state array, registered for snapshots; `order` F where a frame writes one column."""
        self.axes[name] = axis
        self.state[name] = np.full(shape, fill, dtype, order)
        return self.state[name]

    def snapshot(self) -> dict[str, Array]:
        """Copies of the state arrays."""
        return {k: v.copy() for k, v in self.state.items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take over arrays of equal shape; others (an older version's) are left as they start."""
        for k, v in state.items():
            mine = self.state.get(k)
            if mine is not None and mine.shape == v.shape and mine.dtype == v.dtype:
                mine[...] = v

    def edited(self, before: Sequence[str], now: Sequence[str]) -> None:
        """After a restore in an edited network: the keys of its devices as they were and are."""
        return  # most state belongs to one place alone

    @property
    def nbytes(self) -> int:
        """Memory of the state."""
        return sum(v.nbytes for v in self.state.values())


class Detector(Stateful):
    """A detector of one group of areas."""

    listens: ClassVar[tuple[str, ...]] = ()
    gate: ClassVar[bool] = False  # runs before all others and may take readings from the frame
    spoils: ClassVar[bool] = False  # no gate, but takes readings from the frame for who follows
    beside: ClassVar[bool] = False  # asks no other family: may run in a thread beside them
    near: NearScores | None = None  # hears what stays below the limit; of a replay only

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__()
        self.layout = layout
        self.settings = settings
        self._raised: bool | None = None  # None: to be looked up

    def restore(self, state: dict[str, Array]) -> None:
        super().restore(state)
        self._raised = None

    def quiet(self, hot: int) -> bool:
        """Whether a frame with so many scores at the limit has nothing to report: most have not,
        and then no array of scores or of what is raised (`open`) is looked at again."""
        if hot or self.near is not None or self.raised():
            self._raised = None
            return False
        return True

    def raised(self) -> bool:
        """Whether anything is raised now."""
        if self._raised is None:
            self._raised = bool(self.state["open"].any())
        return self._raised

    def over(
        self,
        frame: Frame,
        score: NDArray[np.float64],
        opened: NDArray[np.int64],
        clear: float,
        finding: "Callable[[int, float, int], Finding]",
        part: str = "",
    ) -> "list[Finding]":
        """The findings of the rows to report (`over_limit`); `finding` is given row, score and
        since when. `part` tells several axes of one family apart."""
        self._raised = None
        self.tell_near(frame, score, opened, finding, part)
        return [finding(*row) for row in over_limit(score, opened, clear, frame.tick_us)]

    def tell_near(
        self,
        frame: Frame,
        score: NDArray[np.float64],
        opened: "NDArray[np.integer]",
        finding: "Callable[[int, float, int], Finding]",
        part: str = "",
    ) -> None:
        """Let whoever listens know what stays below the limit."""
        if self.near is not None:
            tick = frame.tick_us
            self.near.hear(self, part, tick, score, opened, lambda k, s: finding(k, s, tick))

    def link(self, others: "Sequence[Stateful]") -> None:
        """Meet the group's other detectors and the fleet's; `step` may ask those in `listens`."""

    def look(self, frame: Frame) -> None:
        """The first part of a step of one that spoils: nothing but its own state changes yet."""

    @abstractmethod
    def step(self, frame: Frame) -> "list[Any]":
        """Judge one frame; `grid.records.Finding`s in a fixed order."""

    def keys(self, axis: Axis) -> list[str]:
        layout = self.layout
        if axis == "device":
            return layout.device_keys()
        if axis == "voltage":
            keys, (device, slot, _) = layout.device_keys(), layout.slots
            return [f"{keys[p]}\0{c}" for p, c in zip(device.tolist(), slot.tolist(), strict=True)]
        if axis == "three":
            return [k for k, p in zip(layout.device_keys(), layout.phase, strict=True) if p == 3]
        if axis == "area":
            return layout.area_keys()
        if axis == "run":
            return layout.run_keys()
        return ["all"]  # not "": that would be no key at all in a snapshot


def any_over(score: F8, opened: I8, least: float = 1.0) -> bool:
    """Whether any score is from `least` (the limit) on, or raised and seen: most often none is."""
    return bool(_count_hot(score.reshape(-1), opened.reshape(-1), least))


@kernel("int64(float64[::1], int64[::1], float64)", "int64(float64[:], int64[:], float64)")
def _count_hot(score: F8, opened: I8, least: float) -> int:
    """Rows at `least` or above, or raised and seen: almost always none, so one plain pass."""
    hot = 0
    for k in range(score.size):
        hot += (score[k] >= least) | ((opened[k] > 0) & (score[k] == score[k]))
    return hot


@kernel("int64(float64[::1], int64[::1], float64, int32[::1])")
def rows_from(score: F8, opened: I8, least: float, rows: I4) -> int:
    """Put the rows of a score from `least` on, or raised and seen, first in `rows`; their number.

    What is done with them then costs nothing in nearly all frames, where there are none.
    """
    n = 0
    for k in range(score.size):
        if (score[k] >= least) | ((opened[k] > 0) & (score[k] == score[k])):
            rows[n] = k
            n += 1
    return n


def over_limit(
    score: NDArray[np.float64], opened: NDArray[np.int64], clear: float, tick_us: int
) -> list[tuple[int, float, int]]:
    """(row, score, raised since) of the rows to report, keeping `opened` (0 = not raised).

    A row is reported from its first score of 1 until the first below `clear`; NaN, nothing seen,
    leaves it as it is.
    """
    if not _count_hot(score, opened, 1.0):
        return []
    with np.errstate(invalid="ignore"):
        hot = (score >= 1.0) | ((opened > 0) & ~np.isnan(score))
    out = []
    for k in np.flatnonzero(hot).tolist():
        since = int(opened[k]) or tick_us
        opened[k] = 0 if score[k] < clear else since
        out.append((k, float(score[k]), since))
    return out


def known_at(frame: Frame, positions: Iterable[int] | slice) -> int:
    """When the latest of these devices' readings had arrived; the tick if none reported."""
    at = frame.known[positions if isinstance(positions, slice) else list(positions)]
    at = at[at > NEVER]
    return max(int(at.max()) if at.size else frame.tick_us, frame.tick_us)


def rounded(x: float, digits: int = 3) -> float | None:
    """A number for evidence: rounded, None for "not a number"."""
    x = float(x)
    return None if not np.isfinite(x) else round(x, digits)
