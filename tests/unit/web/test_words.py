"""Both languages are complete: a missing sentence fails here, not in front of a clerk."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.faults import FAULTS, SEVERITY_NAMES
from web.i18n import LANGUAGES, Language, Words, catalogue, choose

WEB = Path(__file__).resolve().parents[3] / "web"
SOURCES = sorted([*WEB.glob("*.py"), *WEB.glob("pages/*.py"), *WEB.glob("templates/*.html")])
WHOLE_KEY = re.compile(r"""\bt\(\s*['"]([a-z0-9_]+\.[a-z0-9_.]+)['"]\s*[,)]""")
KEY_START = re.compile(r"""\bt\(\s*['"]([a-z0-9_]+\.[a-z0-9_]*)['"] ~""")


def used() -> set[str]:
    return {key for f in SOURCES for key in WHOLE_KEY.findall(f.read_text(encoding="utf-8"))}


def test_both_catalogues_have_the_same_keys() -> None:
    english, chinese = set(catalogue("en")), set(catalogue("zh-CN"))

    assert (set(), set()) == (english - chinese, chinese - english)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_that_a_page_asks_for_exists(language: Language) -> None:
    known = set(catalogue(language))

    missing = {k for k in used() if k not in known and f"{k}.other" not in known}

    assert missing == set()
    assert len(used()) > 150


def test_a_key_put_together_at_run_time_has_at_least_one_ending() -> None:
    starts = {k for f in SOURCES for k in KEY_START.findall(f.read_text(encoding="utf-8"))}

    assert {s for s in starts if not any(k.startswith(s) for k in catalogue("en"))} == set()


def test_every_noted_action_has_words() -> None:
    noted = re.compile(r"""\.audit\([^"]*?"(\w+)\"""")
    actions = {a for f in SOURCES if f.suffix == ".py" for a in noted.findall(f.read_text("utf-8"))}

    assert {a for a in actions if not Words("en").has(f"audit.{a}")} == set()
    assert len(actions) > 10


def test_both_languages_name_the_same_values_in_a_sentence() -> None:
    field = re.compile(r"{(\w+)}")
    english, chinese = catalogue("en"), catalogue("zh-CN")

    differ = {
        k for k in english if set(field.findall(english[k])) != set(field.findall(chinese[k]))
    }

    assert differ == set()


def test_no_chinese_sentence_was_left_in_english() -> None:
    chinese = re.compile("[\u4e00-\u9fff]")

    assert [k for k, s in catalogue("zh-CN").items() if not chinese.search(s)] == []


def spoken(file: Path) -> Iterator[str]:
    """The texts of a source file, without its docstrings, comments and values put in."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    notes = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield node.value


def test_chinese_sentences_have_chinese_punctuation() -> None:
    """A half-width comma between characters looks like a program, not like a utility's software."""
    narrow = re.compile("[\u4e00-\u9fff”][,:;?!()]|[,:;?!()][\u4e00-\u9fff“]")
    rooms = ("alerts", "desk", "detectors", "grid", "web")
    texts = [x for room in rooms for f in (WEB.parent / room).rglob("*.py") for x in spoken(f)]
    for file in (WEB.parent / "desk" / "checklists").glob("*.toml"):
        texts += file.read_text(encoding="utf-8").splitlines()
    texts += catalogue("zh-CN").values()

    assert [x for x in texts if narrow.search(x)] == []
    assert len(texts) > 5000


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_and_severity_has_a_name(language: Language) -> None:
    t = Words(language)

    assert all(t.fault(kind) != kind for kind in FAULTS)
    assert all(t.severity(s) != s for s in SEVERITY_NAMES)


def test_one_and_many_are_said_differently_in_english() -> None:
    t = Words("en")

    assert ("1 call", "31 calls") == (t("count.calls", n=1), t("count.calls", n=31))


def test_the_browser_decides_the_language_when_nobody_has_chosen() -> None:
    assert choose(None, "fr,zh-TW;q=0.8", "en") == "zh-CN"
    assert choose(None, "fr", "en") == "en"
    assert choose("en", "zh-CN", "zh-CN") == "en"
