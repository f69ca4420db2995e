"""The checks before the journal: impossible values, times, repeats, registers.

Receives `Rows` and the site clock; hands on a `ReadingBatch` with `Quality` flags and the rows
that cannot be kept, with the reason in words. A flag is the rule, a refusal the exception.
All steps are vectorised; what is remembered is a fixed number of values a device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from grid.clock import Clock, SimulatedClock
from grid.journal import Quarantined
from grid.network import Network
from grid.quantities import INDEX, QUANTITIES
from grid.readings import Quality, ReadingBatch
from ingest.repeats import Repeats
from ingest.rows import REFUSALS_MAX, Rows

SECOND: Final = 1_000_000
_EARLIEST_US: Final = 946_684_800 * SECOND  # 2000-01-01: no meter has readings from before
_REGISTERS: Final = ("e_import", "e_export")
_SURE: Final = 16  # readings after which a device's clock is judged
_RISE: Final = 20  # a learned age rises by a twentieth of the time that passes
_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """Limits of the checks, seconds of site time."""

    future_s: float = 300.0  # ahead of the site clock by more than this: refused
    skew_s: float = 5.0  # ahead by more than this: kept and flagged
    late_s: float = 300.0  # allowance on top of a device's own delivery interval
    delivery_default_s: float = 900.0  # for devices that state neither delivery nor interval


@dataclass(slots=True)
class Checked:
    """What may enter the journal, what may not, and how many exact repeats were left out."""

    batch: ReadingBatch
    quarantined: list[Quarantined]
    duplicates: int


def _columns(*names: str) -> NDArray[np.intp]:
    return np.array([INDEX[n] for n in names], np.intp)


# Which of a device's ratios bring each quantity to the primary side.
CURRENT_RATIO: Final = ("i_a", "i_b", "i_c", "i_n")
VOLTAGE_RATIO: Final = ("v_a", "v_b", "v_c", "v_n", "v_a_min", "v_b_min", "v_c_min")
POWER_RATIO: Final = ("p_a", "p_b", "p_c", "p", "q", "e_import", "e_export")


class Checks:
    """State of the checks for one source; use one instance in one thread."""

    def __init__(
        self, network: Network, clock: Clock, settings: CheckSettings | None = None
    ) -> None:
        self.settings = settings or CheckSettings()
        self._clock = clock
        self._index = network.device_index
        n = len(network.devices)
        self._repeats = Repeats(n)
        self._names: Sequence[str] = ()
        self._places = np.empty(0, np.int32)
        self._register = np.full((len(_REGISTERS), n), np.nan)
        self._register_us = np.full((len(_REGISTERS), n), _NEVER, np.int64)
        delivery = [
            d.delivery_s or d.interval_s or self.settings.delivery_default_s
            for d in network.devices
        ]
        self._late_us = (
            (2 * np.array(delivery, np.float64) + self.settings.late_s) * SECOND
        ).astype(np.int64)
        self._freshest = np.zeros(n, np.int64)  # age of the freshest readings at arrival, µs
        self._heard = np.zeros(n, np.uint8)
        self._heard_us = np.full(n, _EARLIEST_US, np.int64)  # last arrival
        self._known_us = np.full(n, _EARLIEST_US, np.int64)  # first arrival
        self._ct = np.array([d.ct_ratio or 1.0 for d in network.devices], np.float64)
        self._pt = np.array([d.pt_ratio or 1.0 for d in network.devices], np.float64)
        self._has_ratios = bool((self._ct != 1).any() or (self._pt != 1).any())

    def apply(self, rows: Rows) -> Checked:
        """Check rows of this source in order of arrival; `rows` is used up."""
        if not len(rows):
            return Checked(ReadingBatch.empty(), [], 0)
        refused: list[Quarantined] = []
        rows, place = self._known(rows, refused)
        rows, place = self._in_time(rows, place, refused)
        rows, place = self._possible(rows, place, refused)
        if not len(rows):
            return Checked(ReadingBatch.empty(), refused, 0)
        self._times(rows, place)
        repeat, conflict = self._repeats.find(place, rows)
        _flag(rows, conflict, Quality.DUPLICATE)
        # A mended export may go back to a value that was seen before the last one.
        repeat &= (rows.quality & Quality.REPLACES) == 0
        duplicates = int(repeat.sum())
        if duplicates:
            rows, place = rows.select(~repeat), place[~repeat]
        self._backwards(rows, place)
        return Checked(batch_of(rows), refused, duplicates)

    def _known(self, rows: Rows, refused: list[Quarantined]) -> tuple[Rows, NDArray[np.int32]]:
        """Rows of devices in the network, and each row's place there."""
        if rows.names is not self._names:  # the parts of a large file share theirs
            self._names = rows.names
            self._places = np.array([self._index.get(name, -1) for name in rows.names], np.int32)
        place = self._places[rows.device] if len(rows.names) else np.empty(0, np.int32)
        return _refuse(
            rows,
            place,
            place < 0,
            lambda i: (
                f"device {rows.names[rows.device[i]]!r} is not in the network; add it to "
                "devices.csv, then replay this"
            ),
            refused,
        )

    def _in_time(
        self, rows: Rows, place: NDArray[np.int32], refused: list[Quarantined]
    ) -> tuple[Rows, NDArray[np.int32]]:
        limit_us = int(self.settings.future_s * SECOND)
        ahead = rows.time > rows.received + limit_us
        if ahead.any():
            # The clock of a replay is read at intervals: a step may have been missed by a moment.
            ahead = rows.time > np.maximum(rows.received, fresh_now_us(self._clock)) + limit_us

        def reason(i: int) -> str:
            seconds = (int(rows.time[i]) - int(rows.received[i])) / SECOND
            if seconds > 0:
                return f"its time is {_span(seconds)} ahead of the site clock; set the device clock"
            return "its time is before the year 2000; the device clock was never set"

        bad = ahead | (rows.time < _EARLIEST_US)
        return _refuse(rows, place, bad, reason, refused)

    def _possible(
        self, rows: Rows, place: NDArray[np.int32], refused: list[Quarantined]
    ) -> tuple[Rows, NDArray[np.int32]]:
        """Impossible values become NaN and a flag; a reading of which nothing is left is refused.

        Refused rows show the values as they came.
        """
        values = self._primary(rows, place)
        wrong = np.zeros(len(rows), bool)
        left = rows.event != 0
        cleaned = {}
        for name, column in values.items():
            q = QUANTITIES[INDEX[name]]
            # NaN compares false both ways: what was not reported is not wrong.
            bad = (column < q.low) | (column > q.high)
            if bad.any():
                wrong |= bad
                column = np.where(bad, np.nan, column)
            cleaned[name] = column
            left |= ~np.isnan(column)

        def reason(i: int) -> str:
            if not wrong[i]:
                return "the reading holds no value"
            texts = []
            for name, column in values.items():
                q = QUANTITIES[INDEX[name]]
                if column[i] < q.low or column[i] > q.high:
                    texts.append(f"{name} = {column[i]:g} {q.unit} ({q.low:g}..{q.high:g})")
            return f"impossible and nothing else reported: {', '.join(texts)}"

        kept, place = _refuse(rows, place, ~left, reason, refused)
        every = left.all()
        kept.values = cleaned if every else {k: v[left] for k, v in cleaned.items()}
        _flag(kept, wrong if every else wrong[left], Quality.OUT_OF_RANGE)
        self._sum_of_phases(kept)
        return kept, place

    def _primary(self, rows: Rows, place: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        """The values on the primary side; those of the rows stay as they came."""
        values = dict(rows.values)
        if self._has_ratios:
            ct, pt = self._ct[place], self._pt[place]
            for names, ratio in (
                (CURRENT_RATIO, ct),
                (VOLTAGE_RATIO, pt),
                (POWER_RATIO, ct * pt),
            ):
                values |= {name: values[name] * ratio for name in names if name in values}
        return values

    @staticmethod
    def _sum_of_phases(rows: Rows) -> None:
        """`p` is the sum where a three-phase device leaves it out (contracts.md, section 1)."""
        phases = [rows.values[name] for name in ("p_a", "p_b", "p_c") if name in rows.values]
        if len(phases) != 3:
            return
        total = phases[0] + phases[1] + phases[2]
        given = rows.values.get("p")
        rows.values["p"] = total if given is None else np.where(np.isnan(given), total, given)

    def _times(self, rows: Rows, place: NDArray[np.int32]) -> None:
        age = rows.received - rows.time
        _flag(rows, age < -int(self.settings.skew_s * SECOND), Quality.CLOCK_SKEW)
        late = age > self._late_us[place]
        _flag(rows, late, Quality.LATE)
        # Resent history is old without any fault of a clock.
        self._learn(np.flatnonzero((rows.quality & Quality.BACKFILL) == 0), rows, place, age)

    def _learn(
        self,
        which: NDArray[np.intp],
        rows: Rows,
        place: NDArray[np.int32],
        age: NDArray[np.int64],
    ) -> None:
        """Learn how old each device's freshest readings are when they arrive.

        A delay only adds to a reading's age, so its minimum is the clock's own error. The minimum
        may rise by 3 s in a minute of arrival: a backlog that is resent at once moves nothing, a
        clock that was set wrong shows within hours. A device that is *always* late by more than
        its delivery explains is behind: its readings are flagged as skewed, not only as late.
        """
        order = which[np.argsort(place[which], kind="stable")]
        device = place[order]
        first = np.r_[True, device[1:] != device[:-1]][: order.size]
        rank = np.arange(order.size)
        rank -= np.maximum.accumulate(np.where(first, rank, 0))
        # One step for each device's first row, one for its second: as if they came one by one.
        for r in range(int(rank.max(initial=-1)) + 1):
            at = order[rank == r] if r or not first.all() else order
            p, now = place[at], rows.received[at]
            known, heard = self._freshest[p], self._heard[p]
            _flag(rows, at[self._sure(p) & (known > self._late_us[p])], Quality.CLOCK_SKEW)
            since = np.minimum(now - self._heard_us[p], self._late_us[p])  # silence teaches nothing
            risen = known + since // _RISE
            self._freshest[p] = np.where(heard > 0, np.minimum(age[at], risen), age[at])
            self._known_us[p] = np.where(heard > 0, self._known_us[p], now)
            self._heard_us[p] = np.maximum(now, self._heard_us[p])
            self._heard[p] = np.minimum(heard + 1, _SURE)

    def _sure(self, place: Any) -> NDArray[np.bool_]:
        """bool[n]: heard often enough, over long enough, to know the clock."""
        span = self._heard_us[place] - self._known_us[place]
        out: NDArray[np.bool_] = (self._heard[place] >= _SURE) & (span > 4 * self._late_us[place])
        return out

    def skewed(self, most: int = 10) -> list[tuple[str, float]]:
        """Devices whose clock is known to be wrong, by how many seconds it is ahead (behind: less
        than 0), the worst first."""
        ahead = self._freshest < -int(self.settings.skew_s * SECOND)
        behind = self._freshest > self._late_us
        wrong = np.flatnonzero(self._sure(slice(None)) & (ahead | behind))
        worst = wrong[np.argsort(-np.abs(self._freshest[wrong]), kind="stable")][:most]
        names = {place: name for name, place in self._index.items()} if worst.size else {}
        return [(names[int(i)], -float(self._freshest[i]) / SECOND) for i in worst]

    def _backwards(self, rows: Rows, place: NDArray[np.int32]) -> None:
        """Flag an energy register that is lower than at the device's previous reading in time."""
        for r, name in enumerate(_REGISTERS):
            column = rows.values.get(name)
            if column is None:
                continue
            there = np.flatnonzero(~np.isnan(column))
            if not there.size:
                continue
            # Only rows newer than all before them (of their device) are compared, so that late
            # ones neither accuse nor are accused, however the messages were batched.
            order = there[np.argsort(place[there], kind="stable")]
            newest = _newest_before(place[order], rows.time[order], self._register_us[r])
            order = order[rows.time[order] > newest]
            device, value = place[order], rows.values[name][order]
            first = np.r_[True, device[1:] != device[:-1]][: order.size]
            before = np.r_[np.nan, value[:-1]][: order.size]
            before[first] = self._register[r, device[first]]
            _flag(rows, order[value < before], Quality.ROLLBACK)
            last = np.r_[first[1:], True][: order.size]
            self._register[r, device[last]] = value[last]
            self._register_us[r, device[last]] = rows.time[order[last]]


def _newest_before(
    device: NDArray[np.int32], time: NDArray[np.int64], known: NDArray[np.int64]
) -> NDArray[np.int64]:
    """int64[n]: the newest time before each row, of `known` and the rows above it.

    `device` is sorted; the rows of a device stand in order of arrival.
    """
    by_time = np.argsort(time, kind="stable")
    rank = np.empty(time.size, np.int64)
    rank[by_time] = np.arange(time.size)
    group = np.cumsum(np.r_[0, device[1:] != device[:-1]])
    # Within a group the running maximum of group * n + rank is that of the rank.
    newest = time[by_time[np.maximum.accumulate(group * time.size + rank) % time.size]]
    first = np.r_[True, device[1:] != device[:-1]]
    above = np.where(first, _NEVER, np.r_[_NEVER, newest[:-1]])
    out: NDArray[np.int64] = np.maximum(above, known[device])
    return out


def fresh_now_us(clock: Clock) -> int:
    """Site time now; a simulated clock is read from its file, not from this process's memory."""
    if isinstance(clock, SimulatedClock):
        return SimulatedClock(clock.path).now_us()
    return clock.now_us()


def _flag(rows: Rows, where: NDArray[Any], flag: Quality) -> None:
    rows.quality[where] |= np.uint16(flag)


def _refuse(
    rows: Rows,
    place: NDArray[np.int32],
    bad: NDArray[np.bool_],
    reason: Callable[[int], str],
    refused: list[Quarantined],
) -> tuple[Rows, NDArray[np.int32]]:
    if not bad.any():
        return rows, place
    at = np.flatnonzero(bad)
    counts = np.bincount(rows.origin[at], minlength=len(rows.origins))
    summed = set[int]()  # messages with too many refused rows: kept once, whole
    for i in at.tolist():
        origin = int(rows.origin[i])
        count = int(counts[origin])
        if count <= REFUSALS_MAX or not rows.origins[origin].message:
            refused.append(rows.refused(i, reason(i)))
        elif origin not in summed:
            summed.add(origin)
            refused.append(rows.refused_message(i, count, reason(i)))
    return rows.select(~bad), place[~bad]


def batch_of(rows: Rows) -> ReadingBatch:
    """The same rows as a batch; devices that no row names and empty columns are left out."""
    used, device = np.unique(rows.device, return_inverse=True)
    names: Sequence[str] = rows.names
    if used.size < len(names):
        names = [names[i] for i in used.tolist()]
    values: dict[str, Any] = {
        name: column for name, column in rows.values.items() if not np.isnan(column).all()
    }
    return ReadingBatch.of(
        names,
        device,
        rows.time,
        values,
        received=rows.received,
        seq=rows.seq,
        quality=rows.quality,
        event=rows.event,
    )


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
