"""The Modbus collector: polls at fixed instants of the site clock, readings to the journal.

One thread runs an asyncio loop with one lane a bus; a lane polls its units one after the other,
so a dead meter delays its own bus only. Polls that did not happen are not invented: they show as
gaps in storage.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from grid.clock import Clock, SimulatedClock
from grid.errors import BadInput
from grid.journal import Journal, Record, Tick
from grid.network import Network
from grid.readings import Quality
from ingest.backoff import Backoff
from ingest.checks import Checks
from ingest.journal import JournalError
from ingest.metrics import CollectorMetrics, UnitMetrics, reason_kind
from ingest.modbus_link import LinkError, RegisterLink, link_for
from ingest.modbus_unit import SECOND, Poll, Unit, phase_us
from ingest.profile_files import load_profile
from ingest.rows import Origin, Rows
from ingest.settings import CollectorSettings, ModbusBus

SOURCE = "modbus"  # of the records: one for all buses, so that an append serves them all
ROWS_MAX = 1_000  # of a lane, polled and not yet in the journal; beyond this it waits
INTERVAL_DEFAULT_S = 900.0
CONNECT_FIRST_S, CONNECT_MOST_S = 0.5, 30.0
_LOOK_S = 0.25  # how often a real clock is looked at while nothing is due
_LOOK_SIMULATED_S = 0.02  # a simulated one may have been moved

log = logging.getLogger(__name__)


class Lane:
    """One bus: its connection, its units, and what they gave since the last append."""

    def __init__(
        self,
        bus: ModbusBus,
        network: Network,
        clock: Clock,
        metrics: CollectorMetrics,
        link: RegisterLink | None = None,
    ) -> None:
        name, made = link_for(bus.url)
        if not bus.units:
            raise BadInput(
                f"[[modbus]] {bus.url} has no units",
                fix='Write units = [{ unit = 1, device = "T1-monitor", profile = "sdm630" }]',
            )
        self.name = f"modbus {name}"
        self.metrics = metrics.source(self.name)
        self.units = [
            _unit(
                bus,
                i,
                network,
                metrics.units.setdefault((self.name, u.unit), UnitMetrics(u.device)),
            )
            for i, u in enumerate(bus.units)
        ]
        self._clock, self._timeout_s = clock, bus.timeout_s
        self._link = link or made
        self._backoff = Backoff(CONNECT_FIRST_S, CONNECT_MOST_S)
        self._retry_at = 0.0
        self._tries = 0
        self._noted = ("", logging.INFO)
        self._look_s = _LOOK_SIMULATED_S if isinstance(clock, SimulatedClock) else _LOOK_S
        self._polls: list[Reading] = []

    def waiting(self) -> int:
        """Polls whose readings are not in the journal yet."""
        return len(self._polls)

    async def run(self, stop: threading.Event) -> None:
        """Poll until `stop`."""
        now_us = self._clock.now_us()
        for unit in self.units:
            unit.schedule(now_us)
        await self._connect()
        while not stop.is_set():
            now_us = self._clock.now_us()
            unit = min(self.units, key=lambda u: u.due_us)
            if unit.due_us > now_us:
                if unit.due_us - now_us > 2 * unit.interval_us:
                    unit.schedule(now_us)  # the clock was set back
                wait_s = self._clock.real_seconds_until(unit.due_us)
                await asyncio.sleep(min(wait_s, self._look_s))
            elif len(self._polls) >= ROWS_MAX:
                await asyncio.sleep(self._look_s)  # the journal has no room: polls are missed
            else:
                await self._turn(unit, now_us)
        self._link.close()

    async def _turn(self, unit: Unit, now_us: int) -> None:
        """Poll a unit that is due, or let the instant pass."""
        if unit.resting() or not await self._connect():
            unit.metrics.polls_missed += 1
            unit.schedule(now_us)
            # A held or jumping clock must not turn this into a busy loop.
            await asyncio.sleep(0)
            return
        try:
            poll = await unit.poll(self._link, self._timeout_s, now_us)
        except LinkError as error:
            self._note(f"unit {unit.number} ({unit.device}): {error}")
        else:
            if poll.values:  # none are due at this turn where every register is a slow one
                self._polls.append(Reading(self, unit, self._clock.now_us(), poll))
        unit.metrics.polls_missed += unit.schedule(self._clock.now_us())

    async def _connect(self) -> bool:
        if self._link.connected:
            return True
        if time.monotonic() < self._retry_at:
            return False
        try:
            await self._link.connect(self._timeout_s)
        except LinkError as error:
            self.metrics.connected = False
            self._retry_at = time.monotonic() + self._backoff.wait_s()
            self._tries += 1
            # At a common start the devices may come up a moment later: that is no warning yet.
            starting = self._tries == 1 and not self.metrics.connections
            self._note(str(error), logging.INFO if starting else logging.WARNING)
            return False
        self._tries = 0
        if not self.metrics.connected:
            self.metrics.connections += 1
            self.metrics.connected = True
            self._note("")
        self._backoff.reset()
        return True

    def _note(self, text: str, level: int = logging.WARNING) -> None:
        if text and (text, level) != self._noted:
            log.log(level, "%s: %s", self.name, text)
        self._noted = (text, level)
        self.metrics.trouble = text

    def take(self) -> list["Reading"]:
        """The polls that gave something since the last call."""
        polls, self._polls = self._polls, []
        self.metrics.messages += len(polls)
        self.metrics.readings += len(polls)
        return polls

    def done_us(self) -> int:
        """Every poll due up to this site time has been made, or has been let pass for good."""
        return min(self._clock.now_us(), min(u.due_us for u in self.units) - 1)


class Reading(NamedTuple):
    """One poll that gave values."""

    lane: Lane
    unit: Unit
    time_us: int
    poll: Poll


def rows_of(readings: Sequence[Reading]) -> Rows:
    """All readings as rows, whatever bus they came from."""
    if not readings:
        return Rows.empty()
    devices: dict[str, int] = {}
    origins: dict[tuple[str, int], int] = {}
    for r in readings:
        devices.setdefault(r.unit.device, len(devices))
        origins.setdefault((r.lane.name, r.unit.number), len(origins))
    present = dict.fromkeys(name for r in readings for name in r.poll.values)
    times = [r.time_us for r in readings]
    return Rows.of(
        tuple(devices),
        [devices[r.unit.device] for r in readings],
        times,
        {n: [r.poll.values.get(n, np.nan) for r in readings] for n in present},
        received=times,
        quality=[Quality.PARTIAL if r.poll.partial else 0 for r in readings],
        origin=[origins[r.lane.name, r.unit.number] for r in readings],
        origins=[Origin(f"{name} unit {number}", None) for name, number in origins],
    )


class ModbusCollector:
    """All buses of a collector in one thread; see the module."""

    def __init__(
        self,
        buses: Sequence[ModbusBus],
        settings: CollectorSettings,
        journal: Journal,
        network: Network,
        clock: Clock,
        metrics: CollectorMetrics,
    ) -> None:
        self._settings, self._journal = settings, journal
        self._checks = Checks(network, clock, settings.checks)
        self._tick_us = 0
        self.lanes = [Lane(bus, network, clock, metrics) for bus in buses]

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop`."""
        asyncio.run(self._run(stop))

    def skewed(self) -> list[tuple[str, float]]:
        """Devices whose clocks are known to be wrong, seconds ahead."""
        return self._checks.skewed()

    async def _run(self, stop: threading.Event) -> None:
        tasks = [asyncio.create_task(self._guard(lane, stop)) for lane in self.lanes]
        next_tick = 0.0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(self._settings.linger_ms / 1000)
            now = time.monotonic()
            tick = now >= next_tick
            if tick:
                next_tick = now + self._settings.tick_s
            await self._append(stop, tick=tick)
        await self._append(stop, tick=False)

    async def _guard(self, lane: Lane, stop: threading.Event) -> None:
        """A fault of ours in one lane is shown, and the lane goes on after a pause."""
        while not stop.is_set():
            try:
                await lane.run(stop)
            except Exception as error:
                lane.metrics.errors += 1
                lane.metrics.connected = False
                lane.metrics.trouble = f"unexpected {type(error).__name__}: {error}"
                log.exception("%s: unexpected trouble, starting anew", lane.name)
                await asyncio.sleep(1.0)

    def _take(self, *, tick: bool) -> Record | None:
        """What all lanes gave since the last call, and the tick it allows; None for neither.

        One record for all buses: a check and an append cost the same for one row and for hundreds.
        """
        # Before the readings are taken: what a lane has done up to here is among them.
        done_us = min(lane.done_us() for lane in self.lanes)
        readings = [reading for lane in self.lanes for reading in lane.take()]
        checked = self._checks.apply(rows_of(readings))
        for q in checked.quarantined:
            for lane in self.lanes:
                if q.source.startswith(f"{lane.name} unit "):
                    lane.metrics.readings -= 1
                    lane.metrics.quarantined[reason_kind(q.reason)] += 1
        ticks: tuple[Tick, ...] = ()
        if tick and done_us > self._tick_us:
            self._tick_us = done_us
            ticks = (Tick(SOURCE, done_us),)
        if not len(checked.batch) and not checked.quarantined and not ticks:
            return None
        return Record(SOURCE, checked.batch, tuple(checked.quarantined), ticks)

    async def _append(self, stop: threading.Event, *, tick: bool) -> None:
        """One journal append for all lanes, tried again while the journal has no room."""
        record = self._take(tick=tick)
        if record is None:
            return
        loop = asyncio.get_running_loop()
        held = False
        while True:
            try:
                await loop.run_in_executor(None, self._journal.append, [record])
                break
            except JournalError as error:
                held = True
                for lane in self.lanes:
                    lane.metrics.holding = True
                    lane.metrics.trouble = str(error)
                log.warning("modbus: %s", error)
                if stop.is_set():
                    log.error("modbus: %d readings could not be kept at the end", len(record.batch))
                    return
                await asyncio.sleep(self._settings.retry_s)
        for lane in self.lanes:
            metrics = lane.metrics
            if held:
                metrics.holding, metrics.trouble = False, ""
            metrics.appends += 1
            metrics.last_append = time.monotonic()
            metrics.ticks += len(record.ticks)
            metrics.tick_us = max((t.up_to_us for t in record.ticks), default=metrics.tick_us)


def _unit(bus: ModbusBus, place: int, network: Network, metrics: UnitMetrics) -> Unit:
    given = bus.units[place]
    where = f"[[modbus]] {bus.url}, unit {given.unit}"
    if not 0 <= given.unit <= 255:
        raise BadInput(f"{where}: unit must be 0..255", fix="Give the address set at the device")
    if any(other.unit == given.unit for other in bus.units[:place]):
        raise BadInput(f"{where} is there twice", fix="Keep one of the two entries")
    known = network.device_index.get(given.device)
    interval_s = given.interval_s
    if interval_s is None and known is not None:
        interval_s = network.devices[known].interval_s
    interval_s = interval_s or INTERVAL_DEFAULT_S
    if interval_s < 0.1:
        raise BadInput(f"{where}: interval_s is {interval_s}", fix="Give at least 0.1")
    interval_us = int(interval_s * SECOND)
    phase = phase_us(place, len(bus.units), interval_us)
    return Unit(given.unit, given.device, load_profile(given.profile), interval_us, phase, metrics)
