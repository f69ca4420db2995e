"""The live stream: nothing is lost between page and stream, nobody can make it grow, and it says
when it is not live."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import orjson
import pytest

from grid.errors import ForewattError
from grid.records import OutboxMessage
from tests.unit.web.visitor import Visit
from tests.unit.web.world import LiveMemory
from web.i18n import LANGUAGES, Language
from web.ring import JOINED_MAX, RING_MAX, Audience, Frame, Ring
from web.stream import REPLAY_BATCH, REPLAY_MAX, Hub, Pass, TooManyStreams, event

WITHIN_S = 5.0
P = ParamSpec("P")


def plain(messages: Sequence[OutboxMessage], languages: Sequence[Language]) -> list[Frame]:
    """Frames that carry the key alone."""
    return [
        Frame(
            m.seq,
            m.topic,
            {x: event(m.topic, {"key": m.key}, m.seq) for x in languages},
            str(m.data.get("work", "")),
        )
        for m in messages
    ]


def hub_of(ledger: LiveMemory, **more: Any) -> Hub:
    given: dict[str, Any] = {"heartbeat_s": 0.05, **more}
    return Hub(
        ledger,
        plain,
        lambda languages: [Frame(None, "figures", {x: event("figures", {}) for x in languages})],
        lambda: {"now_us": 1, "speed": 1.0},
        **given,
    )


def publish(ledger: LiveMemory, *keys: str, topic: str = "alert", **data: str) -> None:
    with ledger.transaction() as tx:
        for key in keys:
            tx.publish(topic, key, 0, data)


class Reader:
    """Reads one stream as a browser does."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.stream = stream
        self.waiting: list[bytes] = []  # several events may come in one piece
        self.last_id: int | None = None

    async def next(self, *names: str) -> tuple[str, dict[str, Any]]:
        """The next event with one of these names (any but beats and figures by default)."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                while not self.waiting:
                    piece = await anext(self.stream, None)
                    if piece is None:
                        raise AssertionError("the stream has ended")
                    self.waiting = [x for x in piece.split(b"\n\n") if x]
                fields = dict(
                    line.split(": ", 1)
                    for line in self.waiting.pop(0).decode().splitlines()
                    if ": " in line
                )
                if "id" in fields:
                    self.last_id = int(fields["id"])
                name = fields.get("event", "")
                if (name in names) if names else (name not in ("beat", "figures", "")):
                    return name, orjson.loads(fields["data"])

    async def keys(self, count: int) -> list[str]:
        return [(await self.next())[1]["key"] for _ in range(count)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


def open_stream(
    hub: Hub, after: int | None, role: str = "operator", language: Language = "en"
) -> Reader:
    return Reader(hub.events(hub.join(role, language), after))


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """A hub that has started and ends with its test; from within the event loop."""
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


def awaited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine, in an event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@awaited
async def test_what_happened_between_page_and_connection_is_replayed() -> None:
    ledger = LiveMemory()
    publish(ledger, "seen by the page")
    hub = hub_of(ledger)
    publish(ledger, "in between")
    with running(hub):
        reader = open_stream(hub, after=1)
        publish(ledger, "later")
        assert await reader.keys(2) == ["in between", "later"]


@awaited
async def test_a_client_that_comes_back_resumes_after_the_last_event_it_had() -> None:
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        first = open_stream(hub, after=0)
        publish(ledger, "a", "b")
        assert await first.keys(2) == ["a", "b"]
        await first.stream.aclose()  # type: ignore[attr-defined]
        publish(ledger, "c")

        second = open_stream(hub, after=first.last_id)

        publish(ledger, "d")
        assert await second.keys(2) == ["c", "d"]


@awaited
async def test_concurrent_writers_and_reconnecting_readers_lose_and_double_nothing() -> None:
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        got: list[str] = []
        last: int | None = 0

        async def write() -> None:
            for n in range(120):
                await asyncio.to_thread(publish, ledger, str(n))

        writer = asyncio.create_task(write())
        while len(got) < 120:
            reader = open_stream(hub, after=last)
            got += await reader.keys(min(7, 120 - len(got)))
            last = reader.last_id
            await reader.stream.aclose()  # type: ignore[attr-defined]
        await writer
        assert got == [str(n) for n in range(120)]


@awaited
async def test_a_page_that_was_away_for_too_long_is_told_to_read_itself_anew() -> None:
    ledger = LiveMemory()
    publish(ledger, *map(str, range(REPLAY_MAX + REPLAY_BATCH + 1)))
    with running(hub_of(ledger)) as hub:
        await until(lambda: hub.live)
        reader = open_stream(hub, after=0)
        assert (await reader.next("reset"))[1] == {}
        publish(ledger, "after the reset")
        assert await reader.keys(1) == ["after the reset"]


@awaited
async def test_a_client_that_does_not_read_is_let_go_and_loses_nothing() -> None:
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        slow = hub.join("operator", "en")
        stream = Reader(hub.events(slow, 0))
        publish(ledger, "first")
        assert await stream.keys(1) == ["first"]

        publish(ledger, *map(str, range(RING_MAX + 50)))
        await until(lambda: slow.ended)

        assert (hub.dropped, slow in hub.clients) == (1, False)
        assert [piece async for piece in stream.stream] == []
        again = open_stream(hub, after=stream.last_id)
        assert await again.keys(RING_MAX + 50) == list(map(str, range(RING_MAX + 50)))


@awaited
async def test_who_comes_back_soon_is_served_without_asking_the_database() -> None:
    ledger = LiveMemory()
    publish(ledger, "before")
    with running(hub_of(ledger)) as hub:
        await until(lambda: hub.ready)
        first = open_stream(hub, after=1)
        publish(ledger, "a", "b", "c")
        assert await first.keys(3) == ["a", "b", "c"]
        replayed: list[int] = []
        render = hub._replay
        hub._replay = lambda after, x: replayed.append(after) or render(after, x)  # type: ignore[assignment,func-returns-value]

        assert await open_stream(hub, after=2).keys(2) == ["b", "c"]
        assert replayed == []
        assert await open_stream(hub, after=0).keys(4) == ["before", "a", "b", "c"]
        assert await open_stream(hub, after=2, language="zh-CN").keys(2) == ["b", "c"]
        assert replayed == [0, 2]  # older than the ring; encoded in no language but English


@awaited
async def test_a_page_ahead_of_the_stream_is_told_nothing_twice() -> None:
    """A page reads the head of the outbox itself, perhaps before the hub has."""
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        await until(lambda: hub.ready)
        reader = open_stream(hub, after=2)
        await reader.next("beat")
        publish(ledger, "seen", "seen too")
        publish(ledger, "news")

        assert await reader.keys(1) == ["news"]


@awaited
async def test_a_page_from_before_a_restored_database_reads_itself_anew() -> None:
    """Its last number is above all there are: waiting for a higher one, it would be silent."""
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        publish(ledger, "kept")
        await until(lambda: hub.seq == 1)
        reader = open_stream(hub, after=900)
        await reader.next("reset")
        publish(ledger, "news")

        assert await reader.keys(1) == ["news"]


def test_pages_that_come_back_each_from_elsewhere_keep_no_pieces_for_others() -> None:
    ring = Ring()
    ring.add([Frame(n, "alert", {"en": b"%d" % n}) for n in range(1, 4 * JOINED_MAX)])

    for sent in range(3 * JOINED_MAX):
        ring.joined(Audience("clerk", "en"), 0, sent)

    assert len(ring._joined) <= JOINED_MAX


def test_what_many_are_shown_is_joined_once_and_nobody_gets_what_another_may_see() -> None:
    ring = Ring(3)
    ring.add([Frame(n, "alert", {"en": b"%d" % n}) for n in (1, 2)])
    ring.add([Frame(3, "contact", {"en": b"call"}), Frame(None, "figures", {"en": b"f"})])
    operator, clerk = Audience("operator", "en"), Audience("clerk", "en")

    assert (ring.start, ring.end, ring.seq, ring.base) == (1, 4, 3, 1)
    assert ring.joined(operator, 1, 0) == b"2f"
    assert ring.joined(clerk, 1, 0) == b"2callf"
    assert ring.joined(clerk, 1, 2) == b"callf"
    assert ring.joined(Audience("clerk", "en", frozenset({"ticket"})), 1, 0) == b"f"
    assert ring.joined(operator, 1, 0) is ring.joined(operator, 1, 0)
    assert ring.joined(Audience("clerk", "zh-CN"), 1, 0) is None
    assert ring.joined(Audience("clerk", "zh-CN"), 1, 3) == b""
    assert (ring.after(1), ring.after(2), ring.after(3)) == (1, 2, 4)


def test_streams_beyond_the_limit_are_refused() -> None:
    hub = hub_of(LiveMemory(), streams_max=2)
    hub.join("operator", "en")
    hub.join("operator", "en")

    with pytest.raises(TooManyStreams):
        hub.join("operator", "en")


@awaited
async def test_an_idle_stream_says_that_it_lives() -> None:
    with running(hub_of(LiveMemory())) as hub:
        await until(lambda: hub.live)
        reader = open_stream(hub, after=0)
        await reader.next("beat")
        assert (await reader.next("beat"))[1] == {"now_us": 1, "speed": 1.0, "live": True}


@awaited
async def test_a_lost_database_is_told_to_every_page_and_found_again() -> None:
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        await until(lambda: hub.ready)
        reader = open_stream(hub, after=0)
        ledger.broken = ForewattError("The database does not answer.")
        while (await reader.next("beat"))[1]["live"]:
            continue
        assert (hub.ready, hub.trouble) == (False, "The database does not answer.")

        ledger.broken = None
        publish(ledger, "back again")

        assert await reader.keys(1) == ["back again"]
        assert hub.ready


@awaited
async def test_a_mistake_of_ours_makes_the_site_unready_until_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        await until(lambda: hub.ready)
        reader = open_stream(hub, after=0)

        ledger.broken = RuntimeError("a broken invariant")
        publish(ledger, "kept")
        await until(lambda: not hub.ready)
        assert hub.trouble == "a broken invariant"
        assert "it is tried again" in caplog.text

        ledger.broken = None
        await until(lambda: hub.ready)
        assert await reader.keys(1) == ["kept"]


def test_callers_are_shown_to_the_counter_only_and_inspection_never_to_it() -> None:
    call = Frame(1, "contact", {})
    theft = Frame(2, "alert", {}, "inspection")

    assert [call.visible(r) for r in ("clerk", "operator", "engineer")] == [True, False, False]
    assert [theft.visible(r) for r in ("clerk", "operator", "engineer")] == [False, True, True]


@awaited
async def test_each_language_is_rendered_once_whatever_the_number_of_pages() -> None:
    ledger = LiveMemory()
    rendered: list[tuple[int, tuple[Language, ...]]] = []

    def counting(messages: Sequence[OutboxMessage], languages: Sequence[Language]) -> list[Frame]:
        rendered.append((len(messages), tuple(languages)))
        return plain(messages, languages)

    with running(Hub(ledger, counting, lambda languages: [], dict, heartbeat_s=0.05)) as hub:
        await until(lambda: hub.live)
        readers = [open_stream(hub, after=None, language=x) for x in LANGUAGES * 5]
        publish(ledger, "one")
        assert [await r.keys(1) for r in readers] == [["one"]] * 10
        assert rendered == [(1, LANGUAGES)]


@pytest.mark.parametrize("now", [{}, {("session", "s"): "clerk"}])
@awaited
async def test_a_stream_ends_when_its_session_does_or_its_role_changes(
    now: dict[Pass, str],
) -> None:
    good: dict[Pass, str] = {("session", "s"): "operator", ("session", "t"): "operator"}
    with running(
        hub_of(LiveMemory(), roles=lambda passes: {p: good[p] for p in passes if p in good})
    ) as hub:
        mine = Reader(hub.events(hub.join("operator", "en", None, ("session", "s")), None))
        other = Reader(hub.events(hub.join("operator", "en", None, ("session", "t")), None))
        for _ in range(3):
            await mine.next("beat")

        del good["session", "s"]
        good.update(now)

        async with asyncio.timeout(WITHIN_S):
            assert [c async for c in mine.stream if b"event: alert" in c] == []
        await other.next("beat")
        await other.next("beat")


@awaited
async def test_a_stream_goes_on_while_nobody_can_say_who_may(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(passes: object) -> dict[Pass, str]:
        raise ForewattError("The database does not answer.")

    with running(hub_of(LiveMemory(), roles=away)) as hub:
        reader = Reader(hub.events(hub.join("operator", "en", None, ("session", "s")), None))
        for _ in range(4):
            await reader.next("beat")
        assert "open streams cannot be checked" in caplog.text


@pytest.mark.parametrize("after", [2**63, "9" * 400, "-1", "soon"])
def test_a_number_that_no_message_can_have_is_refused_with_a_sentence(
    visit: Visit, after: object
) -> None:
    operator = visit("operator")

    asked = operator.get(f"/stream?after={after}", headers={"accept": "application/json"})
    resumed = operator.get("/stream", headers={"last-event-id": "9" * 30})

    assert (asked.status_code, asked.json()["error"]) == (400, "bad_after")
    assert resumed.status_code == 400


@awaited
async def test_stopping_ends_every_stream() -> None:
    hub = hub_of(LiveMemory())
    hub.start()
    await until(lambda: hub.live)
    reader = open_stream(hub, after=None)
    await reader.next("beat")

    hub.stop()

    async with asyncio.timeout(WITHIN_S):
        assert [c async for c in reader.stream if b"event: beat" not in c] == []


@awaited
async def test_a_program_hears_only_the_topics_it_asked_for() -> None:
    ledger = LiveMemory()
    with ledger.transaction() as tx:
        for topic in ("alert", "ticket", "notice", "ticket"):
            tx.publish(topic, f"{topic}-{tx.outbox_head()}", 0, {})
    with running(hub_of(ledger)) as hub:
        client = hub.join("operator", "en", frozenset({"ticket"}))
        reader = Reader(hub.events(client, 0))
        with ledger.transaction() as tx:
            tx.publish("alert", "later", 0, {})
            tx.publish("ticket", "last", 0, {})
        assert [k.split("-")[0] for k in await reader.keys(3)] == ["ticket", "ticket", "last"]


@awaited
async def test_what_has_gathered_goes_out_in_one_piece() -> None:
    ledger = LiveMemory()
    with running(hub_of(ledger)) as hub:
        client = hub.join("operator", "en")
        stream = hub.events(client, None)
        await anext(stream)
        publish(ledger, *map(str, range(20)))
        await until(lambda: hub.seq >= 20)

        piece = await anext(stream)
        while b"event: alert" not in piece:  # what was to be told before
            piece = await anext(stream)

    assert piece.count(b"event: alert") == 20
