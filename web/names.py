"""How equipment is called on the pages: kind, id and the name that people gave it."""

from grid.network import Network
from grid.records import Alert
from web.i18n import Words


def own_name(network: Network, kind: str, asset: str) -> str:
    """The name people gave to a piece of equipment, "" if it has none."""
    if kind == "feeder":
        return next((f.name for f in network.feeders if f.id == asset), "")
    if kind == "section":
        return next((s.name for s in network.sections if s.id == asset), "")
    if kind == "transformer":
        i = network.transformer_index.get(asset)
        return network.transformers[i].name if i is not None else ""
    return ""


def asset_label(t: Words, network: Network, kind: str, asset: str) -> str:
    """`transformer T3 Apricot Lane`, `配变 T3 杏园路`."""
    if kind == "unknown":  # a call that nobody could place; the id is the call's
        return t("asset.unknown")
    name = t.pick_name(own_name(network, kind, asset))
    label = f"{t.word('asset', kind)} {asset}"
    return f"{label} {name}" if name and name != asset else label


def place(t: Words, network: Network, kind: str, asset: str) -> list[str]:
    """The way to an asset from the feeder, without the asset itself."""
    chain = network.ancestors(kind, asset)
    above = chain if kind == "device" else chain[1:]
    return [asset_label(t, network, k, id_) for k, id_ in reversed(above)]


def feeder_of(network: Network, kind: str, asset: str) -> str:
    """The feeder of an asset, by its name; "" for a feeder itself and for what is nowhere."""
    if kind == "feeder":
        return ""
    above = network.ancestors(kind, asset)
    feeder = next((id_ for k, id_ in above if k == "feeder"), "")
    return own_name(network, "feeder", feeder) or feeder


def phases_of(network: Network, alert: Alert) -> str:
    """The phases an alert is about: `A`, `ABC`; "" where it is about no phase of its own."""
    said = alert.evidence.numbers.get("phase")
    if isinstance(said, str) and said:
        return said.upper()
    point: str | None = alert.asset if alert.asset_kind == "usage_point" else None
    if alert.asset_kind == "device" and alert.asset in network.device_index:
        point = network.devices[network.device_index[alert.asset]].usage_point
    if point is None or point not in network.usage_point_index:
        return ""
    phase = network.usage_points[network.usage_point_index[point]].phase
    return "" if phase == "unknown" else phase.upper()
