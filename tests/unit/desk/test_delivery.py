"""Sending: slower after each failure, never for ever; a signed webhook that follows nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from alerts.notice_words import local
from alerts.notices import NoticeSettings, after_night
from desk.delivery import BACKOFF_MAX_S, TRIES_MAX, DeliveryFailed, deliver
from desk.senders import KEY, SIGNATURE, EmailSender, WebhookSender, signature
from storage.desk_records import LeasedNotice
from tests.unit.alerts.town import HOUR, START
from tests.unit.desk.receivers import Hook, Mail, hook, mail_server


def notice(tries: int = 1, channel: str = "ops", **payload: Any) -> LeasedNotice:
    return LeasedNotice(7, "alert:a", "receiver:ops", "firing", "P1", channel, payload, 0, 0, tries)


class Queue:
    """One notice, and what was decided about it."""

    def __init__(self, given: LeasedNotice) -> None:
        self.given = given
        self.done: list[tuple[str, float | str]] = []

    def lease(self, now_us: int, limit: int, lease_s: float) -> list[LeasedNotice]:
        return [self.given]

    def sent(self, notice_id: int) -> None:
        self.done.append(("sent", notice_id))

    def retry(self, notice_id: int, error: str, in_s: float) -> None:
        self.done.append(("retry", in_s))

    def bury(self, notice_id: int, error: str) -> None:
        self.done.append(("dead", error))


class Refuses:
    def send(self, notice: LeasedNotice) -> None:
        raise DeliveryFailed("busy")


@pytest.mark.parametrize(("tries", "wait_s"), [(1, 5.0), (2, 10.0), (4, 40.0), (7, 320.0)])
def test_each_failure_waits_twice_as_long(tries: int, wait_s: float) -> None:
    queue = Queue(notice(tries))
    deliver(queue, {"ops": Refuses()}, 0)

    assert queue.done == [("retry", wait_s)]
    assert wait_s <= BACKOFF_MAX_S


def test_after_the_last_try_a_person_has_to_look() -> None:
    queue = Queue(notice(TRIES_MAX))
    deliver(queue, {"ops": Refuses()}, 0)

    assert queue.done == [("dead", "busy")]


def test_a_channel_without_a_sender_is_named() -> None:
    queue = Queue(notice(channel="pigeon"))
    deliver(queue, {}, 0)

    assert queue.done == [("dead", "no sender is configured for channel 'pigeon'")]


# -- the webhook -----------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Hook]:
    with hook() as found:
        yield found


def sender(url: str, **more: Any) -> WebhookSender:
    return WebhookSender(url, now_s=lambda: 1_000.0, **more)


def test_a_webhook_is_signed_and_bears_a_stable_key(receiver: Hook) -> None:
    url, told = receiver.url, receiver
    out = sender(url, secret="s3cret")
    for _ in range(2):
        out.send(notice(text="停电"))
    out.close()

    (first, body), (second, _) = told.got
    assert json.loads(body) == {"text": "停电"}
    assert first[SIGNATURE.lower()] == signature("s3cret", 1_000, body)
    assert first[KEY.lower()] == second[KEY.lower()] == "forewatt-7"


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(500, False), (503, False), (429, False), (408, False), (400, True), (404, True), (410, True)],
)
def test_a_receiver_that_does_not_take_it_is_tried_again_or_given_up(
    receiver: Hook, status: int, permanent: bool
) -> None:
    url, told = receiver.url, receiver
    told.answer = status
    out = sender(url)

    with pytest.raises(DeliveryFailed, match=str(status)) as failed:
        out.send(notice())
    out.close()
    assert failed.value.permanent == permanent


def test_a_redirect_is_not_followed(receiver: Hook) -> None:
    url, told = receiver.url, receiver
    with hook() as other:
        told.answer, told.headers = 302, {"location": other.url}
        out = sender(url)
        with pytest.raises(DeliveryFailed, match="final address") as failed:
            out.send(notice())
        out.close()

        assert failed.value.permanent
        assert other.got == []


def test_a_receiver_that_hangs_is_left_at_the_deadline_and_tried_again(receiver: Hook) -> None:
    receiver.hangs = True
    out = sender(receiver.url, timeout_s=0.2)

    with pytest.raises(DeliveryFailed, match="in time") as failed:
        out.send(notice())
    out.close()

    assert (failed.value.permanent, len(receiver.got)) == (False, 1)


def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    out = sender("http://127.0.0.1:9/", timeout_s=2.0)
    with pytest.raises(DeliveryFailed, match="cannot be reached") as failed:
        out.send(notice())
    out.close()
    assert not failed.value.permanent


# -- e-mail ----------------------------------------------------------------------------------


@pytest.fixture
def mail() -> Iterator[Mail]:
    with mail_server() as found:
        yield found


def mailer(mail: Mail, **more: Any) -> EmailSender:
    return EmailSender(
        "127.0.0.1", mail.port, "fw@example.org", "ops@example.org", tls=False, **more
    )


def test_a_mail_arrives_with_its_words_in_both_languages(mail: Mail) -> None:
    about = {"summary": "Outage at T1", "summary_zh": "T1台区停电", "description": "6 last gasps"}
    for _ in range(2):
        mailer(mail).send(notice(commonAnnotations=about))

    first, second = mail.got
    assert (first["From"], first["To"]) == ("fw@example.org", "ops@example.org")
    assert first["Subject"] == "firing: Outage at T1"
    assert first["Message-ID"] == second["Message-ID"] == "<forewatt-7@127.0.0.1>"
    assert first.get_content().splitlines() == [
        "Outage at T1",
        "T1台区停电",
        "6 last gasps",
    ]


@pytest.mark.parametrize(
    ("command", "answer", "permanent"),
    [
        ("RCPT", "550 no such mailbox", True),
        ("RCPT", "450 come back later", False),
        ("MAIL", "553 not from there", True),
        ("MAIL", "452 disk full", False),
        ("DATA", "554 no mail taken here", True),
        ("DATA", "451 local error", False),
    ],
)
def test_a_mail_server_refuses_for_good_or_for_now(
    mail: Mail, command: str, answer: str, permanent: bool
) -> None:
    mail.refuses[command] = answer

    with pytest.raises(DeliveryFailed, match=answer[:3]) as failed:
        mailer(mail).send(notice(text="停电"))

    assert (failed.value.permanent, mail.got) == (permanent, [])


def test_a_mail_server_that_hangs_is_left_at_the_deadline_and_tried_again(mail: Mail) -> None:
    mail.hangs = True

    with pytest.raises(DeliveryFailed) as failed:
        mailer(mail, timeout_s=0.2).send(notice(text="停电"))

    assert not failed.value.permanent


def test_a_mail_is_not_sent_in_the_clear_where_encryption_is_asked_for(mail: Mail) -> None:
    out = EmailSender("127.0.0.1", mail.port, "a@example.org", "b@example.org", tls=True)

    with pytest.raises(DeliveryFailed):
        out.send(notice(text="停电"))

    assert mail.got == []


def test_a_mail_cannot_be_given_more_headers_by_its_text() -> None:
    mail = EmailSender("mail.example", 25, "forewatt@example", "ops@example")
    made = mail._message(notice(text="outage\r\nBcc: everybody@example"))

    assert made["Bcc"] is None
    assert made["Subject"] == "firing: outage Bcc: everybody@example"
    assert made["Message-ID"] == "<forewatt-7@mail.example>"


def test_a_mail_server_that_is_not_there_is_tried_again() -> None:
    mail = EmailSender("127.0.0.1", 9, "a@example", "b@example", timeout_s=2.0)
    with pytest.raises(DeliveryFailed) as failed:
        mail.send(notice(text="x"))
    assert not failed.value.permanent


# -- the night -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hour", "goes"), [(21, 21), (22, 31), (23, 31), (24, 31), (30, 31), (31, 31), (35, 35)]
)
def test_ordinary_notices_wait_until_the_morning(hour: int, goes: int) -> None:
    midnight = START - 8 * HOUR  # in Shanghai

    got = after_night(midnight + hour * HOUR, NoticeSettings())

    assert got == midnight + goes * HOUR
    assert local(got, "Asia/Shanghai").minute == 0
