"""Real receivers on this machine: a mail server and a web server that answer as they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any


class Hook:
    """A web server: `answer` is its status, `headers` go with it, what came is in `got`; with
    `hangs` it takes a request and says nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.answer, self.hangs = 200, False
        self.headers: dict[str, str] = {}
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.over = Event()


@contextmanager
def hook() -> Iterator[Hook]:
    """A web server that lives as long as the block."""
    told = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if told.hangs:
                told.over.wait(30)
                return
            self.send_response(told.answer)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Tests print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}/hook"
        worker = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        worker.start()
        yield told
        told.over.set()
        server.shutdown()
        worker.join(5.0)


class Mail:
    """A mail server (RFC 5321): `refuses` maps a command to the line it is answered with, what was
    delivered is in `got`; with `hangs` it takes a connection and says nothing."""

    def __init__(self) -> None:
        self.port = 0
        self.hangs = False
        self.refuses: dict[str, str] = {}
        self.got: list[EmailMessage] = []
        self.over = Event()


@contextmanager
def mail_server() -> Iterator[Mail]:
    """A mail server that lives as long as the block."""
    told = Mail()

    class Session(StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            if told.hangs:
                told.over.wait(30)
                return
            self.say("220 mail.test ready")
            for raw in self.rfile:
                verb = raw.decode().split(":")[0].split()[0].upper()
                if verb in told.refuses:
                    self.say(told.refuses[verb])
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(line.removeprefix(b"."))
                    told.got.append(message_from_bytes(b"".join(lines), policy=default))
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 fine")

    class Server(ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Server(("127.0.0.1", 0), Session) as server:
        told.port = server.server_address[1]
        worker = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        worker.start()
        yield told
        told.over.set()
        server.shutdown()
        worker.join(5.0)
