"""How customers are told what has failed: formal words, no names of equipment or of our own work.

What staff says among itself (零线, 复电, 台区, 配变) stays among itself.
"""

from collections.abc import Mapping
from typing import Final

from grid.faults import FAULTS

TOLD_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "neutral_loose": ("a loosening neutral connection", "中性线接触不良"),
    "neutral_broken": ("a broken neutral conductor", "中性线断线"),
    "joint_resistance": ("a heating joint of the line", "线路接头发热"),
    "transformer_overload": ("an overloaded transformer", "变压器负荷过重"),
    "transformer_thermal": ("a transformer that is too hot", "变压器温度异常"),
    "transformer_winding": ("a failing transformer", "变压器故障"),
    "unbalance": ("uneven load of the phases", "三相负荷不平衡"),
    "momentary": ("a connection that fails now and then", "线路接触不良"),
    "energy_loss": ("a metering question", "计量异常"),
}


def told_name(fault: str) -> tuple[str, str]:
    """What a customer is told of a kind of fault, in English and in Chinese."""
    kind = FAULTS[fault]
    return TOLD_NAMES.get(fault, (kind.name, kind.name_zh))
