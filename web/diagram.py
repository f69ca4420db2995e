"""The one-line diagram: where something stands in the grid, laid out here, drawn as inline SVG.

Everything drawn says whether it is known to be well: a meter without supply is not "heard in time"
because its next reading is not due yet.

A radial feeder is a tree, so no layout library is needed: depth goes to the right, transformers
go down, the low-voltage area in focus is opened into its branches and usage points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from alerts.places import places_of
from desk.without_supply import ALL_WELL, Unsupplied
from grid.network import Network, UsagePoint
from storage.fleet import REPORTING_KINDS
from web.diagram_labels import Label, label
from web.i18n import Words

ROW, DOTS_ROW, DOT, LEFT, COLUMN, LABEL = 28, 15, 15, 14, 72, 13
DOTS_X: Final = 400
WIDTH: Final = 640
DOTS_PER_LINE: Final = (WIDTH - DOTS_X - 10) // DOT
GLYPH: Final = 16.0  # the state's shape before a label
BRANCH_ROOM: Final = 68.0
TRANSFORMERS_MAX: Final = 14
POINTS_MAX: Final = 240

Asset = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Wire:
    """A straight piece of line; `cls` a severity when the fault is there, or "dark"."""

    x1: float
    y1: float
    x2: float
    y2: float
    cls: str = ""


# A node's state, gravest first: a severity, everything below without supply, silent, not heard
# since supply came back, a mixture of these, heard, no meter.
State = Literal["alert", "dark", "silent", "awaited", "partly", "well", "unmetered"]
GLYPHS: Final[dict[State, str]] = {
    "alert": "▲",
    "dark": "×",
    "silent": "◌",
    "awaited": "◇",
    "partly": "◐",
    "well": "●",
    "unmetered": "–",
}


@dataclass(frozen=True, slots=True)
class Health:
    """Of the devices at and below a node: how many there are, and how many of them are without
    supply, silent, or not heard since supply came back; each is counted once.

    below : the node lies at or below an open outage
    """

    devices: int = 0
    silent: int = 0
    dark: int = 0
    awaited: int = 0
    below: bool = False

    def state(self, severity: str) -> State:
        """The node's state in one word."""
        if severity:
            return "alert"
        if not self.devices:
            return "dark" if self.below else "unmetered"
        counts: dict[State, int] = {
            "dark": self.dark,
            "silent": self.silent,
            "awaited": self.awaited,
        }
        if not any(counts.values()):
            return "well"
        return next((s for s, n in counts.items() if n == self.devices), "partly")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A feeder, switch, transformer or branch with its label and the state of what it supplies."""

    kind: str
    x: float
    y: float
    label: str
    sub: str = ""
    cls: str = ""
    here: bool = False
    open: bool = False
    health: Health = Health()

    @property
    def state(self) -> State:
        """In one word."""
        return self.health.state(self.cls)

    @property
    def glyph(self) -> str:
        """The word as a shape."""
        return GLYPHS[self.state]

    def words(self, t: Words) -> Label:
        """Its label as far as there is room: transformers have the rest of the line, what stands
        along the trunk its column, a branch the place before its usage points."""
        if self.kind == "transformer":
            start = self.x - 14 if self.open else self.x + 20
            room = WIDTH - start - GLYPH
            return label(self.label, t.pick_name(self.sub), room, two_lines=not self.open)
        room = BRANCH_ROOM if self.kind == "branch" else COLUMN - 6
        return label(self.label, "", room - GLYPH)


@dataclass(frozen=True, slots=True)
class Dot:
    """A usage point: its state by colour and shape, all words in the title and the table.

    cls : the severity of an alert there, else ""; dark_us : without supply since, if known
    """

    x: float
    y: float
    usage_point: str
    phase: str
    device: str
    cls: str = ""
    here: bool = False
    state: State = "well"
    dark_us: int | None = None

    @property
    def glyph(self) -> str:
        """The state as a shape."""
        return GLYPHS[self.state]


@dataclass(slots=True)
class Diagram:
    """What to draw, in SVG user units."""

    width: float = WIDTH
    height: float = 0
    wires: list[Wire] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    hidden_transformers: int = 0
    hidden_points: int = 0

    def cut(self, t: Words) -> bool:
        """Whether a label is not drawn whole."""
        return any(s.words(t).cut for s in self.symbols)

    def count(self, state: State) -> int:
        """How many of the usage points drawn are in a state."""
        return sum(d.state == state for d in self.dots)


def one_line(
    network: Network,
    kind: str,
    asset: str,
    states: Mapping[Asset, str],
    silent: frozenset[str] = frozenset(),
    supply: Unsupplied = ALL_WELL,
) -> Diagram:
    """The surroundings of an asset.

    `states` gives the worst open severity of assets that have one; `silent` are devices that
    should have been heard and were not; `supply` says which have none. An asset that the network
    does not know gives an empty diagram.
    """
    drawing = Diagram()
    chain = network.ancestors(kind, asset)
    if not chain:
        return drawing
    word = _device_states(silent, supply)
    health = _health(network, chain[-1], word, supply.below)
    focus = network.transformer_of(kind, asset)
    top_kind, top = chain[-1]
    if kind == "device":
        kind, asset = chain[0]
    spine = [c for c in reversed(chain) if c[0] in ("feeder", "section")]
    x, y = float(LEFT), 30.0
    for depth, (k, id_) in enumerate(spine):
        x = LEFT + depth * COLUMN
        cls = states.get((k, id_), "")
        drawing.symbols.append(
            Symbol(
                "feeder" if k == "feeder" else "switch",
                x,
                y,
                id_,
                _name(network, k, id_),
                cls,
                (k, id_) == (kind, asset),
                health=health.get((k, id_), Health()),
            )
        )
        if depth:
            drawing.wires.append(Wire(x - COLUMN, y, x, y, _wire(drawing.symbols[-1])))
    below = spine[-1] if spine else (top_kind, top)
    names = _transformers(network, below, focus.id if focus else None)
    drawing.hidden_transformers = max(0, len(names) - TRANSFORMERS_MAX)
    names = _keep(names, focus.id if focus else None)
    trunk = x + 44
    if spine:
        drawing.wires.append(Wire(x, y, trunk, y, ""))
    row = y
    for name in names:
        state = states.get(("transformer", name), "")
        opened = focus is not None and name == focus.id
        if opened and name != names[0]:
            row += LABEL  # its label stands above the wire
        symbol = Symbol(
            "transformer",
            trunk + 42,
            row,
            name,
            _name(network, "transformer", name),
            state,
            ("transformer", name) == (kind, asset),
            opened,
            health.get(("transformer", name), Health()),
        )
        drawing.symbols.append(symbol)
        drawing.wires.append(Wire(trunk, row, trunk + 30, row, _wire(symbol)))
        if name != names[0]:
            drawing.wires.append(Wire(trunk, y, trunk, row, ""))
        if opened:
            row = _area(
                drawing, network, name, trunk + 42, row, states, word, (kind, asset), health, supply
            )
        row += ROW
    drawing.height = row - ROW + 14
    return drawing


def _area(
    drawing: Diagram,
    network: Network,
    transformer: str,
    x: float,
    y: float,
    states: Mapping[Asset, str],
    word: Mapping[str, State],
    here: Asset,
    health: Mapping[Asset, Health],
    supply: Unsupplied,
) -> float:
    """Open one low-voltage area; returns the y of its last row."""
    meters = {d.usage_point: d.id for d in network.devices if d.usage_point}
    branches: dict[str, list[UsagePoint]] = {}
    points = network.usage_points_within("transformer", transformer)
    drawing.hidden_points = max(0, len(points) - POINTS_MAX)
    for point in points[:POINTS_MAX]:
        branches.setdefault(point.branch or "", []).append(point)
    if not branches:
        return y
    start = DOTS_X - 122
    row = y
    for number, (branch, members) in enumerate(branches.items()):
        state = states.get(("branch", branch), "")
        if number:
            drawing.wires.append(Wire(start, y, start, row, ""))
        else:
            drawing.wires.append(Wire(x + 14, y, start, row, ""))
        symbol = Symbol(
            "branch",
            start + 30,
            row,
            branch,
            "",
            state,
            ("branch", branch) == here,
            health=health.get(("branch", branch), Health()),
        )
        drawing.symbols.append(symbol)
        drawing.wires.append(Wire(start, row, start + 24, row, _wire(symbol)))
        lines = -(-len(members) // DOTS_PER_LINE)
        for i, point in enumerate(members):
            device = meters.get(point.id, "")
            cls = states.get(("usage_point", point.id)) or states.get(("device", device), "")
            own = Health(below=network.node("usage_point", point.id) in supply.below)
            line, column = divmod(i, DOTS_PER_LINE)
            drawing.dots.append(
                Dot(
                    DOTS_X + column * DOT,
                    row + line * DOTS_ROW,
                    point.id,
                    point.phase,
                    device,
                    cls,
                    ("usage_point", point.id) == here,
                    "alert" if cls else word.get(device, "well") if device else own.state(""),
                    supply.dark.get(device),
                )
            )
        drawing.wires.append(Wire(DOTS_X - 40, row, DOTS_X - 9, row, _wire(symbol)))
        row += ROW + (lines - 1) * DOTS_ROW
    return row - ROW


def _wire(symbol: Symbol) -> str:
    """How the wire to a symbol is drawn."""
    return symbol.cls or ("dark" if symbol.state == "dark" else "")


def _device_states(silent: frozenset[str], supply: Unsupplied) -> dict[str, State]:
    """The state of each device that is not well."""
    found: dict[str, State] = dict.fromkeys(supply.awaited, "awaited")
    found |= dict.fromkeys(silent, "silent")
    return found | dict.fromkeys(supply.dark, "dark")


def _health(
    network: Network, top: Asset, word: Mapping[str, State], below: frozenset[int]
) -> dict[Asset, Health]:
    """How the devices at and below every node of one feeder are: one walk from the leaves up."""
    nodes = network.within(*top)
    kinds: tuple[State | None, ...] = (None, "silent", "dark", "awaited")  # None: all of them
    counts = {n: dict.fromkeys(kinds, 0) for n in nodes}
    for device in places_of(network).devices_within(top):
        if device.kind in REPORTING_KINDS:
            count = counts[int(network.tree.device[network.device_index[device.id]])]
            count[None] += 1
            state = word.get(device.id)
            if state is not None:
                count[state] += 1
    for node in reversed(nodes):  # parents stand before their children
        above = counts.get(int(network.tree.parent[node]))
        if above is not None:
            for kind, n in counts[node].items():
                above[kind] += n
    return {
        network.asset_of(n): Health(
            counts[n][None],
            counts[n]["silent"],
            counts[n]["dark"],
            counts[n]["awaited"],
            n in below,
        )
        for n in nodes
    }


def _transformers(network: Network, below: Asset, focus: str | None) -> list[str]:
    """Transformers under the spine's last element; for the focus those of its own section."""
    inside = [network.asset_of(n) for n in network.within(*below)]
    names = [id_ for k, id_ in inside if k == "transformer"]
    if focus and focus not in names:
        names.insert(0, focus)
    return names


def _keep(names: list[str], focus: str | None) -> list[str]:
    """At most `TRANSFORMERS_MAX`, those around the focus."""
    if len(names) <= TRANSFORMERS_MAX:
        return names
    at = names.index(focus) if focus in names else 0
    first = min(max(0, at - TRANSFORMERS_MAX // 2), len(names) - TRANSFORMERS_MAX)
    return names[first : first + TRANSFORMERS_MAX]


def _name(network: Network, kind: str, asset: str) -> str:
    if kind == "feeder":
        return next((f.name for f in network.feeders if f.id == asset), "")
    if kind == "section":
        return next((s.name for s in network.sections if s.id == asset), "")
    i = network.transformer_index.get(asset)
    return network.transformers[i].name if i is not None else ""
