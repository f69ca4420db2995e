"""The tree kernel: equals a recursion written plainly, and behaves as an operator expects."""

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.localise import locate, locate_kernel


def slow_best(
    parent: NDArray[np.int32],
    weight: NDArray[np.float64],
    prior: NDArray[np.float64],
    forbidden: NDArray[np.uint8],
) -> float:
    """The best total by plain recursion over the forest."""
    children: dict[int, list[int]] = {}
    for i, p in enumerate(parent.tolist()):
        children.setdefault(p, []).append(i)

    def below(i: int, k: int) -> float:
        return float(weight[k, i]) + sum(below(c, k) for c in children.get(i, []))

    def best(i: int) -> float:
        options = [sum(best(c) for c in children.get(i, []))]
        if not forbidden[i]:
            options += [below(i, k) - float(prior[k, i]) for k in range(weight.shape[0])]
        return max(0.0, *options)

    return sum(best(i) for i in children.get(-1, []))


@pytest.mark.parametrize("seed", range(20))
def test_kernel_finds_the_same_optimum_as_a_plain_recursion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, kinds = int(rng.integers(1, 40)), int(rng.integers(1, 4))
    parent = np.array([rng.integers(-1, i) if i else -1 for i in range(n)], np.int32)
    weight, prior = rng.normal(0, 5, (kinds, n)), rng.uniform(0.5, 6, (kinds, n))
    forbidden = (rng.random(n) < 0.2).astype(np.uint8)
    own, best, choice = np.empty((kinds, n)), np.empty(n), np.zeros(n, np.int8)

    locate_kernel(parent, weight, prior, forbidden, own, best, choice)

    assert best[parent < 0].sum() == pytest.approx(slow_best(parent, weight, prior, forbidden))
    chosen = np.flatnonzero(choice)
    gained = sum(own[choice[i] - 1, i] - prior[choice[i] - 1, i] for i in chosen)
    assert gained == pytest.approx(best[parent < 0].sum())


def test_no_faulted_node_lies_under_another() -> None:
    """One cause is one finding."""
    parent = np.array([-1, 0, 1, 1, 0, 4], np.int32)

    found = locate(parent, [0, 0, 9.0, 9.0, 0, 9.0], [5.0, 5.0, 4.0, 4.0, 5.0, 4.0])

    assert found.tolist() == [0]


def test_three_separate_faults_are_three() -> None:
    parent = np.array([-1, 0, 0, 0, 0, 0, 0], np.int32)
    weight = [0, 9.0, -6.0, 9.0, -6.0, 9.0, -6.0]

    assert locate(parent, weight, [5.0] + [4.0] * 6).tolist() == [1, 3, 5]


def test_a_switch_telemetered_closed_cannot_be_the_place() -> None:
    parent = np.array([-1, 0, 0], np.int32)
    weight, prior = [0, 9.0, 9.0], [5.0, 4.0, 4.0]

    assert locate(parent, weight, prior).tolist() == [0]
    assert locate(parent, weight, prior, forbidden=[1, 0, 0]).tolist() == [1, 2]


def test_no_evidence_means_no_fault() -> None:
    assert locate(np.array([-1, 0], np.int32), 0.0, 3.0).tolist() == []
    assert locate(np.empty(0, np.int32), np.empty(0), np.empty(0)).tolist() == []
