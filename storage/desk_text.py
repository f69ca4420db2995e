"""Text and keys as people and other systems give them, made so that every part can keep them.

PostgreSQL takes no NUL in a text, UTF-8 no half of a surrogate pair, and a bigint no number of
twenty digits. What is given as text loses such characters; what is given as a key names nothing.
"""

from typing import Final

TEXT_MAX: Final = 4000
ID_MAX: Final = 2**63 - 1


def plain(text: str, most: int = TEXT_MAX) -> str:
    r"""Text without what cannot be kept, stripped, at most so many characters.

    >>> plain(" no\0 light \ud800"), plain("abc", 2)
    ('no light ?', 'ab')
    """
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()[:most]


def nameable(key: str | int | None) -> bool:
    r"""Whether a key can name anything at all in the database.

    >>> [nameable(k) for k in (7, "T-1", "a\0", "\udc80", 10**23, -1, None)]
    [True, True, False, False, False, False, False]
    """
    if key is None:
        return False
    if isinstance(key, int):
        return 0 < key <= ID_MAX
    return "\0" not in key and not any("\ud800" <= c <= "\udfff" for c in key)
