"""Up to which event time everything has come.

The watermark is the lowest over sources of the newest event or tick, minus lateness. A source that
lags the newest by more than the patience no longer holds it back.
"""

import numpy as np

from detectors.frames import NEVER


class Watermark:
    """The newest event time of each source; `scatter` moves it with every reading.

    lateness_us, patience_us : see `DetectorSettings`
    newest : int64[n_sources], `NEVER` = nothing yet
    """

    def __init__(self, lateness_us: int, patience_us: int) -> None:
        self.lateness_us, self.patience_us = lateness_us, patience_us
        self.sources: list[str] = []
        self.newest = np.empty(0, np.int64)

    def source(self, name: str) -> int:
        """Place of a source; a new one is taken in."""
        if name not in self.sources:
            self.sources.append(name)
            self.newest = np.append(self.newest, NEVER)
        return self.sources.index(name)

    def tick(self, name: str, up_to_us: int) -> None:
        """A source has handed over everything up to a time."""
        me = self.source(name)
        self.newest[me] = max(int(self.newest[me]), up_to_us)

    @property
    def us(self) -> int:
        """Event time, microseconds; `NEVER` before the first data."""
        if not self.newest.size or int(self.newest.max()) == NEVER:
            return NEVER
        oldest = int(self.newest.max()) - self.patience_us
        return int(self.newest[self.newest >= oldest].min()) - self.lateness_us
