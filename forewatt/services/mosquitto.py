"""One private Mosquitto: on loopback, keeping its queue over a restart."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from forewatt.services.account import Account, own_folder
from forewatt.services.errors import ServicesError
from forewatt.services.ports import LOOPBACK, free_port, is_listening, pause
from forewatt.services.processes import end, spawn
from forewatt.services.toolchain import Toolchain

_START_TIMEOUT_S = 15.0
_PORT_TRIES = 5

# docs/mosquitto.conf explains each line; a test keeps the two alike.
_SETTINGS = """
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 10000
persistent_client_expiration 14d
max_inflight_messages 10000
max_queued_messages 0
max_queued_bytes 268435456
max_packet_size 4194304
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
"""


class Broker:
    """One Mosquitto in `folder`/mosquitto."""

    def __init__(self, folder: Path, toolchain: Toolchain, account: Account) -> None:
        self.data = folder / "mosquitto"
        self.log = folder / "mosquitto.log"
        self.port = 0
        self._toolchain, self._account = toolchain, account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def url(self) -> str:
        return f"mqtt://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start and wait until it listens."""
        own_folder(self.data, self._account)
        for attempt in range(_PORT_TRIES):
            port = self.port or free_port()
            if self._started_on(port):
                self.port = port
                return
            if attempt == 0:
                self.port = 0
        raise ServicesError(f"no free port for Mosquitto in {_PORT_TRIES} tries", log=self.log)

    def _started_on(self, port: int) -> bool:
        configuration = self.data / "mosquitto.conf"
        text = _SETTINGS.format(port=port, folder=self.data)
        configuration.write_text(text, encoding="utf-8")
        if os.geteuid() == 0:
            os.chown(configuration, self._account.uid, self._account.gid)
        seen = self.log.stat().st_size if self.log.exists() else 0
        process = spawn(
            [self._toolchain.mosquitto, "-c", configuration],
            account=self._account,
            death_signal=signal.SIGTERM,
            log=self.log,
            cwd=self.data,
        )
        self._process = process
        deadline = time.monotonic() + _START_TIMEOUT_S
        while process.poll() is None:
            if is_listening(port) and process.poll() is None:
                return True
            if not pause(deadline):
                end(process, [(signal.SIGTERM, 5.0)])
                raise ServicesError(
                    f"Mosquitto gave no answer within {_START_TIMEOUT_S:g} s", log=self.log
                )
        said = self.log.read_bytes()[seen:].decode(errors="replace")
        if "Address already in use" in said:
            return False
        lines = [line for line in said.splitlines() if line.strip()]
        reason = lines[-1] if lines else "no reason given"
        raise ServicesError(f"Mosquitto did not start ({reason})", log=self.log)

    def stop(self) -> None:
        """End it cleanly; it saves its queue. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            end(process, [(signal.SIGTERM, 10.0)])

    def kill(self) -> None:
        """End it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            end(process, [])
