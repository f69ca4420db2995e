"""What services and branches show in a frame: their drop below a reference, and the currents.

The reference is what the siblings on the same phase of the branch read, for a branch the monitor,
for a lone meter what the transformer says it should read (`expected`). What follows from a drop is
not judged here.
"""

import math
from typing import Final

import numpy as np

from detectors.compiled import F4, F8, I1, I4, U1, kernel

# Columns of what is seen: drop, own current, the branch's current, which reference was used; and,
# once tested, what of the drop the usual one does not explain.
DROP, OWN, SHARED, REFERENCE, LEFT = range(5)
N_SEEN: Final = 5
PEERS, MONITOR_REF, MODEL_REF = 1.0, 2.0, 3.0

ODD_V: Final = 6.0  # a meter farther from its phase's mean is no reference for others


@kernel(
    "void(float32[::1], float64[::1], int32[::1], int32[::1], float64[::1], int32[::1],"
    "int32[::1], int32[::1], int8[::1], int32[::1], float64[::1], uint8[::1], float32[::1],"
    "float64[:, ::1], float32[:, ::1], float32[:, ::1])"
)
def observe_drops(
    slot_v: F4,
    slot_i: F8,
    monitor: I4,
    run_area: I4,
    nominal: F8,
    first: I4,
    device: I4,
    place: I4,
    at: I1,
    lone: I4,
    deviation: F8,
    stuck: U1,
    usual_i: F4,
    sums: F8,
    services: F4,
    branches: F4,
) -> None:
    """What each service (a device's phase slot) and each phase of each branch shows in a frame.

    slot_v : float32[.], slot_i : float64[.]   see `Frame`
    monitor : int32[n_areas]       the first of an area's monitor's three there; -1 for none
    first : int32[n_runs + 1]      run r has the services first[r]:first[r + 1]
    device, place, at : int32[m], int32[m], int8[m]  the services: device, where it is in `slot_v`,
                                   network phase
    stuck : uint8[n]               1 = repeats itself: neither judged nor a reference for others
    lone : int32[m]                place in `deviation` (see `expected`), -1 for those with siblings
    sums : float64[3, 8]           scratch by phase: volt, number, ampere, mean, odd ones' volt and
                                   number, lowest and highest volt
    services : float32[m, 5], branches : float32[n_runs * 3, 5]   out; NaN drop = not seen
    """
    # Indexes are unsigned: numba looks at each signed one whether it counts from the end.
    for r in range(run_area.size):
        k = np.uint32(run_area[r])
        u = nominal[k]
        low, high = 0.7 * u, 1.3 * u
        for c in range(3):
            for x in range(6):
                sums[c, x] = 0.0
            sums[c, 6] = math.inf
            sums[c, 7] = -math.inf
        begin, end = np.uint32(first[r]), np.uint32(first[r + 1])
        for j in range(begin, end):
            s = np.uint32(place[j])
            believed = stuck[np.uint32(device[j])] == 0
            i = slot_i[s] if believed else math.nan
            v = float(slot_v[s]) if believed else math.nan
            seen = low < v < high
            services[j, DROP] = np.float32(v if seen else math.nan)  # its voltage, for now
            services[j, OWN] = np.float32(i if seen else math.nan)
            if at[j] < 0:
                continue
            total = sums[np.uint8(at[j])]
            if math.isnan(i):
                i = float(usual_i[j])
            elif math.isnan(usual_i[j]):
                usual_i[j] = np.float32(i)
            else:
                usual_i[j] += np.float32((i - usual_i[j]) * 0.01)
            if seen:
                total[0] += v
                total[1] += 1.0
                total[6] = min(total[6], v)
                total[7] = max(total[7], v)
            if not math.isnan(i):
                total[2] += i
        # A meter that reads far from its phase's mean (a broken one) must not shift its neighbours.
        far = False
        for c in range(3):
            total = sums[c]
            if total[1] > 0.0:
                total[3] = total[0] / total[1]
                far |= total[7] - total[3] > ODD_V or total[3] - total[6] > ODD_V
        if far:
            for j in range(begin, end):
                v = float(services[j, DROP])
                if at[j] < 0 or math.isnan(v):
                    continue
                total = sums[np.uint8(at[j])]
                if abs(v - total[3]) > ODD_V and total[1] >= 3.0:
                    total[4] += v
                    total[5] += 1.0
            for c in range(3):
                total = sums[c]
                if total[5] > 0.0 and 3.0 * total[5] <= total[1]:
                    total[0] -= total[4]
                    total[1] -= total[5]
        for j in range(begin, end):
            row = services[j]
            row[SHARED] = math.nan
            row[REFERENCE] = math.nan
            row[LEFT] = math.nan
            v = float(row[DROP])
            if math.isnan(v):
                continue
            total = sums[np.uint8(max(at[j], 0))]
            drawn = 0.0 if math.isnan(row[OWN]) else float(row[OWN])
            if lone[j] >= 0:
                row[REFERENCE] = MODEL_REF
                row[DROP] = -deviation[np.uint32(lone[j])]
                if at[j] >= 0:
                    row[SHARED] = total[2] - drawn
                continue
            # Leave this one out of the mean, unless it was left out as odd.
            odd = total[5] > 0.0 and abs(v - total[3]) > ODD_V
            odd = odd and 3.0 * total[5] <= total[1] + total[5]
            others = total[1] - (0.0 if odd else 1.0)
            if at[j] < 0 or others < 2.0:
                row[DROP] = math.nan  # siblings missing now; others would be another reference
                row[OWN] = math.nan
                continue
            row[REFERENCE] = PEERS
            row[DROP] = (total[0] - (0.0 if odd else v)) / others - v
            row[SHARED] = total[2] - drawn
        for c in range(3):
            row = branches[3 * r + c]
            for x in range(N_SEEN):
                row[x] = math.nan
            if monitor[k] < 0 or sums[c, 1] < 1.0:
                continue
            v = float(slot_v[np.uint32(monitor[k] + c)])
            if low < v < high:
                row[DROP] = v - sums[c, 0] / sums[c, 1]
                row[OWN] = sums[c, 2] if sums[c, 2] != 0.0 else math.nan
                row[SHARED] = sums[(c + 1) % 3, 2] + sums[(c + 2) % 3, 2]
                row[REFERENCE] = MONITOR_REF
