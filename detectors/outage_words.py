"""Evidence of outages, lost phases and lost communication, in words and numbers."""

from collections.abc import Mapping

from grid.records import Evidence

_RULE = {
    "outage": (
        "no supply here explains the last gasps and the silence better than anything else",
        "此处停电最能解释停电上报与失联",
    ),
    "phase_loss": (
        "the meters on one phase have no voltage while the other phases are supplied",
        "一相的电能表失压，其余各相有电",
    ),
    "comms_failure": (
        "devices are silent together without a single last gasp: the communication path has failed",
        "设备同时失联且无停电上报：通信通道故障",
    ),
}
_NEXT = {
    "outage": (
        "check the fuse or switch that feeds this asset, then look for damage downstream",
        "检查该处上级熔断器或开关，再查下游故障点",
    ),
    "phase_loss": (
        "check the fuse and the joints of the lost phase",
        "检查缺失相的熔断器与接头",
    ),
    "comms_failure": (
        "check gateway, antenna and SIM; no repair crew for supply is needed",
        "检查集中器、天线与SIM卡；无需派抢修队",
    ),
}


def evidence(
    fault: str,
    counts: Mapping[str, int],
    *,
    phase: str,
    log_likelihood: float,
    prior: float,
    window: tuple[int, int],
    planned: str,
    peers: tuple[str, ...],
) -> Evidence:
    """Evidence of one node; `counts` as `OutageDetector` gathers them below it."""
    rule, rule_zh = _RULE[fault]
    numbers: dict[str, float | int | str | None] = {
        **counts,
        "log_likelihood": round(log_likelihood, 1),
    }
    if phase:
        numbers["phase"] = phase
    excluded = []
    if planned:
        numbers["planned"] = planned
        rule = f"announced work explains this outage ({planned})"
        rule_zh = f"计划停电（{planned}）"
    if fault in ("outage", "phase_loss"):
        if counts["last_gasps"]:
            excluded += ["communication failure: last gasps were sent", "通信故障：已收到停电上报"]
        elif counts["alive"]:
            excluded += [
                "communication failure: neighbours on the same path still report",
                "通信故障：同一通道的邻户仍在上报",
            ]
    if fault == "phase_loss":
        excluded += [
            "a broken neutral: no phase is far above nominal",
            "中性线断线：无明显升高的相",
        ]
    if fault == "comms_failure":
        excluded += [
            "power outage: no last gasp and no power-up came",
            "停电：未收到停电上报与复电上报",
        ]
    if not excluded:
        excluded = [
            "communication failure: so many meters on several paths are rarely silent at once",
            "通信故障：多条通道的众多电表极少同时失联",
        ]
    following, following_zh = _NEXT[fault]
    return Evidence(
        rule,
        rule_zh,
        numbers,
        limit=round(prior, 1),
        window=window,
        peers=peers,
        excluded=tuple(excluded),
        next_check=following,
        next_check_zh=following_zh,
    )
