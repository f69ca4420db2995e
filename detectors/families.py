"""All families of a fleet: what judges a frame, in which order, and which run beside the others.

Receives frames in order of closing; hands on findings in a fixed order. Knows nothing of when a
frame is complete: that is the engine's.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from detectors.base import Detector, Stateful
from detectors.catalogue import FAMILIES
from detectors.frames import Frame
from detectors.layout import FleetLayout
from detectors.near import NearScores
from detectors.outage import OutageDetector
from detectors.records import Learned, RecordsDetector
from detectors.settings import DetectorSettings
from grid.records import Finding

HELPED_FROM = 2000  # devices: below, handing work over costs more than it saves


class Families:
    """Every group's detectors, and the outage family that sees the whole tree.

    With a `helper` of one thread, families that ask no other run there beside the rest, in groups
    large enough to be worth it; the findings are the same. `near` hears what stays below a limit.
    """

    def __init__(
        self,
        fleet: FleetLayout,
        settings: DetectorSettings,
        helper: Executor | None = None,
        near: NearScores | None = None,
    ) -> None:
        self.fleet = fleet
        self._helper = helper
        self.helped = helper is not None and any(g.size >= HELPED_FROM for g in fleet.groups)
        off = set(settings.disabled)
        self.groups: list[list[Detector]] = [
            [family(g, settings) for family in FAMILIES if family.name not in off]
            for g in fleet.groups
        ]
        self.outage = None if OutageDetector.name in off else OutageDetector(fleet, settings)
        if near is not None:
            near.begin_anew()
        for group in self.groups:
            for detector in group:
                detector.near = near
                detector.link(group if self.outage is None else [*group, self.outage])

    def judge(self, g: int, frame: Frame) -> list[Finding]:
        """What the families of a group, and the tree's, say of one frame."""
        out: list[Finding] = []
        # First the gates: what physics forbids leaves the frame before anybody builds on it.
        for detector in self.groups[g]:
            if detector.gate:
                out += detector.step(frame)
        for number, stage in enumerate(_stages(self.groups[g])):
            out += self._stage(g, frame, stage, first=number == 0)
        return out

    def pulse(self, now_us: int) -> list[Finding]:
        """Judge the tree between frames, because events came."""
        return [] if self.outage is None else self.outage.pulse(now_us)

    def apply(self, events: list[tuple[int, int, int, int]]) -> None:
        """Take device events (time, device, code, arrival) in order of time."""
        if self.outage is not None:
            self.outage.apply(events)

    def take_learned(self, g: int) -> list[Learned]:
        """Places that the last frame of a group taught and nobody has taken yet."""
        records = (d for d in self.groups[g] if isinstance(d, RecordsDetector))
        return [x for d in records for x in d.take_learned()]

    def parts(self) -> list[tuple[str, Stateful]]:
        """Everything that holds state, by a label that survives a restart."""
        parts: list[tuple[str, Stateful]] = []
        for layout, detectors in zip(self.fleet.groups, self.groups, strict=True):
            for d in detectors:
                parts.append((f"{d.name}.{d.version}.{layout.step_us}.{layout.delay_us}", d))
        if self.outage is not None:
            parts.append((f"{self.outage.name}.{self.outage.version}", self.outage))
        return parts

    @property
    def nbytes(self) -> int:
        """Memory of all state."""
        return sum(part.nbytes for _, part in self.parts())

    def _stage(self, g: int, frame: Frame, stage: list[Detector], first: bool) -> list[Finding]:
        """Families that all see the same frame; the last one may spoil it for the next stage."""
        found: dict[str, list[Finding]] = {OutageDetector.name: []}
        waiting = deque(self._aside(g, frame, stage, first))

        def work_off() -> None:
            while waiting:
                try:
                    name, step = waiting.popleft()
                except IndexError:  # the other thread was faster
                    return
                found[name] = step()

        helped = self._helper is not None and frame.layout.size >= HELPED_FROM
        task = self._helper.submit(work_off) if self._helper is not None and helped else None
        for detector in stage:
            if not (detector.beside or detector.spoils):
                found[detector.name] = detector.step(frame)
        work_off()  # all of it, or what the helper has not begun
        if task is not None and not task.cancel():
            task.result()
        if stage and stage[-1].spoils:
            found[stage[-1].name] = stage[-1].step(frame)
        return [x for name in (OutageDetector.name, *(d.name for d in stage)) for x in found[name]]

    def _aside(
        self, g: int, frame: Frame, stage: list[Detector], first: bool
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """What asks no other family, by name: it changes nothing that any of them reads."""
        if first and self.outage is not None:
            yield OutageDetector.name, partial(self.outage.step, g, frame)
        for detector in stage:
            if detector.beside:
                yield detector.name, partial(detector.step, frame)
            elif detector.spoils:
                yield detector.name, partial(detector.look, frame)


def _stages(detectors: list[Detector]) -> list[list[Detector]]:
    """All but the gates, in their order, parted after each that may take readings away."""
    stages: list[list[Detector]] = [[]]
    for detector in detectors:
        if not detector.gate:
            stages[-1].append(detector)
            if detector.spoils:
                stages.append([])
    return stages
