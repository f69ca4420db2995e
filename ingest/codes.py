"""Codes that head-ends write over their columns, and the quantity each one means.

OBIS (IEC 62056-61, short or long form), DL/T 645-2007 data identifiers and DL/T 698.45 object
attributes. The scale is that of exports, which give volts and amperes plainly, power in kilowatts
(DL/T 698: watts) and energy in kilowatt-hours; a mapping can say otherwise.
"""

import re
from typing import Final, NamedTuple

from grid.quantities import INDEX


class Meaning(NamedTuple):
    """A quantity, and the factor that brings an export's number to SI units."""

    quantity: str
    scale: float


_OBIS: Final = {
    "32.7.0": Meaning("v_a", 1), "52.7.0": Meaning("v_b", 1), "72.7.0": Meaning("v_c", 1),
    "12.7.0": Meaning("v_a", 1), "92.7.0": Meaning("v_n", 1),
    "31.7.0": Meaning("i_a", 1), "51.7.0": Meaning("i_b", 1), "71.7.0": Meaning("i_c", 1),
    "11.7.0": Meaning("i_a", 1), "91.7.0": Meaning("i_n", 1),
    "36.7.0": Meaning("p_a", 1e3), "56.7.0": Meaning("p_b", 1e3), "76.7.0": Meaning("p_c", 1e3),
    "16.7.0": Meaning("p", 1e3), "131.7.0": Meaning("q", 1e3),
    "13.7.0": Meaning("pf", 1), "14.7.0": Meaning("f", 1),
    "1.8.0": Meaning("e_import", 1e3), "2.8.0": Meaning("e_export", 1e3),
}  # fmt: skip
_DLT645: Final = {
    "02010100": Meaning("v_a", 1), "02010200": Meaning("v_b", 1), "02010300": Meaning("v_c", 1),
    "02020100": Meaning("i_a", 1), "02020200": Meaning("i_b", 1), "02020300": Meaning("i_c", 1),
    "02030000": Meaning("p", 1e3), "02030100": Meaning("p_a", 1e3),
    "02030200": Meaning("p_b", 1e3), "02030300": Meaning("p_c", 1e3),
    "02040000": Meaning("q", 1e3), "02060000": Meaning("pf", 1),
    "02800001": Meaning("i_n", 1), "02800002": Meaning("f", 1),
    "00010000": Meaning("e_import", 1e3), "00020000": Meaning("e_export", 1e3),
}  # fmt: skip
_DLT698: Final = {
    "20000201": Meaning("v_a", 1), "20000202": Meaning("v_b", 1), "20000203": Meaning("v_c", 1),
    "20010201": Meaning("i_a", 1), "20010202": Meaning("i_b", 1), "20010203": Meaning("i_c", 1),
    "20010400": Meaning("i_n", 1),
    "20040201": Meaning("p", 1), "20040202": Meaning("p_a", 1),
    "20040203": Meaning("p_b", 1), "20040204": Meaning("p_c", 1),
    "20050201": Meaning("q", 1), "200A0201": Meaning("pf", 1), "200F0200": Meaning("f", 1),
    "00100201": Meaning("e_import", 1e3), "00200201": Meaning("e_export", 1e3),
}  # fmt: skip
_LONG_OBIS: Final = re.compile(r"(?:\d+-\d+:|\d+\.\d+\.)?(\d{1,3}\.\d{1,3}\.\d{1,3})(?:[.*]255)?")


def meaning(code: str) -> Meaning | None:
    """What a column heading or a code in a cell means; None when it is no known code.

    Quantity names of docs/payloads.md mean themselves.

    >>> meaning("1-0:32.7.0"), meaning("1.0.1.8.0.255"), meaning("0201-01-00")
    (Meaning(quantity='v_a', scale=1), Meaning(quantity='e_import', scale=1000.0), None)
    """
    text = code.strip()
    if text.lower() in INDEX:
        return Meaning(text.lower(), 1)
    found = _LONG_OBIS.fullmatch(text)
    if found:
        return _OBIS.get(found[1])
    plain = re.sub(r"[\s_-]", "", text.removeprefix("0x")).upper()
    if len(plain) != 8 or plain != text.removeprefix("0x").upper():
        return None
    return _DLT645.get(plain) or _DLT698.get(plain)
