"""Ways out and promises as a site configures them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.service import PRESETS
from desk.senders import EmailSender, WebhookSender
from forewatt.config import load_config
from forewatt.notifying import MqttSender, receivers_of, sender_of
from grid.errors import BadInput

HEAD = """
[database]
url = "postgresql://f@127.0.0.1/f"
[[mqtt]]
url = "mqtt://127.0.0.1:1883"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "forewatt.toml"
    path.write_text(HEAD + text)
    return path


def test_a_site_changes_single_times_of_a_preset(tmp_path: Path) -> None:
    config = load_config(
        written(tmp_path, '[desk]\nservice_level = "regulation"\narrive_rural_min = 75\n')
    )

    level = config.desk.level
    assert level.arrive == {**PRESETS["regulation"].arrive, "rural": 75}
    assert level.restore == PRESETS["regulation"].restore
    assert level.name == PRESETS["regulation"].name


def test_a_receiver_gets_the_sender_of_its_address(tmp_path: Path) -> None:
    text = """
[[notify]]
name = "noc"
url = "https://alerts.example.org/hook"
[[notify]]
name = "mail"
url = "smtp+tls://mail.example.org"
sender = "forewatt@example.org"
to = "duty@example.org"
faults = ["outage"]
[[notify]]
name = "bus"
url = "mqtt://127.0.0.1:1883/forewatt/alerts"
[[notify]]
name = "phones"
url = "http://127.0.0.1:9/sms"
what = "customers"
"""
    config = load_config(written(tmp_path, text))

    kinds = [type(sender_of(r)) for r in config.notify]
    assert kinds == [WebhookSender, EmailSender, MqttSender, WebhookSender]
    told = receivers_of(config.notify)
    assert [r.name for r in told] == ["noc", "mail", "bus"]
    assert told[1].faults == frozenset({"outage"})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[notify]]\nname = "a"\nurl = "ftp://x"\n', "notify[1].url"),
        ('[[notify]]\nname = "a"\nurl = "smtp://mail"\n', "notify[1].url"),
        ('[[notify]]\nname = "a"\nurl = "mqtt://broker"\n', "notify[1].url"),
        ('[[notify]]\nname = "a"\nurl = "http://u:p@x/y"\n', "notify[1].url"),
        (
            '[[notify]]\nname = "a"\nurl = "http://x/y"\n' * 2,
            "notify[2].name",
        ),
        ('[head_end]\nurl = "mqtt://x"\n', "head_end.url"),
        ('[desk]\nservice_level = "best"\n', "desk.service_level"),
    ],
)
def test_a_way_out_that_leads_nowhere_is_refused_by_its_key(
    tmp_path: Path, text: str, key: str
) -> None:
    with pytest.raises(BadInput, match=key.replace("[", r"\[").replace("]", r"\]")):
        load_config(written(tmp_path, text))
