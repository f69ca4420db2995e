"""The live stream: the outbox as server-sent events, with nothing lost between page and stream.

One thread waits for the outbox and encodes each message once a language; all clients read the same
ring of what is newest, and what gathers between two writes goes out in one piece that is joined
once for all who are shown the same (docs/decisions/0022). A page carries the number of the last
message it has seen, the stream goes on from there (out of the ring, else out of the database), and
the browser resumes by `Last-Event-ID`. A client that cannot keep up is let go: it comes back.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from grid.errors import ForewattError
from grid.records import OutboxMessage
from web.doors import LiveLedger
from web.i18n import LANGUAGES, Language
from web.ring import RING_MAX, Audience, Frame, Ring

log = logging.getLogger(__name__)

REPLAY_BATCH: Final = 500
REPLAY_MAX: Final = 5_000
WAIT_S: Final = 1.0
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
FIGURES_EVERY_S: Final = 5.0
# What comes after quiet is handed on at once; then news gather for so long, the longer the more
# pages there are, because a write to a page costs far more than its length.
GATHER_S, GATHER_S_MIN, GATHER_S_MAX = 0.0005, 0.02, 0.25

Pass = tuple[str, str]  # how a request proved who asks, and the secret it did it with


@dataclass(slots=True, eq=False)
class Client:
    """One open page: what it is shown, and how far it has come.

    place : of the ring; sent : the number of the last message that it was given or spared
    """

    audience: Audience
    place: int
    sent: int
    admitted: Pass | None = None
    ended: bool = False
    waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """There is news, or the end."""
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    def end(self) -> None:
        """What it has been given is all; the browser comes back if it may."""
        self.ended = True
        self.wake()


def event(name: str, data: object, seq: int | None = None) -> bytes:
    """A server-sent event; JSON holds no line break, so one data line always suffices.

    >>> event("beat", {"live": True}, 7)
    b'id: 7\\nevent: beat\\ndata: {"live":true}\\n\\n'
    """
    head = f"id: {seq}\n" if seq is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


class TooManyStreams(ForewattError):
    """All live streams of this process are taken; close a page or raise `[web] streams_max`."""


def _nobody_asks(passes: Collection[Pass]) -> Mapping[Pass, str]:
    return {}


class Hub:
    """Waits for the outbox in a thread of its own and hands frames to the clients.

    Parameters
    ----------
    render : messages and languages to frames, in the same order
    figures : the header's figures, sent when something happened and every 5 s
    beat : what every stream says each `heartbeat_s` (site time, speed)
    roles : the roles that passes are good for now; passes that are good for nothing are absent.
        Asked each heartbeat: a stream lives for a shift, and whoever is signed out or given
        another role in between must not go on reading.
    """

    def __init__(
        self,
        ledger: LiveLedger,
        render: Callable[[Sequence[OutboxMessage], Sequence[Language]], list[Frame]],
        figures: Callable[[Sequence[Language]], list[Frame]],
        beat: Callable[[], dict[str, Any]],
        roles: Callable[[Collection[Pass]], Mapping[Pass, str]] = _nobody_asks,
        *,
        streams_max: int = 1_000,
        heartbeat_s: float = 5.0,
    ) -> None:
        self._ledger, self._render, self._figures, self._beat = ledger, render, figures, beat
        self._roles = roles
        self.streams_max, self.heartbeat_s = streams_max, heartbeat_s
        self.clients: set[Client] = set()
        self.seq = 0
        self.live = False
        self.trouble = ""
        self.dropped = 0
        self._ring = Ring(RING_MAX)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pulse: asyncio.Task[None] | None = None

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to wait; call from the event loop."""
        self._loop = asyncio.get_running_loop()
        self._stop.clear()
        self._pulse = self._loop.create_task(self._beats())
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Stop waiting and end every stream; from any thread. Without `wait` the thread ends by
        itself soon."""
        self._stop.set()
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)
        if self._thread and wait:
            self._thread.join(timeout=5.0)

    def _end(self) -> None:
        if self._pulse:
            self._pulse.cancel()
        for client in tuple(self.clients):
            client.end()

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
                    self._ring.base, head = self.seq, True
                # The first time, and after trouble, pages wait to hear that they are live.
                messages = self._ledger.wait_outbox(self.seq, WAIT_S if self.live else 0.02)
                failures = 0
                self._say_live(True, "")
                if messages:
                    self._hand(self._render(messages, self._languages()))
                    self.seq, dirty = messages[-1].seq, True
                    self._stop.wait(
                        min(max(GATHER_S * len(self.clients), GATHER_S_MIN), GATHER_S_MAX)
                    )
                now = time.monotonic()
                if self.clients and now - drawn >= (WAIT_S if dirty else FIGURES_EVERY_S):
                    self._hand(self._figures(self._languages()))
                    drawn, dirty = now, False
            except Exception as e:
                if not isinstance(e, ForewattError):
                    log.exception("the outbox could not be handed on; it is tried again")
                # /readyz and every page say so until it works again.
                self._say_live(False, str(e) or type(e).__name__)
                self._stop.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    def _languages(self) -> list[Language]:
        used = {c.audience.language for c in tuple(self.clients)}
        return [x for x in LANGUAGES if x in used]

    def _say_live(self, live: bool, trouble: str) -> None:
        changed, self.live, self.trouble = self.live != live, live, trouble
        if changed:
            self._hand([self._beat_frame()])

    def _beat_frame(self) -> Frame:
        beat = event("beat", {**self._beat(), "live": self.ready})
        return Frame(None, "beat", dict.fromkeys(LANGUAGES, beat))

    def _hand(self, frames: list[Frame]) -> None:
        if self._loop and frames and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, frames)

    def _deliver(self, frames: list[Frame]) -> None:
        self._ring.add(frames)
        for client in tuple(self.clients):
            if client.place < self._ring.start:
                # It cannot keep up: end its stream, the browser goes on from what it has seen.
                self.dropped += 1
                self.clients.discard(client)
                client.end()
            else:
                client.wake()

    async def _beats(self) -> None:
        """Each heartbeat: every stream says that it lives, and who may not go on is let go."""
        while True:
            await asyncio.sleep(self.heartbeat_s)
            try:
                self._deliver([self._beat_frame()])
                await self._look_who_may()
            except ForewattError as e:  # the database is away, and every page says so
                log.warning("open streams cannot be checked: %s", e)
            except Exception:
                log.exception("open streams cannot be checked; it is tried again")

    async def _look_who_may(self) -> None:
        clients = [c for c in self.clients if c.admitted is not None]
        passes = {c.admitted for c in clients if c.admitted is not None}
        if passes:
            roles = await asyncio.to_thread(self._roles, passes)
            for client in clients:
                if client.admitted and roles.get(client.admitted) != client.audience.role:
                    client.end()

    # -- one client ------------------------------------------------------------------------

    def join(
        self,
        role: str,
        language: Language,
        topics: frozenset[str] | None = None,
        admitted: Pass | None = None,
    ) -> Client:
        """A place for one more page; TooManyStreams when there is none. `admitted` is how it
        proved its role (None: not looked at again)."""
        if len(self.clients) >= self.streams_max:
            raise TooManyStreams(TooManyStreams.__doc__ or "")
        audience = Audience(role, language, topics)
        client = Client(audience, self._ring.end, self.seq, admitted)
        self.clients.add(client)
        return client

    async def events(self, client: Client, after: int | None) -> AsyncIterator[bytes]:
        """The stream of one client that has joined: what came after `after`, then live."""
        try:
            yield b"retry: 1000\n\n" + event("beat", {**self._beat(), "live": self.live})
            missing = False
            if (
                after is not None
                and after > self.seq
                and await asyncio.to_thread(self._never, after)
            ):
                # The database was restored to a time before: nothing would be news for long.
                yield event("reset", {}, self.seq)
                after = self.seq
            if after is not None:
                client.sent, base = after, self._ring.base
                missing = base is None or after < base
                if not missing:
                    client.place = self._ring.after(after)
            while True:
                if missing:
                    async for piece in self._replayed(client):
                        yield piece
                if client.ended:
                    return
                gathered = self._ring.joined(client.audience, client.place, client.sent)
                missing = gathered is None  # from before somebody read this language
                if gathered is None:
                    continue
                client.place, client.sent = self._ring.end, max(client.sent, self._ring.seq)
                if gathered:
                    yield gathered
                else:
                    client.waiting = asyncio.get_running_loop().create_future()
                    await client.waiting
        finally:
            self.clients.discard(client)

    def _never(self, seq: int) -> bool:
        """Whether there has been no such message yet."""
        with self._ledger.reading() as r:
            return seq > r.outbox_head()

    async def _replayed(self, client: Client) -> AsyncIterator[bytes]:
        """Out of the database, from the last message that the client has seen."""
        replayed, more = 0, True
        while more:
            frames = await asyncio.to_thread(self._replay, client.sent, client.audience.language)
            missed = [f.text[client.audience.language] for f in frames if client.audience.wants(f)]
            if missed:
                yield b"".join(missed)
            client.sent = (frames[-1].seq or client.sent) if frames else client.sent
            replayed += len(frames)
            more = len(frames) == REPLAY_BATCH
            if more and replayed >= REPLAY_MAX:
                # Away for too long: the page reads itself anew instead.
                yield event("reset", {}, self.seq)
                client.sent, more = max(client.sent, self.seq), False

    def _replay(self, after: int, language: Language) -> list[Frame]:
        with self._ledger.reading() as r:
            messages = r.outbox(after, REPLAY_BATCH)
        return self._render(messages, [language])
