"""The demo's telephones: what is sent to customers arrives in one file, each text once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from desk.delivery import DeliveryFailed
from desk.senders import WebhookSender
from forewatt.phones import BYTES_MAX, Telephones
from storage.desk_records import LeasedNotice


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[Telephones]:
    with Telephones(0, tmp_path / "texts.txt") as made:
        yield made


def url(phones: Telephones) -> str:
    return f"http://127.0.0.1:{phones.server_port}/texts"


def sender(phones: Telephones) -> WebhookSender:
    return WebhookSender(url(phones), now_s=lambda: 1.0)


def notice(number: int, text: Any, to: str = "139") -> LeasedNotice:
    payload = {"to": to, "text": text}
    return LeasedNotice(number, "s", "r", "power_out", "", "telephones", payload, 0, 0, 0)


def test_a_text_that_is_sent_again_is_written_down_once(phones: Telephones) -> None:
    send = sender(phones)
    send.send(notice(1, "杏园路停电，\n正在处理"))
    send.send(notice(1, "杏园路停电，\n正在处理"))
    send.send(notice(2, "back"))

    assert phones.file.read_text("utf-8") == "139  杏园路停电， 正在处理\n139  back\n"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"to": "1"}', b"x" * (BYTES_MAX + 1)])
def test_what_is_no_text_is_refused_and_the_next_one_is_taken(
    body: bytes, phones: Telephones
) -> None:
    answer = httpx.post(url(phones), content=body)
    sender(phones).send(notice(1, "back"))

    assert 400 == answer.status_code
    assert phones.file.read_text("utf-8") == "139  back\n"


def test_telephones_that_are_gone_are_tried_again_later(tmp_path: Path) -> None:
    with Telephones(0, tmp_path / "texts.txt") as phones:
        send = sender(phones)

    with pytest.raises(DeliveryFailed) as failed:
        send.send(notice(1, "x"))

    assert not failed.value.permanent
