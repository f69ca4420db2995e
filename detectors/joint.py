"""Heating joints: a service, or one phase of a branch, whose resistance grows.

The drop of a customer below its neighbours on the same branch and phase is `c + R I + K T`: own
current through its own service, the branch's current through where it stands. The same for the
drop of a branch's phase below the transformer. All three are learned on healthy days; what is
left over is tested in two windows for an added resistance. Where no current is known, a drop that
appears and stays is looked for instead.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Detector, Stateful, known_at, over_limit, rounded
from detectors.compiled import F4, F8, I1, I4, I8, kernel
from detectors.displacement import phase_current
from detectors.expected import N_LONE, deviations
from detectors.frames import Frame
from detectors.layout import CHANNEL, GroupLayout
from detectors.neutral import NeutralDetector
from detectors.settings import DetectorSettings
from grid.faults import Severity
from grid.records import Evidence, Finding

V: Final = CHANNEL["v_a"]

# Columns of what is seen: drop, own current, the branch's current, which reference was used.
DROP, OWN, SHARED, REFERENCE = range(4)
PEERS, MONITOR_REF, MODEL_REF = 1.0, 2.0, 3.0

COUNT, M_Y, M_I, M_T, S_II, S_IT, S_TT, S_YI, S_YT, VAR, REF, FROZEN = range(12)
RESISTANCE, SHIFT, STDERR, CURRENT_MAX, LEVEL = range(12, 17)
WINDOW: Final = 17
W, SI, SII, SE, SEI, SEE, SNN, SEN, LEVEL_VAR = range(9)
N_WINDOW: Final = 9
N_STATE: Final = WINDOW + 2 * N_WINDOW

WINDOW_HOURS: Final = (6.0, 48.0)
MEMORY_DAYS: Final = 14.0
LEARN_DAYS: Final = 3.0
LEARN_FRAMES: Final = 60
CLEAR: Final = 0.6
HAZARD_W: Final = 50.0  # heat in one joint that scorches
FREEZE_FRAMES: Final = 2880
# Two windows: ohm, share of the usual slope, volt rms explained, standard errors, share explained.
# Services have two rows more: against what the transformer says a lone meter should read.
SERVICE: Final = np.array(
    [
        [0.15, 1.0, 1.2, 7.0, 0.6],
        [0.15, 1.0, 0.8, 7.0, 0.55],
        [0.15, 1.0, 0.7, 6.0, 0.55],
        [0.15, 1.0, 0.3, 5.5, 0.4],
    ]
)
BRANCH: Final = np.array([[0.06, 1.0, 1.5, 8.0, 0.6], [0.04, 1.0, 0.9, 9.0, 0.55]])
ODD_V: Final = 6.0
BLIND_V: Final = 0.9  # V, where no current is known
BLIND_T: Final = 9.0
# Against what the transformer says a lone meter should read: volt in the fast and slow window, and
# how far beyond the window's usual stray.
MODEL_V: Final = (0.7, 0.35)
MODEL_SIGMA: Final = (7.0, 9.0)
MODEL_CONSTANT: Final = (0.75, 0.6)  # share of the residual's power that is a constant fall
COUNTED: Final = 0.5  # of the usual current
COMPANY: Final = 3  # services on one phase of a branch that serve each other as reference


@kernel(
    "void(float32[:, ::1], int32[::1], int32[::1], int32[::1], float64[::1],"
    "int32[::1], int8[::1], int8[::1], int32[::1], float64[::1], float32[::1],"
    "float64[:, :, ::1], float64[:, ::1], float64[:, ::1])"
)
def observe_drops(
    values: F4,
    offsets: I4,
    monitor: I4,
    run: I4,
    nominal: F8,
    device: I4,
    slot: I1,
    at: I1,
    lone: I4,
    deviation: F8,
    usual_i: F4,
    sums: F8,
    services: F8,
    branches: F8,
) -> None:
    """What each service (a device's phase slot) and each phase of each branch shows in a frame.

    device, slot, at : int32[m], int8[m], int8[m]  the services: device, its slot, network phase
    lone : int32[m]                place in `deviation` (see `expected`), -1 for those with siblings
    sums : float64[n_runs, 3, 6]   scratch by branch and phase: volt, number, ampere, mean, odd ones
    services : float64[m, 4], branches : float64[n_runs * 3, 4]   out; NaN drop = not seen
    """
    sums.fill(0.0)
    services.fill(math.nan)
    branches.fill(math.nan)
    begin = 0
    # Area by area, so that an area's rows are read from memory once for all three passes.
    for k in range(offsets.size - 1):
        u = nominal[k]
        end = begin
        while end < device.size and device[end] < offsets[k + 1]:
            end += 1
        first = -1
        last = -1
        for p in range(offsets[k], offsets[k + 1]):
            if run[p] >= 0:
                first = run[p] if first < 0 else first
                last = run[p]
        for j in range(begin, end):
            p = device[j]
            r = run[p]
            if r < 0:
                continue
            i = phase_current(values, p, slot[j], u)
            services[j, OWN] = i
            if at[j] < 0:
                continue
            v = float(values[p, V + slot[j]])
            if math.isnan(i):
                i = float(usual_i[j])
            elif math.isnan(usual_i[j]):
                usual_i[j] = np.float32(i)
            else:
                usual_i[j] += np.float32((i - usual_i[j]) * 0.01)
            if 0.7 * u < v < 1.3 * u:
                sums[r, at[j], 0] += v
                sums[r, at[j], 1] += 1.0
            if not math.isnan(i):
                sums[r, at[j], 2] += i
        # A meter that reads far from its phase's mean (a broken one) must not shift its neighbours.
        for r in range(first, last + 1):
            for c in range(3):
                if r >= 0 and sums[r, c, 1] > 0.0:
                    sums[r, c, 3] = sums[r, c, 0] / sums[r, c, 1]
        for j in range(begin, end):
            p = device[j]
            r = run[p]
            v = float(values[p, V + slot[j]])
            if r < 0 or at[j] < 0 or not (0.7 * u < v < 1.3 * u):
                continue
            if sums[r, at[j], 1] >= 3.0 and abs(v - sums[r, at[j], 3]) > ODD_V:
                sums[r, at[j], 4] += v
                sums[r, at[j], 5] += 1.0
        for r in range(first, last + 1):
            for c in range(3):
                if r >= 0 and sums[r, c, 5] > 0.0 and 3.0 * sums[r, c, 5] <= sums[r, c, 1]:
                    sums[r, c, 0] -= sums[r, c, 4]
                    sums[r, c, 1] -= sums[r, c, 5]
        for j in range(begin, end):
            p = device[j]
            r = run[p]
            i = services[j, OWN]
            services[j, OWN] = math.nan
            v = float(values[p, V + slot[j]])
            if r < 0 or not (0.7 * u < v < 1.3 * u):
                continue
            c = at[j]
            if lone[j] >= 0:
                services[j, REFERENCE] = MODEL_REF
                services[j, DROP] = -deviation[lone[j]]
                services[j, OWN] = i
                if c >= 0:
                    services[j, SHARED] = sums[r, c, 2] - (0.0 if math.isnan(i) else i)
                continue
            if c < 0:
                continue
            # Leave this one out of the mean, unless it was left out as odd.
            odd = sums[r, c, 5] > 0.0 and abs(v - sums[r, c, 3]) > ODD_V
            odd = odd and 3.0 * sums[r, c, 5] <= sums[r, c, 1] + sums[r, c, 5]
            others = sums[r, c, 1] - (0.0 if odd else 1.0)
            if others < 2.0:
                continue  # siblings missing now; another reference would be another drop
            services[j, REFERENCE] = PEERS
            services[j, DROP] = (sums[r, c, 0] - (0.0 if odd else v)) / others - v
            services[j, OWN] = i
            services[j, SHARED] = sums[r, c, 2] - (0.0 if math.isnan(i) else i)
        begin = end
        m = monitor[k]
        if m < 0:
            continue
        for r in range(first, last + 1):
            for c in range(3):
                v_m = float(values[m, V + c])
                if r >= 0 and sums[r, c, 1] >= 1.0 and 0.7 * u < v_m < 1.3 * u:
                    row = branches[3 * r + c]
                    row[DROP] = v_m - sums[r, c, 0] / sums[r, c, 1]
                    row[OWN] = sums[r, c, 2] if sums[r, c, 2] != 0.0 else math.nan
                    row[SHARED] = sums[r, (c + 1) % 3, 2] + sums[r, (c + 2) % 3, 2]
                    row[REFERENCE] = MONITOR_REF


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[::1], int64[::1], float64, float64,"
    "UniTuple(float64, 2), float64[:, ::1], boolean)"
)
def test_drops(
    seen: F8,
    state: F8,
    score: F8,
    opened: I8,
    memory: float,
    learn: float,
    decay: tuple[float, float],
    limits: F8,
    branch: bool,
) -> None:
    """Follow every drop by one frame.

    seen : float64[m, 4]     from `observe_drops`
    state : float64[m, 33]   updated; score : float64[m]  out, 1 = limit, NaN = not judged
    opened : int64[m]        0 = not raised: then a score below a half is told as 0, as nobody asks
    limits : float64[2 or 4, 5]   of the two windows, then those of lone services
    branch : bool            `SHARED` are the other phases, so a neutral must be told apart
    """
    for k in range(seen.shape[0]):
        s = state[k]
        score[k] = math.nan
        y = seen[k, DROP]
        if math.isnan(y):
            continue
        if s[REF] != seen[k, REFERENCE]:
            # Another reference is another drop: begin again.
            for c in range(N_STATE):
                s[c] = 0.0
            s[REF] = seen[k, REFERENCE]
        i = seen[k, OWN]
        blind = math.isnan(i)
        if blind:
            i = 0.0
        t = seen[k, SHARED]
        if math.isnan(t):
            t = 0.0
        if s[COUNT] == 0.0:
            s[M_Y] = y
            s[M_I] = i
            s[M_T] = t
            s[VAR] = 0.25
        dy = y - s[M_Y]
        di = i - s[M_I]
        dt = t - s[M_T]
        # Usual slopes by least squares; a touch of ridge keeps them sane while little varied.
        a_ii = s[S_II] + 0.05
        a_tt = s[S_TT] + 0.05
        det = a_ii * a_tt - s[S_IT] * s[S_IT]
        r0 = 0.0
        k0 = 0.0
        if det > 1e-9:
            r0 = (s[S_YI] * a_tt - s[S_YT] * s[S_IT]) / det
            k0 = (s[S_YT] * a_ii - s[S_YI] * s[S_IT]) / det
        e = dy - r0 * di - k0 * dt
        sigma = math.sqrt(max(s[VAR], 0.01))
        learned = s[COUNT] >= learn
        best = 0.0
        if learned:
            s[CURRENT_MAX] = max(s[CURRENT_MAX] * 0.9998, abs(i))
            for j in range(2):
                w = s[WINDOW + j * N_WINDOW : WINDOW + (j + 1) * N_WINDOW]
                for c in range(LEVEL_VAR):
                    w[c] *= decay[j]
                w[W] += 1.0
                w[SI] += i
                w[SII] += i * i
                w[SE] += e
                w[SEI] += e * i
                w[SEE] += e * e
                # A neutral moves with the other phases too, at half weight and against.
                n = i - 0.5 * t
                w[SNN] += n * n
                w[SEN] += e * n
                if w[W] < 0.6 / (1.0 - decay[j]):
                    continue
                x = 0.0
                row = j + 2 if s[REF] == MODEL_REF else j
                unfed = blind or w[SII] < 1e-6
                if unfed or s[REF] == MODEL_REF:
                    level = w[SE] / w[W]
                    constant = level * level * w[W] / max(w[SEE], 1e-9)
                    if s[REF] == MODEL_REF:
                        # Whatever this customer draws; a neighbour's evening is no constant fall.
                        usual = math.sqrt(max(w[LEVEL_VAR], 1e-4))
                        x = min(level / MODEL_V[j], level / (MODEL_SIGMA[j] * usual))
                        x = min(x, constant / MODEL_CONSTANT[j])
                    else:
                        x = min(level / BLIND_V, 0.5 * level / sigma * math.sqrt(w[W]) / BLIND_T)
                        x = min(x, constant / limits[row, 4])
                    if x >= best:
                        s[LEVEL] = level
                        s[RESISTANCE] = math.nan
                        s[SHIFT] = level
                    best = max(best, x)
                x = 0.0
                # A falling resistance is no fault; and what explains less than half the volts
                # that the limit asks for needs no closer look.
                least = 0.25 * limits[row, 2] * limits[row, 2] * w[W] * w[SII]
                if not unfed and w[SEI] >= 0.0 and (w[SEI] * w[SEI] > 0.99 * least or opened[k]):
                    r = w[SEI] / w[SII]
                    shift = r * math.sqrt(w[SII] / w[W])
                    se = 2.0 * sigma / math.sqrt(w[SII])
                    x = min(
                        r / max(limits[row, 0], limits[row, 1] * abs(r0)), shift / limits[row, 2]
                    )
                    x = min(x, r / se / limits[row, 3])
                    x = min(x, w[SEI] * r / max(w[SEE], 1e-9) / limits[row, 4])
                    # A neighbour's load moves the voltage whatever this customer draws: with an
                    # intercept, the slope must remain.
                    spread = w[SII] - w[SI] * w[SI] / w[W]
                    slope = (w[SEI] - w[SE] * w[SI] / w[W]) / spread if spread > 0.5 else 0.0
                    x = min(x, 2.0 * max(slope, 0.0) / max(r, 1e-9))
                    # The same drop at less current than ever: the counting has fallen, not the
                    # joint.
                    if s[M_I] > 0.3 and w[SI] < COUNTED * s[M_I] * w[W]:
                        x = min(x, 0.5)
                    if (
                        branch
                        and w[SEN] > 0.0
                        and w[SEN] * w[SEN] * w[SII] > w[SEI] * w[SEI] * w[SNN]
                    ):
                        x = min(x, 0.5)
                    if x >= best:
                        s[RESISTANCE] = r
                        s[SHIFT] = shift
                        s[STDERR] = se
                best = max(best, x)
            score[k] = best
        if best > 0.5 and s[FROZEN] < FREEZE_FRAMES:
            s[FROZEN] += 1.0
            continue
        if best <= 0.5:
            s[FROZEN] = 0.0
        s[COUNT] += 1.0
        a = 1.0 / s[COUNT] if s[COUNT] < memory else 1.0 / memory
        cut = 1.0
        if learned and abs(e) > 4.0 * sigma:
            cut = 4.0 * sigma / abs(e)
        fit = r0 * di + k0 * dt + e * cut
        s[M_Y] += a * fit
        s[M_T] += a * dt
        b = a * (1.0 - a)
        s[S_TT] = (1.0 - a) * s[S_TT] + b * dt * dt
        s[S_YT] = (1.0 - a) * s[S_YT] + b * fit * dt
        if not blind:
            s[M_I] += a * di
            s[S_II] = (1.0 - a) * s[S_II] + b * di * di
            s[S_IT] = (1.0 - a) * s[S_IT] + b * di * dt
            s[S_YI] = (1.0 - a) * s[S_YI] + b * fit * di
        for j in range(2 if s[REF] == MODEL_REF else 0):
            # How far the window's mean strays on healthy days, however its readings cohere.
            w = s[WINDOW + j * N_WINDOW : WINDOW + (j + 1) * N_WINDOW]
            if w[W] > 0.0:
                stray = w[SE] / w[W]
                since = max(s[COUNT] - learn, 1.0)
                w[LEVEL_VAR] += max(1.0 / since, 1.0 / memory) * (stray * stray - w[LEVEL_VAR])
        if s[COUNT] > 8.0:
            rate = 1.0 / (s[COUNT] - 7.0) if s[COUNT] - 7.0 < memory else 1.0 / memory
            s[VAR] += rate * (e * e * cut * cut - s[VAR])


class JointDetector(Detector):
    """Every service, and every phase of every branch below a monitor."""

    name: ClassVar[str] = "joint"
    version: ClassVar[int] = 1
    faults: ClassVar[tuple[str, ...]] = ("joint_resistance",)
    listens: ClassVar[tuple[str, ...]] = ("neutral",)

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        rows: list[tuple[int, int, int]] = []
        for p, (phase, run) in enumerate(
            zip(layout.phase.tolist(), layout.run.tolist(), strict=True)
        ):
            if run >= 0 and layout.transformer[layout.area[p]] >= 0:
                rows += [(p, c, c) for c in range(3)] if phase == 3 else [(p, 0, phase)]
        table = np.array(rows, np.int32).reshape(len(rows), 3)
        self.device = np.ascontiguousarray(table[:, 0])
        self.slot = table[:, 1].astype(np.int8)
        m, runs = len(rows), len(layout.run_area)
        self.at = table[:, 2].astype(np.int8)  # -1 until its phase is learned
        self.usual_i = self._array("usual_i", "service", m, np.float32, np.nan)
        self.service = self._array("service", "service", (m, N_STATE), float)
        self.branch = self._array("branch", "run3", (3 * runs, N_STATE), float)
        self.service_open = self._array("service_open", "service", m, np.int64)
        self.branch_open = self._array("branch_open", "run3", 3 * runs, np.int64)
        step_s = layout.step_us / 1e6
        self.memory = MEMORY_DAYS * 86400.0 / step_s
        self.learn = max(float(LEARN_FRAMES), LEARN_DAYS * 86400.0 / step_s)
        self.decay = tuple(math.exp(-step_s / (h * 3600.0)) for h in WINDOW_HOURS)
        self.lone = self._lone_services()
        self._alone_rows = np.flatnonzero(self.lone >= 0)
        lone = self._alone_rows
        self.expected = self._array("expected", "lone", (lone.size, N_LONE), np.float32)
        self._lone_device = np.ascontiguousarray(self.device[lone])
        self._lone_slot = np.ascontiguousarray(self.slot[lone])
        self._deviation = np.full(lone.size, np.nan)
        self.neutral: NeutralDetector | None = None
        self._sums = np.zeros((runs, 3, 6))
        self._services = np.full((m, 4), np.nan)
        self._branches = np.full((3 * runs, 4), np.nan)
        self._service_score = np.full(m, np.nan)
        self._branch_score = np.full(3 * runs, np.nan)
        self._channel = 3 * layout.run[self.device] + np.maximum(self.at, 0)

    def _lone_services(self) -> NDArray[np.int32]:
        """Place among the lone services, -1 for those with siblings on branch and phase."""
        layout = self.layout
        channel = np.where(self.at >= 0, 3 * layout.run[self.device] + self.at, -1)
        _, group, size = np.unique(channel, return_inverse=True, return_counts=True)
        alone = (self.at < 0) | (size[group] < COMPANY)
        alone |= layout.run_node[layout.run[self.device]] < 0
        alone &= layout.monitor[layout.area[self.device]] >= 0
        return np.where(alone, np.cumsum(alone) - 1, -1).astype(np.int32)

    def link(self, others: Sequence[Stateful]) -> None:
        self.neutral = next((d for d in others if isinstance(d, NeutralDetector)), None)

    def keys(self, axis: Axis) -> list[str]:
        if axis == "service":
            keys = self.layout.device_keys()
            pairs = zip(self.device.tolist(), self.slot.tolist(), strict=True)
            return [f"{keys[p]}\0{c}" for p, c in pairs]
        if axis == "lone":
            keys = self.keys("service")
            return [keys[j] for j in self._alone_rows.tolist()]
        if axis == "run3":
            return [f"{k}\0{c}" for k in self.layout.run_keys() for c in "abc"]
        return super().keys(axis)

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        if self._deviation.size:
            lone = self._alone_rows
            suspect = (self.service[lone, FROZEN] > 0) & (
                self.service[lone, FROZEN] < FREEZE_FRAMES
            )
            deviations(
                frame.values,
                layout.offsets,
                layout.monitor,
                layout.nominal_v,
                self._lone_device,
                self._lone_slot,
                suspect.astype(np.uint8),
                self.memory,
                self.expected,
                self._deviation,
            )
        observe_drops(
            frame.values,
            layout.offsets,
            layout.monitor,
            layout.run,
            layout.nominal_v,
            self.device,
            self.slot,
            self.at,
            self.lone,
            self._deviation,
            self.usual_i,
            self._sums,
            self._services,
            self._branches,
        )
        args = (self.memory, self.learn, self.decay)
        test_drops(
            self._branches, self.branch, self._branch_score, self.branch_open, *args, BRANCH, True
        )
        test_drops(
            self._services,
            self.service,
            self._service_score,
            self.service_open,
            *args,
            SERVICE,
            False,
        )
        if self.neutral is not None:
            # Where a neutral moves, every drop moves with it.
            moved = self.neutral.moved_runs()
            if moved.any():
                self._branch_score[np.repeat(moved, 3)] *= 0.0
                self._service_score[moved[self._channel // 3]] *= 0.0
        for k in np.flatnonzero(self._branch_score >= CLEAR).tolist():
            self._branch_score[k] = self._alone(k)
        tick = frame.tick_us
        out = [
            self._finding(frame, True, *row)
            for row in over_limit(self._branch_score, self.branch_open, CLEAR, tick)
        ]
        # Measured against the transformer, several customers of a branch show what they share.
        weak = self._service_score >= 0.5
        if weak.any():
            weak &= self._services[:, REFERENCE] == MODEL_REF
            run = self._channel // 3
            several = np.bincount(run[self._service_score >= 0.5], minlength=len(self._sums)) > 1
            several &= self.layout.run_node >= 0  # of no branch: they share nothing known
            self._service_score[weak & several[run]] = 0.5
        # A branch's joint explains what its customers show.
        if self.branch_open.any():
            self._service_score[self.branch_open[self._channel] > 0] *= 0.0
        rows = over_limit(self._service_score, self.service_open, CLEAR, tick)
        return out + [self._finding(frame, False, *row) for row in rows]

    def _alone(self, k: int) -> float:
        """Score of one phase of a branch; if the others rise with it, it is the neutral's."""
        score = float(self._branch_score[k])
        w = self.branch[3 * (k // 3) : 3 * (k // 3) + 3, WINDOW : WINDOW + N_WINDOW]
        level = w[:, SE] / np.maximum(w[:, W], 1.0)
        others = np.delete(level, k % 3)
        if others.min() < -0.2 * abs(level[k % 3]):
            score = min(score, 0.5)
        # One customer's joint pulls the mean of its phase; then the customer is the place.
        mine = (self._channel == k) & (self._services[:, REFERENCE] == PEERS)
        if (self._service_score[mine] >= 0.5).any():
            score = min(score, 0.5)
        return score

    def _finding(self, frame: Frame, branch: bool, k: int, score: float, since: int) -> Finding:
        layout = self.layout
        s = (self.branch if branch else self.service)[k]
        if branch:
            run = k // 3
            node = int(layout.run_node[run])
            kind: str = "branch"
            asset = layout.network.tree.ids[node] if node >= 0 else ""
            if node < 0:
                kind, asset = "transformer", layout.area_id(int(layout.run_area[run]))
            members = sorted(set(self.device[self._channel == k].tolist()))
            phase = "abc"[k % 3]
        else:
            members = [int(self.device[k])]
            node = int(layout.network.tree.device[layout.device[members[0]]])
            kind, asset = "device", layout.names[members[0]]
            if node >= 0:
                kind, asset = layout.network.asset_of(node)
            phase = "abc"[self.at[k]]
        heat = s[RESISTANCE] * s[CURRENT_MAX] ** 2
        # A lone meter has no sibling to confirm it: serious, never yet a danger.
        sure = not branch and s[REF] == PEERS and score > 1.5
        severity: Severity = "P1" if sure and heat > HAZARD_W else "P2"
        blind = not np.isfinite(s[RESISTANCE])
        rule = "the drop below the neighbours has grown with the customer's own current"
        rule_zh = "相对邻户的压降随自身电流增大:接头接触电阻增大"
        if branch:
            rule = "the drop of one phase of this branch has grown with its current"
            rule_zh = "该线路一相压降随电流增大:相线接头接触电阻增大"
        if blind:
            rule = "the voltage has fallen below the neighbours' and stays there"
            rule_zh = "电压持续低于邻户:疑似接头不良"
            severity = "P2" if s[SHIFT] > 3.0 else "P3"
        table = BRANCH if branch else SERVICE
        return Finding(
            self.name,
            "joint_resistance",
            kind,
            asset,
            frame.tick_us,
            known_at(frame, members),
            score,
            severity,
            tuple(layout.names[p] for p in members),
            Evidence(
                rule,
                rule_zh,
                {
                    "added_resistance_ohm": rounded(s[RESISTANCE]),
                    "standard_error_ohm": None if blind else rounded(s[STDERR]),
                    "drop_added_rms_v": rounded(s[SHIFT], 2),
                    "heat_at_peak_w": rounded(heat, 0),
                    "current_max_a": rounded(s[CURRENT_MAX], 1),
                    "usual_deviation_v": rounded(math.sqrt(max(s[VAR], 0.0)), 2),
                    "frames_learned": int(s[COUNT]),
                    "phase": phase,
                },
                limit=BLIND_V if blind else float(table[1, 0]),
                window=(since, frame.tick_us),
                peers=() if branch else ("the same phase of the same branch",),
                excluded=("a neighbour's load: the drop follows this current alone",),
                next_check="tighten or replace the joints from the branch to the meter",
                next_check_zh="紧固或更换自线路至电能表的接头",
            ),
            clear_below=CLEAR,
        )
