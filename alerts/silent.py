"""Silence of data is a condition of its own: an alert whose devices say nothing is not well again.

A condition that can no longer be observed is neither active for sure nor cleared: it is `no_data`
until one of its devices is heard again or the detector ends it. Loss of supply and of communication
are what silence means, so they stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from alerts.incidents import class_of
from alerts.ledger import Ledger
from alerts.reconcile import publish_alert
from alerts.settings import HOUR_US
from grid.network import Network
from grid.records import Alert

SILENT_US: Final = 2 * HOUR_US  # and two intervals of the slowest of its devices
_SILENCE_ITSELF: Final = ("supply", "comms")
AT_ONCE: Final = 5_000


class Heard(Protocol):
    """When devices were last heard; `storage.desk_supply.Supply` in production."""

    def heard(self, devices: Sequence[str]) -> Mapping[str, int]:
        """Newest reading of each, microseconds UTC; devices never heard of are absent."""


def mark_silent(ledger: Ledger, network: Network, heard: Heard, now_us: int) -> int:
    """Bring the condition of open alerts in step with whether their devices speak; how many
    changed."""
    with ledger.reading() as reading:
        found = reading.alerts(open_only=True, limit=AT_ONCE)
    asked = [
        a
        for a in found
        if a.condition in ("active", "no_data") and a.devices and class_of(a) not in _SILENCE_ITSELF
    ]
    if not asked:
        return 0
    last = heard.heard(sorted({d for a in asked for d in a.devices}))
    wrong = [a for a in asked if _silent(a, network, last, now_us) != (a.condition == "no_data")]
    if not wrong:
        return 0
    changed = 0
    with ledger.transaction() as tx:
        for alert in tx.alerts_by_id([a.id for a in wrong]).values():
            if alert.condition not in ("active", "no_data"):
                continue
            silent = _silent(alert, network, last, now_us)
            made = replace(
                alert,
                condition="no_data" if silent else "active",
                version=alert.version + 1,
            )
            if made.condition != alert.condition:
                tx.put_alert(made)
                publish_alert(tx, made)
                changed += 1
    return changed


def _silent(alert: Alert, network: Network, last: Mapping[str, int], now_us: int) -> bool:
    """Whether none of its devices has been heard for long; unknown devices say nothing."""
    index = network.device_index
    newest, wait_us = 0, SILENT_US
    for name in alert.devices:
        if name in index:
            device = network.devices[index[name]]
            every_s = max(device.interval_s or 900.0, device.delivery_s or 0.0)
            wait_us = max(wait_us, int(2 * every_s * 1e6))
        newest = max(newest, last.get(name, 0))
    # What was never stored (the alert came before the historian) is not silence yet.
    return newest > 0 and now_us - max(newest, alert.known_us) > wait_us
