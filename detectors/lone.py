"""The services of a group, and which of them have no siblings to be compared with."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.layout import GroupLayout

COMPANY: Final = 3  # services on one phase of a branch that serve each other as reference


class Services(NamedTuple):
    """Phase slots of the meters of all transformers, in the order of the devices.

    device, slot, at : int32[m], int8[m], int8[m]  whose, which of its slots, and the network's
                       phase it hangs on (-1 until that is learned)
    lone : int32[m]    place among the lone ones, -1 for those with siblings on branch and phase
    """

    device: NDArray[np.int32]
    slot: NDArray[np.int8]
    at: NDArray[np.int8]
    lone: NDArray[np.int32]

    def keys(self, layout: GroupLayout) -> list[str]:
        """Whose state each service's is."""
        keys = layout.device_keys()
        pairs = zip(self.device.tolist(), self.slot.tolist(), strict=True)
        return [f"{keys[p]}\0{c}" for p, c in pairs]

    def lone_rows(self) -> NDArray[np.int32]:
        """Places of the lone ones among all."""
        return np.flatnonzero(self.lone >= 0).astype(np.int32)


def services(layout: GroupLayout) -> Services:
    """The services of a group's meters."""
    metered = (layout.run >= 0) & (layout.transformer[layout.area] >= 0)
    width = np.where(layout.phase == 3, 3, 1) * metered
    device = np.repeat(np.arange(layout.size, dtype=np.int32), width)
    slot = (np.arange(device.size) - np.repeat(np.cumsum(width) - width, width)).astype(np.int8)
    at = np.where(layout.phase[device] == 3, slot, layout.phase[device]).astype(np.int8)
    run = layout.run[device]
    channel = np.where(at >= 0, 3 * run + at, -1)
    _, group, size = np.unique(channel, return_inverse=True, return_counts=True)
    alone = (at < 0) | (size[group] < COMPANY)
    alone |= layout.run_node[run] < 0
    alone &= layout.monitor[layout.area[device]] >= 0
    return Services(device, slot, at, np.where(alone, np.cumsum(alone) - 1, -1).astype(np.int32))
