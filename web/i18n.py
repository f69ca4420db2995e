"""Every sentence of the pages, in two languages, from `web/messages/*.toml`.

`en.toml` and `zh-CN.toml` hold what several screens say, `crew.en.toml` what one screen says. A
key is `section.name`; a sentence takes named values: `{n}`. A key that is missing in one
catalogue fails the tests and, at run time, raises: a page with half its words is a bug.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

from alerts.places import names_in
from grid.errors import ForewattError
from grid.faults import FAULTS, SEVERITY_NAMES, WORK_NAMES

Language = Literal["zh-CN", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
FOLDER: Final = Path(__file__).parent / "messages"


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out.update(_flatten(value, f"{name}."))
        else:
            out[name] = str(value)
    return out


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """All sentences of a language by dotted key; one that two files give is our mistake."""
    found: dict[str, str] = {}
    for file in sorted(FOLDER.glob(f"*{language}.toml")):
        given = _flatten(tomllib.loads(file.read_text(encoding="utf-8")))
        twice = found.keys() & given.keys()
        if twice:
            raise ForewattError(f"{file.name} repeats {', '.join(sorted(twice))}; remove one.")
        found.update(given)
    return found


class Words:
    """The sentences of one language, and the names of the grid's own catalogues in it.

    >>> Words("en")("count.tickets", n=1), Words("zh-CN").fault("neutral_loose")
    ('1 ticket', '零线虚接')
    """

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._sentences = catalogue(language)
        # Between pieces that a page puts together; Chinese has its own, with no space after.
        chinese = language == "zh-CN"
        self.colon, self.semicolon, self.list_mark = (
            ("：", "；", "、") if chinese else (": ", "; ", ", ")
        )

    def __call__(self, key: str, /, **values: object) -> str:
        if "n" in values and values["n"] == 1 and f"{key}.one" in self._sentences:
            sentence = self._sentences[f"{key}.one"]
        elif f"{key}.other" in self._sentences:
            sentence = self._sentences[f"{key}.other"]
        else:
            sentence = self._sentences[key]
        return sentence.format(**values) if values else sentence

    def has(self, key: str) -> bool:
        """Whether the catalogue has this sentence (for words that the data chooses)."""
        return key in self._sentences

    def word(self, section: str, name: str | None) -> str:
        """A word chosen by data (a state, a channel, a verdict); the raw name if unknown."""
        return self._sentences.get(f"{section}.{name}", str(name or ""))

    def pick(self, en: str, zh: str) -> str:
        """The text of this language, or the other one where it is missing; begins large."""
        text = (zh or en) if self.language == "zh-CN" else (en or zh)
        return text[:1].upper() + text[1:]

    def pick_name(self, name: str) -> str:
        """The part of a name in this language, where people gave it in both."""
        return names_in(name)[self.language == "zh-CN"]

    def fault(self, kind: str) -> str:
        """What the fault catalogue calls a kind."""
        entry = FAULTS.get(kind)
        return self.pick(entry.name, entry.name_zh) if entry else kind

    def severity(self, severity: str) -> str:
        """The word of a severity: P1 is critical, 危急."""
        return self.pick(*SEVERITY_NAMES[severity]) if severity in SEVERITY_NAMES else severity

    def work(self, work: str) -> str:
        """The word of a kind of work: repair, 抢修."""
        return self.pick(*WORK_NAMES[work]) if work in WORK_NAMES else work


@cache
def words(language: Language) -> Words:
    """The sentences of a language, loaded once."""
    return Words(language)


def choose(asked: str | None, accept: str, default: Language) -> Language:
    """The language of a page: the one asked for, else the browser's, else the site's.

    >>> choose(None, "en-GB,en;q=0.9,zh;q=0.5", "zh-CN")
    'en'
    >>> choose("zh-CN", "en", "en")
    'zh-CN'
    """
    for language in LANGUAGES:
        if asked == language:
            return language
    for part in accept.split(",")[:10]:
        tag = part.split(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return default
