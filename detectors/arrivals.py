"""How late the readings of each area usually come, where its records do not say.

Stamps at the begin of an interval, a mesh of radios or a nightly export make readings come long
after the newest of others; a frame that closed before them would hold nothing, and healthy areas
would seem silent. Receives the first readings in order of arrival; hands on the network with the
delays in place of what `delivery_s` left open. Knows nothing of files or clocks.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.frames import NEVER
from detectors.layout import SECOND, fleet_layout
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch

LEAST_READINGS: Final = 8  # of a device before its delay is known
USUAL: Final = 0.95  # share of a device's readings that shall be waited for
PROMPT_S: Final = 3600.0  # stragglers beyond are given up, unless most readings come so late
FEW: Final = 0.05  # share of an area's devices that are not waited for longer than that
LONGEST_S: Final = 2 * 86400.0
AHEAD_US: Final = 3600 * SECOND  # a clock that runs so far ahead of arrival moves nothing


class Arrivals:
    """Collects by how much each reading missed the close of its frame."""

    def __init__(self, network: Network, settings: DetectorSettings) -> None:
        n = len(network.devices)
        self._network = network
        self._lateness_us = round(settings.lateness_s * 1e6)
        self._index = network.device_index
        self._step = np.ones(n, np.int64)
        self._delay = np.zeros(n, np.int64)
        fleet = fleet_layout(network, settings)
        self._judged = fleet.group >= 0
        for g in fleet.groups:
            self._step[g.device] = g.step_us
            self._delay[g.device] = g.delay_us
        self._newest = NEVER
        self._device: list[NDArray[np.intp]] = []
        self._missed: list[NDArray[np.int64]] = []

    def add(self, batch: ReadingBatch) -> None:
        """Take readings and events, in the order in which they came."""
        look = np.array([self._index.get(name, -1) for name in batch.names], np.intp)
        sound = batch.time <= batch.received + AHEAD_US
        newest = np.maximum.accumulate(np.where(sound, batch.time, NEVER))
        newest = np.maximum(newest, self._newest)
        self._newest = int(newest[-1]) if newest.size else self._newest
        device = look[batch.device]
        mine = (device >= 0) & (batch.event == 0)
        device = device[mine]
        step = self._step[device]
        tick = (batch.time[mine] + step // 2) // step * step
        closes = tick + step // 2 + self._delay[device] + self._lateness_us
        self._device.append(device)
        self._missed.append(newest[mine] - closes)

    def network(self) -> Network:
        """The network, with `delivery_s` of the areas whose readings come later than it says."""
        if not self._device:
            return self._network
        needed = self._needed_us()
        area = self._network.device_transformer
        devices = list(self._network.devices)
        for k in np.unique(area[(needed > 0) & self._judged]).tolist():
            inside = np.flatnonzero((area == k) & self._judged)
            most = int(np.sort(needed[inside])[::-1][int(FEW * inside.size)])
            prompt = needed[inside][needed[inside] <= PROMPT_S * 1e6]
            most = max(most, int(prompt.max(initial=0)))
            if most <= 0:
                continue
            step = int(self._step[inside[0]])
            wait_s = (int(self._delay[inside[0]]) + -(-most // step) * step) / 1e6
            for i in inside.tolist():
                devices[i] = replace(devices[i], delivery_s=wait_s)
        return replace(self._network, devices=tuple(devices))

    def _needed_us(self) -> NDArray[np.int64]:
        """int64[n_devices]: how much longer each device's readings are to be waited for."""
        device, missed = np.concatenate(self._device), np.concatenate(self._missed)
        needed = np.zeros(len(self._network.devices), np.int64)
        order = np.lexsort((missed, device))
        first = np.searchsorted(device[order], np.arange(needed.size + 1))
        for d in np.unique(device[missed > 0]).tolist():
            own = missed[order[first[d] : first[d + 1]]]
            if own.size < LEAST_READINGS:
                continue
            usual = own[int(USUAL * (own.size - 1))]
            habit = own[own.size // 2] > 0
            if 0 < usual <= (LONGEST_S if habit else PROMPT_S) * 1e6:
                needed[d] = usual
        return needed
