"""Detectors and alert rules joined: the one path of live, replayed and backtested data.

Receives journal records (or a dataset's batches) in order; hands on alert events. No clock, no
file, no database: that is what makes `backtest` and `run` give the same alert ids.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

from alerts.budget import BudgetSettings
from alerts.episodes import Book
from alerts.settings import AlertSettings
from detectors.engine import Engine
from detectors.near import NearScores
from detectors.settings import DetectorSettings
from forewatt.config import AlertConfig, DetectorConfig
from forewatt.limits import load_limits
from grid.journal import Record, Tick
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import AlertEvent, Finding

SECOND_US = 1_000_000


def detector_settings(config: DetectorConfig, country: str) -> DetectorSettings:
    """What the detectors are told."""
    return DetectorSettings(
        country=country,
        lateness_s=config.lateness_s,
        patience_s=config.patience_s,
        interval_s=config.interval_s,
        gap_days=config.gap_days,
        slow_delivery_s=config.slow_delivery_s,
        disabled=config.disabled,
    )


def alert_settings(config: AlertConfig) -> AlertSettings:
    """What the episodes are told."""
    return AlertSettings(
        flaps=config.flaps,
        flap_window_us=int(config.flap_window_s * SECOND_US),
        flap_quiet_us=int(config.flap_quiet_s * SECOND_US),
        update_growth=config.update_growth,
        update_us=int(config.update_every_s * SECOND_US),
    )


def budget_settings(config: AlertConfig) -> BudgetSettings:
    """How many tickets a day, and from which scores on."""
    limits = load_limits(config.limits) if config.limits is not None else {}
    return BudgetSettings(config.budget, limits)


class Judge:
    """The engine and the book of one site.

    `told` hears every finding before it is judged, `near` the scores that stay below a limit;
    `helper` runs some families beside the others.
    """

    def __init__(
        self,
        network: Network,
        detectors: DetectorConfig,
        alerts: AlertConfig,
        country: str,
        *,
        told: Callable[[Sequence[Finding]], None] = lambda findings: None,
        helper: Executor | None = None,
        near: NearScores | None = None,
    ) -> None:
        self._told = told
        self.engine = Engine(network, detector_settings(detectors, country), helper, near)
        self.book = Book(network, alert_settings(alerts), budget_settings(alerts))

    def records(self, records: Iterable[Record]) -> list[AlertEvent]:
        """The events that follow from more records."""
        findings: list[Finding] = []
        for record in records:
            if len(record.batch):
                findings += self.engine.feed(record.source, record.batch)
            for tick in record.ticks:
                findings += self.engine.tick(tick.source, tick.up_to_us)
        self._told(findings)
        return self.book.judge(findings, self.settled_us)

    def batch(self, source: str, batch: ReadingBatch) -> list[AlertEvent]:
        """The events that follow from one more batch of a dataset."""
        return self.records([Record(source, batch)])

    def tick(self, source: str, up_to_us: int) -> list[AlertEvent]:
        """The events that follow from knowing that everything up to a time has come."""
        return self.records([Record(source, ticks=(Tick(source, up_to_us),))])

    def flush(self) -> list[AlertEvent]:
        """The events at the end of data."""
        findings = self.engine.flush()
        self._told(findings)
        return self.book.judge(findings)

    @property
    def settled_us(self) -> int | None:
        """Event time up to which no finding can come any more; None before there is any data.

        A frame of step S closes S/2 and its group's delay after its tick, so every tick that lies
        further behind the watermark than the longest of these has been judged.
        """
        frames, groups = self.engine.frames, self.engine.fleet.groups
        waits = [g.step_us // 2 + int(frames.shape[i, 1]) for i, g in enumerate(groups)]
        watermark = self.engine.watermark_us
        return watermark - max(waits) - 1 if waits and watermark > 0 else None
