"""Notices leave by webhook and MQTT, once, from the database to a real receiver."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from alerts.announce import Receiver
from alerts.apply import apply_events
from alerts.notices import NoticeDesk, NoticeSettings
from alerts.roles import Actor
from desk.delivery import Sender
from desk.senders import WebhookSender
from forewatt.notifying import MqttSender, Notifier, NotifierThread
from ingest.publisher import NotPublished, Publisher
from storage.database import Database
from storage.desk_notices import NoticeQueue
from storage.ledger import PostgresLedger
from storage.migrate import migrate
from tests.unit.alerts.town import HOUR, START, StandingClock, after, raised, town
from tests.waiting import wait_for


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, object]]]]:
    got: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    thread.join()
    server.server_close()


def notifier(database: Database, url: str, mqtt_url: str, clock: StandingClock) -> Notifier:
    senders: dict[str, Sender] = {
        "noc": WebhookSender(url, now_s=time.time, secret="s"),
        "bus": MqttSender(Publisher(mqtt_url), "forewatt/test/alerts"),
    }
    return Notifier(
        PostgresLedger(database),
        town(),
        clock,
        NoticeQueue(database),
        [Receiver("noc", "noc"), Receiver("bus", "bus")],
        senders,
        NoticeSettings(),
        "https://grid.example.org",
    )


def test_an_alert_and_its_end_reach_a_webhook_and_a_broker_once(
    database: Database, hook: tuple[str, list[dict[str, object]]], mqtt_url: str
) -> None:
    url, got = hook
    heard: list[dict[str, object]] = []
    listener = paho.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _c, _u, m: heard.append(json.loads(m.payload))
    ready = threading.Event()
    listener.on_subscribe = lambda *_: ready.set()
    host, _, port = mqtt_url.removeprefix("mqtt://").partition(":")
    listener.connect(host, int(port))
    listener.loop_start()
    listener.subscribe("forewatt/test/alerts", 1)
    assert ready.wait(10)
    clock, event = StandingClock(START + HOUR), raised("outage")
    ledger = PostgresLedger(database)
    apply_events([event], ledger, town())
    out = notifier(database, url, mqtt_url, clock)

    first = out.turn()
    apply_events([after(event, "cleared", 2 * HOUR, score=0.0)], ledger, town())
    second, third = out.turn(), out.turn()

    wait_for(lambda: len(heard) == 2)
    listener.disconnect()
    listener.loop_stop()
    assert (first.drafted, first.announced, first.delivered.sent) == (1, 2, 2)
    assert (second.announced, second.delivered.sent) == (2, 2)
    assert (third.announced, third.delivered.sent) == (0, 0)
    assert [m["status"] for m in got] == ["firing", "resolved"]
    assert [m["status"] for m in heard] == ["firing", "resolved"]
    assert len({m["id"] for m in heard}) == 2


def test_a_broker_that_is_not_there_is_said_and_tried_again() -> None:
    with pytest.raises(NotPublished):
        Publisher("mqtt://127.0.0.1:9", timeout_s=1.0).publish("t", b"{}")


def test_the_thread_turns_until_it_is_told_to_stop(
    database: Database, hook: tuple[str, list[dict[str, object]]], mqtt_url: str
) -> None:
    apply_events([raised("outage")], PostgresLedger(database), town())
    rounds: list[int] = []
    out = notifier(database, hook[0], mqtt_url, StandingClock(START + HOUR))
    thread = NotifierThread(out, lambda done: rounds.append(done.delivered.sent))

    thread.start()
    wait_for(lambda: bool(rounds))
    thread.stop(10.0)

    assert rounds[0] == 2
    assert not thread.is_alive()


def test_a_text_that_power_has_overtaken_in_the_night_does_not_leave_in_the_morning(
    database: Database, hook: tuple[str, list[dict[str, object]]]
) -> None:
    """Life support is told at once, and alone hears in the morning that power is back."""
    night = 15 * HOUR
    outage, clock = raised("outage", at=night), StandingClock(START + night)
    ledger, settings = PostgresLedger(database), NoticeSettings(channel="phones")
    senders: dict[str, Sender] = {"phones": WebhookSender(hook[0], now_s=time.time, secret="s")}
    queue = NoticeQueue(database)
    out = Notifier(ledger, town(), clock, queue, [], senders, settings, "")
    desk, chief = NoticeDesk(ledger, town(), clock, settings), Actor("chief", "operator")
    with database.connection() as c:
        c.execute("DELETE FROM notice")
    apply_events([outage], ledger, town())
    out.turn()
    (draft,) = (d for d in desk.drafts() if d.trigger == "power_out")
    desk.approve(draft.id, chief)
    out.turn()
    assert queue.counts() == {"sent": 1, "waiting": 5}

    apply_events([after(outage, "cleared", 2 * HOUR, score=0.0)], ledger, town())
    clock.us = START + 24 * HOUR
    out.turn()
    (back,) = desk.drafts()
    desk.approve(back.id, chief)
    out.turn()

    assert back.trigger == "power_restored"
    assert queue.counts() == {"sent": 2, "withdrawn": 5}
    assert [m["account"] for m in hook[1]] == ["A11", "A11"]
