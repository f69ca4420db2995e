"""The telephones of the demo's town: what Forewatt sends to customers arrives in one file.

A webhook on loopback, as whoever runs telephones would have one: a text is answered once it is in
the file, one line each, and once for its key however often it is sent.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from desk.senders import KEY

HOST: Final = "127.0.0.1"
BYTES_MAX: Final = 20_000
KEYS_MAX: Final = 100_000  # more texts than a demo sends; beyond it the oldest may come twice


class Telephones(ThreadingHTTPServer):
    """Takes texts on a port of loopback until it is closed; `with` runs it."""

    daemon_threads = True

    def __init__(self, port: int, file: Path) -> None:
        super().__init__((HOST, port), _Text)
        self.file = file
        self._keys: dict[str, None] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def take(self, key: str, to: str, text: str) -> None:
        """Write a text down, unless its key has come before."""
        with self._lock:
            if key in self._keys:
                return
            with self.file.open("a", encoding="utf-8") as file:
                file.write(" ".join(f"{to}  {text}".split("\n")) + "\n")
            self._keys[key] = None
            if len(self._keys) > KEYS_MAX:
                del self._keys[next(iter(self._keys))]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(10)


class _Text(BaseHTTPRequestHandler):
    server: Telephones

    def do_POST(self) -> None:
        """204 for a text that is written down; 400 for what is none."""
        try:
            length = int(self.headers.get("content-length", "0"))
            if not 0 < length <= BYTES_MAX:
                raise ValueError("empty or too long")
            given = json.loads(self.rfile.read(length))
            self.server.take(self.headers.get(KEY, ""), str(given["to"]), str(given["text"]))
        except (ValueError, KeyError, TypeError):
            self.send_error(400)
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the file says what came."""
