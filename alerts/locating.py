"""Where is the fault, with all that is known: meters, calls and answers to pings on one tree.

The detectors' kernel chooses the nodes that explain the signs best; here people's reports join
the meters', and the alternatives get their odds. Pure functions on arrays, and only of the feeders
that somebody speaks of: no ledger, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alerts.places import Asset
from alerts.signs import CODE, PLACE_WEIGHTS, SAYS, SIGN_NAMES, WEIGHT, WEIGHTS, Heard, Says, Sign
from alerts.walk import Ints, Walk
from grid.network import TREE_KINDS, Network

__all__ = ["SIGN_NAMES", "WEIGHT", "Candidate", "Heard", "Located", "Locator", "Says", "Sign",
           "Suspect"]  # fmt: skip

# Cost of a fault at feeder, section, transformer, branch, usage point: as the outage detector's,
# minus the log of its rate. One last gasp alone may be spurious; with two silent intervals, where
# the neighbours speak, it is a service that has failed.
PRIOR: Final = np.array([16.0, 16.0, 15.0, 14.0, 12.0])
LEAF: Final = TREE_KINDS.index("usage_point")
NEAR: Final = 8  # so many alternatives are compared
SUSPECT_SHARE: Final = 0.2  # so few of a dark place may live; more is a part that has supply again
# A lone last gasp in the very seconds of a larger outage is likelier to be that outage's, recorded
# at the wrong place (3 % of its meters), than another failure just then. Those seconds are three
# deviations of the outages' own last gasps; this where too few have been heard to say.
COINCIDENCE_US: Final = 20_000_000
COINCIDENCE_OF: Final = 8
# Silence of a living meter is as frequent as among its neighbours; those of the area count beside
# so many of the fleet, and the fleet beside so many of which one in eleven is silent, as the weight
# of silence supposes.
COUNTS_AS: Final = 5.0


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


@dataclass(frozen=True, slots=True)
class _Piece:
    """One feeder as the kernel left it: float64 by place, counted from `start`."""

    start: int
    own: NDArray[np.float64]
    best: NDArray[np.float64]
    prior: NDArray[np.float64]
    free: NDArray[np.uint8]


class Locator:
    """The tree of one network in the order that the kernel takes; safe for several threads."""

    def __init__(self, network: Network) -> None:
        tree = network.tree
        self.network = network
        self.walk = Walk(tree.parent)
        self.kind = tree.kind[self.walk.node]
        self._prior = np.ascontiguousarray(PRIOR[self.kind])

    def faults(self, heard: Heard, closed: Iterable[int] = ()) -> NDArray[np.int64]:
        """The nodes that explain the signs best, as the kernel finds them; `closed` are nodes
        whose switch is telemetered closed."""
        chosen, _ = self._choose(heard, self.walk.place[heard.node], closed)
        return np.sort(self.walk.node[chosen])

    def locate(
        self,
        signs: Sequence[Sign] | Heard,
        near: int | None = None,
        closed: Iterable[int] = (),
    ) -> Located:
        """The faults behind the signs, and the alternatives to the one at or around node `near`.

        Without `near`, or where nothing is likely there, the alternatives of the first fault.
        """
        heard = signs if isinstance(signs, Heard) else Heard.of(signs)
        place = self.walk.place[heard.node]
        chosen, pieces = self._choose(heard, place, closed)
        home = self._home(chosen, place)
        chosen, strays = self._without_strays(heard, chosen, home)
        chosen = self._without_doubtful(heard, chosen, home, place)
        about = self._about(chosen, None if near is None else int(self.walk.place[near]))
        return Located(
            tuple(self._asset(p) for p in self._by_node(chosen)),
            self._candidates(about, pieces, heard, place) if about is not None else (),
            self._suspects(heard, chosen, home, place, strays),
        )

    def _asset(self, place: int) -> Asset:
        return self.network.asset_of(int(self.walk.node[place]))

    def _by_node(self, places: Ints) -> list[int]:
        ordered: list[int] = places[np.argsort(self.walk.node[places])].tolist()
        return ordered

    # -- which faults ----------------------------------------------------------------------

    def _choose(
        self, heard: Heard, place: Ints, closed: Iterable[int]
    ) -> tuple[Ints, dict[int, _Piece]]:
        """Places at fault, and each feeder that somebody speaks of by its root."""
        from detectors.localise import locate_kernel  # numba: only where a fault is sought

        walk = self.walk
        if not place.size:
            return np.zeros(0, np.int64), {}
        roots = walk.roots_of(place)
        start = roots[0]
        n = roots[-1] + int(walk.size[roots[-1]]) - start
        weight = np.bincount(place - start, WEIGHTS[heard.says], n)
        cost = self._prior[start : start + n].copy()
        cost -= np.bincount(place - start, PLACE_WEIGHTS[heard.says], n)
        free = np.zeros(n, np.uint8)
        shut = walk.place[np.fromiter(closed, np.int64)] - start
        free[shut[(shut >= 0) & (shut < n)]] = 1
        chosen, pieces = [], {}
        for root in roots:
            part = slice(root - start, root - start + int(walk.size[root]))
            size = part.stop - part.start
            own, best, choice = np.empty((1, size)), np.empty(size), np.zeros(size, np.int8)
            parent = (walk.parent[walk.below(root)] - root).astype(np.int32)
            parent[0] = -1
            given = (weight[None, part], cost[None, part], free[part])
            locate_kernel(parent, *given, own, best, choice)
            chosen.append(np.flatnonzero(choice) + root)
            pieces[root] = _Piece(root, own[0], best, cost[part], free[part])
        return np.concatenate(chosen), pieces

    def _home(self, chosen: Ints, place: Ints) -> Ints:
        """int64[signs]: the fault that each sign lies below, -1 for none."""
        if not chosen.size:
            return np.full(place.size, -1, np.int64)
        # Faults do not lie below each other: the last one that begins before a place, if at all.
        ordered = np.sort(chosen)
        at = ordered[np.maximum(np.searchsorted(ordered, place, "right") - 1, 0)]
        inside = (place >= at) & (place < at + self.walk.size[at])
        return np.where(inside, at, -1)

    def _without_strays(
        self, heard: Heard, chosen: Ints, home: Ints
    ) -> tuple[Ints, dict[int, int]]:
        """The faults without single meters that went dark with a larger one, and whose they are."""
        large = chosen[self.kind[chosen] < LEAF]
        leaves = chosen[self.kind[chosen] == LEAF]
        timed = np.flatnonzero(heard.are("gasp") & (heard.at_us > 0) & (home >= 0))
        mine, at_us = home[timed], heard.at_us[timed]
        begun, apart = {}, []
        for fault in large.tolist():
            times = at_us[mine == fault]
            if times.size:
                begun[fault] = float(np.median(times))
                apart.append(np.abs(times - begun[fault]))
        if not begun:
            return chosen, {}
        spread = np.concatenate(apart)
        wide = COINCIDENCE_US
        if spread.size >= COINCIDENCE_OF:
            # 1.48 times the median deviation is a normal deviation.
            wide = min(wide, max(1_000_000, int(3 * 1.4826 * np.median(spread))))
        faults, began = np.array(list(begun)), np.array(list(begun.values()))
        strays: dict[int, int] = {}
        for leaf in leaves.tolist():
            times = at_us[mine == leaf]
            if times.size:
                off = np.abs(began - times.min())
                if off.min() <= wide:
                    strays[leaf] = int(faults[off.argmin()])
        return chosen[~np.isin(chosen, list(strays))], strays

    def _without_doubtful(self, heard: Heard, chosen: Ints, home: Ints, place: Ints) -> Ints:
        """The faults without single meters whose silence says too little where they stand."""
        leaves = chosen[self.kind[chosen] == LEAF]
        if not leaves.size:
            return chosen
        quiet, lively = heard.are("silent") & (home < 0), heard.are("alive") & (home < 0)
        usual = float(np.exp(-WEIGHT["silent"]))
        fleet = (quiet.sum() + COUNTS_AS * usual) / (quiet.sum() + lively.sum() + COUNTS_AS)
        gone = []
        for leaf in leaves.tolist():
            area = self.walk.below(self.walk.above(leaf)[min(2, int(self.walk.depth[leaf]))])
            near = (place >= area.start) & (place < area.stop)
            silent, living = int((quiet & near).sum()), int((lively & near).sum())
            rate = (silent + COUNTS_AS * fleet) / (silent + living + COUNTS_AS)
            own = heard.says[home == leaf]
            weight = np.where(
                own == CODE["silent"], min(WEIGHT["silent"], -float(np.log(rate))), WEIGHTS[own]
            )
            if weight.sum() <= self._prior[leaf]:
                gone.append(leaf)
        return chosen[~np.isin(chosen, gone)]

    def _about(self, chosen: Ints, near: int | None) -> int | None:
        if near is None:
            return self._by_node(chosen)[0] if chosen.size else None
        line = set(self.walk.above(near))
        for place in self._by_node(chosen):
            if place in line or near in self.walk.above(place):
                return place
        return near

    # -- alternatives ----------------------------------------------------------------------

    def _candidates(
        self, place: int, pieces: Mapping[int, _Piece], heard: Heard, at: Ints
    ) -> tuple[Candidate, ...]:
        """Each alternative on its own: it is the fault and nothing above it is; what lies beside
        its way to the root is explained as well as can be."""
        line = self.walk.above(place)
        piece = pieces.get(line[-1])
        if piece is None:
            return ()
        part, start = self.walk.below(place), piece.start
        own = piece.own[part.start - start : part.stop - start]
        steps = self.walk.depth[part] - self.walk.depth[place]
        # One level down all, further down only what has signs of its own.
        inner = np.flatnonzero((steps == 1) | ((steps == 2) & (own > 0))) + place
        options = np.concatenate([np.array(line), inner])
        options = options[piece.free[options - start] == 0]
        if not options.size:
            return ()
        value = self._values(options, piece)
        share = np.exp(value - value.max())
        share /= share.sum()
        # Equal odds in the order of the tree, the higher first.
        order = np.argsort(-share, kind="stable")[:NEAR]
        counts = self._counts(options[order], line[-1], heard, at)
        return tuple(
            Candidate(self._asset(p), float(share[i]), signs)
            for i, p, signs in zip(order, options[order].tolist(), counts, strict=True)
        )

    def _values(self, places: Ints, piece: _Piece) -> NDArray[np.float64]:
        """The log-likelihood of everything below the root if the fault is at each place."""
        part = self.walk.below(piece.start)
        parent = self.walk.parent[part] - piece.start
        beside = np.bincount(parent[1:], piece.best[1:], parent.size)
        at = places - piece.start
        total = piece.own[at] - piece.prior[at]
        while np.any(at > 0):
            up = np.where(at > 0, parent[at], 0)
            total += np.where(at > 0, beside[up] - piece.best[at], 0.0)
            at = up
        return np.asarray(total)

    def _counts(self, places: Ints, root: int, heard: Heard, at: Ints) -> list[dict[Says, int]]:
        """How many signs of each kind there are below some places of one feeder."""
        part = self.walk.below(root)
        inside = np.flatnonzero((at >= part.start) & (at < part.stop))
        order = inside[np.argsort(at[inside], kind="stable")]
        sums = np.zeros((len(SAYS), order.size + 1), np.int64)
        sums[heard.says[order], np.arange(1, order.size + 1)] = 1
        np.cumsum(sums, axis=1, out=sums)
        ends = places + self.walk.size[places]
        found = (
            sums[:, np.searchsorted(at[order], ends)] - sums[:, np.searchsorted(at[order], places)]
        )
        return [
            {says: k for says, k in zip(SAYS, column.tolist(), strict=True) if k}
            for column in found.T
        ]

    # -- suspects --------------------------------------------------------------------------

    def _suspects(
        self, heard: Heard, chosen: Ints, home: Ints, at: Ints, strays: Mapping[int, int]
    ) -> tuple[Suspect, ...]:
        """Living meters in a dark place, and last gasps that no fault explains.

        Where a good part of a branch lives, that part has supply again and nobody is suspected.
        """
        if not chosen.size:
            return ()
        lives = heard.are("alive", "answers")
        explained = np.isin(home, chosen)
        up = self.walk.parent[at]
        around = np.where(up >= 0, up, at)
        first = int(around.min())
        living = np.bincount(around - first, lives.astype(float))[around - first]
        told = np.bincount(around - first, (~heard.are("call")).astype(float))[around - first]
        few = living <= np.maximum(1.0, SUSPECT_SHARE * told)
        wrong = (explained & lives & few) | (~explained & heard.are("gasp"))
        only = int(chosen[0]) if chosen.size == 1 else -1
        out = []
        for i in np.flatnonzero(wrong).tolist():
            fault = strays.get(int(home[i]), only) if not lives[i] else -1
            out.append(
                Suspect(
                    heard.who[i],
                    self._asset(int(at[i])),
                    SAYS[heard.says[i]],
                    self._asset(fault) if fault >= 0 else None,
                )
            )
        return tuple(out)
