"""Accept a photo: a JPEG of bounded size, without what the camera wrote about place and owner."""

from typing import Final

from grid.errors import ForewattError

BYTES_MAX: Final = 8_000_000
_START, _SCAN, _END = b"\xff\xd8", 0xDA, b"\xff\xd9"


class NoJpeg(ForewattError):
    """The file is no JPEG photo; take it with the camera of the phone."""


def without_metadata(image: bytes) -> bytes:
    """The same picture without APPn and comment segments (position, owner, thumbnails).

    The orientation goes with them, which is why the phone's page turns the picture first. Raises
    NoJpeg for anything that does not read as a JPEG up to its picture data.
    """
    if not image.startswith(_START) or not image.rstrip(b"\x00").endswith(_END):
        raise NoJpeg()
    kept, at = [_START], 2
    while True:
        if at + 4 > len(image) or image[at] != 0xFF:
            raise NoJpeg()
        kind = image[at + 1]
        length = int.from_bytes(image[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(image):
            raise NoJpeg()
        if kind == _SCAN:
            return b"".join([*kept, image[at:]])
        if not (0xE1 <= kind <= 0xEF or kind == 0xFE):
            kept.append(image[at : at + 2 + length])
        at += 2 + length
