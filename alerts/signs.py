"""What devices and customers say of supply, one by one or as arrays, and what each sign weighs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Says = Literal["gasp", "dead", "silent", "call", "opened", "alive", "answers"]

SIGN_NAMES: Final[dict[Says, tuple[str, str]]] = {
    "gasp": ("sent a last gasp", "停电上报"),
    "dead": ("does not answer a ping", "召测无应答"),
    "silent": ("is silent", "无数据"),
    "call": ("a customer called", "客户来电"),
    "opened": ("the switch has opened", "开关分闸"),
    "alive": ("has reported since", "其后有数据"),
    "answers": ("answers a ping", "召测有应答"),
}

# log P(said | without supply) - log P(said | in service), as the outage detector has them where it
# has them. A gasp: 0.3-0.9 against 2e-5 spurious; a meter that reports afterwards is dark only by
# a wrong record or a wrong clock; a tenth of the pings to living meters is lost; one customer of
# fifty calls within the hour of an outage, one of ten thousand without one. A switch that has
# opened speaks for the very place where it stands, not for what is above it.
WEIGHT: Final[Mapping[Says, float]] = {
    "gasp": 10.0,
    "dead": 2.3,
    "silent": 2.4,
    "call": 5.0,
    "opened": 6.0,
    "alive": -6.0,
    "answers": -6.0,
}
SAYS: Final[tuple[Says, ...]] = tuple(WEIGHT)
CODE: Final[dict[Says, int]] = {says: i for i, says in enumerate(SAYS)}
AT_PLACE: Final[frozenset[Says]] = frozenset({"opened"})
WEIGHTS: Final = np.array([0.0 if s in AT_PLACE else WEIGHT[s] for s in SAYS])
PLACE_WEIGHTS: Final = np.array([WEIGHT[s] if s in AT_PLACE else 0.0 for s in SAYS])


@dataclass(frozen=True, slots=True)
class Sign:
    """What a device or a customer says of supply at a node of the tree; `at_us` when, if that
    is known (a last gasp)."""

    node: int
    says: Says
    who: str
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Signs as arrays: `node` int32[n] of the tree, `says` int8[n] (place in `SAYS`), `at_us`
    int64[n], 0 where it is not known; `who` names the one who said it."""

    node: NDArray[np.int32]
    says: NDArray[np.int8]
    at_us: NDArray[np.int64]
    who: Sequence[str]

    @classmethod
    def of(cls, signs: Iterable[Sign]) -> "Heard":
        """The arrays of some signs."""
        given = list(signs)
        n = len(given)
        return cls(
            np.fromiter((s.node for s in given), np.int32, n),
            np.fromiter((CODE[s.says] for s in given), np.int8, n),
            np.fromiter((s.at_us or 0 for s in given), np.int64, n),
            [s.who for s in given],
        )

    def are(self, *says: Says) -> NDArray[np.bool_]:
        """Which of them say one of these."""
        wanted = np.zeros(len(SAYS), bool)
        wanted[[CODE[s] for s in says]] = True
        return wanted[self.says]
