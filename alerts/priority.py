"""Which ticket first: compared criterion by criterion, with the reason in words.

Lexicographic, no weighted sum: danger before loss of supply before what is still growing; then
life support, critical customers, how many are affected. `Ticket.priority` is the criteria written
as digits, so a larger number is more urgent and the queue can be sorted by the database; the
service time that is left (`due_us`) and the age decide between equals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from alerts.places import call_rank
from grid.faults import Severity
from grid.network import Customer

DANGEROUS: Final[frozenset[str]] = frozenset({"neutral_broken", "hot_terminal"})
_BUCKETS: Final = (1, 10, 50, 200, 1000)


@dataclass(frozen=True, slots=True)
class Priority:
    """A rank (larger is more urgent) and why, in both languages."""

    value: int
    reason: str
    reason_zh: str


def hazard(fault: str, severity: Severity) -> int:
    """4 danger now, 3 supply lost, 2 expected within days, 1 quality, 0 the measuring itself."""
    if severity == "P1":
        return 4 if fault in DANGEROUS else 3
    return {"P2": 2, "P3": 1, "P4": 0}[severity]


def prioritise(
    fault: str,
    severity: Severity,
    customers: Sequence[Customer],
    horizon_h: float | None = None,
) -> Priority:
    """Rank a ticket by what it means for whom.

    >>> prioritise("outage", "P1", [Customer("A1", flags=frozenset({"life_support"}))]).reason
    'supply lost; 1 on life support; 1 customer'
    """
    level = hazard(fault, severity)
    ranks = [call_rank(c) for c in customers]
    life, critical, count = ranks.count(0), ranks.count(1), len(customers)
    bucket = sum(count >= limit for limit in _BUCKETS)
    urgency = 0
    if horizon_h is not None:
        urgency = 3 if horizon_h <= 24 else 2 if horizon_h <= 72 else 1
    if level == 0:  # a silent meter is not more urgent for hanging on a ventilator's line
        life = critical = bucket = 0
    digits = (level, min(life, 9), min(critical, 9), bucket, urgency)
    value = 0
    for digit in digits:
        value = value * 10 + digit

    words = [
        (
            ("the measuring itself", "计量采集异常"),
            ("quality of supply", "供电质量"),
            ("damage or loss of supply expected", "预计将损坏或停电"),
            ("supply lost", "已停电"),
            ("danger to life or property", "危及人身或设备"),
        )[level]
    ]
    if life:
        words.append((f"{life} on life support", f"生命支持客户{life}户"))
    if critical:
        words.append((f"{critical} critical", f"重要客户{critical}户"))
    if count:
        words.append((f"{count} customer{'s' if count != 1 else ''}", f"影响{count}户"))
    if horizon_h is not None:
        words.append((f"failure expected in {horizon_h:.0f} h", f"预计{horizon_h:.0f}小时内发展"))
    return Priority(value, "; ".join(w for w, _ in words), "，".join(z for _, z in words))
