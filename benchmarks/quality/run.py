"""Judge batches as the program would, in memory: what every quality benchmark calls."""

import json
from collections.abc import Iterable

from alerts.lines import alert_lines
from alerts.memory import MemoryLedger
from alerts.unattended import UnattendedDesk
from detectors.scoring import AlertLine, read_alerts
from forewatt.admission import Admission
from forewatt.backtest import SOURCE
from forewatt.config import AlertConfig, DetectorConfig
from forewatt.delays import usual_delays
from forewatt.judging import Judge, detector_settings
from grid.network import Network
from grid.readings import ReadingBatch


def judged(
    network: Network, batches: Iterable[ReadingBatch], country: str = "CN"
) -> list[AlertLine]:
    """The alerts of these batches, in arrival order, with the settings of a fresh installation."""
    detectors = DetectorConfig()
    arrived = (batch.sort(by="received") for batch in batches)
    delays = usual_delays(network, arrived, detector_settings(detectors, country))
    network = delays.network
    judge = Judge(network, detectors, AlertConfig(), country)
    ledger, admission = MemoryLedger(), Admission(network)
    desk = UnattendedDesk(ledger, network)
    for batch in delays.batches:
        desk.take(judge.batch(SOURCE, admission.admit(batch)))
    desk.take(judge.flush())
    # As text and back: what is judged is what a user of the file would see.
    return read_alerts(_texts(ledger))


def _texts(ledger: MemoryLedger) -> list[str]:
    return [json.dumps(line) for line in alert_lines(ledger)]
