"""What is wrong with an input is said in the reader's language, with its values."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.web.visitor import Visit
from web.bad_input import Part, said
from web.i18n import words

ROOT = Path(__file__).resolve().parents[3]
# Where what somebody fills in on a page is checked.
CHECKS = (
    "forewatt/trial.py",
    "forewatt/trial_settings.py",
    "forewatt/trial_source.py",
    "forewatt/trials.py",
    "grid/dataset.py",
    "storage/people.py",
    "web/pages/admin.py",
)
ZH = words("zh-CN")


def filled(node: ast.expr) -> str | None:
    """A sentence of the source with `X` for its values; None where it is put together elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
    return None


def sentences() -> Iterator[tuple[Part, str]]:
    for name in CHECKS:
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadInput":
                given: list[tuple[Part, ast.expr]] = [("problem", node.args[0])]
                given += [("fix", k.value) for k in node.keywords if k.arg == "fix"]
                for part, value in given:
                    text = filled(value)
                    if text is not None:
                        yield part, text


def test_every_sentence_that_a_form_may_meet_has_its_chinese() -> None:
    found = list(sentences())

    assert [(part, text) for part, text in found if said(ZH, text, part) == text] == []
    assert len(found) > 40


@pytest.mark.parametrize(
    ("part", "english", "chinese"),
    [
        ("problem", "'lateness' is no setting", "'lateness'不是设置项"),
        ("problem", "alerts.flaps: is 'x', expected a whole number",
         "alerts.flaps：当前为'x'，应为整数"),
        ("problem", "detectors.x: unknown key", "detectors.x：没有这个设置项"),
        ("problem", "more than 5,000,000 rows", "超过 5,000,000 行"),
        ("fix", "use 1 or more", "请使用 1 及以上的数"),
        ("fix", "Did you mean 'v_a'?", "是否想写 'v_a'？"),
        ("fix", "", ""),
        ("problem", "something nobody has written down", "something nobody has written down"),
    ],
)  # fmt: skip
def test_values_stand_in_the_chinese_sentence(part: Part, english: str, chinese: str) -> None:
    assert said(ZH, english, part) == chinese
    assert said(words("en"), english, part) == english


def test_a_long_text_of_somebody_else_is_not_searched() -> None:
    """The time would grow with the square of its length."""
    long = "x: is " * 100_000

    assert long == said(ZH, long)


def test_a_refused_form_is_answered_in_the_readers_language(visit: Visit) -> None:
    admin = visit("admin", "zh-CN")

    answer = admin.change("/admin/people", login="li xin", name="李新", role="clerk")
    other = visit("admin", "zh-CN").change("/admin/people", login="x", name="x", role="wizard")

    assert "没有角色“wizard”" in other.text and "请从列表中选择" in other.text
    assert "there is no role" not in other.text and answer.status_code in (200, 422)
