"""Where things stand on the supply tree, in the form the incident rules ask for it.

Answers are kept per network: the rules ask the same few questions for every meter of an area.
"""

from collections import defaultdict
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from grid.network import TREE_KINDS, Customer, Device, Network, Transformer

Asset = tuple[str, str]  # (asset kind, asset id)
CRITICAL_CATEGORIES = frozenset({"hospital", "school"})
LEVEL = {kind: depth for depth, kind in enumerate(TREE_KINDS)}


def names_in(name: str) -> tuple[str, str]:
    """A name in English and in Chinese where people gave both (`枫林街台区 / Fenglin Street`), else
    the one for both.

    >>> names_in("枫林街台区 / Fenglin Street"), names_in("T7")
    (('Fenglin Street', '枫林街台区'), ('T7', 'T7'))
    >>> names_in("Mill Road / Canal Street")[1]
    'Mill Road / Canal Street'
    """
    first, _, second = name.partition(" / ")
    if not second or _is_chinese(first) == _is_chinese(second):
        return name, name
    return (second, first) if _is_chinese(first) else (first, second)


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in text)


_known: WeakKeyDictionary[Network, "Places"] = WeakKeyDictionary()


def places_of(network: Network) -> "Places":
    """The places of a network, made once as long as the network lives."""
    found = _known.get(network)
    if found is None:
        found = _known[network] = Places(network)
    return found


class Places:
    """Relations of assets on the tree of one `Network`."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._lineage: dict[Asset, tuple[Asset, ...]] = {}
        self._customers: dict[Asset, tuple[Customer, ...]] = {}
        self._devices: dict[int, tuple[Device, ...]] | None = None

    def lineage(self, asset: Asset) -> tuple[Asset, ...]:
        """The asset's own node and everything that supplies it, nearest first.

        A device answers with the node where it stands; an asset that the network does not know
        stands alone.
        """
        found = self._lineage.get(asset)
        if found is None:
            found = self._lineage[asset] = self._line(asset)
        return found

    def _line(self, asset: Asset) -> tuple[Asset, ...]:
        network = self.network
        node = network.node(*asset)
        if node is None:
            return (asset,)
        own = network.asset_of(node)
        if own != asset:
            return self.lineage(own)
        above = int(network.tree.parent[node])
        return (own, *(self.lineage(network.asset_of(above)) if above >= 0 else ()))

    def transformer_of(self, asset: Asset) -> Transformer | None:
        """The transformer that supplies an asset (or is it); None above one."""
        for kind, id_ in self.lineage(asset):
            if kind == "transformer":
                return self.network.transformers[self.network.transformer_index[id_]]
        return None

    def node(self, asset: Asset) -> Asset:
        """The tree node of an asset (a meter's usage point, a monitor's transformer)."""
        return self.lineage(asset)[0]

    def depth(self, asset: Asset) -> int:
        """How many nodes supply it: 0 at the substation's feeder."""
        return len(self.lineage(asset)) - 1

    def covers(self, above: Asset, below: Asset) -> bool:
        """Whether `below` is supplied through `above` (or is it)."""
        return self.node(above) in self.lineage(below)

    def steps_between(self, one: Asset, other: Asset) -> int | None:
        """Nodes between two assets of one line of supply; None on different lines."""
        if self.covers(one, other) or self.covers(other, one):
            return abs(self.depth(one) - self.depth(other))
        return None

    def devices_at(self, asset: Asset) -> tuple[Device, ...]:
        """The devices that stand at the asset's own node, without looking at all of them."""
        node = self.network.node(*asset)
        return () if node is None else self._by_node().get(node, ())

    def devices_within(self, asset: Asset) -> tuple[Device, ...]:
        """The devices that stand at or below the asset's node, likewise."""
        here = self._by_node()
        nodes = self.network.within(*self.node(asset))
        return tuple(d for node in nodes for d in here.get(node, ()))

    def _by_node(self) -> dict[int, tuple[Device, ...]]:
        if self._devices is None:
            found: dict[int, list[Device]] = defaultdict(list)
            network = self.network
            for device, node in zip(network.devices, network.tree.device.tolist(), strict=True):
                if node >= 0:
                    found[node].append(device)
            self._devices = {node: tuple(devices) for node, devices in found.items()}
        return self._devices

    def customers(self, asset: Asset) -> tuple[Customer, ...]:
        """The customers supplied through an asset, each once."""
        found = self._customers.get(asset)
        if found is None:
            found = self.network.customers_within(*self.node(asset))
            if len(self._customers) > 10_000:
                self._customers.clear()
            self._customers[asset] = found
        return found

    def common(self, assets: Sequence[Asset]) -> Asset | None:
        """The nearest node that supplies all of them; None if there is none."""
        if not assets:
            return None
        shared = list(self.lineage(assets[0]))
        for asset in assets[1:]:
            line = set(self.lineage(asset))
            shared = [node for node in shared if node in line]
        return shared[0] if shared else None

    def call_first(self, asset: Asset) -> list[Customer]:
        """Who is to be called before all others: life support, then critical, then the elderly.

        The rank is about calling and offering help; it promises nothing about restoration.
        """
        ranked = [(call_rank(c), c.account, c) for c in self.customers(asset)]
        return [c for rank, _, c in sorted(ranked, key=lambda r: r[:2]) if rank < 3]


def call_rank(customer: Customer) -> int:
    """0 life support, 1 critical (hospital, school, so flagged), 2 elderly, 3 everybody else."""
    if "life_support" in customer.flags:
        return 0
    if "critical" in customer.flags or customer.category in CRITICAL_CATEGORIES:
        return 1
    return 2 if "elderly" in customer.flags else 3
