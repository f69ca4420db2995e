"""The supply tree numbered in the order of a walk: what lies below a node is a range of numbers.

So "everything below" is a slice, a feeder is a piece of each array, and counting below a node is
the difference of two sums. Whole arrays only, a million nodes in a moment.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Walk:
    """The order of a walk over a forest that is given parents first.

    place : int64[n] number of each node in the walk; node : its inverse
    size : int64[n] by place, how many nodes a node and all below it are
    parent, depth : int64[n] by place; parent -1 at a root
    """

    def __init__(self, parent: NDArray[np.int32]) -> None:
        n = parent.size
        depth = np.zeros(n, np.int64)
        above = parent.astype(np.int64)
        while np.any(above >= 0):
            depth += above >= 0
            above = np.where(above >= 0, parent[above], -1)
        size = np.ones(n, np.int64)
        levels = [np.flatnonzero(depth == d) for d in range(int(depth.max(initial=-1)) + 1)]
        for nodes in levels[:0:-1]:
            size += np.bincount(parent[nodes], size[nodes], n).astype(np.int64)
        place = np.zeros(n, np.int64)
        for nodes in levels:
            # Siblings one after the other, each with all that is below it.
            ordered = nodes[np.argsort(parent[nodes], kind="stable")]
            before = np.cumsum(size[ordered]) - size[ordered]
            up = parent[ordered]
            first = np.flatnonzero(np.diff(up, prepend=-2) != 0)
            start = np.repeat(before[first], np.diff(np.append(first, ordered.size)))
            place[ordered] = before - start + np.where(up >= 0, place[up] + 1, 0)
        self.place = place
        self.node = np.empty(n, np.int64)
        self.node[place] = np.arange(n)
        ups = parent[self.node].astype(np.int64)
        self.parent: Ints = np.where(ups >= 0, place[ups], -1)
        self.size: Ints = size[self.node]
        self.depth: Ints = depth[self.node]
        self.roots: Ints = np.flatnonzero(self.parent < 0)

    def below(self, place: int) -> slice:
        """The places of a node and of everything below it."""
        return slice(place, place + int(self.size[place]))

    def above(self, place: int) -> list[int]:
        """The places from a node to its root, itself first."""
        out = [place]
        while (up := int(self.parent[out[-1]])) >= 0:
            out.append(up)
        return out

    def roots_of(self, places: Ints) -> list[int]:
        """The roots above some places."""
        found: list[int] = np.unique(
            self.roots[np.searchsorted(self.roots, places, "right") - 1]
        ).tolist()
        return found
