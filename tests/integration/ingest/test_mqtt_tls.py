"""A real broker with TLS: certificates of both sides, passwords from files, and what goes wrong."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from forewatt.services import find_or_fetch
from forewatt.services.ports import free_port, is_listening
from ingest.journal import SqliteJournal
from ingest.settings import MqttSource
from tests.integration.ingest.rig import (
    mqtt_collector,
    network_of,
    publish,
    publisher,
    rows,
    running,
)
from tests.integration.ingest.test_mqtt import now_ms
from tests.waiting import wait_for

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def broker(tmp_path: Path, authority: trustme.CA) -> Iterator[tuple[str, str]]:
    """(mqtts address that asks for a client certificate, plain address for the meters)."""
    server = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    for part in server.cert_chain_pems:
        part.write_to_path(tmp_path / "server.pem", append=True)
    client = authority.issue_cert("collector@example.org", common_name="forewatt")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    for part in client.cert_chain_pems:
        part.write_to_path(tmp_path / "client.pem", append=True)
    secure, plain = free_port(), free_port()
    file = tmp_path / "mosquitto.conf"
    file.write_text(
        f"per_listener_settings true\nlistener {secure} 127.0.0.1\nrequire_certificate true\n"
        f"use_identity_as_username true\ncafile {tmp_path}/ca.pem\n"
        f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
        f"listener {plain} 127.0.0.1\nallow_anonymous true\nuser root\n"
    )
    process = subprocess.Popen(
        [find_or_fetch().mosquitto, "-c", file],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: is_listening(secure) and is_listening(plain))
        yield f"mqtts://127.0.0.1:{secure}", f"mqtt://127.0.0.1:{plain}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture
def source(broker: tuple[str, str], tmp_path: Path) -> MqttSource:
    return MqttSource(
        broker[0],
        client_id="tls",
        ca=tmp_path / "ca.pem",
        cert=tmp_path / "client.pem",
        key=tmp_path / "client.key",
    )


def test_readings_come_over_an_encrypted_connection_with_certificates_of_both_sides(
    broker: tuple[str, str], source: MqttSource, tmp_path: Path
) -> None:
    """A large burst too: TLS holds decrypted bytes back that no poll of the socket shows."""
    journal = SqliteJournal(tmp_path / "journal")
    collector, metrics = mqtt_collector(source, journal, network_of("M1"))
    t = now_ms()
    with running(collector), publisher(broker[1]) as meter:
        wait_for(lambda: metrics.connected)
        publish(meter, [("forewatt/v1/M1/readings", {"t": t + i, "v_a": 230}) for i in range(500)])
        wait_for(lambda: metrics.readings == 500, 20, "all readings")

    assert [("M1", t + i) for i in range(500)] == rows(journal)
    assert "" == metrics.trouble
    journal.close()


def test_a_collector_without_a_certificate_is_told_so(source: MqttSource, tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal")
    collector, metrics = mqtt_collector(
        replace(source, cert=None, key=None), journal, network_of("M1")
    )
    with running(collector):
        wait_for(lambda: metrics.trouble != "", 20, "the refusal")

    assert not metrics.connected
    assert "certificate" in metrics.trouble.lower()
    journal.close()


def test_a_broker_of_another_authority_is_not_trusted(source: MqttSource, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    journal = SqliteJournal(tmp_path / "journal")
    collector, metrics = mqtt_collector(
        replace(source, ca=tmp_path / "other.pem"), journal, network_of("M1")
    )
    with running(collector):
        wait_for(lambda: metrics.trouble != "", 20, "the refusal")

    assert not metrics.connected
    assert "TLS failed" in metrics.trouble
    journal.close()
