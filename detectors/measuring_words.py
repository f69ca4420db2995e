"""Evidence about the measuring itself, in words: sensors, meters, their clocks and registers."""

from typing import Final, NamedTuple


class Words(NamedTuple):
    """One rule in both languages; `excluded` holds the sentences of both."""

    rule: str
    rule_zh: str
    excluded: tuple[str, ...]
    next_check: str
    next_check_zh: str


RULES: Final[dict[str, Words]] = {
    "leap": Words(
        "this voltage leapt and keeps its new distance while its siblings stay calm: "
        "the sensor, not the grid",
        "该电压突变后保持新的偏差，而同支路电表均无变化：属测量故障，非电网故障",
        (
            "a displaced neutral: no sibling moved the other way",
            "零线偏移：同支路无反向变化的电表",
        ),
        "compare with a second instrument on site; exchange the meter",
        "现场用仪表比对，更换电能表",
    ),
    "stuck": Words(
        "voltage and current have not changed for hours while the supply around them did",
        "周围电压正常波动，而该表电压电流数小时不变：表计死数",
        ("a vacant home: its voltage too stands still", "空置房：其电压也应随电网波动"),
        "read the meter on site, restart or exchange it",
        "现场抄表，重启或更换电能表",
    ),
    "register": Words(
        "the energy register ran backwards while the meter kept reporting",
        "电能表持续上报期间，电量示数倒走",
        (
            "a meter exchange: no reading was missing",
            "换表：期间无缺数",
        ),
        "read the register on site, correct the bill, exchange the meter",
        "现场核对示数，更正电量，更换电能表",
    ),
    "clock": Words(
        "the meter's clock runs away from its siblings' and its own usual time",
        "电能表时钟偏离同台区电表及自身以往时间",
        (
            "the head-end's clock: the siblings keep their time",
            "主站时钟：同台区其他电表时间正常",
        ),
        "set the meter's clock; exchange its battery if it drifts again",
        "对时；若再次偏移更换时钟电池",
    ),
    "silent": Words(
        "this device alone is silent although its neighbours report and nobody lost supply",
        "仅该设备长时间无数据，周围设备正常上报且无停电迹象",
        (
            "power outage: no last gasp came and the neighbours are supplied",
            "停电：无停电上报且周围供电正常",
        ),
        "check modem, antenna and SIM of this device; if its readings are refused as from the "
        "future, set its clock instead; no repair crew for supply is needed",
        "检查该设备通信模块、天线与SIM卡；若其数据因时钟超前被拒收则改为对时；无需派抢修队",
    ),
    "path": Words(
        "several devices of this area fell silent at one moment and stay so, while the others "
        "report and nobody lost supply",
        "台区内多台设备同时失联并持续，其余设备正常上报且无停电迹象",
        (
            "power outage: no last gasp came and no branch on record unites them",
            "停电：无停电上报，且不同属一条在册支路",
        ),
        "check the concentrator, repeater or gateway that these devices share",
        "检查这些设备共用的集中器、中继或网关",
    ),
}
