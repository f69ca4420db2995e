"""The unknown: once a day, which meters are least like all the others, and like themselves before?

Sums of a day become a few features a meter; a principal component model over the fleet ranks
meters by their distance from the crowd. The first few stand on the watch list as `unknown`, for
the engineer's eyes, with what is odd about them. Never a ticket.
"""

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, known_at, rounded
from detectors.columns import sum_within
from detectors.compiled import F4, F8, I4, kernel
from detectors.frames import Frame
from detectors.layout import GroupLayout
from detectors.settings import DetectorSettings
from grid.records import Evidence, Finding

DAY_US: Final = 86_400_000_000

METERS_MIN: Final = 200  # fewer are no crowd
A_DAY: Final = 3.0  # named a day among ten thousand
MEMORY_DAYS: Final = 14.0
DAYS_MIN: Final = 3
HEARD_MIN: Final = 0.5  # share of the day's frames; silence is judged elsewhere
CLIP: Final = 10.0
EXPLAINED: Final = 0.99

# A day's sums of a meter; the deviation is from the mean of its area.
N, SUM_D, SUM_DD, MIN_D, LAST_D, MOVES, SUM_P, SUM_PP, MAX_P = range(9)
N_SUM: Final = 9

FEATURES: Final = (
    ("deviation_mean_v", "its voltage stands apart from its area", "电压与本台区平均值偏离"),
    ("deviation_spread_v", "its voltage varies unlike its area", "电压波动与本台区不同"),
    ("deviation_lowest_v", "it dips below its area", "电压低于本台区的深度"),
    ("step_mean_v", "its voltage jumps from reading to reading", "电压逐点跳变"),
    ("power_mean_w", "what it draws on average", "平均功率"),
    ("power_spread_w", "how much its draw varies", "功率波动"),
    ("power_highest_w", "the most it drew", "最大功率"),
)


@kernel(
    "void(float32[::1], float32[::1], int64, int64, float64, float64, float64, float32[:, ::1])"
)
def add_meters(
    volts: F4, watts: F4, begin: int, end: int, mean: float, least: float, most: float, sums: F4
) -> None:
    """Add one frame of neighbours whose voltages have a mean to their sums, float32[9, n].

    A loop for every two sums: those of more rows than that the processor would take one by one.
    """
    none, one = np.float32(0.0), np.float32(1.0)
    v, power = volts[begin:end], watts[begin:end]
    known, lowest, highest = sums[N, begin:end], sums[MIN_D, begin:end], sums[MAX_P, begin:end]
    first, second = sums[SUM_D, begin:end], sums[SUM_DD, begin:end]
    for p in range(v.size):
        d = float(v[p]) - mean
        there = (v[p] > least) & (v[p] < most)
        first[p] += np.float32(d) if there else none
        second[p] += np.float32(d * d) if there else none
    for p in range(v.size):
        d = float(v[p]) - mean
        there = (v[p] > least) & (v[p] < most)
        lower = there & ((known[p] == none) | (d < lowest[p]))
        lowest[p] = np.float32(d) if lower else lowest[p]
    first, second = sums[MOVES, begin:end], sums[LAST_D, begin:end]
    for p in range(v.size):
        d = float(v[p]) - mean
        there = (v[p] > least) & (v[p] < most)
        first[p] += np.float32(abs(d - second[p])) if there & (known[p] > none) else none
        second[p] = np.float32(d) if there else second[p]
    first, second = sums[SUM_P, begin:end], sums[SUM_PP, begin:end]
    for p in range(v.size):
        w = float(power[p])
        there = (v[p] > least) & (v[p] < most) & (w == w)
        first[p] += np.float32(w) if there else none
        second[p] += np.float32(w * w) if there else none
    for p in range(v.size):
        w = power[p]
        there = (v[p] > least) & (v[p] < most)
        highest[p] = w if there & (w > highest[p]) else highest[p]
        known[p] += one if there else none


@kernel("void(float32[::1], float32[::1], int32[::1], int32[::1], float64[::1], float32[:, ::1])")
def add_frame(v: F4, power: F4, offsets: I4, monitor: I4, nominal: F8, sums: F4) -> None:
    """Add one frame to the day's sums; v, power : float32[n] V, W; sums : float32[9, n] updated."""
    for k in range(offsets.size - 1):
        begin, end = offsets[k], offsets[k + 1]
        # The monitor is no meter: those before and behind it are.
        until = monitor[k] if monitor[k] >= 0 else begin
        after = monitor[k] + 1 if monitor[k] >= 0 else begin
        least, most = 0.5 * nominal[k], 1.5 * nominal[k]
        before, n_before = sum_within(v, begin, until, least, most)
        behind, n_behind = sum_within(v, after, end, least, most)
        if n_before + n_behind < 3:
            continue
        mean = (before + behind) / (n_before + n_behind)
        add_meters(v, power, begin, until, mean, least, most, sums)
        add_meters(v, power, after, end, mean, least, most, sums)


def features(sums: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[7, n] in the order of `FEATURES` from a day's sums, float32[9, n]; N must not be 0.

    Meters stand side by side: each feature is worked out, and later sorted, as one run of memory.
    """
    s = sums.astype(float)
    n = s[N]
    out = np.empty((len(FEATURES), sums.shape[1]))
    out[0] = mean = s[SUM_D] / n
    out[1] = np.sqrt(np.maximum(s[SUM_DD] / n - mean * mean, 0.0))
    out[2] = s[MIN_D] - mean
    out[3] = s[MOVES] / np.maximum(n - 1, 1)
    out[4] = power = s[SUM_P] / n
    out[5] = np.sqrt(np.maximum(s[SUM_PP] / n - power * power, 0.0))
    out[6] = s[MAX_P]
    return out


def distances(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each row lies from the crowd, in units of its spread along each component.

    scaled : float64[m, n]   from `scale`, a row a feature
    """
    from sklearn.decomposition import PCA  # a second to import: not before the first night
    from threadpoolctl import threadpool_limits

    if not scaled.any():
        return np.zeros(scaled.shape[1])  # all alike: nothing to find directions in
    # For so few columns threads wait for each other ten times longer than they compute, and the
    # eigenvectors of their covariance are had in a tenth of the time of the rows' own.
    rows = np.ascontiguousarray(scaled.T)
    with threadpool_limits(limits=1):
        model = PCA(n_components=EXPLAINED, svd_solver="covariance_eigh", whiten=True).fit(rows)
        components: NDArray[np.float64] = model.transform(rows)
    return np.asarray(np.sqrt((components**2).mean(1)))


def scale(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of float64[m, n] by median and quartiles, clipped: the odd must not set the scale."""
    # Numbers are sorted several a step of the processor, but not parted at three places at once.
    order = np.sort(x, axis=1)
    quartiles = np.percentile(order, (25, 50, 75), axis=1, overwrite_input=True)
    low, middle, high = quartiles[:, :, None]
    spread = np.where(high > low, (high - low) / 1.349, 1.0)
    out: NDArray[np.float64] = x - middle
    out /= spread
    np.clip(out, -CLIP, CLIP, out=out)
    return out


def farthest(far: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Places of so many of the largest, the largest first, equals in their order."""
    least = -np.partition(-far, count - 1)[count - 1]
    some = np.flatnonzero(far >= least)
    return np.asarray(some[np.argsort(-far[some], kind="stable")[:count]])


class OddDetector(Detector):
    """Ranks the meters of one group at the end of each day (UTC)."""

    name: ClassVar[str] = "odd"
    version: ClassVar[int] = 1
    faults: ClassVar[tuple[str, ...]] = ("unknown",)
    beside: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.size
        self.sums = self._array("sums", "device", (n, N_SUM), np.float32, order="F")
        self.usual = self._array("usual", "device", (n, len(FEATURES)), np.float32, order="F")
        self.days = self._array("days", "device", n, np.int32)
        self.told = self._array("told", "device", n, np.int64)
        self.clock = self._array("clock", "one", (1, 2), np.int64)[0]  # day, its frames
        self._meter = np.ones(n, bool)
        self._meter[layout.monitor[layout.monitor >= 0]] = False
        self._crowd = int(self._meter.sum()) >= METERS_MIN

    def step(self, frame: Frame) -> list[Finding]:
        if not self._crowd:
            return []
        day = frame.tick_us // DAY_US
        out: list[Finding] = []
        if day != self.clock[0]:
            if self.clock[1] > 0:
                out = self._rank(frame)
            self.clock[:] = day, 0
            self.sums[:] = 0
        layout = self.layout
        add_frame(frame.v, frame.p, layout.offsets, layout.monitor, layout.nominal_v, self.sums.T)
        self.clock[1] += 1
        return out

    def _rank(self, frame: Frame) -> list[Finding]:
        heard = self._meter & (self.sums[:, N] >= HEARD_MIN * self.clock[1])
        rows = np.flatnonzero(heard)
        out = []
        x = features(self.sums.T.take(rows, axis=1))
        usual = self.usual.T.take(rows, axis=1)
        known = np.flatnonzero(self.days[rows] >= DAYS_MIN)
        judged = rows[known]
        best: dict[int, tuple[int, float]] = {}
        both, unusual, at = np.empty((0, 0)), np.empty((0, 0)), {}
        if judged.size >= METERS_MIN:
            both = np.concatenate((x, x - usual)).take(known, axis=1)
            unusual = scale(both)
            far = distances(unusual)
            count = max(1, round(A_DAY * judged.size / 10_000))
            order = farthest(far, count + 1)
            limit = max(float(far[order[count]]), 1e-9)  # of the first that is not named
            for rank, k in enumerate(order[:count].tolist(), 1):
                best[int(judged[k])] = (rank, float(far[k]) / limit)
                at[int(judged[k])] = k
        for p in sorted(set(best) | set(np.flatnonzero(self.told).tolist())):
            if p in best:
                self.told[p] = self.told[p] or frame.tick_us
                out.append(self._finding(frame, p, best[p], unusual[:, at[p]], both[:, at[p]]))
            else:
                self.told[p] = 0
                out.append(self._finding(frame, p, (0, 0.0), None, None))
        self.days[rows] += 1
        step = 1.0 / np.minimum(self.days[rows], MEMORY_DAYS)
        self.usual.T[:, rows] = usual + (step * (x - usual)).astype(np.float32)
        return out

    def _finding(
        self,
        frame: Frame,
        p: int,
        place: tuple[int, float],
        unusual: NDArray[Any] | None,
        values: NDArray[Any] | None,
    ) -> Finding:
        rank, score = place
        name = self.layout.names[p]
        numbers: dict[str, float | int | str | None] = {"rank": rank}
        words, words_zh = "like the others again", "已恢复正常"
        if unusual is not None and values is not None:
            first = np.argsort(-np.abs(unusual), kind="stable")[:3].tolist()
            m = len(FEATURES)
            for k in first:
                change = "_change" if k >= m else ""
                numbers[FEATURES[k % m][0] + change] = rounded(float(values[k]), 2)
                numbers[FEATURES[k % m][0] + change + "_spreads"] = rounded(float(unusual[k]), 1)
            top = first[0]
            when = ", and unlike its own past" if top >= m else ""
            words = FEATURES[top % m][1] + when
            words_zh = FEATURES[top % m][2] + ("，与自身历史不同" if top >= m else "")
        return Finding(
            self.name,
            "unknown",
            "device",
            name,
            frame.tick_us,
            known_at(frame, [p]),
            score,
            "P4",
            (name,),
            Evidence(
                f"least like all other meters yesterday: {words}",
                f"昨日与其他电能表差异最大：{words_zh}",
                numbers,
                limit=1.0,
                window=(frame.tick_us - DAY_US, frame.tick_us),
                peers=("all meters of the same interval",),
                excluded=(
                    "what the other families know: this is for what none of them describes",
                    "其他检测项已知的故障：此项仅列未能归类者",
                ),
                next_check="look at its curves beside its neighbours'; nothing is proved",
                next_check_zh="对照邻户曲线查看；仅供参考，未作定论",
            ),
        )
