"""One box for everything a caller can name: account, phone, name, address, meter, ticket number.

The index is made of the network in memory: sorted keys for exact parts, an index of two-character
pieces for Chinese names and addresses (words are not separated, and two characters are what a
clerk types). A site's own customers fit; `storage` offers the same search for millions.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from grid.network import Customer, Network

By = Literal["account", "name", "phone", "address", "meter", "ticket"]
PHONE_TAIL_MIN: Final = 4
FEW: Final = 500  # so many candidates are faster read than narrowed down further
_BEST: Final[dict[By, float]] = {
    "ticket": 100,
    "account": 90,
    "meter": 80,
    "phone": 70,
    "name": 60,
    "address": 50,
}


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer of the search box; `score` ranks, larger is better."""

    kind: Literal["customer", "ticket"]
    by: By
    account: str | None = None
    ticket_id: int | None = None
    number: str | None = None
    customer: Customer | None = None
    score: float = 0.0


def digits(text: str) -> str:
    """Only the digits: phones are typed with spaces, dashes and +86."""
    return "".join(c for c in text if c.isdigit())


def pieces(text: str) -> Iterator[str]:
    """The two-character pieces of a text, spaces left out.

    >>> list(pieces("中山 路"))
    ['中山', '山路']
    """
    packed = _packed(text)
    return (packed[i : i + 2] for i in range(len(packed) - 1))


class CustomerIndex:
    """Search over the customers of one network; built at first use."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._customers = network.customers

    @cached_property
    def _by_account(self) -> dict[str, int]:
        return {c.account.lower(): i for i, c in enumerate(self._customers)}

    @cached_property
    def _phones(self) -> list[tuple[str, int]]:
        """Reversed digits, sorted: a tail is a prefix of them."""
        found = ((digits(c.phone)[::-1], i) for i, c in enumerate(self._customers))
        return sorted((p, i) for p, i in found if p)

    @cached_property
    def _meters(self) -> dict[str, str]:
        """Meter id and its other systems' ids to the account."""
        account = {u.id: u.account for u in self._network.usage_points}
        out = {
            d.id.lower(): owner
            for d in self._network.devices
            if d.usage_point and (owner := account.get(d.usage_point))
        }
        for alias in self._network.aliases:
            owner = out.get(alias.id.lower()) if alias.kind in ("device", "meter") else None
            if owner:
                out.setdefault(alias.external_id.lower(), owner)
        return out

    @cached_property
    def _by_name(self) -> dict[str, array[int]]:
        out: dict[str, array[int]] = defaultdict(lambda: array("I"))
        for i, c in enumerate(self._customers):
            out[_packed(c.name)].append(i)
        return dict(out)

    @cached_property
    def _pieces(self) -> dict[str, array[int]]:
        out: dict[str, array[int]] = defaultdict(lambda: array("I"))
        for i, c in enumerate(self._customers):
            for piece in {*pieces(c.name), *pieces(c.address)}:
                out[piece].append(i)
        return dict(out)

    def warm(self) -> None:
        """Build everything now: the first caller of the day should not wait for it."""
        self.find("0000")
        self.find("__")

    def find(self, text: str, limit: int = 20) -> list[Hit]:
        """Customers for what was typed, best first."""
        wanted = text.strip()
        if not wanted:
            return []
        found: dict[str, Hit] = {}
        for by, index in self._candidates(wanted, limit):
            c = self._customers[index]
            score = _BEST[by] + (5 if wanted in (c.name, c.address, c.account) else 0)
            if c.account not in found or found[c.account].score < score:
                found[c.account] = Hit("customer", by, c.account, customer=c, score=score)
        ranked = sorted(found.values(), key=lambda h: (-h.score, h.account or ""))
        return ranked[:limit]

    def _candidates(self, wanted: str, limit: int) -> Iterator[tuple[By, int]]:
        low = wanted.lower()
        by_account = self._by_account
        if low in by_account:
            yield "account", by_account[low]
        owner = self._meters.get(low)
        if owner is not None and owner.lower() in by_account:
            yield "meter", by_account[owner.lower()]
        number = digits(wanted)
        if len(number) >= PHONE_TAIL_MIN and len(number) >= len("".join(wanted.split())) - 3:
            yield from (("phone", i) for i in self._phone_tail(number, limit))
        if not low.isdigit():  # a number alone is an account, a meter or a phone, no address
            yield from self._text(low, limit)

    def _phone_tail(self, number: str, limit: int) -> Iterable[int]:
        if len(number) > 11:  # 86 for the country, 0 before a mobile number from elsewhere
            number = number.removeprefix("86").lstrip("0")
        tail = number[::-1]
        phones = self._phones
        at = bisect_left(phones, (tail, 0))
        end = min(at + limit, len(phones))
        return [i for p, i in phones[at:end] if p.startswith(tail)]

    def _text(self, low: str, limit: int) -> Iterator[tuple[By, int]]:
        packed = _packed(low)
        yield from (("name", i) for i in self._by_name.get(packed, ())[:limit])
        lists = [self._pieces.get(p) for p in set(pieces(packed))]
        if not lists or any(one is None for one in lists):
            return
        # Pieces narrow the candidates down; whether the whole text is there, the text says.
        ordered = sorted((one for one in lists if one is not None), key=len)
        left = np.frombuffer(ordered[0], np.uint32)
        for other in ordered[1:]:
            if left.size <= FEW:
                break
            all_of = np.frombuffer(other, np.uint32)
            found = np.searchsorted(all_of, left)
            found[found == all_of.size] = 0
            left = left[all_of[found] == left]
        given = 0
        for i in left.tolist():
            c = self._customers[i]
            if packed in _packed(c.name):
                yield "name", i
            elif packed in _packed(c.address):
                yield "address", i
            else:
                continue
            given += 1
            if given >= 5 * limit:
                return


def _packed(text: str) -> str:
    return "".join(text.lower().split())
