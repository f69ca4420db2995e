"""The ranked list an engineer reads each morning: how many of its first rows are real."""

from collections.abc import Sequence
from dataclasses import replace

from detectors.scoring.intervals import Interval, ratio
from detectors.scoring.lines import AlertLine, TruthLine
from detectors.scoring.matching import DAY_US, match
from detectors.scoring.places import Places

TOP = 20


def top_of_day(
    alerts: Sequence[AlertLine],
    truth: Sequence[TruthLine],
    places: Places,
    end_us: int,
    *,
    top: int = TOP,
) -> Interval:
    """Mean over days of the share of true rows among the `top` highest scores raised that day.

    Days of UTC without any alert do not count; a day with fewer rows is judged on those it has.
    """
    listed = [_as_ticket(a) for a in alerts]
    judged = {j.alert.id: not j.false for j in match(listed, truth, places, end_us).judged}
    days: dict[int, list[AlertLine]] = {}
    for a in listed:
        days.setdefault(a.raised_us // DAY_US, []).append(a)
    shares = []
    for rows in days.values():
        first = sorted(rows, key=lambda a: (-a.score, a.raised_us, a.id))[:top]
        shares.append(sum(judged[a.id] for a in first) / len(first))
    if not shares:
        return Interval(None)
    spread = ratio(shares, [1.0] * len(shares))
    return Interval(spread.value, spread.low, min(spread.high or 0.0, 1.0), len(shares))


def _as_ticket(a: AlertLine) -> AlertLine:
    return a if a.ticket else replace(a, ticket=True)
