"""Real parts, privately started: PostgreSQL with TimescaleDB and Mosquitto as child processes.

Receives a folder; hands on two addresses on loopback. Demo, tests and CI use it; production names
its own servers in forewatt.toml. Nothing on the machine is changed: the programs are the system's
or come from a cache folder of Forewatt's own, the data lies in the caller's folder.
"""

from forewatt.services.errors import FetchError, ServicesError
from forewatt.services.private import PrivateServices
from forewatt.services.processes import clean_stale
from forewatt.services.toolchain import Toolchain, find_or_fetch

__all__ = [
    "FetchError",
    "PrivateServices",
    "ServicesError",
    "Toolchain",
    "clean_stale",
    "find_or_fetch",
]
