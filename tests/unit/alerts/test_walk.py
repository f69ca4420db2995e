"""The walk over the tree agrees with what following parents one by one gives."""

from __future__ import annotations

import random

import numpy as np
import pytest

from alerts.walk import Walk


def forest(seed: int, nodes: int) -> list[int]:
    """Parents of a random forest, each before its children."""
    rng = random.Random(seed)
    return [-1 if i == 0 or rng.random() < 0.05 else rng.randrange(i) for i in range(nodes)]


@pytest.mark.parametrize(("seed", "nodes"), [(1, 1), (2, 2), (3, 60), (4, 500)])
def test_what_is_below_a_node_is_a_range_of_places(seed: int, nodes: int) -> None:
    parents = forest(seed, nodes)
    walk = Walk(np.array(parents, np.int32))

    def line(node: int) -> list[int]:
        return [node, *(line(parents[node]) if parents[node] >= 0 else [])]

    for node in range(nodes):
        below = {n for n in range(nodes) if node in line(n)}
        place = int(walk.place[node])
        assert {int(walk.node[p]) for p in range(nodes)[walk.below(place)]} == below
        assert [int(walk.node[p]) for p in walk.above(place)] == line(node)
        assert walk.roots_of(np.array([place])) == [int(walk.place[line(node)[-1]])]
        assert int(walk.depth[place]) == len(line(node)) - 1


def test_a_network_without_anything_has_an_empty_walk() -> None:
    walk = Walk(np.zeros(0, np.int32))

    assert (walk.place.size, walk.roots.size) == (0, 0)
