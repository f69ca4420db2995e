"""The electrical description of one low-voltage area: what hangs on one transformer.

Everything is per conductor, the neutral included: four-wire branches, service cables, earth
rods, contact resistances ("joints") and leaks. Index order of the arrays in `AreaInputs` and
`AreaSolution` is the order of the tuples here. Conductors are 0, 1, 2 = phases a, b, c and
3 = neutral.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid.errors import ForewattError

NEUTRAL = 3
NOMINAL_V = 400.0 / np.sqrt(3.0)
"""Line-to-neutral voltage at which loads draw the power they are given, V."""

HEALTHY_CONTACT_OHM = 2e-4
"""A tight bolted contact; four in series do not show in any reading."""

OPEN_OHM = 1e7
"""An open contact: a lost phase then reads below 0.1 V behind any load of a watt or more."""


class PowerFlowError(ForewattError):
    """The power flow found no solution; the text names the area and the step."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a four-wire LV branch, from the transformer side to the far side."""

    name: str
    from_bus: str
    to_bus: str
    length_m: float
    r_phase_ohm_km: float
    r_neutral_ohm_km: float
    x_self_ohm_km: float = 0.35
    x_mutual_ohm_km: float = 0.27


@dataclass(frozen=True, slots=True)
class Service:
    """The cable of one usage point; `phases` are conductor indexes (one or three)."""

    name: str
    from_bus: str
    phases: tuple[int, ...]
    length_m: float
    r_ohm_km: float
    x_ohm_km: float = 0.08


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One single-phase demand at a service; a three-phase usage point has three."""

    service: int
    phase: int


@dataclass(frozen=True, slots=True)
class Rod:
    """An earth rod that ties a neutral to earth."""

    bus: str
    r_ohm: float


@dataclass(frozen=True, slots=True)
class Leak:
    """A place where a phase may leak, or be shorted, to earth (`to_neutral`: to the neutral)."""

    bus: str
    phase: int
    to_neutral: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """One transformer and all that it feeds.

    `joints` name the segments and services whose upstream contact resistance may change; "mv"
    is the transformer's supply side, "main" its connection to the LV busbar. `heads` name the
    segments that leave the LV busbar, one for each branch.
    """

    name: str
    rated_kva: float
    segments: tuple[Segment, ...]
    services: tuple[Service, ...]
    loads: tuple[LoadPoint, ...]
    pv: tuple[LoadPoint, ...] = ()
    rods: tuple[Rod, ...] = ()
    joints: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    mv_kv: float = 10.0
    mv_fault_mva: float = 80.0
    short_circuit_percent: float = 4.0
    load_loss_percent: float = 1.1
    star_point_ohm: float = 3.0
    load_shares: tuple[float, float] = (0.7, 0.3)
    """Shares of constant impedance and constant power in demand."""
    pv_trip_pu: tuple[float, float] = (0.80, 1.15)
    """Voltages outside which an inverter is off."""
    heads: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        heads = tuple(s.name for s in self.segments if s.from_bus == "lv")
        object.__setattr__(self, "heads", heads)


@dataclass(frozen=True, slots=True)
class AreaInputs:
    """What acts on an area, step by step (T steps).

    emf_pu : float64[T]           MV source voltage, per unit; 0 = feeder dead
    load_w : [T, L]               active demand at nominal voltage
    load_tangent : [L]            reactive per active demand, >= 0
    pv_w : [T, V]                 inverter output before any trip, >= 0
    tap : [T, 3] or None          ratio of each phase's winding, 1 = nominal
    joint_ohm : [T, J, 4] or None contact resistance by joint and conductor
    leak_s : [T, K] or None       conductance of each leak, siemens
    """

    emf_pu: NDArray[np.float64]
    load_w: NDArray[np.float64]
    load_tangent: NDArray[np.float64]
    pv_w: NDArray[np.float64]
    tap: NDArray[np.float64] | None = None
    joint_ohm: NDArray[np.float64] | None = None
    leak_s: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class AreaSolution:
    """What the network answers; complex rms phasors, volt and ampere.

    v_load : complex128[T, L]     phase to neutral at the terminals of each load
    i_load : complex128[T, L]     through the service cable, drawn is positive (PV deducted)
    v_neutral : complex128[T, S]  neutral to earth at each service
    v_busbar : complex128[T, 4]   LV busbar to earth
    i_head : complex128[T, B, 4]  into each branch
    i_earth : complex128[T]       through the star point's earth electrode
    pv_on : bool[T, V]            inverter not tripped
    iterations : int32[T]
    """

    v_load: NDArray[np.complex128]
    i_load: NDArray[np.complex128]
    v_neutral: NDArray[np.complex128]
    v_busbar: NDArray[np.complex128]
    i_head: NDArray[np.complex128]
    i_earth: NDArray[np.complex128]
    pv_on: NDArray[np.bool_]
    iterations: NDArray[np.int32]
