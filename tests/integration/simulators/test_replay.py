"""Replay over a real broker and a real Modbus client."""

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import ModbusTcpClient

from grid.clock import SimulatedClock
from grid.dataset import Dataset
from grid.readings import ReadingBatch
from simulators.modbus_server import ModbusServer
from simulators.pace import Controls, PacedClock
from simulators.replay import ReplayProgress, ReplaySummary, replay
from simulators.scenario import simulate
from simulators.spec import Scenario
from simulators.tables import read_table
from tests.waiting import wait_for


class Listener:
    """A plain subscriber that keeps what came."""

    def __init__(self, url: str, root: str = "forewatt/v1/#") -> None:
        self.messages: list[tuple[str, Any]] = []
        self._subscribed = threading.Event()
        host, port = url.removeprefix("mqtt://").split(":")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, m: self.messages.append(
            (m.topic, orjson.loads(m.payload))
        )
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(host, int(port))
        self._client.subscribe(root, qos=1)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of a small town with an outage, so that there are events."""
    table = {
        "start": datetime.fromisoformat("2026-03-02T06:00:00+08:00"),
        "days": 0.125,
        "seed": 5,
        "town": {"feeders": 1, "transformers": 1, "customers": [8, 8], "branches": [2, 2]},
        "fault": [
            {
                "id": "o",
                "kind": "outage",
                "asset": "T1",
                "onset": "01:00",
                "cleared": "01:40",
                "gasp_rate": 1.0,
            }
        ],
    }
    out = tmp_path_factory.mktemp("replay") / "dataset"
    simulate(read_table(Scenario, table, file="test", where=""), out)
    return out


@pytest.fixture
def listener(broker: Any) -> Iterator[Listener]:
    """A subscriber on the broker of this test."""
    found = Listener(broker.mqtt_url)
    yield found
    found.close()


def _rows(messages: list[tuple[str, Any]]) -> int:
    return sum(
        len(body["device"]) if topic.endswith("/batch") else 1
        for topic, body in messages
        if not topic.endswith("/events")
    )


def _whole(dataset: Path) -> ReadingBatch:
    return ReadingBatch.concat(list(Dataset(dataset).batches()))


def test_every_reading_and_event_arrives_in_the_order_of_arrival(
    broker: Any, listener: Listener, dataset: Path
) -> None:
    """One message a reading, numbered by its device, events in between."""
    expected = _whole(dataset)

    summary = replay(dataset, broker.mqtt_url, form="device")
    wait_for(lambda: len(listener.messages) == len(expected))

    devices = [topic.split("/")[2] for topic, _ in listener.messages]
    assert list(expected.device_names()) == devices
    times = [round(body["t"] * 1000) for _, body in listener.messages]
    assert expected.time.tolist() == times
    assert summary.acked == summary.messages == len(expected)
    meter = [b["seq"] for t, b in listener.messages if t.endswith("T1-M001/readings")]
    assert list(range(len(meter))) == meter


def test_columns_carry_the_same_values_as_single_messages(
    broker: Any, listener: Listener, dataset: Path
) -> None:
    """At full speed a gateway sends columns; not a row or digit is lost."""
    expected = _whole(dataset).readings()

    summary = replay(dataset, broker.mqtt_url)
    wait_for(lambda: _rows(listener.messages) == len(expected))

    got = [
        value
        for topic, body in listener.messages
        if topic.endswith("/batch")
        for value in body["v_a"]
    ]
    assert [round(float(v), 4) for v in expected.values["v_a"]] == [round(v, 4) for v in got]
    assert summary.rows == len(expected)


def test_a_replay_in_two_parts_numbers_readings_as_one(
    broker: Any, listener: Listener, dataset: Path
) -> None:
    """The second part goes on where the first ended: no gap is invented."""
    whole = _whole(dataset)
    middle = int(whole.time[len(whole) // 2])

    replay(dataset, broker.mqtt_url, form="device", end_us=middle)
    replay(dataset, broker.mqtt_url, form="device", start_us=middle)
    wait_for(lambda: len(listener.messages) == len(whole))

    meter = [b["seq"] for t, b in listener.messages if t.endswith("T1-M003/readings")]
    assert list(range(len(meter))) == meter


def test_a_held_clock_holds_the_replay_and_stop_ends_it(
    broker: Any, listener: Listener, dataset: Path, tmp_path: Path
) -> None:
    """Nothing is sent before its time; a stop is obeyed at once."""
    whole = _whole(dataset)
    half = len(whole) // 2
    clock = SimulatedClock.create(tmp_path / "clock.json", int(whole.received[half - 1]))
    stop = threading.Event()
    found: list[ReplaySummary] = []
    player = threading.Thread(
        target=lambda: found.append(replay(dataset, broker.mqtt_url, clock=clock, stop=stop))
    )
    player.start()
    due = int((whole.received <= clock.now_us()).sum())
    wait_for(lambda: len(listener.messages) == due)

    stop.set()
    player.join(10)

    assert not player.is_alive()
    assert due == found[0].messages


def test_monitors_answer_modbus_and_leave_mqtt(
    broker: Any, listener: Listener, dataset: Path, tmp_path: Path
) -> None:
    """The registers hold the dataset's values; nothing of the monitor goes over MQTT."""
    whole = _whole(dataset)
    monitor = whole.select(whole.device == whole.names.index("T1-TM"))
    clock = SimulatedClock.create(tmp_path / "clock.json", int(monitor.time[3]) + 1_000_000)
    stop = threading.Event()
    port: list[int] = []
    opened = ModbusServer.__enter__

    def remember(self: ModbusServer) -> ModbusServer:
        server = opened(self)
        port.append(server.port)
        return server

    profiles = Path("ingest/profiles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModbusServer, "__enter__", remember)
        player = threading.Thread(
            target=replay,
            args=(dataset, broker.mqtt_url),
            kwargs={"modbus_port": 0, "clock": clock, "stop": stop, "profiles": profiles},
        )
        player.start()
        wait_for(lambda: port)
    client: Any = ModbusTcpClient("127.0.0.1", port=port[0], timeout=5)
    try:
        assert client.connect()
        answer = client.read_input_registers(0, count=6, device_id=1)
        volts = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
        clock.run(0.0, site_us=int(monitor.time[-1]) + 400_000_000)
        gone = wait_for(
            lambda: client.read_input_registers(0, count=6, device_id=1).isError(), timeout_s=5
        )
    finally:
        client.close()
        stop.set()
        player.join(10)

    expected = [float(monitor.values[f"v_{p}"][3]) for p in "abc"]
    assert expected == volts
    assert gone
    assert not [t for t, _ in listener.messages if "T1-TM" in t]


def test_a_paced_clock_runs_at_its_speed() -> None:
    """Real seconds until a site time are that time divided by the speed."""
    clock = PacedClock(0, 1000.0)

    left = clock.real_seconds_until(100_000_000_000)

    assert left == pytest.approx(100.0, abs=1.0)


def test_a_stopped_replay_resumes_where_it_was(
    broker: Any, listener: Listener, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged is not sent again, and nothing in between is lost."""
    monkeypatch.setattr("simulators.place.SAVE_S", 0.0)
    whole = _whole(dataset)
    place = tmp_path / "place"
    half = len(whole) // 2
    clock = SimulatedClock.create(tmp_path / "clock.json", int(whole.received[half - 1]))
    stop = threading.Event()
    first = threading.Thread(
        target=replay,
        args=(dataset, broker.mqtt_url),
        kwargs={"clock": clock, "stop": stop, "resume": place, "form": "device"},
    )
    first.start()
    due = int((whole.received <= clock.now_us()).sum())
    wait_for(lambda: len(listener.messages) == due and place.exists())
    stop.set()
    first.join(10)

    summary = replay(dataset, broker.mqtt_url, resume=place, form="device")
    wait_for(lambda: len(listener.messages) >= len(whole))

    assert len(whole) - due == summary.messages
    assert len(whole) == len(listener.messages)
    assert not place.exists()


class Playing:
    """A replay in a thread of its own, with its controls; stopped at the end."""

    def __init__(self, dataset: Path, url: str, **how: Any) -> None:
        self.controls, self.stop = Controls(), threading.Event()
        self.told: list[ReplayProgress] = []
        self.summary: list[ReplaySummary] = []
        self._how = how | {"on_progress": self.told.append, "stop": self.stop}
        self._thread = threading.Thread(target=self._run, args=(dataset, url))

    def _run(self, dataset: Path, url: str) -> None:
        self.summary.append(replay(dataset, url, controls=self.controls, **self._how))

    def __enter__(self) -> "Playing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("speed", ["max", 1e5])
def test_a_paused_replay_sends_one_tick_a_step(
    speed: Any, broker: Any, listener: Listener, dataset: Path
) -> None:
    """Whether the receiver or a clock sets the pace; then it goes on to the end."""
    whole = _whole(dataset)
    step_us = 300_000_000  # the monitor's interval is the shortest
    ticks = [int((whole.received <= (whole.received[0] // step_us + k) * step_us).sum())
             for k in (1, 2)]  # fmt: skip
    playing = Playing(dataset, broker.mqtt_url, speed=speed, form="device")
    playing.controls.pause()
    with playing:
        playing.controls.step()
        for rows in ticks:
            wait_for(lambda rows=rows: len(listener.messages) >= rows)  # type: ignore[misc]
            assert rows == len(listener.messages)
            playing.controls.step()
        playing.controls.resume()
        wait_for(lambda: len(listener.messages) >= len(whole))

    assert len(whole) == len(listener.messages)
    assert 1.0 == playing.told[-1].share


@pytest.mark.parametrize("speed", ["max", 1e5])
def test_a_seek_goes_on_at_the_time_asked_for(
    speed: Any, broker: Any, listener: Listener, dataset: Path
) -> None:
    """Forwards over what is left out, then back to what was passed over, numbered as ever."""
    whole = _whole(dataset)
    back, ahead = (int(whole.received[len(whole) * k // 4]) for k in (1, 3))
    before, after = (int((whole.received < us).sum()) for us in (back, ahead))
    playing = Playing(dataset, broker.mqtt_url, speed=speed, form="device")
    playing.controls.pause()
    playing.controls.seek(ahead)
    with playing:
        wait_for(lambda: not playing.controls.wishes())
        playing.controls.step()
        wait_for(lambda: listener.messages)
        playing.controls.seek(back)
        wait_for(lambda: not playing.controls.wishes())
        playing.controls.resume()
        wait_for(lambda: bool(playing.summary))
    wait_for(lambda: len(listener.messages) == playing.summary[0].messages)

    times = [round(body["t"] * 1000) for _, body in listener.messages]
    assert int(whole.time[after]) == times[0]
    assert whole.time[before:].tolist() == times[before - len(whole) :]


def test_a_resumed_replay_begins_at_once_where_it_stopped(
    broker: Any, listener: Listener, dataset: Path, tmp_path: Path
) -> None:
    """Its own clock jumps there: nobody waits for the hours that were played before."""
    whole = _whole(dataset)
    place = tmp_path / "place"
    place.write_text(f"{dataset.resolve()} None None\n{len(whole) - 3}")

    summary = replay(dataset, broker.mqtt_url, speed=1e5, resume=place)

    assert (3, len(whole) - 3) == (summary.messages, summary.resumed_rows)
    assert summary.seconds < 5.0


def test_a_realm_speaks_where_the_live_collectors_do_not_hear(
    broker: Any, listener: Listener, dataset: Path
) -> None:
    """Below topics of its own."""
    aside = Listener(broker.mqtt_url, "replay-may/forewatt/v1/#")

    summary = replay(dataset, broker.mqtt_url, realm="replay-may")
    wait_for(lambda: len(aside.messages) == summary.messages)
    aside.close()

    assert [] == listener.messages
