"""The detectors that run, in the order in which they report; contract tests walk this list."""

from typing import Final

from detectors.base import Detector
from detectors.energy import EnergyDetector
from detectors.joint import JointDetector
from detectors.meter import MeterDetector
from detectors.momentary import MomentaryDetector
from detectors.neutral import NeutralDetector
from detectors.odd import OddDetector
from detectors.records import RecordsDetector
from detectors.sensor import SensorDetector
from detectors.star import StarDetector
from detectors.supply import SupplyDetector
from detectors.terminal import TerminalDetector
from detectors.transformer import TransformerDetector

FAMILIES: Final[tuple[type[Detector], ...]] = (
    SensorDetector,
    NeutralDetector,
    TransformerDetector,
    StarDetector,
    JointDetector,
    TerminalDetector,
    SupplyDetector,
    RecordsDetector,
    MeterDetector,
    MomentaryDetector,
    EnergyDetector,
    OddDetector,
)
