"""What stands beside a symbol of the one-line diagram: on one line, on two, else cut to fit.

Widths are estimated (a wide character is as wide as its font is high, a narrow one a little more
than half), in SVG user units; the page tells the whole name of what was cut where it is pointed at
or focused.
"""

from dataclasses import dataclass
from typing import Final
from unicodedata import combining, east_asian_width

NARROW: Final = 0.56
LABEL_SIZE: Final = 12.0
SUB_SIZE: Final = 11.0
GAP: Final = 6.0
INDENT: Final = 12.0


@dataclass(frozen=True, slots=True)
class Label:
    """Texts as they are drawn.

    below : the name stands on a line of its own below the id; cut : something is left out
    """

    text: str
    sub: str = ""
    below: bool = False
    cut: bool = False


def width_of(text: str, size: float) -> float:
    """About how wide a text is at a font size.

    >>> width_of("变压器", 10.0), round(width_of("T7", 10.0), 1)
    (30.0, 11.2)
    """
    wide = sum(1.0 if east_asian_width(c) in "WF" else NARROW for c in text if not combining(c))
    return wide * size


def fitted(text: str, room: float, size: float) -> str:
    """The text, or as much of it as fits with an ellipsis.

    >>> fitted("河坊街五号配电变压器", 60.0, 10.0)
    '河坊街五号…'
    """
    if width_of(text, size) <= room:
        return text
    end = len(text)
    while end > 1 and width_of(text[:end] + "…", size) > room:
        end -= 1
    return text[:end] + "…"


def label(id_: str, name: str, room: float, *, two_lines: bool = False) -> Label:
    """An id with the name people gave it, within `room`; with `two_lines` the name may stand below
    it, where the shape of the state takes no place."""
    name = "" if name == id_ else name
    text = fitted(id_, room, LABEL_SIZE)
    left = room - width_of(text, LABEL_SIZE) - GAP
    if not name or (text == id_ and width_of(name, SUB_SIZE) <= left):
        return Label(text, name, cut=text != id_)
    sub = fitted(name, room + INDENT if two_lines else max(left, 0.0), SUB_SIZE)
    if not two_lines and left < 3 * SUB_SIZE:
        sub = ""  # nothing that could be read
    return Label(text, sub, two_lines, text != id_ or sub != name)
