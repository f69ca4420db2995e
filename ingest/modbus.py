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

import numpy as np

from grid.clock import Clock, SimulatedClock
from grid.errors import BadInput
from grid.journal import Journal, Record, Tick
from grid.network import Network
from grid.readings import Quality
from ingest.backoff import Backoff
from ingest.checks import Checks
from ingest.journal import JournalError
from ingest.metrics import CollectorMetrics, UnitMetrics
from ingest.modbus_link import LinkError, RegisterLink, link_for
from ingest.modbus_unit import SECOND, Poll, Unit, phase_us
from ingest.profile_files import load_profile
from ingest.rows import Origin, Rows
from ingest.settings import CollectorSettings, ModbusBus

ROWS_MAX = 10_000  # polled, not yet in the journal; beyond this the lanes wait
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
        settings: CollectorSettings,
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
        self._look_s = _LOOK_SIMULATED_S if isinstance(clock, SimulatedClock) else _LOOK_S
        self._checks = Checks(network, clock, settings.checks)
        self._polls: list[tuple[Unit, int, Poll]] = []
        self.tick_us = -(1 << 63)

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
            poll = await unit.poll(self._link, self._timeout_s)
        except LinkError as error:
            self._note(f"unit {unit.number} ({unit.device}): {error}")
        else:
            self._polls.append((unit, self._clock.now_us(), poll))
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
            self._note(str(error))
            return False
        if not self.metrics.connected:
            self.metrics.connections += 1
            self.metrics.connected = True
            self._note("")
        self._backoff.reset()
        return True

    def _note(self, text: str) -> None:
        if text and text != self.metrics.trouble:
            log.warning("%s: %s", self.name, text)
        self.metrics.trouble = text

    def take(self, *, tick: bool) -> Record | None:
        """The checked readings since the last call and the tick they allow; None for neither."""
        polls, self._polls = self._polls, []
        checked = self._checks.apply(self._rows(polls))
        self.metrics.messages += len(polls)
        self.metrics.count(checked, checked.quarantined)
        ticks: tuple[Tick, ...] = ()
        # Every poll due before the next one has been made, or has been let pass for good.
        done_us = min(self._clock.now_us(), min(u.due_us for u in self.units) - 1)
        if tick and done_us > max(0, self.tick_us):
            self.tick_us = done_us
            ticks = (Tick(self.name, done_us),)
        if not len(checked.batch) and not checked.quarantined and not ticks:
            return None
        return Record(self.name, checked.batch, tuple(checked.quarantined), ticks)

    def _rows(self, polls: Sequence[tuple[Unit, int, Poll]]) -> Rows:
        if not polls:
            return Rows.empty()
        units = list({id(unit): unit for unit, _, _ in polls}.values())
        place = {id(unit): i for i, unit in enumerate(units)}
        devices = list(dict.fromkeys(unit.device for unit in units))
        present = dict.fromkeys(name for _, _, poll in polls for name in poll.values)
        times = [time_us for _, time_us, _ in polls]
        return Rows.of(
            devices,
            [devices.index(unit.device) for unit, _, _ in polls],
            times,
            {n: [poll.values.get(n, np.nan) for _, _, poll in polls] for n in present},
            received=times,
            quality=[Quality.PARTIAL if poll.partial else 0 for _, _, poll in polls],
            origin=[place[id(unit)] for unit, _, _ in polls],
            origins=[Origin(f"{self.name} unit {unit.number}", None) for unit in units],
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
        self.lanes = [Lane(bus, network, clock, settings, metrics) for bus in buses]

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop`."""
        asyncio.run(self._run(stop))

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

    async def _append(self, stop: threading.Event, *, tick: bool) -> None:
        """One journal append for all lanes, tried again while the journal has no room."""
        found = [(lane, record) for lane in self.lanes if (record := lane.take(tick=tick))]
        if not found:
            return
        records = [record for _, record in found]
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(None, self._journal.append, records)
                break
            except JournalError as error:
                for lane, _ in found:
                    lane.metrics.holding = True
                    lane.metrics.trouble = str(error)
                log.warning("modbus: %s", error)
                if stop.is_set():
                    log.error("modbus: %d records could not be kept at the end", len(records))
                    return
                await asyncio.sleep(self._settings.retry_s)
        for lane, record in found:
            metrics = lane.metrics
            if metrics.holding:
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
