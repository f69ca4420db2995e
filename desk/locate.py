"""An incident as the operator sees it: what speaks for it, where else it may be, who disagrees.

Gathers the signs around an incident (readings, last gasps, calls, answers to read-now requests),
asks `alerts.locating` and lets a person say where it is. A person's word keeps the ticket's number
and is not moved again by the machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

from alerts.errors import Conflict, MissingDetail, NotFound, WrongRole
from alerts.incidents import Standing
from alerts.ledger import Ledger, Reading, Transaction
from alerts.locating import Candidate, Located, Locator, Says, Sign, Suspect
from alerts.opening import facts_for, incident_data, merged_by_hand, ticket_data
from alerts.places import Asset, Places, places_of
from alerts.roles import Actor, Role, may_see
from alerts.settings import HOUR_US, MINUTE_US, DeskSettings
from alerts.storm import storm
from desk.answer import NoReadings, SupplyEvidence
from desk.strays import Told, strays
from grid.clock import Clock
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert, Incident
from storage.desk_records import HumanInput, LastSeen, Move, Step
from storage.desk_text import plain

# Meters begin to fall silent a little before the alert that is made of them.
BEFORE_US: Final = 10 * MINUTE_US
CALLS_US: Final = 2 * HOUR_US
PING_US: Final = 30 * MINUTE_US
SLOW_S: Final = 14_400.0
DEVICES_MAX: Final = 20_000
_ROLES: Final[tuple[Role, ...]] = ("operator", "dispatcher", "engineer", "supervisor", "admin")


class UnknownIncident(NotFound):
    """No incident bears that id."""

    def __init__(self, key: object) -> None:
        super().__init__("incident", "故障事件", key)


@dataclass(frozen=True, slots=True)
class Picture:
    """What speaks for an incident.

    candidates : places with their odds, the likeliest first; suspects : meters that disagree
    signs : how many of each kind there are around it; silent : meters to ask, not heard since,
        one of each branch first
    closed : sections whose switch telemetry shows closed, so that they are not at fault
    """

    incident: Incident
    candidates: tuple[Candidate, ...]
    suspects: tuple[Suspect, ...]
    faults: tuple[Asset, ...]
    signs: Mapping[Says, int]
    silent: tuple[str, ...]
    closed: tuple[Asset, ...] = ()


class LocateDesk:
    """The inference around the incidents of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        supply: SupplyEvidence | None = None,
        *,
        places: Places | None = None,
        settings: DeskSettings | None = None,
    ) -> None:
        self.ledger, self.network, self.clock = ledger, network, clock
        self.supply = supply or NoReadings()
        self.places = places or places_of(network)
        self.settings = settings or DeskSettings()
        self._locator: Locator | None = None
        self._lock = Lock()
        self._sections = _switched(network)

    def picture(self, incident_id: int, role: Role) -> Picture:
        """The signs and alternatives of an incident of lost supply; of other classes, which are
        where their evidence is, only the incident itself.

        Once supply is back, what was told in the middle of the outage counts, and nobody is asked
        any more; of a closed incident there are only the suspects: their records are to be mended.
        """
        with self.ledger.reading() as reading:
            incident = self._incident(reading, incident_id, role)
            if incident.incident_class != "supply":
                return Picture(incident, (), (), (), {}, ())
            then_us = _middle(incident, reading.alerts_of([incident.id]).get(incident.id, ()))
            supply: Told = self.supply if then_us is None else _Then(self.supply, then_us)
            around = self._around(incident)
            signs = self._signs(reading, incident, around, supply, then_us)
            elsewhere = strays(reading, supply, self.places, incident, signs)
            if incident.closed_us is not None:
                return self._afterwards(incident, signs, elsewhere)
            stormy = storm(reading, self.clock.now_us(), self.settings)
        opened, closed = self._switches(incident, around)
        signs += opened
        located = self._locate(signs, incident, closed)
        count: dict[Says, int] = {}
        for s in signs:
            count[s.says] = count.get(s.says, 0) + 1
        quiet = dict.fromkeys((s.who, s.node) for s in signs if s.says in ("silent", "gasp"))
        silent = self._to_ask(quiet, stormy) if then_us is None else ()
        return Picture(
            incident,
            located.candidates,
            (*elsewhere, *located.suspects),
            located.faults,
            count,
            silent,
            tuple(self.network.asset_of(node) for node in closed),
        )

    def _afterwards(
        self, incident: Incident, signs: list[Sign], elsewhere: tuple[Suspect, ...]
    ) -> Picture:
        found = self._locate(signs, incident, []).suspects
        return Picture(incident, (), (*elsewhere, *found), (), {}, ())

    def _to_ask(self, quiet: Iterable[tuple[str, int]], stormy: bool) -> tuple[str, ...]:
        """Meters worth asking, one of each branch first: they speak for the others (bellwethers).
        In a storm, when everybody asks, only they."""
        turns: dict[int, int] = {}
        asked: list[tuple[int, int, str]] = []
        for who, node in quiet:
            branch = int(self.network.tree.parent[node])
            turns[branch] = turn = turns.get(branch, -1) + 1
            asked.append((turn, len(asked), who))
        return tuple(who for turn, _, who in sorted(asked) if turn == 0 or not stormy)

    def place(
        self, incident_id: int, asset: Asset, actor: Actor, reason: str, version: int | None = None
    ) -> Incident:
        """A person says where it is: the incident is confirmed there, its ticket goes along.

        Conflict where another open incident of the class stands already, or when `version` is
        given and somebody was faster.
        """
        if actor.role not in _ROLES:
            raise WrongRole("locate", "locate an incident", "定位故障", actor.role, _ROLES)
        reason = plain(reason)
        if not reason:
            raise MissingDetail("reason", "Say why it is there.", "请填写定位依据。")
        if self.network.node(*asset) is None:
            raise MissingDetail(
                "asset",
                f"There is no {asset[0]} '{asset[1]}' in the network.",
                f"台账中没有{asset[1]}。",
            )
        now_us = self.clock.now_us()
        with self.ledger.transaction() as tx:
            incident = self._incident(tx, incident_id, actor.role)
            if incident.closed_us is not None or version not in (None, incident.version):
                raise Conflict(
                    "The incident has changed or ended meanwhile; look at it again.",
                    "该故障事件已变化或结束，请刷新。",
                )
            there = tx.incidents(assets=[asset], incident_class=incident.incident_class)
            if any(i.id != incident.id for i in there):
                raise Conflict(
                    f"Another incident is open at {asset[1]}; merge the tickets instead.",
                    f"{asset[1]}已有未结束的故障事件，请改为并单。",
                    tx.open_tickets([there[0].id]).get(there[0].id),
                )
            return self._placed(tx, incident, asset, actor, reason, now_us)

    def _placed(
        self,
        tx: Transaction,
        incident: Incident,
        asset: Asset,
        actor: Actor,
        reason: str,
        now_us: int,
    ) -> Incident:
        moved = (incident.asset_kind, incident.asset) != asset
        made = replace(
            incident,
            asset_kind=asset[0],
            asset=asset[1],
            stage="confirmed",
            customers=len(self.places.customers(asset)),
            located_by=actor.name,
            version=incident.version + 1,
        )
        tx.put_incident(made)
        if moved:
            old = (incident.asset_kind, incident.asset)
            tx.add_move(Move(incident.id, now_us, *old, *asset, reason))
        given = {"asset_kind": asset[0], "asset": asset[1], "reason": reason}
        subject = f"incident:{incident.id}"
        tx.add_human_input(HumanInput("locate", subject, actor.name, now_us, given))
        tx.publish("incident", str(made.id), now_us, incident_data(made, "moved"))
        ticket = tx.open_tickets([incident.id]).get(incident.id)
        if ticket is not None:
            alerts = tx.alerts_of([incident.id]).get(incident.id, ())
            merged = merged_by_hand(tx, ticket.id)
            standing = Standing.with_merged(made, alerts, ticket, merged, self.places)
            facts = facts_for(tx, ticket, standing, self.places, self.settings)
            step = Step(
                ticket.id,
                0,
                "moved" if moved else "confirmed",
                ticket.state,
                ticket.state,
                actor.name,
                actor.role,
                now_us,
                reason,
                given,
            )
            changed = tx.change_ticket(replace(ticket, **facts), ticket.version, step)
            assert changed is not None, "the writers' lock is ours"
            tx.publish("ticket", str(changed.id), now_us, ticket_data(changed, step.action))
        return made

    # -- signs -----------------------------------------------------------------------------

    def _incident(self, reading: Reading, incident_id: int, role: Role) -> Incident:
        incident = reading.incident(incident_id)
        if incident is None or not may_see(FAULTS[incident.fault].work, role):
            raise UnknownIncident(incident_id)
        return incident

    def _around(self, incident: Incident) -> Asset:
        """Where signs are looked for: two steps up from the incident, at most a feeder."""
        line = self.places.lineage((incident.asset_kind, incident.asset))
        return line[min(2, len(line) - 1)]

    def _signs(
        self,
        reading: Reading,
        incident: Incident,
        around: Asset,
        supply: Told,
        then_us: int | None,
    ) -> list[Sign]:
        now_us = self.clock.now_us() if then_us is None else then_us
        since_us = incident.opened_us - BEFORE_US
        meters = self.places.devices_within(around)[:DEVICES_MAX]
        seen = supply.last_seen([d.id for d in meters if d.kind == "meter"])
        signs, alive = [], set()
        for d in meters:
            node = self.network.node("device", d.id)
            if node is None:
                continue
            for said in _said(seen.get(d.id), d.interval_s, d.delivery_s, since_us, now_us):
                last = seen.get(d.id)
                at_us = last.lost_us if last is not None and said == "gasp" else None
                signs.append(Sign(node, said, d.id, at_us))
                if said == "alive":
                    alive.add(node)
        if then_us is None:
            signs += self._pings(reading, around, now_us, alive)
        return signs + self._calls(reading, incident, around, alive)

    def _switches(self, incident: Incident, around: Asset) -> tuple[list[Sign], list[int]]:
        """Switches that have opened with the outage, and the nodes of those that are closed."""
        here = {
            device: section
            for device, section in self._sections.items()
            if self.places.covers(around, section) or self.places.covers(section, around)
        }
        opened, closed = [], []
        for device, state in sorted(self.supply.switches(sorted(here)).items()):
            node = self.network.node(*here[device])
            assert node is not None, "the section is in the network"
            if state.closed and state.heard:
                closed.append(node)
            elif not state.closed and state.at_us >= incident.opened_us - BEFORE_US:
                opened.append(Sign(node, "opened", device, state.at_us))
        return opened, sorted(set(closed) - {s.node for s in opened})

    def _pings(self, reading: Reading, around: Asset, now_us: int, alive: set[int]) -> list[Sign]:
        newest: dict[str, HumanInput] = {}
        for row in reading.human_inputs(kinds=("read_now",), limit=2_000):
            if row.at_us >= now_us - PING_US:
                newest.update(dict.fromkeys(row.data.get("answers", {}), row))
        out = []
        for device, row in newest.items():
            node = self.network.node("device", device)
            if node is None or not self.places.covers(around, ("device", device)):
                continue
            answered = bool(row.data["answers"][device])
            out.append(Sign(node, "answers" if answered else "dead", device))
            if answered:
                alive.add(node)
        return out

    def _calls(
        self, reading: Reading, incident: Incident, around: Asset, alive: set[int]
    ) -> list[Sign]:
        """One sign for each account that reported a fault; a caller whose own meter lives speaks
        of the home, not of the grid."""
        start_us = incident.opened_us
        found: dict[str, int] = {}
        for c in reading.contacts(limit=2_000):
            near = start_us - CALLS_US <= c.time_us
            if c.kind != "fault" or not near or not c.account or c.account in found:
                continue
            points = self.network.usage_points_of_account.get(c.account, ())
            for p in points:
                node = self.network.node("usage_point", p.id)
                here = ("usage_point", p.id)
                if node is not None and node not in alive and self.places.covers(around, here):
                    found[c.account] = node
        return [Sign(node, "call", account) for account, node in found.items()]

    def _locate(self, signs: list[Sign], incident: Incident, closed: list[int]) -> Located:
        near = self.network.node(incident.asset_kind, incident.asset)
        with self._lock:
            if self._locator is None:
                self._locator = Locator(self.network)
        return self._locator.locate(signs, near, closed)


class _Then:
    """What devices had told by a time of the past."""

    def __init__(self, supply: SupplyEvidence, at_us: int) -> None:
        self._supply, self._at_us = supply, at_us

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        return self._supply.last_seen_at(devices, self._at_us)


def _middle(incident: Incident, alerts: Sequence[Alert]) -> int | None:
    """The middle of an outage that has ended: supply was surely away, and meters that had it had
    reported. None while it goes on."""
    ends = [a.cleared_us for a in alerts if a.fault == "outage"]
    if incident.closed_us is None and (not ends or None in ends):
        return None
    known = [e for e in ends if e is not None]
    end_us = max(known) if known else incident.closed_us
    return None if end_us is None else (incident.opened_us + end_us) // 2


def _switched(network: Network) -> dict[str, Asset]:
    """The section behind each switch that is a device."""
    found: dict[str, Asset] = {}
    for d in network.devices:
        if d.kind == "switch" and d.section:
            found[d.id] = ("section", d.section)
    for s in network.sections:
        if s.switch in network.device_index:
            found[str(s.switch)] = ("section", s.id)
    return found


def _said(
    last: LastSeen | None,
    interval_s: float | None,
    delivery_s: float | None,
    since_us: int,
    now_us: int,
) -> tuple[Says, ...]:
    """What a meter says of supply since `since_us`; nothing where it has said nothing yet."""
    if last is None:
        return ()
    alive_us = max((t for t in (last.read_us, last.back_us) if t is not None), default=0)
    gasped = last.lost_us is not None and last.lost_us >= max(since_us, alive_us)
    if alive_us >= since_us + BEFORE_US and not gasped:
        return ("alive",)
    wait_s = max(interval_s or 900.0, delivery_s or 0.0)
    quiet_since_us = max(alive_us, last.lost_us or 0) if gasped else alive_us
    silent = wait_s < SLOW_S and now_us - quiet_since_us > 2 * wait_s * 1e6
    return (*(("gasp",) if gasped else ()), *(("silent",) if silent else ()))
