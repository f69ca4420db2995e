"""The live stream: the outbox as server-sent events, with nothing lost between page and stream.

One thread waits for the outbox and renders each message once a language; every client has a
bounded queue. A page carries the number of the last message it has seen, the stream replays from
there out of the database, and the browser resumes by `Last-Event-ID`. A client that cannot keep
up is let go: it comes back and replays.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from alerts.roles import may_see
from grid.errors import ForewattError
from grid.records import OutboxMessage
from web.doors import LiveLedger
from web.i18n import LANGUAGES, Language
from web.policy import PERSONAL_DATA

log = logging.getLogger(__name__)

QUEUE_MAX: Final = 2_000
REPLAY_BATCH: Final = 500
REPLAY_MAX: Final = 5_000
WAIT_S: Final = 1.0
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
FIGURES_EVERY_S: Final = 5.0
# After something was handed on, the hub lets news gather for so long a client. A piece to each of
# 500 pages costs a worker some 75 ms, so it must not do that for every single alert.
GATHER_S, GATHER_S_MAX = 0.0005, 0.25


@dataclass(frozen=True, slots=True)
class Frame:
    """One event, ready to be sent, by language; `seq` None for what is not replayed."""

    seq: int | None
    topic: str
    text: dict[Language, bytes]
    work: str = ""

    def visible(self, role: str) -> bool:
        """Calls carry names and phones, inspection is nobody's business at the counter."""
        if self.topic == "contact" and role not in PERSONAL_DATA:
            return False
        return not self.work or may_see(self.work, role)


@dataclass(slots=True, eq=False)
class Client:
    """One open page."""

    role: str
    language: Language
    joined_at: int = 0
    topics: frozenset[str] | None = None  # None: all of them
    queue: asyncio.Queue[Frame] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    behind: bool = False

    def wants(self, frame: Frame) -> bool:
        """Whether it is shown this frame: its role may see it, and it has asked for its topic."""
        asked = self.topics is None or frame.seq is None or frame.topic in self.topics
        return asked and frame.visible(self.role)


def event(name: str, data: object, seq: int | None = None) -> bytes:
    """A server-sent event; JSON holds no line break, so one data line always suffices.

    >>> event("beat", {"live": True}, 7)
    b'id: 7\\nevent: beat\\ndata: {"live":true}\\n\\n'
    """
    head = f"id: {seq}\n" if seq is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


class TooManyStreams(ForewattError):
    """All live streams of this process are taken; close a page or raise `[web] streams_max`."""


class Hub:
    """Waits for the outbox in a thread of its own and hands frames to the clients.

    Parameters
    ----------
    render : messages and languages to frames, in the same order
    figures : the header's figures in a language, sent when something happened and every 5 s
    beat : what an idle stream says (site time, speed)
    """

    def __init__(
        self,
        ledger: LiveLedger,
        render: Callable[[Sequence[OutboxMessage], Sequence[Language]], list[Frame]],
        figures: Callable[[Language], dict[str, Any]],
        beat: Callable[[], dict[str, Any]],
        *,
        streams_max: int = 1_000,
        heartbeat_s: float = 5.0,
        recheck_s: float = 30.0,
    ) -> None:
        self._ledger, self._render, self._figures, self._beat = ledger, render, figures, beat
        self.streams_max, self.heartbeat_s = streams_max, heartbeat_s
        self.recheck_s = recheck_s
        self.clients: set[Client] = set()
        self.seq = 0
        self.live = False
        self.trouble = ""
        self.dropped = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to wait; call from the event loop."""
        self._loop = asyncio.get_running_loop()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop waiting and end every stream."""
        self._stop.set()
        for client in tuple(self.clients):
            client.behind = True
            _offer(client, _END)
        if self._thread:
            self._thread.join(timeout=5.0)

    @property
    def started(self) -> bool:
        """Whether it waits for the outbox."""
        return self._thread is not None and not self._stop.is_set()

    @property
    def ready(self) -> bool:
        """Whether new messages would reach the pages now."""
        return self.live and self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        failures, drawn, dirty, head = 0, 0.0, True, False
        while not self._stop.is_set():
            try:
                if not head:
                    with self._ledger.reading() as r:
                        self.seq = max(self.seq, r.outbox_head())
                    head = True
                # The first time, and after trouble, pages wait to hear that they are live.
                messages = self._ledger.wait_outbox(self.seq, WAIT_S if self.live else 0.02)
                failures = 0
                self._say_live(True, "")
                if messages:
                    self._hand(self._render(messages, self._languages()))
                    self.seq, dirty = messages[-1].seq, True
                    self._stop.wait(min(GATHER_S_MAX, GATHER_S * len(self.clients)))
                now = time.monotonic()
                if self.clients and now - drawn >= (WAIT_S if dirty else FIGURES_EVERY_S):
                    texts = {x: event("figures", self._figures(x)) for x in self._languages()}
                    self._hand([Frame(None, "figures", texts)])
                    drawn, dirty = now, False
            except Exception as e:
                if not isinstance(e, ForewattError):
                    log.exception("the outbox could not be handed on; it is tried again")
                # /readyz and every page say so until it works again.
                self._say_live(False, str(e) or type(e).__name__)
                self._stop.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    def _languages(self) -> list[Language]:
        used = {c.language for c in tuple(self.clients)}
        return [x for x in LANGUAGES if x in used]

    def _say_live(self, live: bool, trouble: str) -> None:
        changed, self.live, self.trouble = self.live != live, live, trouble
        if changed:
            beat = event("beat", {**self._beat(), "live": live})
            self._hand([Frame(None, "beat", dict.fromkeys(LANGUAGES, beat))])

    def _hand(self, frames: list[Frame]) -> None:
        if self._loop and frames and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, frames)

    def _deliver(self, frames: list[Frame]) -> None:
        for client in tuple(self.clients):
            for frame in frames:
                if not _offer(client, frame):
                    # It cannot keep up: end its stream, the browser replays from the database.
                    client.behind = True
                    self.dropped += 1
                    self.clients.discard(client)
                    break

    # -- one client ------------------------------------------------------------------------

    def join(self, role: str, language: Language, topics: frozenset[str] | None = None) -> Client:
        """A place for one more page; TooManyStreams when there is none."""
        if len(self.clients) >= self.streams_max:
            raise TooManyStreams(TooManyStreams.__doc__ or "")
        client = Client(role, language, self.seq, topics)
        self.clients.add(client)
        return client

    async def events(
        self, client: Client, after: int | None, allowed: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[bytes]:
        """The stream of one client that has joined: replay from `after`, then live.

        `allowed` is asked now and then whether the session still holds: a stream lives for a
        shift, and who is signed out in between must not go on reading.
        """
        try:
            yield b"retry: 1000\n\n" + event("beat", {**self._beat(), "live": self.live})
            sent = client.joined_at if after is None else after
            replayed = 0
            more = after is not None
            while more:
                frames = await asyncio.to_thread(self._replay, sent, client.language)
                missed = [f.text[client.language] for f in frames if client.wants(f)]
                if missed:
                    yield b"".join(missed)
                sent = (frames[-1].seq or sent) if frames else sent
                replayed += len(frames)
                more = len(frames) == REPLAY_BATCH
                if more and replayed >= REPLAY_MAX:
                    # Away for too long: the page reads itself anew instead.
                    yield event("reset", {}, self.seq)
                    sent, more = self.seq, False
            asked = time.monotonic()
            while not client.behind or not client.queue.empty():
                if time.monotonic() - asked >= self.recheck_s:
                    if not await asyncio.to_thread(allowed):
                        return
                    asked = time.monotonic()
                try:
                    frame = await asyncio.wait_for(client.queue.get(), self.heartbeat_s)
                except TimeoutError:
                    yield event("beat", {**self._beat(), "live": self.ready})
                    continue
                # What has gathered goes in one piece: a write costs far more than its length.
                pieces: list[bytes] = []
                while frame is not _END:
                    if frame.seq is None or frame.seq > sent:
                        sent = sent if frame.seq is None else frame.seq
                        if client.wants(frame) and client.language in frame.text:
                            pieces.append(frame.text[client.language])
                    if client.queue.empty():
                        break
                    frame = client.queue.get_nowait()
                if pieces:
                    yield b"".join(pieces)
                if frame is _END:
                    return
        finally:
            self.clients.discard(client)

    def _replay(self, after: int, language: Language) -> list[Frame]:
        with self._ledger.reading() as r:
            messages = r.outbox(after, REPLAY_BATCH)
        return self._render(messages, [language])


_END: Final = Frame(None, "end", {})


def _offer(client: Client, frame: Frame) -> bool:
    try:
        client.queue.put_nowait(frame)
    except asyncio.QueueFull:
        return False
    return True
