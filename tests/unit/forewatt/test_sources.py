"""Brokers, buses and folders are dealt out to collecting processes, each once."""

from __future__ import annotations

from pathlib import Path

from forewatt.config import load_config
from forewatt.run import processes
from forewatt.sources import Share, collector_settings, what_works

TEXT = """
[database]
url = "postgresql://a@b/c"
[[mqtt]]
url = "mqtt://broker"
topics = ["forewatt/v1/+/readings"]
[[mqtt]]
url = "mqtt://other"
[[mqtt]]
url = "mqtt://broker"
topics = ["forewatt/v1/+/batch"]
{more}
[[modbus]]
url = "tcp://10.0.0.1:502"
units = [{{ unit = 1, device = "T1", profile = "sdm630" }}]
[collect]
processes = 2
"""


def config_of(folder: Path, more: str = "") -> Path:
    path = folder / "forewatt.toml"
    path.write_text(TEXT.format(more=more))
    return path


def test_two_processes_share_the_sources_without_overlap(tmp_path: Path) -> None:
    config = load_config(config_of(tmp_path))

    first, second = (collector_settings(config, "journal", Share(n, 2)) for n in range(2))

    assert [("mqtt://broker", ""), ("mqtt://broker", "#2")] == [
        (source.url, source.label) for source in first.mqtt
    ]
    assert ["mqtt://other"] == [source.url for source in second.mqtt]
    assert (1, 0) == (len(first.modbus), len(second.modbus))
    ids = [source.client_id for source in (*first.mqtt, *second.mqtt)]
    assert ["forewatt-journal", "forewatt-journal-2", "forewatt-journal"] == ids
    assert ["collect", "web", "collect-2"] == processes(("collect", "web"), 2)


def test_a_broker_that_is_wrong_does_not_deal_the_others_anew(tmp_path: Path) -> None:
    config = load_config(config_of(tmp_path))
    old = collector_settings(config, "journal", Share(1, 2))
    changed = load_config(config_of(tmp_path, 'mappings = ["lost.toml"]'))

    first, troubles = what_works(
        changed, collector_settings(config, "journal"), "journal", Share(0, 2)
    )
    second, none = what_works(changed, old, "journal", Share(1, 2))

    assert ["", "#2"] == [source.label for source in first.mqtt]
    (trouble,) = troubles
    assert "[[mqtt]] mqtt://broker#2" in trouble and trouble.endswith("(it goes on as it was)")
    assert (old.mqtt, []) == (second.mqtt, none)
