"""The pages on a real port, in a thread of their own."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import uvicorn

from tests.waiting import wait_for
from web.app import create_app
from web.settings import WebSettings


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    """Serves `create_app(settings())`; may be stopped and started again on the same port."""

    def __init__(self, settings: Callable[[], WebSettings]) -> None:
        self.settings, self.port = settings, free_port()
        self.server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = uvicorn.Config(
            create_app(self.settings()),
            host="127.0.0.1",
            port=self.port,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self.server = server = uvicorn.Server(config)
        self.thread = threading.Thread(target=server.run, daemon=True)
        self.thread.start()
        wait_for(lambda: server.started, 20, "the pages' server has started")

    def stop(self) -> None:
        if self.server:
            self.server.should_exit = True
            self.thread.join(10)
            self.server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
