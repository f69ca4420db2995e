"""The score on a terminal: by fault kind, what false tickets cost, the baselines, differences."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from alerts.lines import rfc3339
from detectors.scoring import Difference, Score
from detectors.scoring.intervals import Interval
from detectors.scoring.report import KindScore

DIFFERENCES_SHOWN = 40


def print_score(
    console: Console,
    s: Score,
    baselines: Mapping[str, Score],
    differences: Sequence[Difference] | None = None,
) -> None:
    """The score as tables."""
    console.print(kind_table(s))
    console.print(_false_table(s))
    console.print(baseline_table({"these": s, **baselines}))
    if differences is not None:
        console.print(_difference_table(differences))


def print_details(console: Console, s: Score) -> None:
    """The incidents that were not found in time and the false tickets, one by one."""
    console.print(_missed_table(s))
    console.print(_false_tickets(s))


def kind_table(s: Score) -> Table:
    """One row a fault kind."""
    table = _table("By fault kind (95 % intervals by bootstrap over incidents)")
    table.add_column("fault", no_wrap=True)
    for name in (
        "incidents",
        "recall",
        "late",
        "right asset",
        "tickets a cause",
        "lead h",
        "attainable h",
        "lead share",
        "delay h",
        "before 1st contact",
    ):
        table.add_column(name, justify="right", no_wrap=name == "recall")
    for n, k in enumerate((*s.kinds, *s.groups)):
        if n == len(s.kinds):
            table.add_section()
        table.add_row(*_kind_row(k))
    return table


def _table(title: str, **options: Any) -> Table:
    return Table(title=title, box=SIMPLE_HEAD, title_justify="left", **options)


def _kind_row(k: KindScore) -> tuple[str, ...]:
    return (
        k.name,
        str(k.incidents),
        _percent(k.recall),
        str(k.late) if k.late else "",
        _percent(k.right_asset, interval=False),
        _number(k.tickets_a_cause, 2),
        _number(k.lead_h, 1),
        _number(k.attainable_h, 1),
        _number(k.lead_share, 2),
        _number(k.delay_h, 1),
        _percent(k.known_before_contact, interval=False),
    )


def _false_table(s: Score) -> Table:
    table = _table(
        f"What it costs: {s.tickets} tickets, {s.watch_list} watch-list lines, "
        f"{s.meter_days:,.0f} meter-days",
        show_header=False,
    )
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_row("ticket precision", _percent(s.precision))
    restated = ""
    if s.precision_restated is not None and s.precision_restated_low is not None:
        restated = (
            f"{100 * s.precision_restated:.1f} % (at least {100 * s.precision_restated_low:.0f})"
        )
    table.add_row(f"precision restated at {s.true_rate:g} faults per 1,000 meter-days", restated)
    for name, rate in s.false_per_1000.items():
        table.add_row(f"false tickets per 1,000 meter-days, {name}", _spread(rate, 3))
    table.add_row("the same, in areas where nothing happened", _spread(s.false_in_healthy_areas, 3))
    table.add_row(f"look-alikes that became a ticket (of {s.benign})", _percent(s.benign_ticketed))
    table.add_row("tickets of a wrong family", _percent(s.wrong_family))
    table.add_row("precision of the top 20 of a day", _percent(s.top_of_day))
    causes = ", ".join(f"{n} {_CAUSES[v]}" for v, n in s.false_by_cause.items() if n)
    table.add_row("false tickets are", causes or "none")
    return table


_CAUSES: Mapping[str, str] = {
    "wrong_family": "of a wrong family",
    "wrong_place": "at a wrong place",
    "benign": "on look-alikes",
    "early": "before the onset",
    "nothing": "about nothing",
}


def baseline_table(scores: Mapping[str, Score]) -> Table:
    """The score beside the baselines, one row each."""
    table = _table("Beside the baselines")
    table.add_column("")
    names = ("tickets", "recall", "P1 and P2 recall", "precision", "false / 1,000 meter-days")
    for name in (*names, "tickets a cause", "lead share"):
        table.add_column(name, justify="right")
    for name, s in scores.items():
        table.add_row(
            name,
            str(s.tickets),
            _percent(s.overall.recall),
            _percent(s.groups[0].recall),
            _percent(s.precision),
            _spread(s.false_per_1000["all"], 3),
            _number(s.overall.tickets_a_cause, 2),
            _number(s.overall.lead_share, 2),
        )
    return table


def _missed_table(s: Score) -> Table:
    table = _table(f"Incidents not found in time: {len(s.missed)}")
    for name in ("incident", "fault", "asset", "onset", "detectable", "failure", "instead"):
        table.add_column(name)
    for t in s.missed:
        others = s.matching.by_incident.get(t.id, [])
        instead = ", ".join(f"{j.verdict} {j.alert.fault} {j.alert.asset}" for j in others)
        times = (t.onset_us, t.detectable_us, t.failure_us)
        words = ("" if at is None else rfc3339(at) for at in times)
        table.add_row(t.id, t.fault, f"{t.asset_kind} {t.asset}", *words, instead)
    return table


def _false_tickets(s: Score) -> Table:
    false = [j for j in s.matching.judged if j.false]
    table = _table(f"False tickets: {len(false)}")
    for name in ("raised", "severity", "fault", "asset", "verdict", "near"):
        table.add_column(name)
    for j in false:
        a, near = j.alert, "" if j.incident is None else j.incident.id
        where = f"{a.asset_kind} {a.asset}"
        table.add_row(rfc3339(a.raised_us), a.severity, a.fault, where, j.verdict, near)
    return table


def _difference_table(differences: Sequence[Difference]) -> Table:
    table = _table(f"Alerts that differ: {len(differences)}")
    for name in ("raised", "alert", "change"):
        table.add_column(name)
    for d in differences[:DIFFERENCES_SHOWN]:
        alert = d.a or d.b
        if alert is not None:
            what = f"{alert.severity} {alert.fault} {alert.asset_kind} {alert.asset}"
            table.add_row(rfc3339(alert.raised_us), what, _change(d))
    if len(differences) > DIFFERENCES_SHOWN:
        table.add_row("", f"and {len(differences) - DIFFERENCES_SHOWN} more: see --json", "")
    return table


def _change(d: Difference) -> str:
    if d.change != "differs" or d.a is None or d.b is None:
        return "only in the first" if d.a is not None else "only in the second"
    parts = []
    for f in d.fields:
        old, new = getattr(d.a, f), getattr(d.b, f)
        if f.endswith("_us"):
            old, new = (None if t is None else rfc3339(t) for t in (old, new))
        parts.append(f"{f.removesuffix('_us')} {old} -> {new}")
    return ", ".join(parts)


def _percent(i: Interval, *, interval: bool = True) -> str:
    if i.value is None:
        return ""
    text = f"{100 * i.value:.1f} %"
    if not interval or i.low is None or i.high is None:
        return text
    return f"{text} ({100 * i.low:.0f}-{100 * i.high:.0f})"


def _number(i: Interval, digits: int) -> str:
    return "" if i.value is None else f"{i.value:.{digits}f}"


def _spread(i: Interval, digits: int) -> str:
    if i.value is None:
        return ""
    if i.low is None or i.high is None:
        return _number(i, digits)
    return f"{i.value:.{digits}f} ({i.low:.{digits}f}-{i.high:.{digits}f})"
