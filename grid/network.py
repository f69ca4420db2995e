"""The network: which device hangs where, who is supplied from it, and the tree for the kernels.

Equipment is named as in IEC CIM (feeder, section, power transformer, usage point, end device,
customer). `Network` is immutable; an edit makes a new one. `grid.network_files` reads it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

AssetKind = Literal["feeder", "section", "transformer", "branch", "usage_point", "device"]
Phase = Literal["a", "b", "c", "abc", "unknown"]

SWITCHING_BACK_US: Final = 30 * 60_000_000
# Levels of the tree, from the substation outwards; a node's code is its place here.
TREE_KINDS: Final[tuple[AssetKind, ...]] = (
    "feeder",
    "section",
    "transformer",
    "branch",
    "usage_point",
)


@dataclass(frozen=True, slots=True)
class Feeder:
    """A medium-voltage feeder of a substation."""

    id: str
    name: str = ""
    substation: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a feeder behind `switch`; `parent` is the section that supplies it."""

    id: str
    feeder: str
    parent: str | None = None
    switch: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Transformer:
    """A distribution transformer; its low-voltage area (台区) bears the same id."""

    id: str
    feeder: str | None = None
    section: str | None = None
    name: str = ""
    rated_kva: float | None = None
    nominal_v: float | None = None
    area_class: str = "urban"
    latitude: float | None = None
    longitude: float | None = None
    team: str | None = None
    manager: str | None = None


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """Where a customer is supplied; transformer None means it has to be learned."""

    id: str
    transformer: str | None = None
    branch: str | None = None
    node: str | None = None
    phase: Phase = "unknown"
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A meter, transformer monitor, switch or gateway; intervals in seconds."""

    id: str
    kind: str = "meter"
    usage_point: str | None = None
    transformer: str | None = None
    section: str | None = None
    interval_s: float | None = None
    delivery_s: float | None = None
    wiring: str = "1p"
    sampling: str = "mean"
    ct_ratio: float | None = None
    pt_ratio: float | None = None
    address: str | None = None
    unit: int | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """The person or firm behind an account; `flags` such as life_support rank calls."""

    account: str
    name: str = ""
    phone: str = ""
    address: str = ""
    category: str = "residential"
    flags: frozenset[str] = frozenset()
    supply_status: str = "active"


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """Announced work on an asset, microseconds UTC, end exclusive."""

    asset_kind: str
    asset: str
    start_us: int
    end_us: int
    reason: str = ""

    @property
    def explains_until_us(self) -> int:
        """Until then a loss of supply below is this work's: switching back takes its time, and
        meters report with their next reading."""
        return self.end_us + SWITCHING_BACK_US


@dataclass(frozen=True, slots=True)
class Team:
    """A repair team and the area it looks after."""

    id: str
    name: str = ""
    phone: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """The name another system (PMS, GIS, AMI, 95598) gives to something of ours."""

    kind: str
    id: str
    system: str
    external_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The supply tree as arrays, parents before children.

    Attributes
    ----------
    kind : uint8[n]       place in `TREE_KINDS`
    ids : tuple of str    asset id of each node
    parent : int32[n]     index of the supplying node, -1 at the root; parent[i] < i
    usage_point : int32[n_usage_points]   node of each usage point, in `Network` order
    device : int32[n_devices]             node at which each device stands, -1 for none
    """

    kind: NDArray[np.uint8]
    ids: tuple[str, ...]
    parent: NDArray[np.int32]
    usage_point: NDArray[np.int32]
    device: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Network:
    """All equipment of a site, validated: every reference points to something that exists."""

    feeders: tuple[Feeder, ...] = ()
    sections: tuple[Section, ...] = ()
    transformers: tuple[Transformer, ...] = ()
    usage_points: tuple[UsagePoint, ...] = ()
    devices: tuple[Device, ...] = ()
    customers: tuple[Customer, ...] = ()
    planned: tuple[PlannedWork, ...] = ()
    teams: tuple[Team, ...] = ()
    aliases: tuple[Alias, ...] = ()
    notes: tuple[str, ...] = ()  # what the loader left aside, one sentence each

    # -- look-ups --------------------------------------------------------------------------

    @cached_property
    def device_index(self) -> Mapping[str, int]:
        """Device id to its place in `devices`: the integer index the kernels use."""
        return {d.id: i for i, d in enumerate(self.devices)}

    @cached_property
    def transformer_index(self) -> Mapping[str, int]:
        """Transformer id to its place in `transformers`."""
        return {t.id: i for i, t in enumerate(self.transformers)}

    @cached_property
    def usage_point_index(self) -> Mapping[str, int]:
        """Usage point id to its place in `usage_points`."""
        return {u.id: i for i, u in enumerate(self.usage_points)}

    @cached_property
    def customer_by_account(self) -> Mapping[str, Customer]:
        """Account to customer."""
        return {c.account: c for c in self.customers}

    @cached_property
    def usage_points_of_account(self) -> Mapping[str, tuple[UsagePoint, ...]]:
        """Account to the usage points it pays for."""
        found: dict[str, list[UsagePoint]] = defaultdict(list)
        for u in self.usage_points:
            if u.account:
                found[u.account].append(u)
        return {account: tuple(points) for account, points in found.items()}

    @cached_property
    def device_transformer(self) -> NDArray[np.int32]:
        """int32[n_devices]: index of the transformer whose area the device belongs to, -1 none."""
        point_area = {u.id: u.transformer for u in self.usage_points}
        areas = [
            d.transformer or (point_area.get(d.usage_point) if d.usage_point else None)
            for d in self.devices
        ]
        index = self.transformer_index
        return np.array([index.get(a, -1) if a else -1 for a in areas], np.int32)

    # -- the tree --------------------------------------------------------------------------

    @cached_property
    def tree(self) -> Tree:
        """Feeder, sections, transformers, branches, usage points as parent-first arrays."""
        kinds: list[int] = []
        ids: list[str] = []
        parents: list[int] = []
        at: dict[tuple[str, str], int] = {}

        def add(kind: AssetKind, id_: str, parent: int, key: str | None = None) -> int:
            at[kind, key or id_] = len(ids)
            kinds.append(TREE_KINDS.index(kind))
            ids.append(id_)
            parents.append(parent)
            return len(ids) - 1

        for f in self.feeders:
            add("feeder", f.id, -1)
        for s in _parents_first(self.sections):
            parent = at["section", s.parent] if s.parent else at.get(("feeder", s.feeder), -1)
            add("section", s.id, parent)
        for t in self.transformers:
            parent = -1
            if t.section:
                parent = at["section", t.section]
            elif t.feeder:
                parent = at["feeder", t.feeder]
            add("transformer", t.id, parent)
        for u in self.usage_points:
            if u.transformer and u.branch and ("branch", f"{u.transformer}\0{u.branch}") not in at:
                area = at["transformer", u.transformer]
                add("branch", u.branch, area, f"{u.transformer}\0{u.branch}")
        points = []
        for u in self.usage_points:
            parent = -1
            if u.transformer:
                parent = at["transformer", u.transformer]
                if u.branch:
                    parent = at["branch", f"{u.transformer}\0{u.branch}"]
            points.append(add("usage_point", u.id, parent))

        def place(d: Device) -> int:
            if d.usage_point:
                return at.get(("usage_point", d.usage_point), -1)
            if d.transformer:
                return at.get(("transformer", d.transformer), -1)
            return at.get(("section", d.section), -1) if d.section else -1

        return Tree(
            np.array(kinds, np.uint8),
            tuple(ids),
            np.array(parents, np.int32),
            np.array(points, np.int32),
            np.array([place(d) for d in self.devices], np.int32),
        )

    @cached_property
    def _node_of(self) -> Mapping[tuple[str, str], int]:
        tree = self.tree
        return {
            (TREE_KINDS[k], id_): i
            for i, (k, id_) in enumerate(zip(tree.kind, tree.ids, strict=True))
        }

    @cached_property
    def _children(self) -> Sequence[Sequence[int]]:
        children: list[list[int]] = [[] for _ in self.tree.ids]
        for i, p in enumerate(self.tree.parent.tolist()):
            if p >= 0:
                children[p].append(i)
        return children

    def node(self, kind: str, asset: str) -> int | None:
        """Tree node of an asset; a device answers with the node where it stands."""
        if kind == "device":
            i = self.device_index.get(asset)
            node = -1 if i is None else int(self.tree.device[i])
            return None if node < 0 else node
        return self._node_of.get((kind, asset))

    def asset_of(self, node: int) -> tuple[AssetKind, str]:
        """(kind, id) of a tree node."""
        return TREE_KINDS[self.tree.kind[node]], self.tree.ids[node]

    def ancestors(self, kind: str, asset: str) -> tuple[tuple[AssetKind, str], ...]:
        """The asset's own node and everything that supplies it, nearest first; () if unknown."""
        node = self.node(kind, asset)
        out: list[tuple[AssetKind, str]] = []
        while node is not None and node >= 0:
            out.append(self.asset_of(node))
            node = int(self.tree.parent[node])
        return tuple(out)

    def within(self, kind: str, asset: str) -> tuple[int, ...]:
        """Tree nodes at and below an asset, parents first; () if the asset is unknown."""
        start = self.node(kind, asset)
        if start is None:
            return ()
        out = [start]
        for i in out:
            out.extend(self._children[i])
        return tuple(out)

    def usage_points_within(self, kind: str, asset: str) -> tuple[UsagePoint, ...]:
        """The usage points supplied through an asset."""
        code = TREE_KINDS.index("usage_point")
        nodes = self.within(kind, asset)
        names = [self.tree.ids[i] for i in nodes if self.tree.kind[i] == code]
        return tuple(self.usage_points[self.usage_point_index[n]] for n in names)

    def customers_within(self, kind: str, asset: str) -> tuple[Customer, ...]:
        """The customers supplied through an asset, each once."""
        accounts = dict.fromkeys(
            u.account for u in self.usage_points_within(kind, asset) if u.account
        )
        known = self.customer_by_account
        return tuple(known.get(a, Customer(a)) for a in accounts if a)

    def devices_within(self, kind: str, asset: str) -> tuple[Device, ...]:
        """The devices that stand at or below an asset."""
        if kind == "device":
            i = self.device_index.get(asset)
            return () if i is None else (self.devices[i],)
        nodes = set(self.within(kind, asset))
        return tuple(
            d for d, n in zip(self.devices, self.tree.device.tolist(), strict=True) if n in nodes
        )

    def transformer_of(self, kind: str, asset: str) -> Transformer | None:
        """The transformer that supplies an asset (or is it); None above the transformers."""
        for k, id_ in self.ancestors(kind, asset):
            if k == "transformer":
                return self.transformers[self.transformer_index[id_]]
        return None


def _parents_first(sections: Iterable[Section]) -> list[Section]:
    """Sections ordered so that each follows its parent (the loader has refused cycles)."""
    waiting = {s.id: s for s in sections}
    out: list[Section] = []
    done: set[str] = set()
    while waiting:
        ready = [s for s in waiting.values() if not s.parent or s.parent in done]
        if not ready:
            raise ValueError(f"sections supply each other in a ring: {', '.join(waiting)}")
        for s in ready:
            out.append(s)
            done.add(s.id)
            del waiting[s.id]
    return out
