"""Incidents and tickets: one open incident of a class at an asset, one open ticket of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from grid.records import (
    Incident,
    Ticket,
    TicketState,
)
from storage import ledger_rows as rows
from storage.desk_records import Move, Step, Timer
from storage.desk_text import nameable
from storage.ledger_base import (
    Asset,
    TableView,
    add_ticket,
    split,
    ticket_list,
    update,
)


class TicketTables(TableView):
    """The questions and changes of `alerts.ledger.Transaction` about incidents and tickets."""

    def incident(self, incident_id: int) -> Incident | None:
        if not nameable(incident_id):
            return None
        found = self._all(self._select("incident", rows.INCIDENT), [self._key, incident_id])
        return Incident(**found[0]) if found else None

    def incidents_by_id(self, incident_ids: Sequence[int]) -> Mapping[int, Incident]:
        if not incident_ids:
            return {}
        query = self._select("incidents_by_id", rows.INCIDENT)
        found = self._all(query, [self._key, list(incident_ids)])
        return {row["id"]: Incident(**row) for row in found}

    def incidents(
        self,
        *,
        open_only: bool = True,
        assets: Sequence[Asset] | None = None,
        incident_class: str | None = None,
        limit: int = 1000,
    ) -> list[Incident]:
        given = {
            "realm": self._key,
            "open_only": open_only,
            "incident_class": incident_class,
            "limit": limit,
            **split(assets),
        }
        found = self._all(self._select("incidents", rows.INCIDENT), given)
        return [Incident(**row) for row in found]

    def add_incident(self, incident: Incident) -> Incident:
        return replace(incident, id=self._add("add_incident", incident, rows.INCIDENT))

    def put_incident(self, incident: Incident) -> None:
        query = update("put_incident", rows.INCIDENT)
        self._connection.execute(query, {"realm": self._key, **rows.row_of(incident)})

    def moves(self, incident_id: int) -> list[Move]:
        return [Move(**row) for row in self._all(self._queries["moves"], [incident_id])]

    def add_move(self, move: Move) -> None:
        m = move
        given = [
            m.incident_id,
            m.at_us,
            m.from_kind,
            m.from_asset,
            m.to_kind,
            m.to_asset,
            m.reason,
        ]
        self._do("add_move", given)

    # -- tickets ---------------------------------------------------------------------------

    def _ticket(
        self, *, id: int | None = None, number: str | None = None, episode: str | None = None
    ) -> Ticket | None:
        given = {"realm": self._key, "id": id, "number": number, "episode": episode}
        if not any(nameable(key) for key in (id, number, episode)):
            return None
        found = self._all(self._select("ticket", rows.TICKET), given)
        return Ticket(**found[0]) if found else None

    def ticket(self, ticket_id: int) -> Ticket | None:
        return self._ticket(id=ticket_id)

    def ticket_numbered(self, number: str) -> Ticket | None:
        return self._ticket(number=number)

    def ticket_of_episode(self, episode: str) -> Ticket | None:
        return self._ticket(episode=episode)

    def tickets_of_incident(self, incident_id: int) -> list[Ticket]:
        found = self._all(self._select("tickets_of", rows.TICKET), [incident_id])
        return [Ticket(**row) for row in found]

    def tickets_by_incident(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        if not incident_ids:
            return {}
        query = self._select("tickets_by_incident", rows.TICKET)
        found = self._all(query, [list(incident_ids)])
        return {row["incident_id"]: Ticket(**row) for row in found}

    def merged_into(self, ticket_id: int) -> list[Ticket]:
        found = self._all(self._select("merged_into", rows.TICKET), [ticket_id])
        return [Ticket(**row) for row in found]

    def merged_by_people(self, ticket_ids: Sequence[int]) -> set[int]:
        if not ticket_ids:
            return set()
        found = self._all(self._queries["merged_by_people"], [list(ticket_ids)])
        return {row["merged_into"] for row in found}

    def tickets_of_episodes(self, episodes: Sequence[str]) -> Mapping[str, Ticket]:
        if not episodes:
            return {}
        query = self._select("tickets_of_episodes", rows.TICKET)
        found = self._all(query, [self._key, list(episodes)])
        return {row["episode"]: Ticket(**row) for row in found}

    def open_tickets(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        if not incident_ids:
            return {}
        found = self._all(self._select("open_tickets", rows.TICKET), [list(incident_ids)])
        return {row["incident_id"]: Ticket(**row) for row in found}

    def tickets(
        self,
        *,
        states: Iterable[TicketState] | None = None,
        work: str | None = None,
        without_work: str | None = None,
        team: str | None = None,
        assignee: str | None = None,
        assets: Sequence[Asset] | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> list[Ticket]:
        given = {
            "realm": self._key,
            "states": None if states is None else list(states),
            "work": work,
            "without_work": without_work,
            "team": team,
            "assignee": assignee,
            "limit": limit,
            "offset": offset,
            **split(assets),
        }
        query = ticket_list("tickets_open" if states is None else "tickets_in")
        return [Ticket(**row) for row in self._all(query, given)]

    def steps(self, ticket_id: int) -> list[Step]:
        return [Step(**row) for row in self._all(self._queries["steps"], [ticket_id])]

    def steps_of(self, ticket_ids: Sequence[int]) -> Mapping[int, list[Step]]:
        out: dict[int, list[Step]] = {}
        if ticket_ids:
            for row in self._all(self._queries["steps_of"], [list(ticket_ids)]):
                out.setdefault(row["ticket_id"], []).append(Step(**row))
        return out

    def fired(self, ticket_ids: Sequence[int]) -> list[Timer]:
        if not ticket_ids:
            return []
        return [Timer(**row) for row in self._all(self._queries["fired"], [list(ticket_ids)])]

    def fire(self, timer: Timer) -> bool:
        t = timer
        return self._do("fire", [t.ticket_id, t.metric, t.rung, t.start_us, t.fired_us]) == 1

    def add_ticket(self, ticket: Ticket, day: str, step: Step) -> Ticket | None:
        given = {"realm": self._key, "day": day, **rows.row_of(ticket), **_step(step)}
        found = self._all(add_ticket(), given)
        if not found:
            return None
        return replace(ticket, id=found[0]["id"], number=found[0]["number"])

    def change_ticket(self, ticket: Ticket, version: int, step: Step) -> Ticket | None:
        made = replace(ticket, version=version + 1)
        given = {"realm": self._key, "old_version": version, **rows.row_of(made), **_step(step)}
        return made if self._all(update("change_ticket", rows.TICKET), given) else None


def _step(step: Step) -> dict[str, Any]:
    """A step as parameters; ticket and version are those of the ticket beside it."""
    s = step
    return {
        "s_action": s.action,
        "s_from_state": s.from_state,
        "s_to_state": s.to_state,
        "s_actor": s.actor,
        "s_role": s.role,
        "s_at_us": s.at_us,
        "s_reason": s.reason,
        "s_data": rows.json(dict(s.data)),
    }
