"""Play a dataset over the wire: MQTT meters, gateways, and Modbus monitors.

Receives a dataset folder and where to speak; publishes its readings and events in the order of
`received`, paced by a clock or as fast as the receiver acknowledges. Event time stays that of
the dataset. Devices with a Modbus profile answer on Modbus when a port is given and the replay is
paced; at full speed they go over MQTT with the rest, since a poller cannot be hurried.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grid.clock import Clock
from grid.dataset import Dataset
from grid.errors import BadInput
from grid.network import Device
from grid.readings import ReadingBatch
from simulators.devices import Publisher, batch_messages, event_message, reading_message
from simulators.modbus_server import ModbusServer, UnitSeries
from simulators.place import Place
from simulators.registers import load_register_map

GATEWAY = "replay"
# Data files, not code: what is simulated answers by the same register maps as is polled.
_PROFILES = Path(__file__).parent.parent / "ingest" / "profiles"
_LOOK_S = 0.05  # how often a held or slow clock is looked at again
_BURST_ROWS = 400  # more rows than this due at once go as columns


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is; `lag_s` is site time between the clock and the last row sent."""

    time_us: int
    rows: int
    rows_per_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay sent; `rows` are readings, `modbus_rows` those left to be polled."""

    rows: int
    events: int
    messages: int
    acked: int
    seconds: float
    modbus_rows: int = 0
    stopped: bool = False


class PacedClock:
    """Site time that starts at `origin_us` now and runs at `speed`."""

    def __init__(self, origin_us: int, speed: float) -> None:
        self._origin_us, self._speed = origin_us, speed
        self._began = time.monotonic()

    def now_us(self) -> int:
        """Site time now."""
        return self._origin_us + int((time.monotonic() - self._began) * self._speed * 1e6)

    def real_seconds_until(self, site_us: int) -> float:
        """Real seconds until site time reaches `site_us`."""
        return max(0.0, (site_us - self.now_us()) / 1e6 / self._speed)


def replay(
    folder: Path,
    mqtt_url: str,
    *,
    modbus_port: int | None = None,
    clock: Clock | None = None,
    speed: float | Literal["max"] | None = None,
    start_us: int | None = None,
    end_us: int | None = None,
    profiles: Path | None = None,
    form: Literal["auto", "device", "batch"] = "auto",
    resume: Path | None = None,
    on_progress: Callable[[ReplayProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> ReplaySummary:
    """Play the rows with `start_us <= time < end_us`; returns when all are acknowledged.

    Parameters
    ----------
    clock : paces the replay by `received`; without it `speed` does (None or "max": no pace)
    profiles : folder of the meter profiles (`<profile>.toml`); default: those of the checkout
    form : "device" one message a reading, "batch" columns of many devices; "auto" takes
        single messages when paced and columns for bursts and at full speed
    resume : a small file that remembers what was acknowledged; a replay of the same dataset and
        span that finds it goes on from there, and removes it when it is through
    stop : set it to end early; what was published is still waited for

    Raises BadInput for a folder or profile that cannot be used, BrokerGone without a broker.
    """
    began = time.perf_counter()
    stop = stop or threading.Event()
    dataset = Dataset(Path(folder))
    if clock is None and speed not in (None, "max"):
        first = start_us if start_us is not None else _first_us(dataset)
        clock = PacedClock(first, float(speed))
    polled = _polled_devices(dataset) if modbus_port is not None and clock is not None else {}
    units = _unit_series(dataset, polled, profiles, start_us, end_us) if polled else {}
    counts = {"rows": 0, "events": 0}
    with Publisher(mqtt_url, stop=stop) as publisher:
        server = (
            ModbusServer(units, clock, modbus_port)
            if units and clock is not None and modbus_port is not None
            else None
        )
        if server:
            server.__enter__()
        try:
            sender = _Sender(publisher, counts, form, paced=clock is not None)
            place = Place(resume, f"{dataset.folder.resolve()} {start_us} {end_us}")
            rows = _numbered(dataset, start_us, end_us)
            _play(rows, sender, clock, set(polled), place, stop, on_progress, began)
            publisher.drain()
            if not stop.is_set():
                place.forget()
            if server and clock is not None and end_us is not None:
                _wait_until(clock, end_us, stop)
        finally:
            if server:
                server.__exit__(None, None, None)
        return ReplaySummary(
            counts["rows"],
            counts["events"],
            publisher.published,
            publisher.acked,
            time.perf_counter() - began,
            sum(s.times_us.size for s in units.values()),
            stop.is_set(),
        )


class _Sender:
    """Puts due rows on the wire in the chosen form, in their order."""

    def __init__(
        self, publisher: Publisher, counts: dict[str, int], form: str, *, paced: bool
    ) -> None:
        self._publisher, self._counts = publisher, counts
        self._form = form if form != "auto" else ("device" if paced else "batch")
        self._auto = form == "auto"

    def drain(self) -> bool:
        """Wait for the acknowledgement of everything sent; False if a stop cut it short."""
        self._publisher.drain()
        return self._publisher.acked == self._publisher.published

    def send(self, batch: ReadingBatch, seq: NDArray[np.int64]) -> None:
        """Publish rows, events where they stand among the readings."""
        marks = np.flatnonzero(batch.event)
        at = 0
        for mark in [*marks.tolist(), len(batch)]:
            if mark > at:
                self._readings(batch.select(slice(at, mark)), seq[at:mark])
            if mark < len(batch):
                self._publisher.publish(*event_message(batch, mark))
                self._counts["events"] += 1
            at = mark + 1

    def _readings(self, batch: ReadingBatch, seq: NDArray[np.int64]) -> None:
        if self._form == "batch" or (self._auto and len(batch) > _BURST_ROWS):
            for topic, payload, rows in batch_messages(GATEWAY, batch, seq):
                self._publisher.publish(topic, payload)
                self._counts["rows"] += rows
            return
        for row in range(len(batch)):
            self._publisher.publish(*reading_message(batch, row, int(seq[row])))
            self._counts["rows"] += 1


def _play(
    batches: Iterator[tuple[ReadingBatch, NDArray[np.int64]]],
    sender: _Sender,
    clock: Clock | None,
    polled: set[str],
    place: Place,
    stop: threading.Event,
    on_progress: Callable[[ReplayProgress], None] | None,
    began: float,
) -> None:
    sent = passed = 0
    for batch, seq in batches:
        known = min(max(place.rows - passed, 0), len(batch))
        passed += known
        batch, seq = batch.select(slice(known, None)), seq[known:]
        whole = len(batch)
        if polled:
            names = np.array([n in polled for n in batch.names])
            keep = ~(names[batch.device] & (batch.event == 0))
            batch, seq = batch.select(keep), seq[keep]
        at = 0
        while at < len(batch) and not stop.is_set():
            if clock is None:
                due = min(at + 20_000, len(batch))
            else:
                due = int(np.searchsorted(batch.received, clock.now_us(), side="right"))
                if due <= at:
                    _wait_until(clock, int(batch.received[at]), stop)
                    continue
            sender.send(batch.select(slice(at, due)), seq[at:due])
            sent += due - at
            at = due
            if at == len(batch) or not polled:
                place.reached(passed + (whole if at == len(batch) else at), sender.drain)
            if on_progress:
                last = int(batch.received[at - 1])
                lag = (clock.now_us() - last) / 1e6 if clock else 0.0
                rate = sent / max(time.perf_counter() - began, 1e-9)
                on_progress(ReplayProgress(last, sent, rate, lag))
        if stop.is_set():
            return
        passed += whole


def _wait_until(clock: Clock, site_us: int, stop: threading.Event) -> None:
    """Sleep in small pieces: the clock may be held, moved or changed in speed meanwhile."""
    while not stop.is_set():
        left = clock.real_seconds_until(site_us)
        if left <= 0.0:
            return
        stop.wait(min(left, _LOOK_S))


def _numbered(
    dataset: Dataset, start_us: int | None, end_us: int | None
) -> Iterator[tuple[ReadingBatch, NDArray[np.int64]]]:
    """Batches in order of arrival with each device's own running number of its readings.

    Counted from the beginning of the dataset, so a replay in parts numbers as one in whole.
    """
    count: dict[str, int] = {}
    for batch in dataset.batches(order="received"):
        start = np.array([count.get(n, 0) for n in batch.names], np.int64)
        seq = np.full(len(batch), -1, np.int64)
        readings = np.flatnonzero(batch.event == 0)
        device = batch.device[readings]
        order = np.argsort(device, kind="stable")
        grouped = device[order]
        first = np.searchsorted(grouped, np.arange(len(batch.names)))
        rank = np.empty(readings.size, np.int64)
        rank[order] = np.arange(readings.size) - first[grouped]
        seq[readings] = start[device] + rank
        sizes = np.bincount(device, minlength=len(batch.names))
        for name, size in zip(batch.names, sizes.tolist(), strict=True):
            count[name] = count.get(name, 0) + size
        if start_us is not None or end_us is not None:
            low = start_us if start_us is not None else np.iinfo(np.int64).min
            high = end_us if end_us is not None else np.iinfo(np.int64).max
            keep = (batch.time >= low) & (batch.time < high)
            batch, seq = batch.select(keep), seq[keep]
        if len(batch):
            yield batch, seq


def _first_us(dataset: Dataset) -> int:
    """Arrival of the first row."""
    for batch in dataset.batches(order="received"):
        return int(batch.received[0])
    raise BadInput("no readings", file=str(dataset.folder), fix="Give a dataset with readings.")


def _polled_devices(dataset: Dataset) -> dict[str, Device]:
    """Devices that stand on Modbus: those with a profile and a unit number."""
    return {d.id: d for d in dataset.network.devices if d.profile and d.unit is not None}


def _unit_series(
    dataset: Dataset,
    polled: dict[str, Device],
    profiles: Path | None,
    start_us: int | None,
    end_us: int | None,
) -> dict[int, UnitSeries]:
    """What each Modbus unit measures over the replayed span."""
    profiles = profiles or _PROFILES
    maps = {
        name: load_register_map(profiles / f"{name}.toml")
        for name in {d.profile for d in polled.values() if d.profile}
    }
    parts: dict[str, list[ReadingBatch]] = {name: [] for name in polled}
    for batch in dataset.batches(order="time", start_us=start_us, end_us=end_us):
        for k, name in enumerate(batch.names):
            if name in parts:
                rows = (batch.device == k) & (batch.event == 0)
                if rows.any():
                    parts[name].append(batch.select(rows))
    units: dict[int, UnitSeries] = {}
    for name, device in polled.items():
        whole = ReadingBatch.concat(parts[name])
        if device.unit is None or device.profile is None:
            continue
        if device.unit in units:
            raise BadInput(
                f"Modbus unit {device.unit} stands twice",
                file="devices.csv",
                fix=f"Give {name} a unit of its own (1..247).",
            )
        interval = int((device.interval_s or 60.0) * 1e6)
        units[device.unit] = UnitSeries(whole.time, whole.values, interval, maps[device.profile])
    return units
