"""On which line of a TOML file does a field stand? For messages that people act on."""

import re
from collections.abc import Sequence


def line_of(text: str, words: Sequence[str], table: str = "", nth: int = 1) -> int | None:
    """The line of the last of `words` that is a key there, else of the table's heading.

    `table` with `nth` names one of several `[[table]]`; without it the whole file is searched.

    >>> line_of("a = 1\\n[[m]]\\nx = 2\\n[[m]]\\nx = 3", ["x"], "m", 2)
    5
    """
    lines = text.splitlines()
    first, last = 0, len(lines)
    heading = None
    if table:
        starts = [
            n for n, s in enumerate(lines) if re.match(rf"\s*\[\[\s*{re.escape(table)}\s*\]\]", s)
        ]
        if len(starts) < nth:
            return None
        heading = first = starts[nth - 1]
        last = starts[nth] if nth < len(starts) else last
    for word in reversed(words):
        key = re.compile(rf"""(?:^|[{{,\[.])\s*["']?{re.escape(word)}["']?\s*(?:=|\]|\.)""")
        for n in range(first, last):
            if key.search(lines[n]):
                return n + 1
    return None if heading is None else heading + 1
