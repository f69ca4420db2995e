"""The two baselines printed beside every score: chance, and an evening's one rule.

`random_alerts` raises as many tickets of the same kinds at random assets and times.
`threshold_alerts` tickets a meter whose voltage leaves the limits for two readings; it names no
fault, so any fault at its asset counts as found. Whoever cannot beat both has found nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detectors.scoring.lines import ANY_FAULT, AlertLine
from grid.network import TREE_KINDS, Network
from grid.readings import ReadingBatch

SEED = 20260302
LOW_PU, HIGH_PU = 198.0 / 220.0, 235.4 / 220.0
DEFAULT_NOMINAL_V = 220.0
REARM_US = 86_400_000_000


def random_alerts(
    alerts: Sequence[AlertLine],
    network: Network,
    start_us: int,
    end_us: int,
    *,
    seed: int = SEED,
) -> list[AlertLine]:
    """As many tickets as given, of the same kinds and severities, anywhere at any time."""
    rng = np.random.default_rng(seed)
    assets = _assets(network)
    out = []
    tickets = sorted((a for a in alerts if a.ticket), key=lambda a: (a.raised_us, a.id))
    for n, a in enumerate(tickets):
        choice = assets.get(a.asset_kind) or [a.asset]
        at = int(rng.integers(start_us, max(end_us, start_us + 1)))
        asset = choice[int(rng.integers(len(choice)))]
        score = float(rng.random())
        made = replace(a, id=f"random-{n}", asset=asset, raised_us=at, known_us=at, cleared_us=None)
        out.append(replace(made, score=score))
    return sorted(out, key=lambda a: (a.raised_us, a.id))


def _assets(network: Network) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"device": [d.id for d in network.devices]}
    for kind, id_ in zip(network.tree.kind.tolist(), network.tree.ids, strict=True):
        found.setdefault(str(TREE_KINDS[kind]), []).append(id_)
    return found


def threshold_alerts(
    batches: Iterable[ReadingBatch], network: Network, *, nominal_v: float = DEFAULT_NOMINAL_V
) -> list[AlertLine]:
    """A ticket where a meter's voltage stays outside 0.9..1.07 of nominal for two readings.

    198 to 235.4 V at 220 V. One ticket a meter until it has been inside for a day. Batches in
    any order of time a device; a device whose readings come late is judged when they come.
    """
    rule = _ThresholdRule(network, nominal_v)
    for batch in batches:
        rule.judge(batch)
    return rule.tickets()


class _ThresholdRule:
    def __init__(self, network: Network, nominal_v: float) -> None:
        self._index = {d.id: i for i, d in enumerate(network.devices) if d.kind == "meter"}
        self._points = {d.id: d.usage_point for d in network.devices}
        nominal = [
            network.transformers[t].nominal_v or nominal_v if t >= 0 else nominal_v
            for t in network.device_transformer.tolist()
        ]
        self._nominal = np.array(nominal, np.float64)
        self._names = [d.id for d in network.devices]
        self._was_outside = np.zeros(len(self._names), np.bool_)
        self._last_hit = np.full(len(self._names), np.iinfo(np.int64).min // 2, np.int64)
        self._raised: list[tuple[int, int, float]] = []

    def judge(self, batch: ReadingBatch) -> None:
        """One more batch."""
        place = np.array([self._index.get(n, -1) for n in batch.names], np.int64)
        where = place[batch.device]
        volts = np.vstack([batch.value(q) for q in ("v_a", "v_b", "v_c")])
        keep = (where >= 0) & (batch.event == 0) & ~np.isnan(volts).all(axis=0)
        if not keep.any():
            return
        at, times, v = where[keep], batch.time[keep], volts[:, keep]
        order = np.lexsort((times, at))
        at, times, v = at[order], times[order], v[:, order]
        pu = v / self._nominal[at]
        outside = ((pu < LOW_PU) | (pu > HIGH_PU)).any(axis=0)
        first = np.concatenate([[True], at[1:] != at[:-1]])
        before = np.concatenate([[False], outside[:-1]])
        before[first] = self._was_outside[at[first]]
        self._take(at, times, pu, outside & before)
        last = np.concatenate([at[1:] != at[:-1], [True]])
        self._was_outside[at[last]] = outside[last]

    def _take(
        self,
        at: NDArray[np.int64],
        times: NDArray[np.int64],
        pu: NDArray[np.float64],
        hit: NDArray[np.bool_],
    ) -> None:
        far = np.nanmax(np.abs(pu - 1.0), axis=0)
        for i in np.flatnonzero(hit).tolist():
            device, time_us = int(at[i]), int(times[i])
            if time_us - int(self._last_hit[device]) > REARM_US:
                self._raised.append((time_us, device, float(far[i])))
            self._last_hit[device] = max(time_us, int(self._last_hit[device]))

    def tickets(self) -> list[AlertLine]:
        """What was raised, in order of time."""
        out = []
        for time_us, device, far in sorted(self._raised):
            name = self._names[device]
            point = self._points[name]
            kind, asset = ("usage_point", point) if point else ("device", name)
            out.append(
                AlertLine(
                    f"threshold-{name}-{time_us}",
                    ANY_FAULT,
                    kind,
                    asset,
                    "P3",
                    time_us,
                    time_us,
                    None,
                    far,
                )
            )
        return out
