"""Every page stands on the least that is legal: names left out, nothing measured yet, reasons
without figures. A page that asks for what need not be there fails here, not on somebody's night.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from grid.faults import FAULTS
from grid.network import Customer, Device, Network, Transformer, UsagePoint
from grid.records import AlertEvent, Contact, Evidence
from storage.desk_records import LastSeen
from storage.fleet import FleetHealth, Gap, QuarantineRow, Silent
from storage.series import Series
from tests.unit.web.visitor import HOST, Visitor
from tests.unit.web.world import NOW, FakeSupply, World, raised
from web import policy
from web.app import create_app

NOTHING = Evidence("", "")
BARE = Network(
    transformers=(Transformer("T1"),),
    usage_points=(UsagePoint("U1", "T1", account="1"), UsagePoint("U2")),
    devices=(Device("M1", usage_point="U1"), Device("M2"), Device("D3", "transformer_monitor")),
    customers=(Customer("1"),),
)
# For what stands in braces in an address; where several are given, each is looked at.
PLACES: dict[str, Sequence[str]] = {
    "ticket_id": ("1", "2"),
    "device": ("M1", "M2", "D3"),
    "incident_id": ("1",),
    "account": ("1", "2"),
    "language": ("en", "zh-CN"),
    "part": ("times", "breaches", "detectors", "causes"),
    "name": ("bar",),
    "draft_id": ("1",),
}
# The report's picture, the replay and sign-in elsewhere have tests of their own.
NOT_PAGES = re.compile("/stream|/static/|/signin/oidc|/engineer/replay|/readyz|.*/report[.]")


class Silence:
    """Readings of a site whose meters have never said anything."""

    def series(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int, max_points: int
    ) -> Series:
        return Series(np.empty(0, np.int64), 0.0, {})

    def health(self) -> FleetHealth:
        return FleetHealth(3, 0, None, None, None)

    def silent(self) -> Sequence[Silent]:
        return [Silent("M1", None, 900.0), Silent("gone", NOW, 900.0)]

    def last_seen(self, device: str) -> int | None:
        return None

    def gaps(self, limit: int) -> Sequence[Gap]:
        return [Gap(1, "gone", NOW, NOW, "silence", 0, 0, NOW, None)]

    def refused(self, limit: int) -> Sequence[QuarantineRow]:
        return [QuarantineRow(1, "", "mqtt", "", None, b"\xff\x00", NOW, 1)]

    def positions(self) -> dict[str, object]:
        return {}

    def well(self) -> bool:
        return True


class Unseen(FakeSupply):
    """Meters of which nothing was ever heard."""

    def last_seen(self, devices: Sequence[str]) -> dict[str, LastSeen]:
        return {}


def bare(*events: AlertEvent) -> World:
    """A site of which next to nothing is known."""
    world = World(told=False, photos=None, configuration=lambda: (), site_name="")
    world.network = BARE
    world.readings = Silence()  # type: ignore[assignment]
    world.supply = Unseen()
    for person in world.people.people:
        person.display_name = ""
        person.account = "1" if person.role == "customer" else None
    world.happen(*events)
    return world


def without_figures(faults: Iterable[str]) -> list[AlertEvent]:
    """An alert of each of these kinds, some of them at nothing the network has."""
    found = []
    for n, fault in enumerate(faults):
        kind, asset = (("transformer", "T1"), ("device", "gone"), ("usage_point", "U2"))[n % 3]
        found.append(raised(fault, kind, asset, NOW - n, NOTHING))
    return found


def addresses(role: str, world: World) -> Iterator[str]:
    """Every address the table opens to a role, its places filled in."""
    with world.ledger.reading() as r:
        alerts = [a.id for a in r.alerts()]
    places = {**PLACES, "alert_id": alerts, "token": ("link-c-1", "none"), "digest": ("0" * 64,)}
    for (method, path), right in policy.POLICY.items():
        if method != "GET" or not policy.may(role, right) or NOT_PAGES.match(path):
            continue
        names = re.findall(r"{(\w+)}", path)
        for chosen in product(*(places.get(n, ("1",)) for n in names)):
            yield path.format(**dict(zip(names, chosen, strict=True)))


def failures(world: World, role: str, language: str) -> list[tuple[str, int | str, str]]:
    """Addresses that answer with a mistake of ours, or show our own markup as text."""
    app = create_app(world.settings)
    visitor = Visitor(app, base_url=HOST, headers={"accept-language": language})
    if role:
        visitor.get(f"/signin/link-{role}")
    found: list[tuple[str, int | str, str]] = []
    for path in addresses(role, world):
        answer = visitor.get(path, follow_redirects=False)
        if answer.status_code >= 500:
            found.append((path, answer.status_code, language))
        elif tag := re.search(r"&lt;(time|span|bdi|a)\b", answer.text):
            found.append((path, tag.group(), language))
    return found


@pytest.mark.parametrize("role", ["", *(r for r in policy.ROLES if r != "customer")])
def test_every_page_stands_on_nothing_and_on_alerts_without_figures(role: str) -> None:
    faults = list(FAULTS) if role == "operator" else ("outage", "neutral_loose", "meter_health")
    with_a_call = bare(*without_figures(faults))
    create_app(with_a_call.settings).state.site.counter.report(
        Contact("phone", "x", NOW, account="1")
    )

    found = failures(bare(), role, "en") + failures(with_a_call, role, "zh-CN")

    assert found == []


def test_an_empty_network_is_a_site_too() -> None:
    world = bare()
    world.network = replace(BARE, transformers=(), usage_points=(), devices=(), customers=())

    assert [failures(world, role, "en") for role in ("operator", "clerk", "engineer")] == [[]] * 3
