"""What a caller reports: chosen by whoever takes the call, else read from the words.

A known defect explains a light that flickers; it does not explain that the light is out. What is
reported decides whether a call hangs on what is known or is a fact of its own.
"""

import re
from typing import Final, Literal

Symptom = Literal["no_light", "part", "flicker", "dim", "danger", "other"]
# In the order of how often callers say it.
SYMPTOMS: Final[tuple[Symptom, ...]] = ("no_light", "part", "flicker", "dim", "danger", "other")
# What no growing defect has brought about so far: supply is lost, or there is danger now.
NEW_FACTS: Final[frozenset[Symptom]] = frozenset({"no_light", "danger"})

_WORDS: Final[tuple[tuple[Symptom, re.Pattern[str]], ...]] = (
    (
        "danger",
        re.compile(
            r"冒烟|火花|打火|着火|起火|烧焦|焦味|触电|电线掉|电线断|电线落|"
            r"\b(?:smok\w*|spark\w*|on fire|burning|fallen wire|electric shock)\b",
            re.I,
        ),
    ),
    (
        "part",
        re.compile(
            r"其他房间|其它房间|部分|一半|有的房间|插座没|"
            r"\b(?:part of the house|half the house|other rooms|one room|sockets?)\b",
            re.I,
        ),
    ),
    ("flicker", re.compile(r"忽明忽暗|闪烁|一闪一闪|时有时无|\bflicker\w*", re.I)),
    (
        "dim",
        re.compile(r"太暗|变暗|很暗|太亮|特别亮|电压[^，。]{0,6}[低高]|\b(?:dim|bright)\w*", re.I),
    ),
    (
        "no_light",
        re.compile(
            r"停电|没电|没有电|无电|断电|没灯|不亮|"
            r"\b(?:no (?:power|light|electricity|supply)|without (?:power|electricity)|"
            r"(?:power|lights?|electricity) (?:is|are|went|has gone|have gone) (?:out|off)|"
            r"power (?:cut|outage)|outage|blackout)\b",
            re.I,
        ),
    ),
)


def symptom_of(text: str) -> Symptom | None:
    """The symptom that somebody's own words name, the gravest first; None if they name none.

    >>> symptom_of("家里突然停电了"), symptom_of("插座没电，其他房间都正常")
    ('no_light', 'part')
    >>> symptom_of("The lights flicker in the evening"), symptom_of("please call me")
    ('flicker', None)
    """
    return next((name for name, words in _WORDS if words.search(text)), None)
