"""How far apart two assets are on the tree of supply: the same, one step, further, unrelated."""

from functools import lru_cache

from grid.network import Network

Asset = tuple[str, str]
"""(kind, id)."""


class Places:
    """Distances between assets of a network; without a network only equal assets are related.

    `chain(asset)` is the asset and everything that supplies it, nearest first.
    """

    def __init__(self, network: Network | None = None) -> None:
        self.network = network
        self.chain = lru_cache(maxsize=200_000)(self._supply_chain)

    def _supply_chain(self, asset: Asset) -> tuple[Asset, ...]:
        if self.network is None:
            return (asset,)
        chain = tuple((str(k), i) for k, i in self.network.ancestors(*asset))
        # A device stands one step below the node where it is mounted.
        return chain if chain[:1] == (asset,) else (asset, *chain)

    def steps(self, one: Asset, other: Asset) -> int | None:
        """Steps along one line of supply: 0 the same, 1 parent or child; None if not on one."""
        if one == other:
            return 0
        for low, high in ((one, other), (other, one)):
            chain = self.chain(low)
            if high in chain:
                return chain.index(high)
        return None

    def below(self, low: Asset, high: Asset) -> bool:
        """Whether `low` is supplied through `high` (or is it)."""
        return high in self.chain(low)

    def area(self, asset: Asset) -> str:
        """The transformer whose area an asset belongs to; above transformers the asset itself."""
        for kind, id_ in self.chain(asset):
            if kind == "transformer":
                return id_
        return f"{asset[0]} {asset[1]}"
