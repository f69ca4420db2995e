"""The numbers of an evidence as people read them: a plain name, a figure, a unit.

The detectors name a number as a programmer would (`share_displaced`, `growth_per_day`) and give
one limit without saying of what. Here stands what each of them is, so that a clerk never meets a
bare 0.038. `tests/contract/detectors/test_evidence.py` holds every family to it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from alerts.budget import BELOW_LIMIT, OVER_BUDGET
from grid.records import NOT_ENOUGH, WATCH_LIST, Evidence
from web.i18n import Words
from web.render import number

# Shares of one, said in hundredths.
SHARES: Final = frozenset(
    {
        "share_of_load",
        "counted_of_usual",
        "explained",
        "share_displaced",
        "share_outside",
        "unbalance",
        "load_factor",
        "monitor_w_a_meter_w",
        "variance_ratio",
    }
)
# What the last word of a name says.
ENDINGS: Final[Mapping[str, str]] = {
    "v": "V",
    "a": "A",
    "w": "W",
    "ohm": "Ω",
    "c": "°C",
    "k": "K",
    "h": "h",
    "min": "min",
    "s": "s",
    "wh": "Wh",
    "kva": "kVA",
    "pct": "%",
    "percent": "%",
}
# Units that no name ends with.
UNITS: Final[Mapping[str, str]] = {
    "added_k_per_a2": "K/A²",
    "minutes_unbalanced": "min",
    "unlike_others": "×",
    "score": "×",
    "ct_ratio_on_record": ": 1",
    "ct_ratio_measured": ": 1",
    "pt_ratio_on_record": ": 1",
    "pt_ratio_measured": ": 1",
}
# Counts and pure numbers: their name says all.
COUNTS: Final = frozenset(
    {
        "alive",
        "changes_compared",
        "correlation",
        "days_in_a_row",
        "devices",
        "events_a_day",
        "frames_learned",
        "jumps",
        "last_gasps",
        "log_likelihood",
        "longest_silence",
        "low_voltage",
        "meters",
        "meters_high",
        "meters_low",
        "not_heard_since",
        "power_ups",
        "rank",
        "readings",
        "silent",
    }
)
# What grows a day, by detector.
GROWTH_UNITS: Final[Mapping[str, str]] = {
    "neutral": "Ω",
    "star": "Ω",
    "joint": "Ω",
    "terminal": "K/A²",
    "supply": "A",
}
# Which number a limit is the limit of, by kind of fault; the first that the evidence has. Names in
# brackets stand for what the evidence gives no number of.
LIMIT_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "energy_loss": ("unmetered_w",),
    "joint_resistance": ("added_resistance_ohm", "drop_added_rms_v"),
    "neutral_loose": ("added_resistance_ohm", "shift_rms_v"),
    "neutral_broken": ("displacement_v",),
    "hot_terminal": ("terminal_c",),
    "momentary": ("events_a_day",),
    "meter_health": ("unchanged_h", "drift_s", "(register_back_wh)"),
    "comms_failure": ("silent_h", "log_likelihood"),
    "outage": ("log_likelihood",),
    "phase_loss": ("log_likelihood",),
    "sensor_fault": ("leap_v", "monitor_w_a_meter_w", "mean_v", "(oil_jump_k)"),
    "over_voltage": ("mean_v",),
    "under_voltage": ("mean_v",),
    "transformer_winding": ("asymmetry_v",),
    "unbalance": ("unbalance",),
    "insulation_leakage": ("without_neutral_share_a",),
    "transformer_overload": ("load_factor",),
    "transformer_thermal": ("hot_spot_c",),
    "unknown": ("variance_ratio", "(unlike_others)"),
}
# Why an alert has no ticket: the words of the watch list.
HELD: Final[Mapping[str, str]] = {
    BELOW_LIMIT: "reason_below",
    OVER_BUDGET: "reason_over",
    NOT_ENOUGH: "reason_doubt",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One number: what it is called, and how it is said with its unit."""

    name: str
    value: str


def lines(t: Words, fault: str, detector: str, e: Evidence) -> list[Line]:
    """The numbers of an evidence, what has passed its limit first with the limit beside it; what
    could not be computed is left out."""
    return list(_lines(t, fault, detector, e))


def _lines(t: Words, fault: str, detector: str, e: Evidence) -> Iterator[Line]:
    of, limit = limited(fault, e)
    shown = {n: v for n, v in e.numbers.items() if number(v) != "–"}
    if of in shown:
        yield Line(called(t, of), said(t, of, shown.pop(of), detector))
    if e.limit is not None:
        word = t("alert.limit_of", what=_inside(t, called(t, of))) if of else t("alert.limit")
        yield Line(word, said(t, of, limit, detector))
    for name, value in shown.items():
        yield Line(called(t, name), said(t, name, value, detector))


def detector_name(t: Words, name: str) -> str:
    """What the field calls a detector; a drill's bears the name of its fault."""
    return t.word("detector", name) if t.has(f"detector.{name}") else t.fault(name)


def called(t: Words, name: str) -> str:
    """The plain name of a number."""
    return t.word("number", name).replace("_", " ")


def said(t: Words, name: str, value: object, detector: str = "") -> str:
    """A number with its unit; words that stand among the numbers in the reader's language.

    >>> t = Words("en")
    >>> said(t, "share_of_load", 0.31), said(t, "growth_per_day", 0.012, "joint")
    ('31 %', '0.012 Ω')
    """
    if isinstance(value, str):
        return _spoken(t, name, value)
    if name in SHARES and isinstance(value, int | float):
        return f"{number(round(100.0 * value, 1))} %"
    return f"{number(value)} {unit(name, detector)}".rstrip()


def unit(name: str, detector: str = "") -> str:
    """The unit of a number that is no share; "" for counts.

    >>> unit("shift_rms_v"), unit("last_gasps"), unit("step_mean_v_change_spreads")
    ('V', '', '×')
    """
    if name == "growth_per_day":
        return GROWTH_UNITS.get(detector, "")
    if name in UNITS or name in COUNTS:
        return UNITS.get(name, "")
    if name.endswith("_spreads"):
        return "×"
    return ENDINGS.get(name.removesuffix("_change").rpartition("_")[2], "")


def _spoken(t: Words, name: str, value: str) -> str:
    if name == WATCH_LIST:
        return t.word("watch", HELD.get(value, value))
    return value.upper() if name in ("phase", "recorded", "measured") and len(value) == 1 else value


def _inside(t: Words, name: str) -> str:
    """A name as it stands inside a sentence."""
    return name if t.language == "zh-CN" else name[:1].lower() + name[1:]


def limited(fault: str, e: Evidence) -> tuple[str, float | None]:
    """The name of the number that the limit is of, and the limit in that number's unit."""
    numbers, limit = e.numbers, e.limit
    if limit is None:
        return "", None
    of = next(
        (n for n in LIMIT_OF.get(fault, ()) if n.startswith("(") or numbers.get(n) is not None), ""
    ).strip("()")
    if not of and "score" in numbers:  # a drill's
        of = "score"
    elif fault == "hot_terminal" and limit < 1.0:  # its growth is judged long before its heat
        of = "added_k_per_a2"
    elif fault == "transformer_thermal" and numbers.get("oil_excess_limit_k") == limit:
        of = "oil_above_model_k"
    elif fault == "sensor_fault" and of == "mean_v":  # given as a share of the nominal voltage
        nominal = numbers.get("nominal_v")
        limit = limit * nominal if isinstance(nominal, int | float) else limit
    return of, limit
