"""Ways out: a signed webhook and e-mail. Each has a deadline, follows nobody elsewhere, and says
in one sentence why it failed.
"""

import hashlib
import hmac
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import Final

import httpx
import orjson

from desk.delivery import DeliveryFailed
from storage.desk_records import LeasedNotice

TIMEOUT_S: Final = 10.0
SIGNATURE: Final = "X-Forewatt-Signature"
KEY: Final = "Idempotency-Key"


def signature(secret: str, sent_s: int, body: bytes) -> str:
    """The signature header: `t=<seconds>,v1=<HMAC-SHA256 of "t.body" in hex>`.

    >>> signature("s", 1, b"{}")[:24]
    't=1,v1=b253639bcd705ed1c'
    """
    digest = hmac.new(secret.encode(), f"{sent_s}.".encode() + body, hashlib.sha256)
    return f"t={sent_s},v1={digest.hexdigest()}"


class WebhookSender:
    """Posts the payload as JSON, signed if there is a secret."""

    def __init__(
        self,
        url: str,
        *,
        now_s: Callable[[], float],
        secret: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url, self._secret, self._now_s = url, secret, now_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False)

    def send(self, notice: LeasedNotice) -> None:
        """Any 2xx is taken; 4xx other than 408, 425 and 429, and any redirect, is for good."""
        body = orjson.dumps(dict(notice.payload))
        headers = {"content-type": "application/json", KEY: f"forewatt-{notice.id}"}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, int(self._now_s()), body)
        try:
            answer = self._client.post(self._url, content=body, headers=headers)
        except httpx.TimeoutException as e:
            raise DeliveryFailed("the receiver did not answer in time") from e
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise DeliveryFailed(f"the receiver cannot be reached ({e})") from e
        status = answer.status_code
        if answer.is_success:
            return
        if 300 <= status < 400:
            raise DeliveryFailed(
                f"the receiver redirects ({status}); configure its final address", permanent=True
            )
        permanent = 400 <= status < 500 and status not in (408, 425, 429)
        raise DeliveryFailed(f"the receiver answered {status}", permanent=permanent)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class EmailSender:
    """Sends the payload's text as a plain message over SMTP."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        to: str,
        *,
        user: str = "",
        password: str = "",
        tls: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._place = (host, port)
        self._sender, self._to = sender, to
        self._login = (user, password) if user else None
        self._tls, self._timeout_s = tls, timeout_s

    def send(self, notice: LeasedNotice) -> None:
        """What the server refuses with a code from 500 on is for good, everything else is tried
        again (a code below says: later; so do many servers to whom they do not know)."""
        message = self._message(notice)
        try:
            with smtplib.SMTP(*self._place, timeout=self._timeout_s) as server:
                if self._tls:
                    server.starttls(context=ssl.create_default_context())
                if self._login:
                    server.login(*self._login)
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as e:
            codes = [code for code, _ in e.recipients.values()]
            forever = all(code >= 500 for code in codes)
            raise DeliveryFailed(f"the mail server refused ({e})", permanent=forever) from e
        except smtplib.SMTPResponseException as e:
            forever = e.smtp_code >= 500
            raise DeliveryFailed(f"the mail server refused ({e})", permanent=forever) from e
        except (smtplib.SMTPException, OSError) as e:
            raise DeliveryFailed(f"the mail server failed ({e})") from e

    def _message(self, notice: LeasedNotice) -> EmailMessage:
        payload = notice.payload
        about = payload.get("commonAnnotations") or {}
        text = str(payload.get("text") or about.get("summary") or notice.subject)
        chinese = str(about.get("summary_zh") or "")
        message = EmailMessage()
        # A header ends at its line: nothing in a text may begin another one.
        message["Subject"] = " ".join(f"{notice.trigger}: {text}".split())[:200]
        message["From"], message["To"] = self._sender, self._to
        message["Message-ID"] = f"<forewatt-{notice.id}@{self._place[0]}>"
        body = [text, chinese, str(about.get("description") or "")]
        message.set_content("\n".join(line for line in body if line) + "\n")
        return message
