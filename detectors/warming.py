"""Compile everything once, before the processes that need it start."""

import time

from detectors.compiled import forget_old


def warm_up() -> float:
    """Compile or load every kernel; returns the seconds it took.

    Kernels carry signatures, so importing the modules that hold them compiles them; child
    processes started afterwards only load.
    """
    start = time.perf_counter()
    import detectors.engine  # noqa: F401

    seconds = time.perf_counter() - start
    try:
        forget_old()
    except OSError:
        # Another process may be clearing the same folder; the next start tries again.
        return seconds
    return seconds
