"""The newest events of the live stream: encoded once, joined once for all who are shown alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from alerts.roles import may_see
from web.i18n import Language
from web.policy import PERSONAL_DATA

RING_MAX: Final = 2_000
JOINED_MAX: Final = (
    64  # pieces kept for others: pages that come back each from elsewhere share none
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One event, ready to be sent, by language; `seq` None for what is not replayed."""

    seq: int | None
    topic: str
    text: dict[Language, bytes]
    work: str = ""

    def visible(self, role: str) -> bool:
        """Calls carry names and phones, inspection is nobody's business at the counter."""
        if self.topic == "contact" and role not in PERSONAL_DATA:
            return False
        return not self.work or may_see(self.work, role)


class Audience(NamedTuple):
    """All who are shown the same: a role, a language, and the topics asked for (None: all)."""

    role: str
    language: Language
    topics: frozenset[str] | None = None

    def wants(self, frame: Frame) -> bool:
        """Whether they are shown this frame: the role may see it, and the topic is asked for."""
        asked = self.topics is None or frame.seq is None or frame.topic in self.topics
        return asked and frame.visible(self.role)


class Ring:
    """Frames in order, each with a place that counts up for ever; only the newest are here.

    Attributes
    ----------
    start, end : the places of the first frame that is here, and of the next one to come
    seq : the newest number of the outbox that has come
    base : messages up to this number are not here, all after it are (as far as they have come);
        None until the head of the outbox is known
    """

    def __init__(self, frames_max: int = RING_MAX) -> None:
        self._max = frames_max
        self._frames: list[Frame] = []
        self._joined: dict[tuple[Audience, int, int], bytes | None] = {}
        self.start = self.end = self.seq = 0
        self.base: int | None = None

    def add(self, frames: Sequence[Frame]) -> None:
        """More of them; the oldest go."""
        self._joined.clear()
        self._frames += frames
        self.end += len(frames)
        self.seq = max((f.seq for f in frames if f.seq is not None), default=self.seq)
        too_many = len(self._frames) - self._max
        if too_many > 0:
            gone = [f.seq for f in self._frames[:too_many] if f.seq is not None]
            if gone:
                self.base = max(gone[-1], self.base or 0)
            del self._frames[:too_many]
            self.start += too_many

    def after(self, seq: int) -> int:
        """The place of the first message after number `seq`."""
        for at, frame in enumerate(self._frames, self.start):
            if frame.seq is not None and frame.seq > seq:
                return at
        return self.end

    def joined(self, audience: Audience, place: int, sent: int) -> bytes | None:
        """All from a place on that an audience is shown, in one piece, made once for all of it;
        without messages up to number `sent`.

        None when a message was not encoded in the audience's language: nobody read it then.
        """
        key = (audience, place, sent)
        if key not in self._joined:
            if len(self._joined) >= JOINED_MAX:
                self._joined.clear()
            frames = [
                f
                for f in self._frames[place - self.start :]
                if (f.seq is None or f.seq > sent) and audience.wants(f)
            ]
            lacking = any(f.seq is not None and audience.language not in f.text for f in frames)
            texts = (f.text.get(audience.language, b"") for f in frames)
            self._joined[key] = None if lacking else b"".join(texts)
        return self._joined[key]
