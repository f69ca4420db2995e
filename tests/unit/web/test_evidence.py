"""Numbers of an evidence as people read them; what each limit is the limit of."""

import ast
from pathlib import Path

import pytest

from alerts.budget import OVER_BUDGET
from detectors.catalogue import FAMILIES
from detectors.outage import OutageDetector
from grid.faults import FAULTS
from grid.records import WATCH_LIST, Evidence
from web.evidence import COUNTS, SHARES, Line, detector_name, lines, unit
from web.i18n import LANGUAGES, Language, Words

DETECTORS = Path(__file__).resolve().parents[3] / "detectors"
AXES = {"area", "run", "three"}  # keys of a family's own tables


def written() -> set[str]:
    """Every name that a family's source gives a number, whichever way a judgement goes."""
    files = {Path(DETECTORS, f"{d.__module__.rpartition('.')[2]}.py") for d in FAMILIES}
    files |= {DETECTORS / f"{name}.py" for name in ("outage", "outage_words", "horizon")}
    found: set[object] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                found |= {k.value for k in node.keys if isinstance(k, ast.Constant)}
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                named = isinstance(node.value, ast.Name) and node.value.id in ("numbers", "out")
                found |= {node.slice.value} if named else set()
    return {x for x in found if isinstance(x, str)} - set(FAULTS) - AXES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_a_family_can_give_has_a_plain_name(language: Language) -> None:
    t = Words(language)

    assert {n for n in written() if not t.has(f"number.{n}")} == set()
    assert len(written()) > 75


def test_every_number_a_family_can_give_has_a_unit_is_a_share_or_a_count() -> None:
    words = {"phase", "planned", "recorded", "measured", "rule_of", "growth_per_day"}

    assert {n for n in written() - words - SHARES - COUNTS if not unit(n)} == set()


def evidence(limit: float, **numbers: float | str | None) -> Evidence:
    return Evidence("rule", "规则", numbers, limit)


@pytest.mark.parametrize(
    ("fault", "detector", "e", "en", "zh"),
    [
        (
            "neutral_loose",
            "neutral",
            evidence(0.038, displacement_v=9.4, added_resistance_ohm=0.21),
            Line("Limit of added resistance", "0.038 Ω"),
            Line("新增电阻的限值", "0.038 Ω"),
        ),
        (
            "neutral_loose",
            "neutral",
            evidence(5.0, added_resistance_ohm=None, shift_rms_v=6.1),
            Line("Limit of shift, rms", "5 V"),
            Line("偏移有效值的限值", "5 V"),
        ),
        (
            "hot_terminal",
            "terminal",
            evidence(0.006, terminal_c=61.0, added_k_per_a2=0.011),
            Line("Limit of added warming by current squared", "0.006 K/A²"),
            Line("单位电流平方新增温升的限值", "0.006 K/A²"),
        ),
        (
            "hot_terminal",
            "terminal",
            evidence(90.0, terminal_c=97.0, added_k_per_a2=0.011),
            Line("Limit of terminal", "90 °C"),
            Line("端子温度的限值", "90 °C"),
        ),
        (
            "transformer_thermal",
            "transformer",
            evidence(7.5, hot_spot_c=88.0, oil_above_model_k=9.0, oil_excess_limit_k=7.5),
            Line("Limit of oil above expected", "7.5 K"),
            Line("高于模型的限值", "7.5 K"),
        ),
        (
            "transformer_overload",
            "transformer",
            evidence(1.0, load_factor=1.234),
            Line("Limit of load factor", "100 %"),
            Line("负载率的限值", "100 %"),
        ),
        (
            "sensor_fault",
            "records",
            evidence(0.6, mean_v=57.0, nominal_v=230.0),
            Line("Limit of mean voltage", "138 V"),
            Line("平均电压的限值", "138 V"),
        ),
        (
            "sensor_fault",
            "transformer",
            evidence(20.0, oil_c=180.0, jumps=4.0),
            Line("Limit of jump of the oil temperature in a quarter of an hour", "20 K"),
            Line("一刻钟内油温突变的限值", "20 K"),
        ),
        (
            "outage",
            "outage",
            evidence(1.0, score=8.0),
            Line("Limit of score", "1 ×"),
            Line("得分的限值", "1 ×"),
        ),
    ],
)
def test_a_limit_says_of_what_it_is_and_in_which_unit(
    fault: str, detector: str, e: Evidence, en: Line, zh: Line
) -> None:
    assert en in lines(Words("en"), fault, detector, e)
    assert zh in lines(Words("zh-CN"), fault, detector, e)


def test_what_has_passed_its_limit_stands_first_with_the_limit_beside_it() -> None:
    """A database keeps no order of the numbers; the one that decided is the one to read."""
    e = evidence(15.0, meters=42, explained=0.71, displacement_v=29.0)

    shown = lines(Words("en"), "neutral_broken", "neutral", e)

    assert [("Neutral displacement", "29 V"), ("Limit of neutral displacement", "15 V")] == [
        (x.name, x.value) for x in shown[:2]
    ]
    assert 4 == len(shown)


def test_words_among_the_numbers_are_said_in_the_readers_language() -> None:
    e = evidence(0.05, phase="b", added_resistance_ohm=0.1, **{WATCH_LIST: OVER_BUDGET})

    english = lines(Words("en"), "joint_resistance", "joint", e)
    chinese = lines(Words("zh-CN"), "joint_resistance", "joint", e)

    assert Line("Phase", "B") in english and Line("相别", "B") in chinese
    assert Line("No ticket because", "over the day's budget") in english
    assert Line("未开单原因", "超出当日预算") in chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_detector_has_the_name_of_its_field_and_a_drills_that_of_its_fault(
    language: Language,
) -> None:
    t = Words(language)
    names = [OutageDetector.name, *(d.name for d in FAMILIES), "hot_terminal"]

    said = [detector_name(t, n) for n in names]

    assert [n for n in said if n in names or "_" in n] == []
    assert len({*said}) == len(names)
