"""Incidents and tickets: one open incident of a class at an asset, one open ticket of each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grid.records import (
    Incident,
    Ticket,
    TicketState,
)
from storage import ledger_rows as rows
from storage.desk_records import Move, Step, Timer, altered
from storage.desk_text import nameable
from storage.ledger_base import (
    Asset,
    TableView,
    split,
    ticket_list,
    update,
)
from storage.ledger_pending import Table


class TicketTables(TableView):
    """The questions and changes of `alerts.ledger.Transaction` about incidents and tickets."""

    def incident(self, incident_id: int) -> Incident | None:
        if not nameable(incident_id):
            return None
        found = self._all(self._select("incident", rows.INCIDENT), [self._key, incident_id])
        return self._incidents(found)[0] if found else None

    def _incidents(self, found: list[dict[str, Any]]) -> list[Incident]:
        made = [Incident(**row) for row in found]
        self._pending.incidents_known.update((i.id, i) for i in made)
        return made

    def _tickets(self, found: list[dict[str, Any]]) -> list[Ticket]:
        made = [Ticket(**row) for row in found]
        self._pending.tickets_known.update((t.id, t) for t in made)
        return made

    def incidents_by_id(self, incident_ids: Sequence[int]) -> Mapping[int, Incident]:
        if not incident_ids:
            return {}
        query = self._select("incidents_by_id", rows.INCIDENT)
        found = self._all(query, [self._key, list(incident_ids)])
        return {i.id: i for i in self._incidents(found)}

    def incidents(
        self,
        *,
        open_only: bool = True,
        assets: Sequence[Asset] | None = None,
        incident_class: str | None = None,
        opened_since_us: int | None = None,
        limit: int = 1000,
    ) -> list[Incident]:
        given = {
            "realm": self._key,
            "open_only": open_only,
            "incident_class": incident_class,
            "opened_since_us": opened_since_us,
            "limit": limit,
            **split(assets),
        }
        return self._incidents(self._all(self._select("incidents", rows.INCIDENT), given))

    def incidents_since(self, change: int) -> tuple[int, list[Incident]]:
        given = {"realm": self._key, "change": change}
        found = self._all(self._select("incidents_since", rows.INCIDENT), given)
        newest = max(int(row.pop("newest")) for row in found)
        return newest, self._incidents([row for row in found if row["id"] is not None])

    def expect(self, *, incidents: int = 0, tickets: int = 0) -> None:
        self._pending.expect("incident", incidents)
        self._pending.expect("ticket", tickets)

    def add_incident(self, incident: Incident) -> Incident:
        made = altered(incident, id=self._new_id("incident"))
        self._pending.incidents_known[made.id] = self._pending.incidents_new[made.id] = made
        return made

    def put_incident(self, incident: Incident) -> None:
        if not self._pending.put_incident(incident):
            self._write()
            query = update("put_incident", rows.INCIDENT)
            self._connection.execute(query, {"realm": self._key, **rows.row_of(incident)})
            self._pending.incidents_known[incident.id] = incident

    def _new_id(self, table: Table) -> int:
        wanted = self._pending.wanted(table)
        if wanted:
            for row in self._beside(self._queries["reserve"], wanted):
                self._pending.reserve(row["of"], row["id"])
        return self._pending.take_id(table)

    def moves(self, incident_id: int) -> list[Move]:
        return [Move(**row) for row in self._all(self._queries["moves"], [incident_id])]

    def add_move(self, move: Move) -> None:
        self._pending.moves.append(move)

    # -- tickets ---------------------------------------------------------------------------

    def _ticket(
        self, *, id: int | None = None, number: str | None = None, episode: str | None = None
    ) -> Ticket | None:
        given = {"realm": self._key, "id": id, "number": number, "episode": episode}
        if not any(nameable(key) for key in (id, number, episode)):
            return None
        found = self._all(self._select("ticket", rows.TICKET), given)
        return self._tickets(found)[0] if found else None

    def ticket(self, ticket_id: int) -> Ticket | None:
        return self._ticket(id=ticket_id)

    def ticket_numbered(self, number: str) -> Ticket | None:
        return self._ticket(number=number)

    def ticket_of_episode(self, episode: str) -> Ticket | None:
        return self._ticket(episode=episode)

    def tickets_of_incident(self, incident_id: int) -> list[Ticket]:
        return self._tickets(self._all(self._select("tickets_of", rows.TICKET), [incident_id]))

    def tickets_by_incident(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        if not incident_ids:
            return {}
        query = self._select("tickets_by_incident", rows.TICKET)
        return {t.incident_id: t for t in self._tickets(self._all(query, [list(incident_ids)]))}

    def merged_into(self, ticket_id: int) -> list[Ticket]:
        return self._tickets(self._all(self._select("merged_into", rows.TICKET), [ticket_id]))

    def merged_by_people(self, ticket_ids: Sequence[int]) -> set[int]:
        if not ticket_ids:
            return set()
        found = self._all(self._queries["merged_by_people"], [list(ticket_ids)])
        return {row["merged_into"] for row in found}

    def tickets_of_episodes(self, episodes: Sequence[str]) -> Mapping[str, Ticket]:
        if not episodes:
            return {}
        waiting = self._pending
        new = {t.episode: t for t in waiting.tickets_new.values()}
        changed = waiting.tickets_changed
        query = self._select("tickets_of_episodes", rows.TICKET)
        asked = [e for e in episodes if waiting.episodes.get(e) is not False]
        found_rows = self._beside(query, [self._key, asked]) if asked else []
        stored = [Ticket(**row) for row in found_rows]
        found = {t.episode: changed.get(t.id, t) for t in stored}
        found |= {e: new[e] for e in episodes if e in new}
        waiting.tickets_known.update((t.id, t) for t in found.values())
        waiting.episodes.update((e, e in found) for e in episodes)
        return found

    def open_tickets(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        if not incident_ids:
            return {}
        query = self._select("open_tickets", rows.TICKET)
        return {t.incident_id: t for t in self._tickets(self._all(query, [list(incident_ids)]))}

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
        return self._tickets(self._all(query, given))

    def steps(self, ticket_id: int) -> list[Step]:
        stored = [Step(**row) for row in self._beside(self._queries["steps"], [ticket_id])]
        return [*stored, *(s for s in self._pending.steps if s.ticket_id == ticket_id)]

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
        waiting = self._pending
        if ticket.episode not in waiting.episodes:
            self.tickets_of_episodes([ticket.episode])
        if waiting.episodes[ticket.episode]:
            return None
        if not waiting.knows_day(day):
            found = self._beside(self._queries["ticket_day"], [self._key, day])
            waiting.know_day(day, found[0]["last"] if found else 0)
        number = waiting.take_number(day)
        made = altered(ticket, id=self._new_id("ticket"), number=number)
        first = altered(step, ticket_id=made.id, version=made.version)
        if not waiting.add_ticket(made, first):
            self._write()
            waiting.add_ticket(made, first)
        return made

    def change_ticket(self, ticket: Ticket, version: int, step: Step) -> Ticket | None:
        waiting = self._pending
        known = waiting.tickets_known.get(ticket.id)
        if known is not None and known.version != version:
            return None
        made = altered(ticket, version=version + 1)
        after = altered(step, ticket_id=made.id, version=made.version)
        if waiting.put_ticket(made, after):
            return made
        given = {"realm": self._key, "old_version": version, **rows.row_of(made)}
        if not self._all(update("change_ticket", rows.TICKET), given):
            return None
        waiting.tickets_known[made.id] = made
        waiting.steps.append(after)
        return made
