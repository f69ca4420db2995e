"""Meters that fail as meters: stuck values, a register that runs back, a drifting clock, silence.

Each is judged against the siblings, so that what an area shares (a calm night, the head-end's
clock, a lost gateway, an outage) is nobody's meter. A register that starts anew after a pause is
an exchange; one that runs back between two readings is a fault. Silence of one device among
speaking neighbours is its own communication, unless the supply tree explains it.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

import numpy as np

from detectors.base import Detector, Stateful, known_at, rounded
from detectors.compiled import F4, F8, I4, I8, U1, kernel
from detectors.frames import NEVER, REGISTERS, Frame
from detectors.layout import GroupLayout
from detectors.measuring_words import RULES
from detectors.outage import OutageDetector
from detectors.settings import DetectorSettings
from grid.records import NOT_ENOUGH, WATCH_LIST, Evidence, Finding

STUCK, REGISTER, CLOCK, SILENT = range(4)
NAMES: Final = ("stuck", "register", "clock", "silent")
# A device's float state.
SAME_H, RUN, LOW, HIGH, LAST_V, LAST_I = range(6)
BACK_H, OFFSET, USUAL, JITTER, COUNT, FAST = range(6, 12)
AFRESH_AT = 12  # 1 = the register began anew when it ran back
GRAIN = 13  # the least by which the voltage has changed so far, V: what the meter shows at all
N_STATE: Final = 14

STUCK_HOURS: Final = 6.0
STUCK_READINGS: Final = 12.0
MOVED_V: Final = 2.0  # the area's middle must have moved so far meanwhile
GRAINS: Final = 3.0  # and so many of the meter's own steps: whole volts stand still for a night
DAY_H: Final = 24.0
BACK_WH: Final = 50.0  # registers count in steps of 10 Wh at most
ROLLOVER: Final = 0.98  # of a power of ten: there a register starts anew by design
DRIFT_S: Final = 60.0
JITTER_SIGMA: Final = 6.0
BEAT_US: Final = 300_000_000  # a beat of less is lost among the seconds by which readings stray
SHARED_DRIFT: Final = 0.3  # share of an area's meters whose clocks moved: then it is not theirs
LEARN_FRAMES: Final = 48.0
MEMORY_DAYS: Final = 7.0
SILENT_H: Final = 12.0
SILENT_INTERVALS: Final = 26.0  # a day's hourly readings lost in one export are no silence
SILENT_DELIVERIES: Final = 3.0
HEALED_KEEP: Final = 0.99999  # a reading: forgotten over months
HEALED: Final = 1.5  # times the longest silence that ended by itself in this area
SPEAKING: Final = 0.5  # share of the area's devices that must be heard for silence to count
TOGETHER: Final = 0.15  # share silent at once: then it is the path they share, not the device
LEFT: Final = 0.25  # of an area must be heard: less is the whole area's, which the tree tells
MOMENT: Final = 3  # intervals, within which the readings of those silent together ended
SUCCEEDS_US: Final = 86_400_000_000  # between a meter's end and its successor's beginning
EXCHANGE_H: Final = 0.5  # an exchange takes so long: rarer readings do not show the pause
AFRESH: Final = 0.01  # of what it stood at: a register below that begins anew
REPEATS: Final = 3.0  # equal readings running, while the area's middle moved by half of that
COARSE_V: Final = 1.0  # no meter shows less; one that seldom changes may seem to
CLEAR: Final = 0.6


@kernel("boolean(float64)")
def _rolls_over(e: float) -> bool:
    """Whether a register stands just below a power of ten (of Wh), where it may start anew."""
    if e < 1e6:
        return False
    top = 10.0 ** math.ceil(math.log10(e))
    return e > ROLLOVER * top


@kernel(
    "int64(int64, float64, float32[::1], float32[::1], float32[::1], float64[:], boolean,"
    "int64[::1], int32[::1], float64[::1], int64[::1], int64[::1], float64, boolean, int64[::1],"
    "int64[::1], float64[::1], float64[::1], float32[:, ::1], uint8[::1], float64[:, ::1],"
    "float64[::1])"
)
def judge_meters(
    tick: int,
    step_h: float,
    volts: F4,
    amps: F4,
    watts: F4,
    register: F8,
    registered: bool,
    time: I8,
    offsets: I4,
    nominal: F8,
    beat: I8,
    delivery: I8,
    memory: float,
    asked: bool,
    last: I8,
    gap: I8,
    healed: F8,
    last_e: F8,
    state: F4,
    repeating: U1,
    score: F8,
    shared: F8,
) -> int:
    """Judge every device by one frame; returns how many scores are at the limit.

    volts, amps, watts : float32[n]   V and A of the first phase, W
    register : float64[n]    import register, Wh; `registered` is false where there is none to read
    time : int64[n]          `NEVER` = nothing heard
    beat : int64[n]          distance of readings that go by no ticks, microseconds; 0 = they do
    delivery : int64[n]      how far apart deliveries are, microseconds
    last, gap : int64[n]     last reading and usual distance between readings; updated
    healed : float64[areas]  longest silence that ended by itself, h, slowly forgotten; updated
    last_e : float64[n]      register seen last, Wh; state : float32[14, n]; updated
    repeating : uint8[n]     out: 1 = repeats one reading while the area moves, not yet for long
    score : float64[n, 4]    out: stuck, register, clock, silent; 1 = limit, NaN = not judged; but
                             for rows at the limit it is written only where all are `asked` for
    shared : float64[areas]  out: 1 = several have been silent since one moment for long, 0 = none,
                             NaN = not judged
    """
    hot = 0
    whole = step_h * 3600.0
    settled = 1.0 / memory
    for k in range(offsets.size - 1):
        u = nominal[k]
        total = 0.0
        number = 0
        heard = 0
        known = 0
        drifting = 0
        silent = 0
        for p in range(offsets[k], offsets[k + 1]):
            known += last[p] > NEVER
            if time[p] > NEVER:
                heard += 1
            elif last[p] > NEVER and tick - last[p] > 4 * max(gap[p], 1):
                silent += 1
            v = float(volts[p])
            # Left out at their first repeat, coarse meters would move the middle by who is left.
            if 0.7 * u < v < 1.4 * u and state[RUN, p] < REPEATS:
                total += v
                number += 1
        middle = total / number if number >= 3 else math.nan
        longest = healed[k]
        lasting = 0
        fell = NEVER
        shared[k] = math.nan if heard < LEFT * known else 0.0
        for p in range(offsets[k], offsets[k + 1]):
            s = state[:, p]
            repeating[p] = 0
            if time[p] == NEVER:
                quiet = math.nan
                if last[p] > NEVER and known >= 4 and gap[p] > 0:
                    quiet_h = (tick - last[p]) / 3.6e9
                    limit = max(SILENT_H, SILENT_INTERVALS * gap[p] / 3.6e9)
                    limit = max(limit, SILENT_DELIVERIES * delivery[p] / 3.6e9)
                    limit = max(limit, HEALED * longest)
                    if silent > max(1.0, TOGETHER * known):
                        if quiet_h >= limit:
                            lasting += 1
                            fell = max(fell, last[p])
                        quiet = min(quiet_h / limit, 0.9)
                    elif heard >= SPEAKING * known or quiet_h < limit:
                        quiet = quiet_h / limit
                hot += quiet >= 1.0
                if asked or quiet >= 1.0:
                    score[p, STUCK] = score[p, REGISTER] = score[p, CLOCK] = math.nan
                    score[p, SILENT] = quiet
                continue
            pause_us = time[p] - last[p] if last[p] > NEVER else 0
            if pause_us > 0 and pause_us != gap[p]:
                if gap[p] == 0:
                    gap[p] = pause_us
                elif pause_us < 3 * gap[p]:
                    gap[p] += (pause_us - gap[p]) // 8
                else:
                    gap[p] += gap[p] // 8
            pause_h = pause_us * (1.0 / 3.6e9)
            longest = max(longest * HEALED_KEEP, min(pause_h, 240.0))
            last[p] = time[p]
            # Stuck: nothing moves while the area does.
            stuck = math.nan
            v = float(volts[p])
            i = float(amps[p])
            if math.isnan(i):
                i = float(watts[p])
            if v > 0.5 * u:
                same = i == s[LAST_I] or (math.isnan(i) and math.isnan(s[LAST_I]))
                stuck = 0.0
                if v == s[LAST_V] and same:
                    s[SAME_H] += pause_h
                    s[RUN] += 1.0
                    if not math.isnan(middle):
                        s[LOW] = min(s[LOW], middle)
                        s[HIGH] = max(s[HIGH], middle)
                    stuck = min(s[SAME_H] / STUCK_HOURS, s[RUN] / STUCK_READINGS)
                    moves = max(MOVED_V, GRAINS * min(float(s[GRAIN]), COARSE_V))
                    if not s[HIGH] - s[LOW] >= moves:
                        stuck = min(stuck, 0.5)
                    if s[RUN] >= REPEATS and s[HIGH] - s[LOW] >= 0.5 * moves:
                        repeating[p] = 1
                else:
                    change = abs(v - float(s[LAST_V]))
                    if change > 0.0 and (change < s[GRAIN] or s[GRAIN] == 0.0):
                        s[GRAIN] = np.float32(change)
                    if s[RUN] > 0.0:
                        s[SAME_H] = 0.0
                        s[RUN] = 0.0
                        s[LOW] = 1e9
                        s[HIGH] = -1e9
                    s[LAST_V] = v
                    s[LAST_I] = i
            # Register: counted back while the meter kept reporting.
            back = math.nan
            if registered and not math.isnan(register[p]):
                e = register[p]
                s[BACK_H] = max(0.0, s[BACK_H] - min(pause_h, DAY_H))
                in_time = pause_us <= gap[p] + gap[p] // 2
                if last_e[p] - e > BACK_WH and in_time and not _rolls_over(last_e[p]):
                    s[BACK_H] = 2.0 * DAY_H
                    s[AFRESH_AT] = 1.0 if e < AFRESH * last_e[p] else 0.0
                last_e[p] = e
                back = s[BACK_H] / DAY_H
            # Clock: distance of its time from the tick, followed past half a step. Readings every
            # ten minutes wander by the ticks of every fifteen, and of those every fifteen minutes
            # among every thirty another stands in for a lost one: they are held to their own beat.
            clock = math.nan
            away = (time[p] - tick) * 1e-6
            turn = whole
            own = beat[p]
            if own > 0:
                turn = own * 1e-6
                away = ((time[p] + own // 2) % own - own // 2) * 1e-6
            moved = s[OFFSET] - away
            if s[COUNT] > 0.0 and not -0.5 * turn <= moved < 0.5 * turn:
                away += turn * math.floor(moved / turn + 0.5)
            s[OFFSET] = away
            s[COUNT] += 1.0
            d = away - s[USUAL]
            if s[COUNT] == 1.0:
                s[USUAL] = away
                d = 0.0
            limit = max(DRIFT_S, JITTER_SIGMA * s[JITTER])
            # One odd time is no drift: each reading counts up to twice the limit.
            s[FAST] += 0.25 * (max(-2.0 * limit, min(2.0 * limit, d)) - s[FAST])
            if s[COUNT] > LEARN_FRAMES:
                clock = abs(s[FAST]) / limit
            if not clock > 0.5:
                rate = 1.0 / s[COUNT] if s[COUNT] < memory else settled
                s[USUAL] += rate * d
                s[JITTER] += rate * (min(abs(d), 900.0) - s[JITTER])
            else:
                drifting += 1
            over = (stuck >= 1.0) | (back >= 1.0) | (clock >= 1.0)
            hot += over
            if asked or over:
                score[p, STUCK] = stuck
                score[p, REGISTER] = back
                score[p, CLOCK] = clock
                score[p, SILENT] = 0.0
        healed[k] = longest
        if heard >= LEFT * known and lasting > max(2.0, TOGETHER * known):
            # What they share failed at one moment; one by one retired ones share nothing.
            at_once = 0
            for p in range(offsets[k], offsets[k + 1]):
                lately = last[p] > NEVER and fell - last[p] <= MOMENT * gap[p]
                at_once += time[p] == NEVER and lately
            if at_once > max(2.0, TOGETHER * known):
                shared[k] = 1.0
                hot += 1
        if drifting >= 3 and drifting > SHARED_DRIFT * heard:
            for p in range(offsets[k], offsets[k + 1]):
                score[p, CLOCK] = min(score[p, CLOCK], 0.9)
    return hot


class MeterDetector(Detector):
    """Every device of a group."""

    name: ClassVar[str] = "meter"
    version: ClassVar[int] = 2
    faults: ClassVar[tuple[str, ...]] = ("meter_health", "comms_failure")
    listens: ClassVar[tuple[str, ...]] = (OutageDetector.name,)
    spoils: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.size
        # Side by side, as a frame touches only half of them.
        self.track = self._array("track", "device", (n, N_STATE), np.float32, order="F")
        self.track[:, [LAST_V, LAST_I]] = np.nan
        self.track[:, LOW], self.track[:, HIGH] = 1e9, -1e9
        self.last_e = self._array("last_e", "device", n, float, np.nan)
        self.last = self._array("last", "device", n, np.int64, NEVER)
        self.gap = self._array("gap", "device", n, np.int64)
        self.gap[:] = layout.interval_us
        self.healed = self._array("healed", "area", layout.n_areas, float)
        self.open = self._array("open", "device", (n, len(NAMES)), np.int64)
        self.shared_open = self._array("shared_open", "area", layout.n_areas, np.int64)
        self.memory = MEMORY_DAYS * 86400e6 / layout.step_us
        self.repeating = self._array("repeating", "device", n, np.uint8)
        self.supply: OutageDetector | None = None
        self._repeats = np.zeros(n, np.uint8)
        self._score = np.full((n, len(NAMES)), np.nan)
        self._written = False  # whether it holds any
        self._shared = np.full(layout.n_areas, np.nan)
        self._hot = 0
        interval, step = layout.interval_us, layout.step_us
        parts = (step % np.maximum(interval, 1) == 0) & (interval < BEAT_US)
        odd = (interval % step != 0) & ~parts
        self._beat = np.where(odd, interval, 0)
        devices = [layout.network.devices[i] for i in layout.device.tolist()]
        # What is polled has no clock of its own in its readings: the collector times them, and a
        # poll that waits for a busy bus is no drift.
        self._polled = np.array([d.profile is not None for d in devices], bool)

    def link(self, others: Sequence[Stateful]) -> None:
        self.supply = next((d for d in others if isinstance(d, OutageDetector)), None)

    def raised(self) -> bool:
        if self._raised is None:
            self._raised = bool(self.open.any() or self.shared_open.any())
        return self._raised

    def look(self, frame: Frame) -> None:
        layout = self.layout
        # Of nearly all frames nobody reads a score: then they are not written either.
        asked = self.near is not None or self.raised()
        if self._written:
            self._score.fill(np.nan)
        self._hot = judge_meters(
            frame.tick_us,
            layout.step_us / 3.6e9,
            frame.v,
            frame.i,
            frame.p,
            frame.register,
            bool(frame.reported[REGISTERS]),
            frame.time,
            layout.offsets,
            layout.nominal_v,
            self._beat,
            layout.delivery_us,
            self.memory,
            asked,
            self.last,
            self.gap,
            self.healed,
            self.last_e,
            self.track.T,
            self._repeats,
            self._score,
            self._shared,
        )
        self._written = asked or self._hot > 0

    def step(self, frame: Frame) -> list[Finding]:
        layout, score = self.layout, self._score
        self.repeating[:] = self._repeats  # for the next frame: others may run beside `look`
        if self.quiet(self._hot):
            return []
        # Where a clock was told of before its device was on record as polled, that ends.
        score[self._polled, CLOCK] = np.minimum(score[self._polled, CLOCK], 0.0)
        for p in np.flatnonzero(score[:, SILENT] >= 1.0).tolist():
            if self._explained(p) or self._runs_ahead(p) or self._succeeded(frame, p):
                score[p, SILENT] = np.nan
        if self.supply is not None:
            back = (score[:, REGISTER] >= 1.0) & (self.open[:, REGISTER] == 0)
            for p in np.flatnonzero(back).tolist():
                if self._began_anew(p) and self._handled(p):
                    self.track[p, BACK_H] = 0.0
                    score[p, REGISTER] = 0.0
        # Nobody else shall judge what a meter repeats.
        frame.take_away(np.flatnonzero(score[:, STUCK] >= 1.0))
        out: list[Finding] = []
        for what in range(len(NAMES)):
            named = partial(self._finding, frame, what)
            columns = (score[:, what], self.open[:, what])
            out += self.over(frame, *columns, CLEAR, named, NAMES[what])
        for k in np.flatnonzero(self._shared >= 1.0).tolist():
            dark = [self._explained(p) for p in self._silent_together(frame, k)]
            if self.supply is None or layout.transformer[k] < 0 or 2 * sum(dark) > len(dark):
                self._shared[k] = np.nan  # the tree tells of it, or there is no place to tell
        for k in np.flatnonzero((self.shared_open > 0) & (self._shared < CLEAR)).tolist():
            # Neither another that falls silent by itself nor one that speaks again ends it.
            known = int((self.last[layout.offsets[k] : layout.offsets[k + 1]] > NEVER).sum())
            if len(self._silent_together(frame, k)) > max(2.0, TOGETHER * known):
                self._shared[k] = CLEAR
        columns = (self._shared, self.shared_open)
        return out + self.over(frame, *columns, CLEAR, partial(self._path, frame), "shared")

    def _explained(self, p: int) -> bool:
        """Whether the tree of supply accounts for this device's silence."""
        return self.supply is not None and self.supply.explains(int(self.layout.device[p]))

    def _silent_together(self, frame: Frame, area: int) -> list[int]:
        """The most devices of an area that have been silent since one moment, for some intervals
        by now."""
        quiet = frame.tick_us - self.last > 4 * np.maximum(self.gap, 1)
        quiet &= self.last > NEVER
        begin, end = int(self.layout.offsets[area]), int(self.layout.offsets[area + 1])
        silent = begin + np.flatnonzero(quiet[begin:end])
        fell, moment = self.last[silent], MOMENT * self.gap[silent]
        most = silent[:0]
        for at in np.unique(fell):
            since = silent[(fell <= at) & (at - fell <= moment)]
            if since.size > most.size:
                most = since
        return [int(p) for p in most]

    def _runs_ahead(self, p: int) -> bool:
        """Whether the clock is known to run ahead: the way in refuses readings from the future, so
        it is the clock that silences this meter, and nobody shall look for a modem."""
        return bool(self.open[p, CLOCK] > 0 and self.track[p, FAST] > 0.0)

    def _succeeded(self, frame: Frame, p: int) -> bool:
        """Whether another meter came to its usage point about when it fell silent: exchanged. One
        that has told more than fits in since was there before, beside it."""
        devices = self.layout.network.devices
        point = devices[self.layout.device[p]].usage_point
        if point is None:
            return False
        since_us = frame.tick_us - int(self.last[p]) + SUCCEEDS_US
        return any(
            devices[self.layout.device[q]].usage_point == point
            and self.last[q] > self.last[p]
            and float(self.track[q, COUNT]) * float(self.gap[q]) <= since_us
            for q in self.layout.devices_of(int(self.layout.area[p]))
            if q != p
        )

    def _began_anew(self, p: int) -> bool:
        """Whether a register started from nothing while readings come too rarely to show the
        pause of an exchange."""
        rare = self.gap[p] > EXCHANGE_H * 3.6e9
        return bool(rare and self.track[p, AFRESH_AT] > 0.0)

    def _handled(self, p: int) -> bool | None:
        """Whether the meter was opened or powered anew about then; None if meters never say so."""
        if self.supply is None:
            return None
        since = int(self.last[p]) - 2 * int(self.gap[p])
        return self.supply.handled_since(int(self.layout.device[p]), since)

    def _finding(self, frame: Frame, what: int, p: int, score: float, since: int) -> Finding:
        layout, s = self.layout, self.track[p]
        words = RULES[NAMES[what]]
        numbers: dict[str, float | int | str | None]
        if what == STUCK:
            limit = STUCK_HOURS
            numbers = {
                "unchanged_h": rounded(s[SAME_H], 1),
                "value_v": rounded(s[LAST_V], 1),
                "neighbours_moved_v": rounded(s[HIGH] - s[LOW], 1),
            }
        elif what == REGISTER:
            limit = BACK_WH
            numbers = {"register_wh": rounded(self.last_e[p], 0)}
            if self._began_anew(p) and self._handled(p) is None:
                numbers[WATCH_LIST] = NOT_ENOUGH  # an exchange would look the same
        elif what == CLOCK:
            limit = round(max(DRIFT_S, JITTER_SIGMA * float(s[JITTER])), 1)
            numbers = {"drift_s": rounded(s[FAST], 0), "usual_offset_s": rounded(s[USUAL], 0)}
        else:
            quiet_h = (frame.tick_us - int(self.last[p])) / 3.6e9
            limit = round(quiet_h / score, 1) if score > 0 else SILENT_H
            numbers = {
                "silent_h": rounded(quiet_h, 1),
                "usual_interval_s": round(int(self.gap[p]) / 1e6),
            }
        area = int(layout.area[p])
        others = [q for q in layout.devices_of(area) if q != p]
        return Finding(
            self.name,
            "comms_failure" if what == SILENT else "meter_health",
            "device",
            layout.names[p],
            frame.tick_us,
            max(known_at(frame, [p]), frame.close_us if what == SILENT else 0),
            score,
            "P4",
            (layout.names[p],),
            Evidence(
                words.rule,
                words.rule_zh,
                numbers,
                limit=limit,
                window=(since, frame.tick_us),
                peers=tuple(layout.names[q] for q in others[:8]),
                excluded=words.excluded,
                next_check=words.next_check,
                next_check_zh=words.next_check_zh,
            ),
            clear_below=CLEAR,
        )

    def _path(self, frame: Frame, k: int, score: float, since: int) -> Finding:
        """Several devices that no branch on record unites lost their way at one moment."""
        layout, words = self.layout, RULES["path"]
        members = self._silent_together(frame, k)
        quiet_h = max((frame.tick_us - int(self.last[p]) for p in members), default=0) / 3.6e9
        return Finding(
            self.name,
            "comms_failure",
            "transformer",
            layout.area_id(k),
            frame.tick_us,
            max(frame.close_us, known_at(frame, members)),
            score,
            "P4",
            tuple(layout.names[p] for p in members),
            Evidence(
                words.rule,
                words.rule_zh,
                {
                    "silent": len(members),
                    "devices": len(layout.devices_of(k)),
                    "silent_h": rounded(quiet_h, 1),
                },
                limit=SILENT_H,
                window=(since, frame.tick_us),
                excluded=words.excluded,
                next_check=words.next_check,
                next_check_zh=words.next_check_zh,
            ),
            clear_below=CLEAR,
        )
