"""What changes between two settings: the alerts that differ, paired by cause where ids differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from detectors.scoring.lines import AlertLine
from detectors.scoring.matching import DAY_US

Change = Literal["only_a", "only_b", "differs"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One alert that is not the same in both; `fields` names what differs."""

    change: Change
    a: AlertLine | None
    b: AlertLine | None
    fields: tuple[str, ...] = ()

    @property
    def at_us(self) -> int:
        """When it was raised, in A if it is there."""
        alert = self.a or self.b
        return alert.raised_us if alert else 0


_COMPARED = ("severity", "asset_kind", "asset", "raised_us", "known_us", "cleared_us", "ticket")


def compare(a: Sequence[AlertLine], b: Sequence[AlertLine]) -> list[Difference]:
    """Alerts that differ between A and B, in order of time.

    Alerts of equal id are the same one. What is left is paired when fault and asset are equal
    and the raising at most a day apart: another setting raises the same cause at another tick.
    """
    of_a, of_b = {x.id: x for x in a}, {x.id: x for x in b}
    pairs = [(of_a[i], of_b[i]) for i in of_a.keys() & of_b.keys()]
    left_a = sorted((x for x in a if x.id not in of_b), key=lambda x: (x.raised_us, x.id))
    left_b = sorted((x for x in b if x.id not in of_a), key=lambda x: (x.raised_us, x.id))
    waiting: dict[tuple[str, str, str], list[AlertLine]] = {}
    for y in left_b:
        waiting.setdefault((y.fault, y.asset_kind, y.asset), []).append(y)
    out: list[Difference] = []
    for x in left_a:
        candidates = waiting.get((x.fault, x.asset_kind, x.asset), [])
        near = min(candidates, key=lambda y: (abs(y.raised_us - x.raised_us), y.id), default=None)
        if near is not None and abs(near.raised_us - x.raised_us) <= DAY_US:
            candidates.remove(near)
            pairs.append((x, near))
        else:
            out.append(Difference("only_a", x, None))
    out += [Difference("only_b", None, y) for rest in waiting.values() for y in rest]
    for x, y in pairs:
        fields = tuple(f for f in _COMPARED if getattr(x, f) != getattr(y, f))
        if fields:
            out.append(Difference("differs", x, y, fields))
    return sorted(out, key=lambda d: (d.at_us, d.change, (d.a or d.b or _NONE).id))


_NONE = AlertLine("", "", "", "", "", 0, 0)
