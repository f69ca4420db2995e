"""Compile the kernels once, and never use a stale one.

numba keys its cache by the file a function stands in, so a changed callee in *another* file
returns the old result (tried). Here the cache folder itself bears a hash of all sources of this
room, of numba and of the processor: any change compiles anew.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numpy.typing import NDArray

# Short names for what kernels take.
F8 = NDArray[np.float64]
F4 = NDArray[np.float32]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
I2 = NDArray[np.int16]
I1 = NDArray[np.int8]
U2 = NDArray[np.uint16]
U1 = NDArray[np.uint8]

KEPT_CACHES = 4


def source_hash() -> str:
    """Hash of every source file of this room, numba's and numpy's version and the processor."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    digest.update(f"{numba.__version__} {np.__version__}".encode())
    digest.update(llvmlite.binding.get_host_cpu_name().encode())
    return digest.hexdigest()[:20]


def cache_root() -> Path:
    """Where compiled kernels are kept: outside the checkout, in the first folder we may write."""
    named = os.environ.get("XDG_CACHE_HOME")
    choices = [Path(named) / "forewatt"] if named else []
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        choices.append(Path("/var/cache/forewatt"))
    home = os.environ.get("HOME")
    if home:
        choices.append(Path(home) / ".cache" / "forewatt")
    for folder in choices:
        try:
            (folder / "numba").mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder / "numba", os.W_OK):
            return folder / "numba"
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    return Path(tempfile.gettempdir()) / f"forewatt-numba-{user}"


SOURCE_HASH = source_hash()
CACHE = cache_root() / SOURCE_HASH
CACHE.mkdir(parents=True, exist_ok=True)


def forget_old(root: Path = CACHE.parent, keep: Path = CACHE) -> None:
    """Remove caches of earlier sources, all but the newest few."""
    others = [f for f in root.iterdir() if f.is_dir() and f != keep]
    others.sort(key=lambda f: f.stat().st_mtime, reverse=True)
    for folder in others[KEPT_CACHES:]:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
        folder.rmdir()


def kernel(
    *signatures: str, allocates: bool = False, fused: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """`@njit` with our cache; with a signature the function is compiled when it is defined.

    A kernel works on arrays and scalars only; it never raises and never allocates per reading.
    Division by zero gives inf or NaN, as in numpy: the check for it would cost a tenth of the time.
    Views such as `s = state[k]` count no references, which took a third of some kernels' time; so
    one that makes an array of its own (`np.zeros`) says that it `allocates`. In a `fused` one a
    product and a sum are rounded together; then `a * a - b * b` of equals need not be 0.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(CACHE)
        try:
            return numba.njit(
                list(signatures) or None,
                cache=True,
                nogil=True,
                error_model="numpy",
                _nrt=allocates,
                fastmath={"contract"} if fused else False,
            )(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate
