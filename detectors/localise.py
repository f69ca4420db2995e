"""Where on the supply tree is the fault? The log-likelihood kernel.

Each device adds, at the node where it stands, log P(seen | fault above it) - log P(seen | in
service). Bottom-up, a node is either the faulted one (sum of all below minus what such a fault
costs a priori) or as good as its children's best. Several faults at once come out by themselves;
linear time. See reference/alerts-tickets.md 4.4 for the measured advantage over roll-up rules.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.compiled import F8, I1, I4, U1, kernel
from grid.network import Tree


@kernel(
    "void(int32[::1], float64[:, ::1], float64[:, ::1], uint8[::1], float64[:, ::1], float64[::1],"
    "int8[::1])"
)
def locate_kernel(
    parent: I4,
    weight: F8,
    prior: F8,
    forbidden: U1,
    own: F8,
    best: F8,
    choice: I1,
) -> None:
    """Choose the faulted nodes of a forest given parents first.

    Parameters
    ----------
    parent : int32[n]        parent[i] < i, -1 at a root
    weight : float64[h, n]   log-likelihood ratio of each of h kinds of fault, from the devices
                             standing at the node itself
    prior : float64[h, n]    cost of declaring the node faulted in that way
    forbidden : uint8[n]     1 = cannot be the faulted node (its switch is telemetered closed)
    own : float64[h, n]      out: weight summed over the node and everything below
    best : float64[n]        out: the best explanation of the subtree, >= 0
    choice : int8[n]         out: 0 not faulted, else 1 + kind of fault; no node lies under another
    """
    h, n = weight.shape
    for k in range(h):
        for i in range(n):
            own[k, i] = weight[k, i]
    for i in range(n):
        best[i] = 0.0
        choice[i] = 0
    # `best` first gathers the children's best, then becomes the node's own.
    for i in range(n - 1, -1, -1):
        top = best[i]
        if forbidden[i] == 0:
            for k in range(h):
                gain = own[k, i] - prior[k, i]
                if gain > 0.0 and gain >= top:
                    # On a tie the higher node and the earlier kind: one cause, one ticket.
                    if gain > top or choice[i] == 0:
                        choice[i] = k + 1
                    top = gain
        best[i] = top
        p = parent[i]
        if p >= 0:
            best[p] += top
            for k in range(h):
                own[k, p] += own[k, i]
    for i in range(n):
        p = parent[i]
        if p >= 0 and choice[p] != 0:
            # Below a faulted node everything is explained; mark it so for its children.
            choice[i] = -1
    for i in range(n):
        if choice[i] < 0:
            choice[i] = 0


def locate(
    tree: Tree | NDArray[np.int32],
    weight: ArrayLike,
    prior: ArrayLike,
    *,
    forbidden: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Nodes at fault, parents before children.

    `weight` and `prior` are float[n] (one kind of fault) by tree node; see `locate_kernel`.

    >>> parent = np.array([-1, 0, 0, 0], np.int32)
    >>> locate(parent, [0, 4.0, 4.0, 4.0], [5.0, 3.0, 3.0, 3.0])
    array([0])
    >>> locate(parent, [0, 4.0, -6.0, -6.0], [5.0, 3.0, 3.0, 3.0])
    array([1])
    """
    parent = tree.parent if isinstance(tree, Tree) else np.ascontiguousarray(tree, np.int32)
    n = parent.size
    w, cost = np.empty((1, n)), np.empty((1, n))
    w[:], cost[:] = np.asarray(weight, np.float64), np.asarray(prior, np.float64)
    no = np.zeros(n, np.uint8) if forbidden is None else np.array(forbidden, np.uint8)
    choice = np.zeros(n, np.int8)
    locate_kernel(parent, w, cost, no, np.empty((1, n)), np.empty(n), choice)
    return np.flatnonzero(choice)
