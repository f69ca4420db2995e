"""What is wrong with an input and how to mend it, in the reader's language.

Rooms say it once, in English, where it happens: for the command line and the log. A page finds that
sentence in the catalogue (`messages/bad_input.en.toml`, values in braces) and says the same of the
other language. One that is not there is shown as it came, better than nothing.
"""

import re
from functools import cache
from typing import Final, Literal

from web.i18n import Language, Words, catalogue

Part = Literal["problem", "fix", "word"]
# A sentence of ours is short; searching what somebody sent takes the square of its length.
TEXT_MAX: Final = 1_000
HOLE: Final = re.compile(r"{(\w+)}")


@cache
def _patterns(part: Part) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The English sentences of a part as patterns with their keys, those with most words first."""
    prefix = f"bad_{part}."
    found = []
    for key, sentence in catalogue("en").items():
        if key.startswith(prefix):
            names = HOLE.findall(sentence)
            pieces = [re.escape(x) for x in HOLE.split(sentence)[::2]]
            holes = [f"(?P<{name}>.+?)" for name in names]
            text = "".join(a + b for a, b in zip(pieces, [*holes, ""], strict=True))
            pattern = re.compile(text.removesuffix(r"\.") + r"\.?", re.IGNORECASE | re.DOTALL)
            found.append((len(HOLE.sub("", sentence)), pattern, key))
    return tuple((pattern, key) for _, pattern, key in sorted(found, key=lambda x: -x[0]))


def said(t: Words, text: str | None, part: Part = "problem") -> str:
    """A problem or a fix in the language of `t`; values that are words are translated as well.

    >>> from web.i18n import words
    >>> said(words("zh-CN"), "alerts.flaps: is 'x', expected a whole number")
    "alerts.flaps：当前为'x'，应为整数"
    """
    language: Language = t.language
    if not text or language == "en" or len(text) > TEXT_MAX:
        return text or ""
    for pattern, key in _patterns(part):
        found = pattern.fullmatch(text)
        if found:
            values = {n: said(t, v, "word") for n, v in found.groupdict().items()}
            return t(key, **values)
    return text
