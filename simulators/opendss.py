"""OpenDSS, loaded when it is first needed: importing it takes a second."""

import os
from typing import Any


def opendss() -> Any:
    """The engine's module-level object; `NewContext()` gives an engine of one's own."""
    # The library reads the working folder by the locale when it is loaded. Under C or POSIX one
    # below 测试 ended the process with a segmentation fault.
    if os.environ.get("LC_ALL") in ("C", "POSIX"):
        os.environ["LC_ALL"] = "C.UTF-8"
    from dss import dss

    return dss
