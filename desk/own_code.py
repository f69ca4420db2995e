"""A code by phone: how a customer without a link proves that an account is theirs.

Account and telephone number are typed; when they stand together in the records, six digits go to
that telephone. Whoever types them within ten minutes is let in, once. What is answered never says
whether account and number belong together: nobody learns here who is a customer.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from alerts.ledger import Ledger
from alerts.notices import NoticeSettings
from desk.search import digits
from grid.clock import Clock
from grid.network import Customer, Network
from storage.desk_records import Notice

LIFE_S: Final = 600.0
DIGITS: Final = 6
SENT_MAX: Final = 20  # messages looked through: more than are sent to one account in its time
PHONE_MIN: Final = 7  # digits that must be typed: fewer would be found by trying
TEXT: Final = (
    "{code} is your code for My supply, good for 10 minutes. Nobody of ours will ask you for it.",
    "您查询用电状态的验证码为{code}，10分钟内有效。我们的工作人员不会向您索要验证码。",
)


class OwnCode:
    """Codes of one site.

    Nothing is stored but the message: a code follows from the secret, the account and the time,
    and counts only where it has been sent, so an account that nobody has asked about cannot be
    opened by guessing. One that was used is remembered by the process that took it until it has
    ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        secret: bytes,
        settings: NoticeSettings | None = None,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._network, self._clock = ledger, network, clock
        self._settings = settings or NoticeSettings()
        self._key = hmac.digest(secret, b"forewatt:own code", hashlib.sha256)
        self._now_s = now_s
        self._used: dict[tuple[str, str], float] = {}

    def belongs(self, account: str, phone: str) -> bool:
        """Whether `phone` is the number of the account in the records."""
        customer = self._network.customer_by_account.get(account)
        return customer is not None and _same(customer, phone)

    def send(self, account: str, phone: str) -> None:
        """Send a code to the customer's telephone, if `phone` is its number; else do nothing."""
        if not self.belongs(account, phone):
            return
        customer = self._network.customer_by_account[account]
        code = self._code(account, self._window())
        text = TEXT[1] if self._settings.language.startswith("zh") else TEXT[0]
        now_us = self._clock.now_us()
        notice = Notice(
            # Not under the account: a code is no part of the story that clerks read.
            subject=_to(account),
            recipient=_to(account),
            trigger="own_code",
            milestone=secrets.token_hex(8),
            channel=self._settings.channel,
            payload={"to": customer.phone, "text": text.format(code=code), "trigger": "own_code"},
            not_before_us=now_us,
            created_us=now_us,
        )
        with self._ledger.transaction() as tx:
            tx.add_notices([notice])

    def take(self, account: str, code: str) -> bool:
        """Whether this is the account's code of now; it counts once."""
        now_s = self._now_s()
        self._used = {key: end for key, end in self._used.items() if end > now_s}
        given = digits(code)
        known = account in self._network.customer_by_account
        window = self._window()
        right = [
            hmac.compare_digest(given.encode(), self._code(account, w).encode())
            for w in (window, window - 1)
        ]
        if not known or not any(right) or (account, given) in self._used:
            return False
        with self._ledger.reading() as reading:
            sent = reading.notices_to(_to(account), SENT_MAX)
        if not any(given in notice.text for notice in sent):
            return False
        self._used[account, given] = now_s + 2 * LIFE_S
        return True

    def _window(self) -> int:
        return int(self._now_s() // LIFE_S)

    def _code(self, account: str, window: int) -> str:
        made = hmac.digest(self._key, f"{window}:{account}".encode(), hashlib.sha256)
        return f"{int.from_bytes(made[:8]) % 10**DIGITS:0{DIGITS}d}"


def _to(account: str) -> str:
    return f"code:{account}"


def _same(customer: Customer, phone: str) -> bool:
    """Whether a number is the customer's, however it was typed (+86, spaces, dashes)."""
    given, known = digits(phone), digits(customer.phone)
    return min(len(given), len(known)) >= PHONE_MIN and (
        given.endswith(known) or known.endswith(given)
    )
