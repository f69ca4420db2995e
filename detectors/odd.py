"""The unknown: once a day, which meters are least like all the others, and like themselves before?

Sums of a day become a few features a meter; a principal component model over the fleet ranks
meters by their distance from the crowd. The first few stand on the watch list as `unknown`, for
the engineer's eyes, with what is odd about them. Never a ticket.
"""

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, known_at, rounded
from detectors.compiled import F4, F8, I1, I4, kernel
from detectors.frames import Frame
from detectors.layout import CHANNEL, GroupLayout
from detectors.settings import DetectorSettings
from grid.records import Evidence, Finding

V, P = CHANNEL["v_a"], CHANNEL["p"]
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


@kernel("void(float32[:, ::1], int8[::1], int32[::1], int32[::1], float64[::1], float32[:, ::1])")
def add_frame(
    values: F4, phase: I1, offsets: I4, monitor: I4, nominal: F8, sums: F4
) -> None:  # fmt: skip
    """Add one frame to the day's sums; sums : float32[n, 9], updated."""
    for k in range(offsets.size - 1):
        mean = 0.0
        heard = 0
        for p in range(offsets[k], offsets[k + 1]):
            v = float(values[p, V])
            if p != monitor[k] and 0.5 * nominal[k] < v < 1.5 * nominal[k]:
                mean += v
                heard += 1
        if heard < 3:
            continue
        mean /= heard
        for p in range(offsets[k], offsets[k + 1]):
            v = float(values[p, V])
            if p == monitor[k] or not (0.5 * nominal[k] < v < 1.5 * nominal[k]):
                continue
            s = sums[p]
            d = v - mean
            s[SUM_D] += np.float32(d)
            s[SUM_DD] += np.float32(d * d)
            if s[N] == 0 or d < s[MIN_D]:
                s[MIN_D] = np.float32(d)
            if s[N] > 0:
                s[MOVES] += np.float32(abs(d - s[LAST_D]))
            s[LAST_D] = np.float32(d)
            power = float(values[p, P])
            if not np.isnan(power):
                s[SUM_P] += np.float32(power)
                s[SUM_PP] += np.float32(power * power)
                s[MAX_P] = max(s[MAX_P], np.float32(power))
            s[N] += np.float32(1.0)


def features(sums: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[n, 7] in the order of `FEATURES` from a day's sums; N must not be 0."""
    s = sums.astype(float)
    n = s[:, N]
    mean, power = s[:, SUM_D] / n, s[:, SUM_P] / n
    return np.column_stack(
        (
            mean,
            np.sqrt(np.maximum(s[:, SUM_DD] / n - mean * mean, 0.0)),
            s[:, MIN_D] - mean,
            s[:, MOVES] / np.maximum(n - 1, 1),
            power,
            np.sqrt(np.maximum(s[:, SUM_PP] / n - power * power, 0.0)),
            s[:, MAX_P],
        )
    )


def distances(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each row lies from the crowd, in units of its spread along each component.

    scaled : float64[n, m]   from `scale`
    """
    from sklearn.decomposition import PCA  # a second to import: not before the first night
    from threadpoolctl import threadpool_limits

    if not scaled.any():
        return np.zeros(len(scaled))  # all alike: nothing to find directions in
    # For so few columns threads wait for each other ten times longer than they compute, and the
    # eigenvectors of their covariance are had in a tenth of the time of the rows' own.
    with threadpool_limits(limits=1):
        model = PCA(n_components=EXPLAINED, svd_solver="covariance_eigh", whiten=True).fit(scaled)
        components: NDArray[np.float64] = model.transform(scaled)
    return np.asarray(np.sqrt((components**2).mean(1)))


def scale(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns by median and quartiles, clipped: the odd ones must not set the scale."""
    low, middle, high = np.percentile(x.T.copy(), (25, 50, 75), axis=1)
    spread = np.where(high > low, (high - low) / 1.349, 1.0)
    return np.asarray(np.clip((x - middle) / spread, -CLIP, CLIP))


class OddDetector(Detector):
    """Ranks the meters of one group at the end of each day (UTC)."""

    name: ClassVar[str] = "odd"
    version: ClassVar[int] = 1
    faults: ClassVar[tuple[str, ...]] = ("unknown",)
    beside: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.size
        self.sums = self._array("sums", "device", (n, N_SUM), np.float32)
        self.usual = self._array("usual", "device", (n, len(FEATURES)), np.float32)
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
        add_frame(
            frame.values, layout.phase, layout.offsets, layout.monitor, layout.nominal_v, self.sums
        )
        self.clock[1] += 1
        return out

    def _rank(self, frame: Frame) -> list[Finding]:
        heard = self._meter & (self.sums[:, N] >= HEARD_MIN * self.clock[1])
        rows = np.flatnonzero(heard)
        out = []
        x = features(self.sums[rows])
        known = self.days[rows] >= DAYS_MIN
        judged = rows[known]
        best: dict[int, tuple[int, float]] = {}
        both, unusual, at = np.empty((0, 0)), np.empty((0, 0)), {}
        if judged.size >= METERS_MIN:
            both = np.column_stack((x[known], x[known] - self.usual[judged]))
            unusual = scale(both)
            far = distances(unusual)
            count = max(1, round(A_DAY * judged.size / 10_000))
            order = np.lexsort((judged, -far))
            limit = max(float(far[order[count]]), 1e-9)  # of the first that is not named
            for rank, k in enumerate(order[:count].tolist(), 1):
                best[int(judged[k])] = (rank, float(far[k]) / limit)
            at = {p: k for k, p in enumerate(judged.tolist())}
        for p in sorted(set(best) | set(np.flatnonzero(self.told).tolist())):
            if p in best:
                self.told[p] = self.told[p] or frame.tick_us
                out.append(self._finding(frame, p, best[p], unusual[at[p]], both[at[p]]))
            else:
                self.told[p] = 0
                out.append(self._finding(frame, p, (0, 0.0), None, None))
        self.days[rows] += 1
        step = 1.0 / np.minimum(self.days[rows], MEMORY_DAYS)
        self.usual[rows] += (step[:, None] * (x - self.usual[rows])).astype(np.float32)
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
