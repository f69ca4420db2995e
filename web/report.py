"""The evidence of one alert as PNG or PDF: gathers what the alert's page shows and has it drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from desk.board import AlertPage
from grid.network import Network
from web.charts import alert_chart, span_of
from web.doors import SeriesSource
from web.names import asset_label, place
from web.render import Reader
from web.report_picture import Form, Sheet, draw, words_of

MEDIA: Final[dict[Form, str]] = {"png": "image/png", "pdf": "application/pdf"}
_DRAWING = Lock()  # matplotlib's settings belong to the process: one picture at a time


@dataclass(frozen=True, slots=True)
class Source:
    """What a report is made from."""

    readings: SeriesSource
    network: Network
    country: str
    site_name: str


def report(page: AlertPage, source: Source, reader: Reader, form: Form) -> bytes:
    """The picture of one alert, in the reader's language; without any customer's name."""
    alert, t, network = page.row.alert, reader.t, source.network
    start_us, end_us = span_of(alert, reader.now_us, None, None, None)
    chart = alert_chart(
        source.readings, network, alert, start_us, end_us, reader.zone, source.country, t
    )
    sheet = Sheet(
        alert.severity,
        f"{t.severity(alert.severity)}: {t.fault(alert.fault)}",
        asset_label(t, network, alert.asset_kind, alert.asset),
        [*_facts(page, source, reader), *words_of(t, alert)],
        chart,
        f"{source.site_name} · Forewatt · {reader.clock(reader.now_us)} · {alert.id}",
    )
    with _DRAWING:
        return draw(sheet, form)


def _facts(page: AlertPage, source: Source, reader: Reader) -> Sequence[tuple[str, str]]:
    alert, t = page.row.alert, reader.t
    way = place(t, source.network, alert.asset_kind, alert.asset)
    affected = t("count.customers", n=page.customers)
    if len(alert.devices) > 1:
        affected += f" · {t('count.meters', n=len(alert.devices))}"
    out = [
        (t("report.where"), " › ".join(way)),
        (t("alert.raised"), reader.local(alert.raised_us).strftime("%Y-%m-%d %H:%M")),
        (t("alert.affected"), affected),
    ]
    if page.row.ticket is not None:
        out.append((t("alert.ticket"), page.row.ticket.number))
    if page.procedure.safety:
        out.append((t("report.safety"), " ".join(page.procedure.safety)))
    return [(heading, text) for heading, text in out if text]
