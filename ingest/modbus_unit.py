"""One polled device: when it is due, which requests it takes, what a poll of it gave."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ingest.metrics import UnitMetrics
from ingest.modbus_frame import LinkError, LinkTimeout, Refused
from ingest.modbus_link import RegisterLink
from ingest.profile import Block, Profile
from ingest.sunspec import discover

SECOND: Final = 1_000_000
# A poll comes early in its interval, far from the middle between two ticks of the frames.
PHASE_FIRST: Final = 0.02
PHASE_SPAN: Final = 0.20
BACKOFF_FIRST_S: Final = 5.0
BACKOFF_MOST_S: Final = 300.0
_ADDRESS_TROUBLE: Final = (2, 3)  # exceptions that blame the block and not the device


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll gave: values in SI units; `partial` when registers that exist are missing."""

    values: dict[str, float]
    partial: bool


@dataclass(slots=True)
class Unit:
    """State of one device on a bus; times in µs of the site clock, waits in real seconds.

    Polls are due at k x interval + phase, so that several buses do not speak all at once and a
    restart finds the same instants again.
    """

    number: int
    device: str
    profile: Profile
    interval_us: int
    phase_us: int
    metrics: UnitMetrics
    due_us: int = 0
    absent: set[str] = field(default_factory=set)  # quantities that this device refused by itself
    # What is asked, by the rates that are due together; halved where the device refused.
    _plans: dict[tuple[int, ...], tuple[Block, ...]] = field(default_factory=dict)
    _read_at: dict[int, int] = field(default_factory=dict)  # rate: turn of its last reading
    _silent: int = 0  # polls without an answer in a row
    _resume: float = 0.0  # monotonic time until which the unit is left alone

    def schedule(self, now_us: int) -> int:
        """Set the next due time after `now_us`; return how many were skipped on the way."""
        before = self.due_us
        k = (now_us - self.phase_us) // self.interval_us + 1
        self.due_us = k * self.interval_us + self.phase_us
        if before == 0 or self.due_us <= before:
            return 0
        return (self.due_us - before) // self.interval_us - 1

    def resting(self) -> bool:
        """Whether the unit is backed off: it cost its bus a time-out lately."""
        return time.monotonic() < self._resume

    async def poll(self, link: RegisterLink, timeout_s: float, now_us: int) -> Poll:
        """Read what is due, within a deadline; raises LinkError when nothing could be read.

        A block refused for its addresses is halved, once a poll, and the halves are remembered:
        in the end only what the device lacks is left out. Any other trouble ends the poll, and
        what was read before it is kept as a partial result.
        """
        if self.profile.is_discovered:
            try:
                self.profile = await discover(link, self.number, timeout_s)
            except LinkError as error:
                self._judge(error, {}, link.guard_s)
                raise
        turn = (now_us - self.phase_us) // self.interval_us
        rates = self._due(turn)
        if not rates:
            return Poll({}, partial=False)
        if rates not in self._plans:
            self._plans[rates] = self.profile.plan(rates, self.absent)
        blocks = self._plans[rates]
        until = time.monotonic() + timeout_s * (len(blocks) + 1)
        values: dict[str, float] = {}
        trouble: LinkError | None = None
        over = False
        planned: list[Block] = []
        lacking: list[Block] = []
        work = deque((block, True) for block in blocks)
        while work:
            block, whole = work.popleft()
            if not over:
                try:
                    values |= await self._read(link, block, timeout_s, until)
                except Refused as refused:
                    trouble = refused
                    over = refused.code not in _ADDRESS_TROUBLE
                    if not over and len(block.registers) == 1:
                        lacking.append(block)
                        continue
                    if not over and whole:
                        work.extendleft((half, False) for half in reversed(block.halves()))
                        continue
                except LinkError as error:
                    trouble, over = error, True
            planned.append(block)
        if not values:
            planned += lacking  # a device that refuses everything is not one that lacks all
        else:
            self.absent.update(block.registers[0].quantity for block in lacking)
        self._plans[rates] = tuple(planned)
        if trouble is None:
            self._read_at |= dict.fromkeys(rates, turn)
        self._judge(trouble, values, link.guard_s)
        if not values:
            raise trouble or LinkError("the device has none of the values of its profile")
        return Poll(values, partial=trouble is not None)

    def _due(self, turn: int) -> tuple[int, ...]:
        """The rates whose registers are read at this turn: at fixed instants, or as soon as one
        was missed; at the first poll all."""
        return tuple(
            rate
            for rate in self.profile.rates
            if rate not in self._read_at or turn // rate != self._read_at[rate] // rate
        )

    async def _read(
        self, link: RegisterLink, block: Block, timeout_s: float, until: float
    ) -> dict[str, float]:
        left_s = until - time.monotonic()
        if left_s <= 0:
            link.close()
            raise LinkTimeout("the poll took longer than its deadline")
        self.metrics.requests += 1
        words = await link.read(
            self.number, block.function, block.address, block.count, min(timeout_s, left_s)
        )
        return block.decode(words)

    def _judge(self, trouble: LinkError | None, values: dict[str, float], guard_s: float) -> None:
        metrics = self.metrics
        metrics.last_error = str(trouble) if trouble is not None else ""
        if trouble is None:
            metrics.polls_ok += 1
        elif values:
            metrics.polls_partial += 1
        else:
            metrics.polls_failed += 1
        if trouble is None or isinstance(trouble, Refused) or values:
            # An answered exception costs the bus nothing, so the unit stays in its turn.
            self._silent, metrics.backoff_s = 0, 0.0
            late = isinstance(trouble, LinkTimeout)
            self._resume = time.monotonic() + guard_s if late else 0.0
            return
        metrics.backoff_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**self._silent)
        self._silent = min(self._silent + 1, 16)
        self._resume = time.monotonic() + metrics.backoff_s


def phase_us(place: int, count: int, interval_us: int) -> int:
    """Offset of the `place`-th of `count` units within the interval: spread, early, fixed."""
    return int(interval_us * (PHASE_FIRST + PHASE_SPAN * place / max(1, count)))
