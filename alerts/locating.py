"""Where is the fault, with all that is known: meters, calls and answers to pings on one tree.

The detectors' kernel chooses the nodes that explain the signs best; here people's reports join
the meters', and the alternatives get their odds. Pure functions on arrays: no ledger, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from alerts.places import Asset
from grid.network import TREE_KINDS, Network

Says = Literal["gasp", "dead", "silent", "call", "alive", "answers"]

SIGN_NAMES: Final[dict[Says, tuple[str, str]]] = {
    "gasp": ("sent a last gasp", "停电上报"),
    "dead": ("does not answer a ping", "召测无应答"),
    "silent": ("is silent", "无数据"),
    "call": ("a customer called", "客户来电"),
    "alive": ("has reported since", "其后有数据"),
    "answers": ("answers a ping", "召测有应答"),
}

# log P(said | without supply) - log P(said | in service), as the outage detector has them where it
# has them. A gasp: 0.3-0.9 against 2e-5 spurious; a meter that reports afterwards is dark only by
# a wrong record or a wrong clock; a tenth of the pings to living meters is lost; one customer of
# fifty calls within the hour of an outage, one of ten thousand without one.
WEIGHT: Final[Mapping[Says, float]] = {
    "gasp": 10.0,
    "dead": 2.3,
    "silent": 2.4,
    "call": 5.0,
    "alive": -6.0,
    "answers": -6.0,
}
# Cost of a fault at feeder, section, transformer, branch, usage point: as the outage detector's,
# minus the log of its rate. One last gasp alone may be spurious; with two silent intervals it is
# a service that has failed.
PRIOR: Final = np.array([16.0, 16.0, 15.0, 14.0, 12.0])
LEAF: Final = TREE_KINDS.index("usage_point")
NEAR: Final = 8  # so many alternatives are compared
SUSPECT_SHARE: Final = 0.2  # so few of a dark place may live; more is a part that has supply again
# A lone last gasp within so long of a larger outage is likelier to be that outage's, recorded at
# the wrong place (3 % of its meters), than another failure in the same seconds.
COINCIDENCE_US: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Sign:
    """What a device or a customer says of supply at a node of the tree; `at_us` when, if that
    is known (a last gasp)."""

    node: int
    says: Says
    who: str
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that may be the fault.

    odds : its share of probability among the alternatives, 0 to 1
    signs : how many of each kind speak below it
    """

    asset: Asset
    odds: float
    signs: Mapping[Says, int]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A meter that disagrees with where the records put it.

    perhaps : the fault whose fate it shares, where there is one
    """

    device: str
    recorded: Asset
    says: Says
    perhaps: Asset | None


@dataclass(frozen=True, slots=True)
class Located:
    """The answer: the faults, and for the asked one its alternatives, the likeliest first."""

    faults: tuple[Asset, ...]
    candidates: tuple[Candidate, ...]
    suspects: tuple[Suspect, ...]


class Locator:
    """The tree of one network with the arrays that the kernel fills; not for several threads."""

    def __init__(self, network: Network) -> None:
        tree = network.tree
        self.network = network
        self.parent = np.ascontiguousarray(tree.parent, np.int32)
        self.kind = tree.kind
        self.prior = np.ascontiguousarray(PRIOR[tree.kind][None, :])
        n = self.parent.size
        self._weight, self._own = np.zeros((1, n)), np.zeros((1, n))
        self._best, self._choice = np.zeros(n), np.zeros(n, np.int8)
        self._free = np.zeros(n, np.uint8)
        self._up = _ancestors(self.parent)

    def faults(self, signs: Iterable[Sign], closed: Iterable[int] = ()) -> NDArray[np.int64]:
        """Nodes at fault; `closed` are nodes whose switch is telemetered closed."""
        return self._faults(_Heard(signs), closed)

    def faults_of_weight(
        self, weight: NDArray[np.float64], closed: Iterable[int] = ()
    ) -> NDArray[np.int64]:
        """The same for float64[n] log-likelihood ratios by node, for callers with many signs."""
        self._weight[0, :] = weight
        return self._run(closed)

    def _faults(self, heard: "_Heard", closed: Iterable[int]) -> NDArray[np.int64]:
        n = self.parent.size
        self._weight[0, :] = np.bincount(heard.node, _WEIGHTS[heard.says], n)
        return self._run(closed)

    def _run(self, closed: Iterable[int]) -> NDArray[np.int64]:
        from detectors.localise import locate_kernel  # numba: only where a fault is sought

        self._free.fill(0)
        for node in closed:
            self._free[node] = 1
        locate_kernel(
            self.parent,
            self._weight,
            self.prior,
            self._free,
            self._own,
            self._best,
            self._choice,
        )
        return np.flatnonzero(self._choice)

    def locate(
        self, signs: Sequence[Sign], near: int | None = None, closed: Iterable[int] = ()
    ) -> Located:
        """The faults behind the signs, and the alternatives to the one at or around node `near`.

        Without `near`, or where nothing is likely there, the alternatives of the first fault.
        """
        heard = _Heard(signs)
        chosen = self._faults(heard, closed)
        home = self._home(heard, chosen)
        chosen, strays = self._without_strays(heard, chosen, home)
        about = self._about(chosen.tolist(), near)
        return Located(
            tuple(self.network.asset_of(n) for n in chosen.tolist()),
            self._candidates(about, heard) if about is not None else (),
            self._suspects(heard, chosen, home, strays),
        )

    def _home(self, heard: "_Heard", chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[signs]: the fault that each sign lies below, -1 for none."""
        home = np.full(heard.node.size, -1, np.int64)
        for up in self._up:
            above = up[heard.node]
            hit = (home < 0) & np.isin(above, chosen)
            home[hit] = above[hit]
        return home

    def _without_strays(
        self, heard: "_Heard", chosen: NDArray[np.int64], home: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], dict[int, int]]:
        """The faults without single meters that went dark with a larger one, and whose they are."""
        large = chosen[self.kind[chosen] < LEAF]
        strays: dict[int, int] = {}
        gasps = (heard.says == _CODE["gasp"]) & (heard.at_us > 0)
        begun = {
            int(f): np.median(heard.at_us[gasps & (home == f)])
            for f in large.tolist()
            if np.any(gasps & (home == f))
        }
        for node in chosen[self.kind[chosen] == LEAF].tolist():
            mine = heard.at_us[gasps & (home == node)]
            if mine.size and begun:
                nearest = min(begun, key=lambda f: abs(begun[f] - mine.min()))
                if abs(begun[nearest] - mine.min()) <= COINCIDENCE_US:
                    strays[node] = nearest
        return chosen[~np.isin(chosen, list(strays))], strays

    def _about(self, chosen: Sequence[int], near: int | None) -> int | None:
        if near is None:
            return chosen[0] if chosen else None
        line = {near, *self._above(near)}
        for node in chosen:
            if node in line or near in self._above(node):
                return node
        return near

    def _above(self, node: int) -> list[int]:
        return [int(up[node]) for up in self._up[1:] if up[node] >= 0]

    # -- alternatives ----------------------------------------------------------------------

    def _candidates(self, node: int, heard: "_Heard") -> tuple[Candidate, ...]:
        """Each alternative on its own: it is the fault and nothing above it is; what lies beside
        its way to the root is explained as well as can be."""
        line = [node, *self._above(node)]
        below = np.flatnonzero(self.parent == node).tolist()
        # One level down all, further down only what has signs of its own.
        inner = np.flatnonzero(np.isin(self.parent, below) & (self._own[0] > 0)).tolist()
        open_ = [n for n in (*line, *below, *inner) if not self._free[n]]
        value = np.array([self._value(n, line[-1]) for n in open_])
        if value.size == 0:
            return ()
        share = np.exp(value - value.max())
        share /= share.sum()
        order = np.argsort(-share, kind="stable")[:NEAR].tolist()
        return tuple(
            Candidate(
                self.network.asset_of(open_[i]), float(share[i]), self._count(open_[i], heard)
            )
            for i in order
        )

    def _value(self, node: int, root: int) -> float:
        """The log-likelihood of everything below `root` if the fault is at `node`."""
        total = float(self._own[0, node] - self.prior[0, node])
        child = node
        while child != root:
            up = int(self.parent[child])
            beside = self.parent == up
            total += float(self._best[beside].sum() - self._best[child])
            child = up
        return total

    def _count(self, node: int, heard: "_Heard") -> dict[Says, int]:
        inside = np.zeros(heard.node.size, bool)
        for up in self._up:
            inside |= up[heard.node] == node
        found = np.bincount(heard.says[inside], minlength=len(_SAYS))
        return {says: int(k) for says, k in zip(_SAYS, found.tolist(), strict=True) if k}

    # -- suspects --------------------------------------------------------------------------

    def _suspects(
        self,
        heard: "_Heard",
        chosen: NDArray[np.int64],
        home: NDArray[np.int64],
        strays: Mapping[int, int],
    ) -> tuple[Suspect, ...]:
        """Living meters in a dark place, and last gasps that no fault explains.

        Where a good part of a branch lives, that part has supply again and nobody is suspected.
        """
        if not chosen.size:
            return ()
        lives = np.isin(heard.says, (_CODE["alive"], _CODE["answers"]))
        place = np.where(self.parent[heard.node] >= 0, self.parent[heard.node], heard.node)
        n = self.parent.size
        living = np.bincount(place, lives.astype(float), n)[place]
        told = np.bincount(place, (heard.says != _CODE["call"]).astype(float), n)[place]
        few = living <= np.maximum(1.0, SUSPECT_SHARE * told)
        wrong = (np.isin(home, chosen) & lives & few) | (
            ~np.isin(home, chosen) & (heard.says == _CODE["gasp"])
        )
        only = int(chosen[0]) if chosen.size == 1 else -1
        out = []
        for i in np.flatnonzero(wrong).tolist():
            sign = heard.signs[i]
            fault = strays.get(int(home[i]), only) if not lives[i] else -1
            out.append(
                Suspect(
                    sign.who,
                    self.network.asset_of(sign.node),
                    sign.says,
                    self.network.asset_of(fault) if fault >= 0 else None,
                )
            )
        return tuple(out)


_SAYS: Final[tuple[Says, ...]] = tuple(WEIGHT)
_CODE: Final[dict[Says, int]] = {says: i for i, says in enumerate(_SAYS)}
_WEIGHTS: Final = np.array([WEIGHT[s] for s in _SAYS])


class _Heard:
    """Signs as arrays: `node` int32, `says` int8 (place in `_SAYS`), `at_us` int64, 0 unknown."""

    def __init__(self, signs: Iterable[Sign]) -> None:
        self.signs = list(signs)
        n = len(self.signs)
        self.node = np.fromiter((s.node for s in self.signs), np.int32, n)
        self.says = np.fromiter((_CODE[s.says] for s in self.signs), np.int8, n)
        self.at_us = np.fromiter((s.at_us or 0 for s in self.signs), np.int64, n)


def _ancestors(parent: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """[k][node]: what lies k steps above each node, itself at 0, -1 beyond the root."""
    out = [np.arange(parent.size, dtype=np.int32)]
    while parent.size and out[-1].max() >= 0:
        last = out[-1]
        out.append(np.where(last >= 0, parent[last], -1).astype(np.int32))
    return out
