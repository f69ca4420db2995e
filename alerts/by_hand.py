"""A ticket made by a person for what the machine only watches.

The watch list, and what announced work explains, opens no ticket by itself; whoever is on duty may
see more than the machine and open one with a key. It belongs to the incident like any other.
"""

from dataclasses import replace

from alerts.errors import Conflict, MissingDetail, UnknownAlert, WrongRole
from alerts.incidents import Standing, primary
from alerts.ledger import Ledger
from alerts.opening import incident_data, open_ticket
from alerts.places import Places, places_of
from alerts.reconcile import publish_alert
from alerts.roles import Actor, Role, may_see
from alerts.settings import DeskSettings
from grid.clock import Clock
from grid.network import Network
from grid.records import Ticket
from storage.desk_records import HumanInput
from storage.desk_text import plain

_ROLES: tuple[Role, ...] = ("operator", "dispatcher", "supervisor", "engineer", "admin")


class TicketByHand:
    """Opens tickets for alerts of one ledger that have none."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        *,
        places: Places | None = None,
        settings: DeskSettings | None = None,
    ) -> None:
        self.ledger, self.clock = ledger, clock
        self.places = places or places_of(network)
        self.settings = settings or DeskSettings()

    def open(self, alert_id: str, actor: Actor, reason: str = "") -> Ticket:
        """The ticket of the alert's cause: the open one if there is one, else a new one.

        Raises Conflict with the old ticket when the alert has had one that is closed: reopen it.
        """
        if actor.role not in _ROLES:
            raise WrongRole("open_ticket", "open a ticket", "生成工单", actor.role, _ROLES)
        now_us = self.clock.now_us()
        with self.ledger.transaction() as tx:
            alert = tx.alert(alert_id)
            if alert is None or not may_see(alert.work, actor.role):
                raise UnknownAlert(alert_id)
            incident = tx.incident(alert.incident_id) if alert.incident_id is not None else None
            if incident is None or incident.closed_us is not None:
                raise MissingDetail(
                    "alert",
                    "The alert has ended; there is nothing to repair.",
                    "该告警已结束，无需生成工单。",
                )
            held = tx.open_tickets([incident.id]).get(incident.id)
            if held is not None:
                return held
            alerts = tx.alerts_of([incident.id]).get(incident.id, ())
            standing = Standing(incident, tuple(alerts))
            before = tx.tickets_of_episodes([a.id for a in alerts])
            main = primary(standing.own, standing.asset) or alert
            closed = before.get(main.id)
            if closed is not None:
                raise Conflict(
                    f"It has had the ticket {closed.number}; reopen that one.",
                    f"该告警已有工单{closed.number}，请重新打开该工单。",
                    closed,
                )
            made = open_ticket(
                tx, standing, self.places, self.settings, episode=main.id, actor=actor
            )
            assert made is not None, "its episode has no ticket and the writers' lock is ours"
            marked = replace(main, ticket=True, version=main.version + 1)
            tx.put_alert(marked)
            given = {"ticket": made.number, "reason": plain(reason)}
            tx.add_human_input(
                HumanInput("open_ticket", f"alert:{alert_id}", actor.name, now_us, given)
            )
            publish_alert(tx, marked)
            tx.publish("incident", str(incident.id), now_us, incident_data(incident, "changed"))
            return made
