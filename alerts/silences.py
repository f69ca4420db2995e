"""Silences and announced work entered by people: an owner, a reason and an end, always.

A silence tells nobody; the alert is stored, counted and shown all the same, and a ticket is opened
all the same. Announced work keeps tickets from being opened; what outlasts it is raised by
`alerts.settle` with its reason.
"""

from dataclasses import replace
from typing import Final, Literal

from alerts.errors import MissingDetail, NotFound, WrongRole
from alerts.ledger import Ledger
from alerts.places import Asset, Places, places_of
from alerts.reconcile import publish_alert
from alerts.roles import Actor, Role
from alerts.settings import AHEAD_MAX_US, DAY_US
from grid.clock import Clock
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert
from storage.desk_records import HumanInput, Mute, Silence
from storage.desk_text import plain

DAYS_MAX: Final = {"silence": 7, "maintenance": 60}
_ROLES: Final[tuple[Role, ...]] = ("operator", "dispatcher", "engineer", "admin", "supervisor")


class UnknownSilence(NotFound):
    """No silence bears that id."""

    def __init__(self, key: object) -> None:
        super().__init__("silence", "静默", key)


def silenced(alert: Alert, silence: Silence, places: Places) -> bool:
    """Whether a silence speaks of this alert (its time is the caller's to check)."""
    if silence.fault is not None and silence.fault != alert.fault:
        return False
    return places.covers((silence.asset_kind, silence.asset), (alert.asset_kind, alert.asset))


def mute_of(alert_id: str, silence: Silence) -> Mute:
    """What a silence does to an alert."""
    s = silence
    return Mute(alert_id, s.kind, s.ref, s.start_us, s.end_us, f"{s.owner}: {s.reason}")


class SilenceDesk:
    """The silences and announced work of one ledger."""

    def __init__(self, ledger: Ledger, network: Network, clock: Clock) -> None:
        self.ledger, self.network, self.clock = ledger, network, clock

    def add(
        self,
        kind: Literal["silence", "maintenance"],
        asset: Asset,
        end_us: int,
        reason: str,
        actor: Actor,
        *,
        fault: str | None = None,
        start_us: int | None = None,
    ) -> Silence:
        """Silence or announce everything below an asset until `end_us`.

        Alerts that are open now are muted as well. MissingDetail names what is wrong: an unknown
        asset or fault, no reason, an end that is missing, past or too far away.
        """
        if actor.role not in _ROLES:
            raise WrongRole("silence", "silence", "静默", actor.role, _ROLES)
        now_us = self.clock.now_us()
        start_us = now_us if start_us is None else start_us
        reason = plain(reason)
        self._check(kind, asset, fault, start_us, end_us, reason, now_us)
        places = places_of(self.network)
        with self.ledger.transaction() as tx:
            made = tx.add_silence(
                Silence(kind, asset[0], asset[1], actor.name, reason, start_us, end_us, fault)
            )
            given = {"id": made.id, "end_us": end_us, "reason": made.reason, "fault": fault}
            subject = f"{asset[0]}:{asset[1]}"
            tx.add_human_input(HumanInput(kind, subject, actor.name, now_us, given))
            if start_us <= now_us:
                for alert in tx.alerts(open_only=True, limit=1_000_000):
                    if alert.condition != "cleared" and silenced(alert, made, places):
                        tx.put_mute(mute_of(alert.id, made))
                        publish_alert(tx, alert)
            return made

    def _check(
        self,
        kind: str,
        asset: Asset,
        fault: str | None,
        start_us: int,
        end_us: int,
        reason: str,
        now_us: int,
    ) -> None:
        if self.network.node(*asset) is None and asset[1] not in self.network.device_index:
            raise MissingDetail(
                "asset",
                f"There is no {asset[0]} '{asset[1]}' in the network; choose one that exists.",
                f"台账中没有{asset[1]}，请重新选择。",
            )
        if fault is not None and fault not in FAULTS:
            names = tuple(FAULTS)
            raise MissingDetail(
                "fault", f"There is no fault kind '{fault}'.", f"没有“{fault}”这类故障。", names
            )
        if not reason:
            raise MissingDetail("reason", "Say why.", "请填写原因。")
        if start_us > now_us + AHEAD_MAX_US:
            raise MissingDetail(
                "start_us",
                "Give a beginning within a year.",
                "开始时间应在一年之内。",
            )
        days = DAYS_MAX[kind]
        if end_us <= now_us or not start_us < end_us <= start_us + days * DAY_US:
            raise MissingDetail(
                "end_us",
                f"Give an end after now, at most {days} days from the beginning.",
                f"结束时间应晚于现在，且不超过开始后{days}天。",
            )

    def end(self, silence_id: int, actor: Actor) -> Silence:
        """End it now; what lasts is looked at again at the next round of `alerts.keeper`."""
        if actor.role not in _ROLES:
            raise WrongRole("silence", "end a silence", "结束静默", actor.role, _ROLES)
        now_us = self.clock.now_us()
        with self.ledger.transaction() as tx:
            found = tx.silence(silence_id)
            if found is None:
                raise UnknownSilence(silence_id)
            if found.end_us <= now_us:
                return found
            end_us = max(now_us, found.start_us)
            tx.end_silence(silence_id, end_us)
            subject = f"{found.asset_kind}:{found.asset}"
            given = {"id": silence_id}
            tx.add_human_input(HumanInput(f"end_{found.kind}", subject, actor.name, now_us, given))
            return replace(found, end_us=end_us)

    def active(self) -> list[Silence]:
        """What is silenced or announced now, the first to end first."""
        now_us = self.clock.now_us()
        with self.ledger.reading() as reading:
            return [s for s in reading.silences(now_us, now_us) if s.end_us > now_us]
