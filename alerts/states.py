"""The life of a ticket as one table: states, actions, who may act, what each action needs.

Everything that asks "may this happen?" reads this table: the desk, the pages' buttons, the API's
answer to a forbidden step and the property test over all states, actions and roles.
"""

from dataclasses import dataclass
from typing import Final

from alerts.roles import INSPECTION_ROLES, Role
from grid.faults import Work
from grid.records import Ticket, TicketState, Verdict


@dataclass(frozen=True, slots=True)
class State:
    """A state's name in both languages; nothing follows a final one but reopening."""

    name: str
    name_zh: str
    final: bool = False


STATES: Final[dict[TicketState, State]] = {
    "received": State("received", "待受理"),
    "assessing": State("to be assessed", "待研判"),
    "dispatched": State("dispatched to the unit", "已派单"),
    "assigned": State("assigned to the crew", "已派工"),
    "accepted": State("accepted by the crew", "已接单"),
    "on_site": State("crew on site", "到场"),
    "restored": State("restored", "已复电"),
    "verified": State("restoration verified", "复电已核实"),
    "callback": State("customers to be called back", "待回访"),
    "closed": State("closed", "归档", final=True),
    "on_hold": State("on hold", "挂起"),
    "merged": State("merged into the main ticket", "并入主单", final=True),
    "cancelled": State("cancelled", "作废", final=True),
}

# The straight way, as it is drawn on the ticket.
ROUTE: Final[tuple[TicketState, ...]] = (
    "received",
    "assessing",
    "dispatched",
    "assigned",
    "accepted",
    "on_site",
    "restored",
    "verified",
    "callback",
    "closed",
)
OPEN_STATES: Final[tuple[TicketState, ...]] = tuple(s for s in STATES if not STATES[s].final)


def state_name(state: TicketState, work: Work = "repair") -> tuple[str, str]:
    """(English, Chinese) name of a state for a kind of work: supply is restored by a repair,
    while preventive work removes a defect.

    >>> state_name("restored", "preventive")
    ('defect removed', '已消缺')
    """
    if state == "restored" and work != "repair":
        return ("defect removed", "已消缺") if work == "preventive" else ("work done", "已处理")
    if state == "verified" and work != "repair":
        return ("result verified", "结果已核实")
    return STATES[state].name, STATES[state].name_zh


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done to a ticket.

    Attributes
    ----------
    from_states : where it is possible
    to_state : where it leads; None keeps the state (a note, a hand-over) or finds it in the
        ticket's history (resume, unmerge)
    roles : who may; `system` is the machine
    needs : what must be given with it
    """

    name: str
    name_zh: str
    from_states: frozenset[TicketState]
    to_state: TicketState | None
    roles: tuple[Role, ...]
    needs: tuple[str, ...] = ()


def _from(*states: TicketState) -> frozenset[TicketState]:
    return frozenset(states)


_CONTROL: Final[tuple[Role, ...]] = ("operator", "dispatcher", "engineer", "admin", "supervisor")
_DESK: Final[tuple[Role, ...]] = ("clerk", *_CONTROL)
# A crew on its own behalf (its team's tickets only), or the office for it.
_FIELD: Final[tuple[Role, ...]] = ("crew", *_CONTROL)
_BEFORE_WORK = _from("received", "assessing", "dispatched", "assigned", "accepted")
_OPEN = frozenset(OPEN_STATES)

ACTIONS: Final[dict[str, Action]] = {
    "take": Action("take", "受理研判", _from("received", "assessing"), "assessing", _DESK),
    "note": Action("add a note", "备注", frozenset(STATES), None, (*_DESK, "crew"), ("text",)),
    "dispatch": Action(
        "dispatch to the unit", "派单", _from("assessing"), "dispatched", _CONTROL, ("team",)
    ),
    "assign": Action(
        "assign to the crew",
        "派工",
        _from("dispatched", "assigned", "accepted"),
        "assigned",
        _CONTROL,
        ("crew",),
    ),
    "accept": Action("accept", "接单", _from("dispatched", "assigned"), "accepted", _FIELD),
    "arrive": Action(
        "arrive on site", "到场", _from("dispatched", "assigned", "accepted"), "on_site", _FIELD
    ),
    "restore": Action(
        "report restored", "处理完成", _from("accepted", "on_site"), "restored", _FIELD
    ),
    "verify": Action(
        "verify restoration", "复电核实", _from("restored"), "verified", (*_CONTROL, "system")
    ),
    "call_back": Action(
        "put up for call-back", "转回访", _from("restored", "verified"), "callback", _DESK
    ),
    "close": Action(
        "close",
        "归档",
        _OPEN - {"received", "on_hold"},
        "closed",
        _DESK,
        ("verdict", "cause_code"),
    ),
    "send_back": Action(
        "send back",
        "退回",
        _from("dispatched", "assigned", "accepted"),
        "assessing",
        _FIELD,
        ("reason",),
    ),
    "hold": Action(
        "put on hold",
        "挂起",
        _from("assessing", "dispatched", "assigned", "accepted", "on_site"),
        "on_hold",
        _CONTROL,
        ("reason",),
    ),
    "resume": Action("resume", "恢复", _from("on_hold"), None, _CONTROL),
    "cancel": Action("cancel", "作废", _BEFORE_WORK, "cancelled", _CONTROL, ("reason",)),
    "merge": Action(
        "merge into the main ticket",
        "并入主单",
        _OPEN,
        "merged",
        _DESK,
        ("target_number",),
    ),
    "unmerge": Action("take out of the main ticket", "撤销并单", _from("merged"), None, _DESK),
    "reopen": Action(
        "reopen", "重新打开", _from("closed", "cancelled"), "assessing", _CONTROL, ("reason",)
    ),
    "prioritise": Action(
        "change the priority", "调整优先级", _OPEN, None, _CONTROL, ("priority", "reason")
    ),
    "estimate": Action(
        "estimate restoration", "预计恢复时间", _OPEN, None, _FIELD, ("estimated_us",)
    ),
    "hand_over": Action("hand over", "移交", _OPEN, None, _DESK, ("to",)),
}

# What the machine notes on a ticket by itself: no state changes, the history says why.
MACHINE_STEPS: Final[dict[str, tuple[str, str]]] = {
    "open": ("opened", "生成工单"),
    "worsened": ("grew worse", "情况加重"),
    "supply_lost": ("has failed: supply lost", "隐患已发展为停电"),
    "moved": ("located elsewhere", "定位更新"),
    "confirmed": ("place confirmed", "定位确认"),
    "contact": ("a customer reported it", "客户来电"),
    "linked": ("linked to another ticket of this place", "关联同处工单"),
    "condition_cleared": ("the readings are normal again", "数据已恢复正常"),
    "condition_returned": ("the condition is back", "异常再次出现"),
    "nested": ("a part goes on elsewhere", "部分用户仍未恢复，另行处理"),
    "survived": ("the announced work has ended, the condition lasts", "检修结束后异常仍在"),
    "updated": ("brought up to date", "信息更新"),
}

# What people do to a ticket's calls; the ticket itself stays as it is.
CALL_STEPS: Final[dict[str, tuple[str, str]]] = {
    "call_off": ("a call was taken off this ticket", "移出来电"),
    "call_on": ("a call was moved here", "移入来电"),
}


def action_name(action: str) -> tuple[str, str]:
    """(English, Chinese) name of anything that can stand in a ticket's history."""
    if action in ACTIONS:
        return ACTIONS[action].name, ACTIONS[action].name_zh
    if action in CALL_STEPS:
        return CALL_STEPS[action]
    return MACHINE_STEPS.get(action, (action, action))


def allowed(ticket: Ticket, role: Role) -> tuple[str, ...]:
    """The actions a role may take on a ticket as it stands, in the order of the table."""
    if ticket.work == "inspection" and role not in INSPECTION_ROLES:
        return ()
    return tuple(
        name
        for name, action in ACTIONS.items()
        if ticket.state in action.from_states and role in action.roles
    )


VERDICTS: Final[dict[Verdict, tuple[str, str]]] = {
    "confirmed_fault": ("fault confirmed", "确认故障"),
    "confirmed_precursor": ("developing fault confirmed", "确认隐患"),
    "no_fault": ("no fault found", "未发现故障（误报）"),
    "customer_side": ("on the customer's side", "客户内部故障"),
    "planned_work": ("planned work", "计划停电"),
    "data_or_mapping_error": ("wrong data or mapping", "数据或台账错误"),
    "duplicate": ("duplicate of another ticket", "重复工单"),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it happened, from a closed list: repeated causes can be counted."""

    name: str
    name_zh: str
    verdicts: tuple[Verdict, ...]


_REAL: Final[tuple[Verdict, ...]] = ("confirmed_fault", "confirmed_precursor")

CAUSES: Final[dict[str, Cause]] = {
    "loose_connection": Cause("loose or corroded connection", "接头松动或锈蚀", _REAL),
    "broken_conductor": Cause("broken conductor", "导线断线", _REAL),
    "equipment_ageing": Cause("aged equipment", "设备老化", _REAL),
    "overload": Cause("too much load", "负荷过大", _REAL),
    "insulation": Cause("damaged insulation", "绝缘损坏", _REAL),
    "fuse_or_breaker": Cause("blown fuse or tripped breaker", "熔断器熔断或开关跳闸", _REAL),
    "weather": Cause("weather", "天气", _REAL),
    "tree_or_animal": Cause("tree or animal", "树障或动物", _REAL),
    "third_party": Cause("damage by others", "外力破坏", _REAL),
    "upstream": Cause("fault of the feeder or above", "上级电网故障", _REAL),
    "workmanship": Cause("workmanship", "施工质量", _REAL),
    "meter_or_sensor": Cause(
        "meter or sensor", "计量或采集装置", (*_REAL, "data_or_mapping_error")
    ),
    "communication": Cause("communication", "通信", (*_REAL, "data_or_mapping_error")),
    "energy_use": Cause("irregular use of energy", "用电异常", _REAL),
    "customer_equipment": Cause("customer's own equipment", "客户内部设备", ("customer_side",)),
    "arrears": Cause("supply off for arrears", "欠费停电", ("customer_side",)),
    "planned": Cause("planned work", "计划检修", ("planned_work",)),
    "wrong_mapping": Cause("wrong place in the records", "台账错误", ("data_or_mapping_error",)),
    "normal_operation": Cause("normal operation", "正常运行", ("no_fault",)),
    "duplicate": Cause("reported twice", "重复报修", ("duplicate",)),
    "unknown": Cause("not found out", "原因不明", (*_REAL, "no_fault")),
}


def causes_for(verdict: Verdict) -> tuple[str, ...]:
    """The cause codes that can stand beside a verdict."""
    return tuple(code for code, cause in CAUSES.items() if verdict in cause.verdicts)


# code -> (English, Chinese, whether the service clock pauses: only for what the customer causes)
HOLD_REASONS: Final[dict[str, tuple[str, str, bool]]] = {
    "customer_absent": ("customer not at home", "客户不在家", True),
    "customer_asks": ("customer asks for another time", "客户要求改期", True),
    "no_access": ("customer does not give access", "客户不同意进入", True),
    "material": ("waiting for material", "等待物资", False),
    "weather": ("unsafe weather", "恶劣天气", False),
    "other_unit": ("waiting for another department", "等待其他部门", False),
    "planned_outage": ("waiting for a planned outage", "等待停电计划", False),
}
