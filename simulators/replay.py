"""Play a dataset over the wire: MQTT meters, gateways, and Modbus monitors.

Receives a dataset folder and where to speak; publishes its readings and events in the order of
`received`, paced by a clock or as fast as the receiver acknowledges. Event time stays that of
the dataset. Devices with a Modbus profile answer on Modbus when a port is given and the replay is
paced; at full speed they go over MQTT with the rest, since a poller cannot be hurried.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grid.clock import Clock
from grid.dataset import Dataset
from simulators.devices import Publisher, topic_root
from simulators.modbus_server import ModbusServer
from simulators.pace import Controls, MovableClock, OpenClock, PacedClock
from simulators.place import Place
from simulators.playing import Player, Sender, wait_until
from simulators.reel import numbered, polled_devices, span, step_us, unit_series


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is.

    `time_us` is the arrival of the last row sent, `lag_s` site time between the clock and it,
    `share` how much of the span lies behind, 0..1.
    """

    time_us: int
    rows: int
    rows_per_s: float
    lag_s: float
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay sent; `rows` are readings, `modbus_rows` those left to be polled.

    `reached_us` is the arrival of the last row sent, 0 when there was none; `resumed_rows` those
    that an earlier replay had sent.
    """

    rows: int
    events: int
    messages: int
    acked: int
    seconds: float
    modbus_rows: int = 0
    stopped: bool = False
    reached_us: int = 0
    resumed_rows: int = 0


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
    realm: str = "live",
    resume: Path | None = None,
    resume_as: str = "",
    controls: Controls | None = None,
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
    realm : another than "live" speaks below topics of its own (`devices.topic_root`), which only
        a collector of that realm hears
    resume : a small file that remembers what was acknowledged; a replay of the same dataset and
        span that finds it goes on from there, and removes it when it is through
    resume_as : what that file calls the dataset; default: its folder
    controls : pause, step, seek and speed from another thread; needs a clock that can be moved
    stop : set it to end early; what was published is still waited for

    Raises BadInput for a folder or profile that cannot be used, BrokerGone without a broker.
    """
    began = time.perf_counter()
    stop, controls = stop or threading.Event(), controls or Controls()
    dataset = Dataset(Path(folder))
    first_us, last_us = span(dataset, start_us, end_us)
    own_clock, paced = clock is None, clock is not None or speed not in (None, "max")
    if clock is None:
        clock = PacedClock(first_us, float(speed)) if paced and speed else OpenClock()
    if isinstance(clock, MovableClock):
        pace = float(speed) if speed not in (None, "max") else 1.0
        controls.bind(clock, pace, step_us(dataset))
    polled = polled_devices(dataset) if modbus_port is not None and paced else {}
    units = unit_series(dataset, polled, profiles, start_us, end_us) if polled else {}
    with ExitStack() as open_things:
        publisher = open_things.enter_context(Publisher(mqtt_url, stop=stop))
        if units and modbus_port is not None:
            open_things.enter_context(ModbusServer(units, clock, modbus_port))
        sender = Sender(publisher, form, paced=paced, root=topic_root(realm))
        place = Place(resume, f"{resume_as or dataset.folder.resolve()} {start_us} {end_us}")
        resumed = place.rows

        def tell(reached_us: int) -> None:
            if on_progress:
                rate = (sender.rows + sender.events) / max(time.perf_counter() - began, 1e-9)
                lag = (clock.now_us() - reached_us) / 1e6 if paced else 0.0
                share = (reached_us - first_us) / max(last_us - first_us, 1)
                told = (reached_us, sender.rows + sender.events, rate, lag)
                on_progress(ReplayProgress(*told, min(max(share, 0.0), 1.0)))

        player = Player(sender, clock, controls, set(polled), place, stop, tell, own_clock)
        player.play(lambda: numbered(dataset, start_us, end_us))
        publisher.drain()
        if not stop.is_set():
            place.forget()
        if units and end_us is not None:
            wait_until(clock, end_us, stop)
        return ReplaySummary(
            sender.rows,
            sender.events,
            publisher.published,
            publisher.acked,
            time.perf_counter() - began,
            sum(s.times_us.size for s in units.values()),
            stop.is_set(),
            player.reached_us,
            resumed,
        )
