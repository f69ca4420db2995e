"""Where is the fault, with all that is known: meters, calls and answers to pings on one tree.

The detectors' kernel chooses the nodes that explain the signs best; here people's reports join
the meters', and the alternatives get their odds. Pure functions on arrays: no ledger, no clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from alerts.places import Asset
from grid.network import Network

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
NEAR: Final = 8  # so many alternatives are compared
SUSPECT_SHARE: Final = 0.2  # so few of a dark place may live; more is a part that has supply again


@dataclass(frozen=True, slots=True)
class Sign:
    """What a device or a customer says of supply at a node of the tree."""

    node: int
    says: Says
    who: str


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
        self.prior = np.ascontiguousarray(PRIOR[tree.kind][None, :])
        n = self.parent.size
        self._weight, self._own = np.zeros((1, n)), np.zeros((1, n))
        self._best, self._choice = np.zeros(n), np.zeros(n, np.int8)
        self._free = np.zeros(n, np.uint8)

    def faults(self, signs: Iterable[Sign], closed: Iterable[int] = ()) -> NDArray[np.int64]:
        """Nodes at fault; `closed` are nodes whose switch is telemetered closed."""
        w = self._weight
        w.fill(0.0)
        for s in signs:
            w[0, s.node] += WEIGHT[s.says]
        return self._run(closed)

    def faults_of_weight(
        self, weight: NDArray[np.float64], closed: Iterable[int] = ()
    ) -> NDArray[np.int64]:
        """The same for float64[n] log-likelihood ratios by node, for callers with many signs."""
        self._weight[0, :] = weight
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
        chosen = self.faults(signs, closed).tolist()
        about = self._about(chosen, near)
        return Located(
            tuple(self.network.asset_of(n) for n in chosen),
            self._candidates(about, signs) if about is not None else (),
            self._suspects(chosen, signs),
        )

    def _about(self, chosen: Sequence[int], near: int | None) -> int | None:
        if near is None:
            return chosen[0] if chosen else None
        line = {near, *self._above(near)}
        for node in chosen:
            if node in line or near in self._above(node):
                return node
        return near

    def _above(self, node: int) -> list[int]:
        out, p = [], int(self.parent[node])
        while p >= 0:
            out.append(p)
            p = int(self.parent[p])
        return out

    # -- alternatives ----------------------------------------------------------------------

    def _candidates(self, node: int, signs: Sequence[Sign]) -> tuple[Candidate, ...]:
        """Each alternative on its own: it is the fault and nothing above it is; what lies beside
        its way to the root is explained as well as can be."""
        line = [node, *self._above(node)]
        below = np.flatnonzero(self.parent == node).tolist()
        # One level down all, further down only what has signs of its own.
        deeper = [k for b in below for k in np.flatnonzero(self.parent == b).tolist()]
        nodes = [*line, *below, *(k for k in deeper if self._own[0, k] > 0)]
        open_ = [n for n in nodes if not self._free[n]]
        value = np.array([self._value(n, line[-1]) for n in open_])
        if value.size == 0:
            return ()
        share = np.exp(value - value.max())
        share /= share.sum()
        order = np.argsort(-share, kind="stable")[:NEAR]
        counts = self._counts({open_[i] for i in order.tolist()}, signs)
        return tuple(
            Candidate(
                self.network.asset_of(open_[i]), float(share[i]), dict(counts.get(open_[i], {}))
            )
            for i in order.tolist()
        )

    def _value(self, node: int, root: int) -> float:
        """The log-likelihood of everything below `root` if the fault is at `node`."""
        total = float(self._own[0, node] - self.prior[0, node])
        child = node
        while child != root:
            up = int(self.parent[child])
            beside = np.flatnonzero(self.parent == up)
            total += float(self._best[beside].sum() - self._best[child])
            child = up
        return total

    def _counts(self, nodes: set[int], signs: Iterable[Sign]) -> dict[int, Counter[Says]]:
        out: dict[int, Counter[Says]] = {}
        for s in signs:
            for n in (s.node, *self._above(s.node)):
                if n in nodes:
                    out.setdefault(n, Counter())[s.says] += 1
        return out

    # -- suspects --------------------------------------------------------------------------

    def _suspects(self, chosen: Sequence[int], signs: Sequence[Sign]) -> tuple[Suspect, ...]:
        """Living meters in a dark place, and last gasps that no fault explains.

        Where a good part of a branch lives, that part has supply again and nobody is suspected.
        """
        faults = set(chosen)
        if not faults:
            return ()
        home: dict[int, int] = {}
        for s in signs:
            for n in (s.node, *self._above(s.node)):
                if n in faults:
                    home[s.node] = n
                    break
        lives: Counter[int] = Counter()
        said: Counter[int] = Counter()
        for s in signs:
            place = int(self.parent[s.node]) if self.parent[s.node] >= 0 else s.node
            if s.says != "call":
                said[place] += 1
                lives[place] += s.says in ("alive", "answers")
        out = []
        for s in signs:
            inside = home.get(s.node)
            place = int(self.parent[s.node]) if self.parent[s.node] >= 0 else s.node
            asset = self.network.asset_of(s.node)
            if inside is not None and s.says in ("alive", "answers"):
                if lives[place] <= max(1, SUSPECT_SHARE * said[place]):
                    out.append(Suspect(s.who, asset, s.says, None))
            elif inside is None and s.says == "gasp":
                only = self.network.asset_of(chosen[0]) if len(chosen) == 1 else None
                out.append(Suspect(s.who, asset, s.says, only))
        return tuple(out)
