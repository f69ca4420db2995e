"""Five hundred browsers in a process of their own, as far as a stream is concerned.

They read in big pieces and look only for what is counted, so that the figure is the worker's and
not theirs; what both take of the processors is printed beside it.
"""

import asyncio
import multiprocessing
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALERT = re.compile(rb'id: (\d+)\nevent: alert\ndata: \{"key":"([^"]*)"')
ANYTHING = re.compile(rb"\nevent: ")
OPEN_S, LATE_S = 120, 180


def processor_s(pid: int) -> float:
    """What a process has taken of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stream(asyncio.Protocol):
    """As a browser: whoever is let go comes back with the number it has seen last."""

    def __init__(self, crowd: "Crowd") -> None:
        self.crowd = crowd
        self.last, self.tail, self.opened = b"0", b"", False
        self.seen: set[bytes] = set()

    def connection_made(self, transport: Any) -> None:
        transport.write(
            f"GET /stream?after=0 HTTP/1.1\r\nHost: 127.0.0.1:{self.crowd.port}\r\n"
            f"Cookie: {self.crowd.cookie}\r\nLast-Event-ID: {self.last.decode()}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.time() * 1_000
        whole, middle, self.tail = (self.tail + data).rpartition(b"\n\n")
        if not self.opened and ANYTHING.search(whole):
            self.opened = True
            self.crowd.joined.release()
        for id_, key in ALERT.findall(whole + middle):
            self.last = id_
            if key not in self.seen:
                self.seen.add(key)
                self.crowd.times.setdefault(key, []).append(now)
        if len(self.seen) >= self.crowd.count and not self.crowd.done.is_set():
            self.crowd.left.discard(self)
            if not self.crowd.left:
                self.crowd.done.set()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.crowd.done.is_set():
            self.crowd.again += 1
            self.tail = b""
            self.crowd.coming_back = [
                task for task in self.crowd.coming_back if not task.done()
            ] + [asyncio.get_running_loop().create_task(self.crowd.open(self))]


class Crowd:
    """All of them."""

    def __init__(self, port: int, cookie: str, clients: int, count: int) -> None:
        self.port, self.cookie, self.count = port, cookie, count
        self.joined, self.done = asyncio.Semaphore(0), asyncio.Event()
        self.times: dict[bytes, list[float]] = {}
        self.again = 0
        self.coming_back: list[asyncio.Task[None]] = []
        self.left = {Stream(self) for _ in range(clients)}

    async def open(self, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: stream, "127.0.0.1", self.port)

    async def read(self, ready: Any) -> None:
        streams = list(self.left)
        for stream in streams:
            await self.open(stream)
        for _ in streams:
            await self.joined.acquire()
        ready.set()
        try:
            await asyncio.wait_for(self.done.wait(), OPEN_S + LATE_S)
        except TimeoutError:
            self.done.set()


def crowd(port: int, cookie: str, clients: int, count: int, ready: Any, out: Any) -> None:
    """The process of the browsers."""

    async def story() -> Crowd:
        made = Crowd(port, cookie, clients, count)
        await made.read(ready)
        return made

    made = asyncio.run(story())
    out.put(({k.decode(): v for k, v in made.times.items()}, made.again, time.process_time()))


@dataclass(frozen=True)
class Heard:
    """When each alert has come to each stream, and what it took."""

    times: dict[str, list[float]]
    again: int
    browsers_s: float


class Browsers:
    """A process with open streams; `wait` gives what they have heard."""

    def __init__(self, port: int, cookie: str, clients: int, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._out = context.Event(), context.Queue()
        given = (port, cookie, clients, count, self._ready, self._out)
        self._process = context.Process(target=crowd, args=given)
        self._process.start()
        if not self._ready.wait(OPEN_S):
            self._process.kill()
            raise SystemExit("the streams were not open within two minutes")

    def wait(self) -> Heard:
        heard = Heard(*self._out.get(timeout=OPEN_S + 2 * LATE_S))
        self._process.join()
        return heard
