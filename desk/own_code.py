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

from alerts.ledger import Ledger, Reading
from alerts.notices import NoticeSettings
from desk.search import digits
from grid.clock import Clock
from grid.network import Customer, Network
from storage.desk_records import HumanInput, Notice

LIFE_S: Final = 600.0
DIGITS: Final = 6
SENT_MAX: Final = 20  # messages looked through: more than are sent to one account in its time
USED: Final = "own_code"
PHONE_MIN: Final = 7  # digits that must be typed: fewer would be found by trying
TEXT: Final = (
    "{code} is your code for My supply, good for 10 minutes. Nobody of ours will ask you for it.",
    "您查询用电状态的验证码为{code}，10分钟内有效。我们的工作人员不会向您索要验证码。",
)


class OwnCode:
    """Codes of one site.

    Nothing is stored but the message and that a code was used: a code follows from the secret,
    the account, the time and the use before it, and counts only where it has been sent, so an
    account that nobody has asked about cannot be opened by guessing. A use is a row that every
    process reads: from then on no code sent before it is right, in whichever process it is typed.
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

    def belongs(self, account: str, phone: str) -> bool:
        """Whether `phone` is the number of the account in the records."""
        customer = self._network.customer_by_account.get(account)
        return customer is not None and _same(customer, phone)

    def send(self, account: str, phone: str) -> None:
        """Send a code to the customer's telephone, if `phone` is its number; else do nothing."""
        if not self.belongs(account, phone):
            return
        customer = self._network.customer_by_account[account]
        text = TEXT[1] if self._settings.language.startswith("zh") else TEXT[0]
        now_us = self._clock.now_us()
        with self._ledger.transaction() as tx:
            said = text.format(code=self._code(account, self._window(), _last_use(tx, account)))
            notice = Notice(
                # Not under the account: a code is no part of the story that clerks read.
                subject=_to(account),
                recipient=_to(account),
                trigger="own_code",
                milestone=secrets.token_hex(8),
                channel=self._settings.channel,
                payload={"to": customer.phone, "text": said, "trigger": "own_code"},
                not_before_us=now_us,
                created_us=now_us,
            )
            tx.add_notices([notice])

    def take(self, account: str, code: str) -> bool:
        """Whether this is the account's code of now; it counts once."""
        given = digits(code)
        with self._ledger.reading() as reading:  # a guess must not make writers wait
            if not self._good(reading, account, given):
                return False
        with self._ledger.transaction() as tx:
            if not self._good(tx, account, given):  # used meanwhile, perhaps elsewhere
                return False
            now_us = self._clock.now_us()
            tx.add_human_input(HumanInput(USED, _to(account), account, now_us))
        return True

    def _good(self, reading: Reading, account: str, given: str) -> bool:
        if account not in self._network.customer_by_account:
            return False
        window, last = self._window(), _last_use(reading, account)
        right = [
            hmac.compare_digest(given.encode(), self._code(account, w, last).encode())
            for w in (window, window - 1)
        ]
        sent = reading.notices_to(_to(account), SENT_MAX)
        return any(right) and any(given in notice.text for notice in sent)

    def _window(self) -> int:
        return int(self._now_s() // LIFE_S)

    def _code(self, account: str, window: int, last_use: int) -> str:
        made = hmac.digest(self._key, f"{window}:{last_use}:{account}".encode(), hashlib.sha256)
        return f"{int.from_bytes(made[:8]) % 10**DIGITS:0{DIGITS}d}"


def _to(account: str) -> str:
    return f"code:{account}"


def _last_use(reading: Reading, account: str) -> int:
    """The newest use of a code of this account, 0 before the first: it makes all before it void."""
    used = reading.human_inputs(subject=_to(account), kinds=(USED,), limit=1)
    return used[-1].id if used else 0


def _same(customer: Customer, phone: str) -> bool:
    """Whether a number is the customer's, however it was typed (+86, spaces, dashes)."""
    given, known = digits(phone), digits(customer.phone)
    return min(len(given), len(known)) >= PHONE_MIN and (
        given.endswith(known) or known.endswith(given)
    )
