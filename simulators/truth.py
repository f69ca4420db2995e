"""Ground truth from a healthy twin: when a fault shows, and at which devices.

Receives what the devices report with one fault alone and what they report of the same seed
without it; both carry the same meter noise, so a difference is the fault's. Hands on lines of
truth.jsonl. Nobody's opinion enters but the noise thresholds below.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.meters import Reports
from simulators.spec import DAY_US, FaultSpec

NOISE: dict[str, tuple[float, float]] = {
    # quantity prefix: absolute and relative difference that noise can explain
    "v": (0.5, 0.0),
    "i": (0.5, 0.05),
    "p": (60.0, 0.05),
    "q": (100.0, 0.08),
    "t": (3.0, 0.0),
    "sags": (0.5, 0.0),
    "power_downs": (0.5, 0.0),
    "i_residual": (0.02, 0.1),
}
CLOCK_NOISE_US = 30_000_000
LATE_US = 1_800_000_000
_THIRD = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """How one fault shows in one area: the time it becomes detectable, and the devices."""

    detectable_us: int | None
    devices: tuple[str, ...]


def differing(faulted: Reports, healthy: Reports) -> NDArray[np.bool_]:
    """bool[K, M]: readings that differ from the twin's beyond noise, or are missing."""
    differs = faulted.present != healthy.present
    differs |= np.abs(faulted.times - healthy.times) > CLOCK_NOISE_US
    differs |= np.abs(faulted.received - healthy.received) > LATE_US
    for name, column in faulted.columns.items():
        kind = name if name in NOISE else name.partition("_")[0]
        if kind == "e" or kind not in NOISE:
            continue
        absolute, relative = NOISE[kind]
        other = healthy.columns.get(name)
        if other is None:
            differs |= faulted.present & ~np.isnan(column)
            continue
        with np.errstate(invalid="ignore"):
            far = np.abs(column - other) > absolute + relative * np.abs(other)
        differs |= far & faulted.present & healthy.present
    for register in ("e_import", "e_export"):
        # Only the faulted twin exports where, say, a fault lets generation exceed the load.
        if register in faulted.columns and register in healthy.columns:
            with np.errstate(invalid="ignore"):
                # Consumption may differ a little; a register that jumps back does not.
                differs |= faulted.columns[register] < healthy.columns[register] - 1e5
    return np.asarray(differs, np.bool_)


def shown(pairs: list[tuple[Reports, Reports]], onset_us: int, concerned: frozenset[str]) -> Shown:
    """The third differing reading within a day at one device, or the third event, if earlier.

    Only the `concerned` devices count (those behind the fault, and the area's monitor): a
    neighbour's voltage moves too when a branch is lost, but that is not where the fault is.
    """
    moments: list[int] = []
    devices: list[str] = []
    events: list[int] = []
    for faulted, healthy in pairs:
        differs = differing(faulted, healthy) & (healthy.times >= onset_us)
        for m, name in enumerate(healthy.names):
            if name not in concerned:
                continue
            at = np.sort(healthy.times[differs[:, m], m])
            if at.size >= _THIRD:
                devices.append(name)
                close = at[_THIRD - 1 :] - at[: -_THIRD + 1] <= DAY_US
                if close.any():
                    moments.append(int(at[_THIRD - 1 :][close][0]))
        extra = {r for r in set(faulted.events) - set(healthy.events) if r[1] in concerned}
        events += [row[0] for row in extra]
        devices += [row[1] for row in extra if row[1] not in devices]
    if len(events) >= _THIRD:
        moments.append(sorted(events)[_THIRD - 1])
    return Shown(min(moments, default=None), tuple(sorted(set(devices))))


def truth_line(
    fault: FaultSpec, asset_kind: str, start_us: int, length_us: int, parts: list[Shown]
) -> dict[str, Any]:
    """One line of truth.jsonl; `parts` are the areas the fault touches.

    What comes after the end of the data is not in it: null. `attainable_lead_h` is the time from
    `detectable` to `failure`: no detector can honestly beat it by much.
    """
    found = [p.detectable_us for p in parts if p.detectable_us is not None]
    devices = sorted({d for p in parts for d in p.devices})

    def when(offset: int | None) -> str | None:
        return None if offset is None or offset >= length_us else rfc3339(start_us + offset)

    lead_h = None
    if found and fault.failure_us is not None and fault.failure_us < length_us:
        lead_h = round(max(start_us + fault.failure_us - min(found), 0) / 3.6e9, 2)

    return {
        "id": fault.id,
        "fault": fault.kind,
        "asset_kind": asset_kind,
        "asset": fault.asset,
        "onset": when(fault.onset_us),
        "detectable": rfc3339(min(found)) if found else None,
        "failure": when(fault.failure_us),
        "cleared": when(fault.cleared_us),
        "devices": devices,
        "benign": fault.benign,
        "attainable_lead_h": lead_h,
    }


def rfc3339(time_us: int) -> str:
    """UTC text of a time, to the second.

    >>> rfc3339(0)
    '1970-01-01T00:00:00Z'
    """
    return str(np.datetime64(time_us // 1_000_000, "s")) + "Z"
