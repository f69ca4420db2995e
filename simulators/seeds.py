"""Random streams by name, so that what one part draws never moves what another draws.

Adding a fault, a customer's call or a process changes no load: each purpose in each area has its
own `SeedSequence`, keyed by the scenario's seed and the names.
"""

from zlib import crc32

import numpy as np


def stream(seed: int, *names: str) -> np.random.Generator:
    """The generator of one purpose.

    >>> float(stream(7, "T1", "loads").random()) == float(stream(7, "T1", "loads").random())
    True
    >>> float(stream(7, "T1", "loads").random()) == float(stream(7, "T2", "loads").random())
    False
    """
    keys = [crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))
