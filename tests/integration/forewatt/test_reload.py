"""A changed configuration is taken over while messages come; what is wrong in it stays outside."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from forewatt.cli import main
from forewatt.collect import serve
from forewatt.config import load_config
from forewatt.health import HealthFile, read_reports
from forewatt.site import Place
from grid.clock import RealClock
from ingest.journal import SqliteJournal
from tests.integration.ingest.rig import entries, publish, publisher, rows
from tests.integration.ingest.test_broker_check import mosquitto
from tests.waiting import wait_for

pytestmark = pytest.mark.services

MAPPING = """
[[mapping]]
name = "box"
topic = "{root}/{{device}}/up"
device = "{{device}}"
[mapping.values]
v_a = "u"
"""


class Site:
    """A configuration file that can be changed, and its collector in a thread."""

    def __init__(self, folder: Path, mqtt_url: str) -> None:
        self.folder, self.url, self.root = folder, mqtt_url, f"reload-{uuid4().hex[:8]}"
        network = folder / "network"
        network.mkdir()
        (network / "devices.csv").write_text("device,kind,interval_s\nM1,meter,60\nM2,meter,60\n")
        self.file = folder / "forewatt.toml"
        self.configure()

    def configure(self, broker: str = "", more: str = "") -> None:
        self.file.write_text(
            '[database]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n'
            '[network]\npath = "network"\n'
            f'[[mqtt]]\nurl = "{self.url}"\ntopics = ["forewatt/v1/{self.root}/batch"]\n{broker}\n'
            f"{more}\n"
        )

    @contextmanager
    def collecting(self) -> Iterator[None]:
        config = load_config(self.file)
        place = Place.of(config)
        health, stop = HealthFile(place.health, "collect"), threading.Event()
        thread = threading.Thread(target=serve, args=(config, place, health, stop))
        thread.start()
        try:
            wait_for(lambda: self.report("connected").get(self.source) == 1, 20, "the connection")
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()

    @property
    def source(self) -> str:
        return f"mqtt {self.url.removeprefix('mqtt://')}"

    def report(self, name: str) -> dict[str, Any]:
        found = read_reports(self.folder / "journal" / "health").get("collect")
        return dict(found.detail.get(name, {})) if found else {}

    def reload(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
        capsys.readouterr()
        status = main(["reload", "--config", str(self.file), "--json"])
        return status, json.loads(capsys.readouterr().out)["troubles"]

    def rows(self) -> list[tuple[str, int]]:
        journal = SqliteJournal(self.folder / "journal")
        try:
            return rows(journal)
        finally:
            journal.close()


@pytest.fixture
def site(tmp_path: Path, mqtt_url: str) -> Site:
    return Site(tmp_path, mqtt_url)


def batch(seq: int, device: str = "M1") -> dict[str, Any]:
    return {"t": RealClock().now_us() // 1000, "device": [device], "seq": [seq], "v_a": [230.0]}


def test_a_mapping_is_added_while_messages_come_and_none_is_lost(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = 0
    with site.collecting(), publisher(site.url) as client:
        (site.folder / "box.toml").write_text(MAPPING.format(root=site.root))
        topic = f"forewatt/v1/{site.root}/batch"
        stop = threading.Event()

        def stream() -> None:
            nonlocal sent
            while not stop.wait(0.002):
                publish(client, [(topic, batch(sent))])
                sent += 1

        thread = threading.Thread(target=stream)
        thread.start()
        wait_for(lambda: sent > 20)
        site.configure(broker='mappings = ["box.toml"]')
        answer = site.reload(capsys)
        wait_for(lambda: site.report("connections_total").get(site.source) == 2, 20, "it is back")
        stop.set()
        thread.join(10)
        publish(client, [(f"{site.root}/M2/up", {"u": 231})])
        wait_for(lambda: len(site.rows()) > sent, 20, "all rows in the journal")

    journal = SqliteJournal(site.folder / "journal")
    seqs = [int(s) for e in entries(journal) for s in e.record.batch.seq if s >= 0]
    journal.close()
    assert (0, []) == answer
    assert set(range(sent)) == set(seqs)
    assert "M2" in {device for device, _ in site.rows()}


def test_a_source_that_did_not_change_goes_on_undisturbed(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    with site.collecting():
        site.configure(more=f'[[files]]\npath = "{tmp_path / "inbox"}"\n')

        answer = site.reload(capsys)

        wait_for(lambda: site.report("connected").get("files inbox") == 1, 20, "the folder")
        assert (0, []) == answer
        assert 1 == site.report("connections_total")[site.source]


def test_a_bad_part_disables_only_itself_and_is_named(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    with site.collecting():
        site.configure(
            broker='mappings = ["box.tml"]',
            more=f'[[files]]\npath = "{tmp_path / "inbox"}"\n'
            '[[modbus]]\nurl = "tcp://127.0.0.1:1"\n'
            'units = [{ unit = 1, device = "M2", profile = "sdm360" }]\n',
        )

        status, troubles = site.reload(capsys)

        wait_for(lambda: site.report("connected").get("files inbox") == 1, 20, "the folder")
        assert 1 == status
        broker, bus = troubles
        assert "box.tml" in broker and broker.endswith("(it goes on as it was)")
        assert "sdm630" in bus and bus.endswith("(it is left out)")
        assert 1 == site.report("connected")[site.source]


def test_a_file_that_cannot_be_read_changes_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with site.collecting():
        text = site.file.read_text()
        site.file.write_text(text.replace("[[mqtt]]", "[[mqtt]]\nkeepaliv_s = 5"))
        wait_for(lambda: read_reports(site.folder / "journal" / "health")["collect"].ready, 20)
        site.file.write_text(text)
        request = site.folder / "journal" / "reload"
        site.file.write_text(text.replace("[[mqtt]]", "[[mqtt]]\nkeepaliv_s = 5"))
        request.write_text("1")

        wait_for(
            lambda: bool(read_reports(site.folder / "journal" / "health")["collect"].reload), 20
        )

        report = read_reports(site.folder / "journal" / "health")["collect"]
        (trouble,) = report.reload["troubles"]
        assert "Did you mean 'keepalive_s'" in trouble and "(nothing was changed)" in trouble
        assert 1 == site.report("connected")[site.source]


def test_without_a_running_collector_there_is_nothing_to_reload(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["reload", "--config", str(site.file)])

    assert 1 == status
    assert "no collector runs with this configuration" in capsys.readouterr().err


def test_a_broker_that_would_drop_messages_is_named_at_the_start(tmp_path: Path) -> None:
    """Mosquitto's own defaults keep 1,000 messages for one that is away."""
    with mosquitto(tmp_path, "") as url:
        site = Site(tmp_path, url)
        with site.collecting():
            wait_for(lambda: site.report("warnings"), 30, "the finding")

            (finding,) = site.report("warnings")[site.source]

    assert "set max_queued_messages 0" in finding
