"""召测: ask the head-end to read some meters now; rate-limited, audited, absent where not set up.

The head-end is another system with its own way to the meters; we only ask it. Its address comes
from the configuration, never from a request. What it answered is kept as human input, so the
inference counts an answered ping as life and an unanswered one as a hint.
"""

import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Protocol

import httpx
import orjson

from alerts.errors import DeskError, MissingDetail, WrongRole
from alerts.ledger import Ledger
from alerts.roles import Actor, Role
from desk.senders import SIGNATURE, signature
from grid.clock import Clock
from grid.errors import ForewattError
from grid.network import Network
from storage.desk_records import HumanInput

DEVICES_MAX: Final = 50
PER_MINUTE: Final = 120  # devices a site asks for; a head-end serves others too
AGAIN_US: Final = 60_000_000  # the same meter not more often
TIMEOUT_S: Final = 20.0
ANSWER_BYTES_MAX: Final = 1_000_000
_ROLES: Final[tuple[Role, ...]] = (
    "operator",
    "clerk",
    "dispatcher",
    "engineer",
    "supervisor",
    "admin",
)


class TooOften(DeskError):
    """Asked too often; nothing was sent."""


class HeadEndFailed(DeskError):
    """The head-end did not answer as agreed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One meter's answer: whether it lives, and its voltage if it told one."""

    device: str
    answered: bool
    time: str | None = None
    volts: float | None = None


class HeadEnd(Protocol):
    """Who can read meters now."""

    def read(self, devices: Sequence[str], request_id: str) -> Sequence[Answered]:
        """The answers, unanswered meters included or left out; ForewattError when it fails."""


class HttpHeadEnd:
    """A head-end behind one address: POST `{"request_id", "devices"}`, answered by
    `{"results": [{"device", "answered", "time"?, "v_a"?}]}`; signed if there is a secret."""

    def __init__(
        self,
        url: str,
        *,
        now_s: Callable[[], float],
        secret: str = "",
        token: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url, self._secret, self._token, self._now_s = url, secret, token, now_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False)

    def read(self, devices: Sequence[str], request_id: str) -> Sequence[Answered]:
        body = orjson.dumps({"request_id": request_id, "devices": list(devices)})
        headers = {"content-type": "application/json"}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, int(self._now_s()), body)
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        try:
            answer = self._client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise ForewattError(f"the head-end cannot be reached ({type(e).__name__})") from e
        if not answer.is_success:
            raise ForewattError(f"the head-end answered {answer.status_code}")
        if len(answer.content) > ANSWER_BYTES_MAX:
            raise ForewattError("the head-end's answer is too long")
        return _answers(answer.content)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


def _answers(content: bytes) -> list[Answered]:
    try:
        rows: Any = orjson.loads(content)["results"]
        return [
            Answered(
                str(r["device"]),
                bool(r["answered"]),
                str(r["time"]) if r.get("time") else None,
                float(r["v_a"]) if r.get("v_a") is not None else None,
            )
            for r in rows
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as e:
        raise ForewattError(
            'the head-end\'s answer is not {"results": [{"device", "answered"}]}'
        ) from e


class ReadNow:
    """The button. Make one for a site; without a head-end there is none to make."""

    def __init__(
        self,
        head_end: HeadEnd,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        *,
        per_minute: int = PER_MINUTE,
    ) -> None:
        self.head_end, self.ledger, self.network, self.clock = head_end, ledger, network, clock
        self._per_minute = per_minute
        self._asked: deque[tuple[int, str]] = deque()
        self._lock = Lock()

    def ask(
        self, devices: Sequence[str], actor: Actor, *, incident_id: int | None = None
    ) -> Mapping[str, Answered]:
        """Ask for some meters; what each answered (unanswered ones say so).

        Raises WrongRole, MissingDetail (unknown meter, too many), TooOften, HeadEndFailed; the
        last is noted all the same: somebody did ask.
        """
        if actor.role not in _ROLES:
            raise WrongRole("read_now", "ask meters", "召测", actor.role, _ROLES)
        wanted = list(dict.fromkeys(devices))
        unknown = [d for d in wanted if d not in self.network.device_index]
        if not wanted or unknown or len(wanted) > DEVICES_MAX:
            raise MissingDetail(
                "devices",
                f"Name 1 to {DEVICES_MAX} meters of this network"
                + (f"; unknown: {', '.join(unknown[:3])}." if unknown else "."),
                f"请选择1至{DEVICES_MAX}块台账内的电能表。",
            )
        now_us = self.clock.now_us()
        self._take(wanted, now_us)
        request_id = uuid.uuid4().hex
        problem = ""
        found: dict[str, Answered] = {}
        try:
            found = {a.device: a for a in self.head_end.read(wanted, request_id)}
        except ForewattError as e:
            problem = str(e)
        answers = {d: found.get(d, Answered(d, False)) for d in wanted}
        given: dict[str, Any] = {
            "request_id": request_id,
            "devices": wanted,
            "answers": {} if problem else {d: a.answered for d, a in answers.items()},
            "problem": problem,
        }
        subject = f"incident:{incident_id}" if incident_id is not None else f"device:{wanted[0]}"
        with self.ledger.transaction() as tx:
            tx.add_human_input(HumanInput("read_now", subject, actor.name, now_us, given))
        if problem:
            raise HeadEndFailed(
                f"No meter was asked: {problem}. Try again later or call the head-end's desk.",
                "召测未成功，请稍后重试或联系采集主站。",
            )
        return answers

    def _take(self, devices: Sequence[str], now_us: int) -> None:
        with self._lock:
            while self._asked and self._asked[0][0] <= now_us - AGAIN_US:
                self._asked.popleft()
            lately = {d for _, d in self._asked}
            if lately & set(devices):
                raise TooOften(
                    "That meter was asked within the last minute; wait for its answer.",
                    "该表一分钟内已召测，请稍候。",
                )
            if len(self._asked) + len(devices) > self._per_minute:
                raise TooOften(
                    f"{self._per_minute} meters were asked within the last minute; wait a little.",
                    "召测过于频繁，请稍候。",
                )
            self._asked.extend((now_us, d) for d in devices)
