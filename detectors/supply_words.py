"""A transformer's slow conditions in words: rule, rule_zh, excluded (both), next, next_zh."""

from typing import Final

TEXTS: Final[dict[str, tuple[str, str, tuple[str, ...], str, str]]] = {
    "over_voltage": (
        "most meters of the area are above the limit for half the day, or far above their usual",
        "台区多数电表半日以上电压越上限，或明显高于平时水平",
        (
            "a single meter's error: most meters of the area agree",
            "单表误差：台区多数电表一致",
        ),
        "check the tap position; look at feed-in at noon",
        "检查分接开关档位；关注中午光伏倒送",
    ),
    "under_voltage": (
        "most meters of the area are below the limit for half the day, or far below their usual",
        "台区多数电表半日以上电压越下限，或明显低于平时水平",
        (
            "a single meter's error: most meters of the area agree",
            "单表误差：台区多数电表一致",
        ),
        "check the tap position and the medium voltage at the feeder",
        "检查分接开关档位及线路首端电压",
    ),
    "transformer_winding": (
        "the voltage of one phase has stepped away from the other two and stays, whatever the load",
        "一相电压相对其余两相发生阶跃并持续，与负荷无关",
        (
            "a loose neutral: the direction does not turn with the load",
            "a tap: it moves all phases",
            "中性线松动：偏移方向不随负荷转动",
            "分接开关：三相同时变化",
        ),
        "measure ratio and winding resistance; plan the exchange",
        "测量变比与绕组直流电阻，安排更换",
    ),
    "unbalance": (
        "one phase carries far more than the mean while the transformer is loaded, for hours",
        "带负荷运行时一相电流长时间明显高于平均值",
        (
            "light load: only hours with a quarter of the rating count",
            "轻载：仅统计负载率四分之一以上的时段",
        ),
        "move single-phase customers of the loaded phase to another",
        "将重载相的单相用户调整到其他相",
    ),
    "insulation_leakage": (
        "the residual current has grown beyond what it ever was here",
        "剩余电流持续增大，超过该台区历史水平",
        (
            "a short disturbance: the mean over hours has grown",
            "短时干扰：数小时均值持续增大",
        ),
        "sectionalise branch by branch, measure insulation",
        "逐支路排查，测量绝缘电阻",
    ),
    "sensor_fault": (
        "the monitor shows one phase stepped away from the other two; the meters behind it do not",
        "监测终端显示一相电压发生阶跃，而其下电表未见相应变化",
        (
            "a winding: every meter of the phase would follow",
            "绕组故障：该相全部电表应同步变化",
        ),
        "measure the phase voltages at the monitor; check fuse, tap and terminal of its sensing",
        "现场测量监测终端各相电压，检查取样熔断器、接线及端子",
    ),
}
