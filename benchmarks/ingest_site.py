"""What the benchmarks of the way in share: an installation that only collects and stores, and a
publisher that costs little.

Not a benchmark itself.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from forewatt.health import Report, read_reports
from ingest.packed import encode_packed
from storage.database import Database
from storage.migrate import migrate
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
QUANTITIES = ("v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "p", "e_import")
DEADLINE_S = 600.0
TICKS = os.sysconf("SC_CLK_TCK")
Message = tuple[str, bytes]


def single(meter: int, t_ms: int, seq: int, values: Sequence[float]) -> Message:
    """One reading of eight quantities."""
    body = {"t": t_ms, "seq": seq} | dict(zip(QUANTITIES, values, strict=True))
    return f"forewatt/v1/M{meter}/readings", json.dumps(body).encode()


def batch(
    first: int, rows: int, t_ms: int, values: Sequence[Sequence[float]], *, pack: bool
) -> Message:
    """`rows` meters from `first` on at one time, as JSON columns or packed."""
    names = [f"M{first + k}" for k in range(rows)]
    columns = {q: values[k] for k, q in enumerate(QUANTITIES)}
    if pack:
        data = {q: np.array(column) for q, column in columns.items()}
        return "forewatt/v1/G1/packed", encode_packed(names, range(rows), t_ms, data)
    head: dict[str, Any] = {"t": t_ms, "device": names}
    return "forewatt/v1/G1/batch", json.dumps(head | columns).encode()


def encoded(messages: Iterable[Message], first_id: int = 0) -> list[bytes]:
    """PUBLISH packets with QoS 1, ready for the socket."""
    out = []
    for i, (topic, payload) in enumerate(messages, first_id):
        name = topic.encode()
        body = struct.pack("!H", len(name)) + name + struct.pack("!H", i % 65_535 + 1) + payload
        size, head = len(body), bytearray([0x32])
        while True:
            size, digit = size >> 7, size & 127
            head.append(digit | (128 if size else 0))
            if not size:
                break
        out.append(bytes(head) + body)
    return out


class BareSender:
    """Sends packets and counts the broker's acknowledgements; no client library."""

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        self._sock = socket.create_connection((str(parts.hostname), int(parts.port or 1883)))
        who = name.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(who)) + who
        self._sock.sendall(b"\x10" + bytes([len(body)]) + body)
        assert self._sock.recv(4)[3] == 0, "the broker refused the publisher"
        self.acked = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        left = 0
        with suppress(OSError):  # closed under our hands: there is nothing more to count
            while data := self._sock.recv(65_536):
                left += len(data)
                self.acked, left = self.acked + left // 4, left % 4

    def send(self, packets: Sequence[bytes], a_second: float | None = None) -> None:
        """All packets, as fast as the broker takes them or at a steady pace."""
        step = 200 if a_second is None else max(1, round(a_second / 100))
        began = time.perf_counter()
        for first in range(0, len(packets), step):
            self._sock.sendall(b"".join(packets[first : first + step]))
            if a_second is not None:
                ahead = first / a_second - (time.perf_counter() - began)
                if ahead > 0:
                    time.sleep(ahead)

    def drain(self, count: int) -> None:
        wait_for(lambda: self.acked >= count, DEADLINE_S, "the broker's acknowledgements")

    def close(self) -> None:
        self._sock.sendall(b"\xe0\x00")
        self._sock.close()


def _publish(pipe: Connection, url: str, name: str, packets: list[bytes]) -> None:
    sender = BareSender(url, name)
    pipe.send("ready")
    pipe.recv()
    sender.send(packets)
    sender.drain(len(packets))
    sender.close()
    pipe.send("done")


class Publisher:
    """A process that publishes ready packets when told."""

    def __init__(self, url: str, packets: list[bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_publish,
            args=(theirs, url, f"bench-{time.monotonic_ns()}", packets),
            daemon=True,
        )
        self._process.start()
        self._pipe.recv()

    def go(self) -> None:
        self._pipe.send("go")

    def finish(self) -> None:
        self._pipe.recv()
        self._process.join(30)


class IngestSite:
    """`forewatt run --only collect,historian` in a folder; a context manager."""

    def __init__(self, folder: Path, database_url: str, mqtt_url: str, meters: int) -> None:
        folder.mkdir(parents=True)
        self.folder, self.database_url = folder, database_url
        network = folder / "network"
        network.mkdir()
        lines = "".join(f"M{i},meter,60\n" for i in range(meters))
        (network / "devices.csv").write_text("device,kind,interval_s\n" + lines)
        self.config = folder / "forewatt.toml"
        self.config.write_text(
            f'[network]\npath = "network"\n[database]\nurl = "{database_url}"\n'
            f'[[mqtt]]\nurl = "{mqtt_url}"\n'
        )
        with Database(database_url) as database:
            migrate(database)

    def __enter__(self) -> IngestSite:
        with (self.folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "forewatt", "run", "--only", "collect,historian"),
                    *("--config", str(self.config)),
                ],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        wait_for(
            lambda: all(self.well(role) for role in ("collect", "historian")), 120, "both serve"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)

    def reports(self) -> dict[str, Report]:
        return read_reports(self.folder / "journal" / "health")

    def well(self, role: str) -> bool:
        report = self.reports().get(role)
        return report is not None and report.healthy

    def pid(self, role: str) -> int:
        return self.reports()[role].pid

    def kill(self, role: str) -> None:
        os.kill(self.pid(role), signal.SIGKILL)

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds of each process so far."""
        out = {}
        for role in ("collect", "historian"):
            fields = Path(f"/proc/{self.pid(role)}/stat").read_text().rpartition(")")[2].split()
            out[role] = (int(fields[11]) + int(fields[12])) / TICKS
        return out

    def peak_mib(self, role: str) -> float:
        for line in Path(f"/proc/{self.pid(role)}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stored(self) -> int:
        """Rows stored since the historian began, as it reports them every second: counting the
        table again and again would take a core away from the way that is measured."""
        return int(self.reports()["historian"].detail.get("rows_total", 0))

    def rows(self) -> int:
        """Rows in the table."""
        with Database(self.database_url) as database, database.connection() as connection:
            found = connection.execute("SELECT count(*) FROM reading").fetchone()
        return 0 if found is None else int(found[0])

    def last_commit(self) -> float:
        """When (seconds since 1970) the historian last moved on."""
        with Database(self.database_url) as database, database.connection() as connection:
            found = connection.execute(
                "SELECT extract(epoch FROM updated_at)::float8 FROM consumer"
            ).fetchone()
        return 0.0 if found is None else float(found[0])
