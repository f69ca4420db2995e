"""Device events wait for the watermark like readings: their order of arrival is no matter."""

import heapq

MINUTE_US = 60_000_000
MAX_PENDING = 2_000_000

Event = tuple[int, int, int, int]  # time, place in `Network.devices`, code, arrival


class WaitingEvents:
    """Events not yet judged, and the pulses at which the tree is judged because of them.

    A pulse stands two whole minutes after an event: gasps of one fault come within seconds.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []  # a heap
        self.pulses: list[int] = []  # a heap
        self.dropped = 0  # beyond the bound of waiting ones

    def add(self, event: Event) -> None:
        """Keep an event, and order the pulse that judges it."""
        if len(self.events) >= MAX_PENDING:
            self.dropped += 1
            return
        heapq.heappush(self.events, event)
        pulse = (event[0] // MINUTE_US + 2) * MINUTE_US
        if pulse not in self.pulses:
            heapq.heappush(self.pulses, pulse)

    def ripe(self, up_to_us: int) -> list[Event]:
        """Take the events up to a time, in order."""
        out = []
        while self.events and self.events[0][0] <= up_to_us:
            out.append(heapq.heappop(self.events))
        return out

    def pulse_before(self, us: int) -> int | None:
        """The next pulse, if it comes before a time."""
        return self.pulses[0] if self.pulses and self.pulses[0] < us else None

    def take_pulse(self) -> None:
        """The next pulse is done."""
        heapq.heappop(self.pulses)
