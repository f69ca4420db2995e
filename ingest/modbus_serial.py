"""A serial line as an asyncio transport, with the standard library alone.

Raw bytes at a given speed and parity; what lies in the receive buffer when it is opened is thrown
away, because it can only be the end of something older.
"""

import asyncio
import os
import termios
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from grid.errors import BadInput

_SPEEDS: Final = {
    speed: getattr(termios, f"B{speed}")
    for speed in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}
_READ_BYTES: Final = 4096
_KEYS: Final = ("baud", "parity", "stop")


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A device file and how it speaks: 8 data bits, parity N, E or O, 1 or 2 stop bits."""

    path: str
    baud: int = 9600
    parity: str = "N"
    stop: int = 1

    @classmethod
    def of(cls, path: str, options: Mapping[str, str], url: str) -> "SerialLine":
        """From the query of a serial:// address; raises BadInput."""
        for key in options:
            if key not in _KEYS:
                raise BadInput(f"{url!r}: {key!r} is unknown", fix=f"Known: {', '.join(_KEYS)}")
        baud, stop = options.get("baud", "9600"), options.get("stop", "1")
        parity = options.get("parity", "N").upper()
        if not baud.isdigit() or int(baud) not in _SPEEDS:
            known = ", ".join(map(str, _SPEEDS))
            raise BadInput(f"{url!r}: baud is {baud!r}", fix=f"Known: {known}")
        if parity not in ("N", "E", "O") or stop not in ("1", "2"):
            raise BadInput(f"{url!r}: parity or stop is not known", fix="Write N, E or O; 1 or 2")
        return cls(path, int(baud), parity, int(stop))


class SerialTransport(asyncio.Transport):
    """Bytes between a file descriptor and a protocol."""

    def __init__(self, fd: int, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._fd, self._protocol = fd, protocol
        self._loop.add_reader(fd, self._read)
        protocol.connection_made(self)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._end(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a request; it is small, so a line that cannot take it at once is broken."""
        try:
            if os.write(self._fd, data) != len(data):
                self._end(OSError("the serial line takes no more bytes"))
        except OSError as error:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._fd >= 0:
            self.abort()
            self._loop.call_soon(self._protocol.connection_lost, error)

    def abort(self) -> None:
        """Close at once."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    close = abort

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self._fd < 0


def open_serial(
    line: SerialLine, factory: Callable[[], asyncio.Protocol]
) -> tuple[SerialTransport, asyncio.Protocol]:
    """Open and set up the line; raises OSError."""
    fd = os.open(line.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        speed = _SPEEDS[line.baud]
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        if line.parity != "N":
            control |= termios.PARENB | (termios.PARODD if line.parity == "O" else 0)
        if line.stop == 2:
            control |= termios.CSTOPB
        characters = termios.tcgetattr(fd)[6]
        termios.tcsetattr(fd, termios.TCSANOW, [0, 0, control, 0, speed, speed, characters])
        termios.tcflush(fd, termios.TCIOFLUSH)
    except termios.error as error:
        os.close(fd)
        raise OSError(f"{line.path} is no serial line ({error.args[-1]})") from error
    protocol = factory()
    return SerialTransport(fd, protocol), protocol
