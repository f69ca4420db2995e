"""Incidents and tickets, in memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from alerts.ledger import FINAL_STATES, Asset
from alerts.memory_tables import MemoryTables, NotUnique
from grid.records import (
    Incident,
    Ticket,
    TicketState,
)
from storage.desk_records import Move, Step, Timer


class TicketMemory(MemoryTables):
    """What `alerts.ledger.Transaction` asks about incidents and tickets."""

    # -- incidents -------------------------------------------------------------------------

    def incident(self, incident_id: int) -> Incident | None:
        return self.incident_rows.get(incident_id)

    def incidents_by_id(self, incident_ids: Sequence[int]) -> Mapping[int, Incident]:
        return {i: self.incident_rows[i] for i in incident_ids if i in self.incident_rows}

    def incidents(
        self,
        *,
        open_only: bool = True,
        assets: Sequence[Asset] | None = None,
        incident_class: str | None = None,
        opened_since_us: int | None = None,
        limit: int = 1000,
    ) -> list[Incident]:
        if open_only:
            rows = [self.incident_rows[i] for i in self.open_incidents.values() if i is not None]
        else:
            rows = list(self.incident_rows.values())
        places = None if assets is None else set(assets)
        kept = [
            i
            for i in rows
            if (places is None or (i.asset_kind, i.asset) in places)
            and (incident_class is None or i.incident_class == incident_class)
            and (opened_since_us is None or i.opened_us >= opened_since_us)
        ]
        return sorted(kept, key=lambda i: i.id)[:limit]

    def incidents_since(self, change: int) -> tuple[int, list[Incident]]:
        newest = len(self.incident_changes)
        if newest < change:
            change = 0
        if change == 0:
            return newest, self.incidents(limit=2**31)
        ids = dict.fromkeys(self.incident_changes[n] for n in range(change + 1, newest + 1))
        return newest, [self.incident_rows[i] for i in ids]

    def expect(self, *, incidents: int = 0, tickets: int = 0) -> None:
        pass

    def add_incident(self, incident: Incident) -> Incident:
        made = replace(incident, id=len(self.incident_rows) + 1)
        self._keep(made)
        return made

    def put_incident(self, incident: Incident) -> None:
        old = self.incident_rows[incident.id]
        if old.closed_us is None:
            self.open_incidents[old.asset_kind, old.asset, old.incident_class] = None
        self._keep(incident)

    def _keep(self, incident: Incident) -> None:
        if incident.closed_us is None:
            key = (incident.asset_kind, incident.asset, incident.incident_class)
            if self.open_incidents.get(key) is not None:
                raise NotUnique(
                    f"there is an open {incident.incident_class} incident at "
                    f"{incident.asset_kind} {incident.asset} already; join it."
                )
            self.open_incidents[key] = incident.id
        self.incident_rows[incident.id] = incident
        self.incident_changes[len(self.incident_changes) + 1] = incident.id

    def moves(self, incident_id: int) -> list[Move]:
        return list(self.move_rows.get(incident_id, ()))

    def add_move(self, move: Move) -> None:
        self.move_rows[move.incident_id] = (*self.move_rows.get(move.incident_id, ()), move)

    # -- tickets ---------------------------------------------------------------------------

    def ticket(self, ticket_id: int) -> Ticket | None:
        return self.ticket_rows.get(ticket_id)

    def ticket_numbered(self, number: str) -> Ticket | None:
        return next((t for t in self.ticket_rows.values() if t.number == number), None)

    def ticket_of_episode(self, episode: str) -> Ticket | None:
        return self.ticket_rows.get(self.episodes.get(episode, 0))

    def tickets_of_episodes(self, episodes: Sequence[str]) -> Mapping[str, Ticket]:
        return {e: self.ticket_rows[self.episodes[e]] for e in episodes if e in self.episodes}

    def tickets_of_incident(self, incident_id: int) -> list[Ticket]:
        rows = [self.ticket_rows[i] for i in self.incident_tickets.get(incident_id, ())]
        return sorted(rows, key=lambda t: (t.state in FINAL_STATES, -t.id))

    def tickets_by_incident(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        found = {i: self.tickets_of_incident(i) for i in incident_ids}
        return {i: rows[0] for i, rows in found.items() if rows}

    def merged_into(self, ticket_id: int) -> list[Ticket]:
        return [self.ticket_rows[i] for i in self.sub_tickets.get(ticket_id, ())]

    def merged_by_people(self, ticket_ids: Sequence[int]) -> set[int]:
        return {
            main
            for main in ticket_ids
            for sub in self.merged_into(main)
            if any(s.action == "merge" and s.role != "system" for s in self.steps(sub.id))
        }

    def open_tickets(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        out = {}
        for incident in incident_ids:
            rows = self.tickets_of_incident(incident)
            if rows and rows[0].state not in FINAL_STATES:
                out[incident] = rows[0]
        return out

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
        wanted = None if states is None else set(states)
        places = None if assets is None else set(assets)
        rows = [
            t
            for t in self.ticket_rows.values()
            if (t.state not in FINAL_STATES if wanted is None else t.state in wanted)
            and (work is None or t.work == work)
            and (without_work is None or t.work != without_work)
            and (team is None or t.team == team)
            and (assignee is None or t.assignee == assignee)
            and (places is None or (t.asset_kind, t.asset) in places)
        ]
        never = 2**63 - 1

        def rank(t: Ticket) -> tuple[int, int, int, int]:
            return -t.priority, never if t.due_us is None else t.due_us, t.opened_us, t.id

        return sorted(rows, key=rank)[offset : offset + limit]

    def steps(self, ticket_id: int) -> list[Step]:
        return list(self.step_rows.get(ticket_id, ()))

    def steps_of(self, ticket_ids: Sequence[int]) -> Mapping[int, list[Step]]:
        return {i: list(self.step_rows[i]) for i in ticket_ids if i in self.step_rows}

    def fired(self, ticket_ids: Sequence[int]) -> list[Timer]:
        wanted = set(ticket_ids)
        return [t for t in self.timer_rows.values() if t.ticket_id in wanted]

    def fire(self, timer: Timer) -> bool:
        key = (timer.ticket_id, timer.metric, timer.rung, timer.start_us)
        if key in self.timer_rows:
            return False
        self.timer_rows[key] = timer
        return True

    def add_ticket(self, ticket: Ticket, day: str, step: Step) -> Ticket | None:
        if ticket.episode in self.episodes:
            return None
        if self.open_tickets([ticket.incident_id]):
            raise NotUnique(f"incident {ticket.incident_id} has an open ticket already; join it.")
        count = self.numbers.get(day, 0) + 1
        self.numbers[day] = count
        made = replace(ticket, id=len(self.ticket_rows) + 1, number=f"{day}-{count:04d}")
        self.ticket_rows[made.id] = made
        self.episodes[made.episode] = made.id
        known = self.incident_tickets.get(made.incident_id, ())
        self.incident_tickets[made.incident_id] = (*known, made.id)
        self._add_step(replace(step, ticket_id=made.id, version=made.version))
        return made

    def change_ticket(self, ticket: Ticket, version: int, step: Step) -> Ticket | None:
        old = self.ticket_rows.get(ticket.id)
        if old is None or old.version != version:
            return None
        others = [
            t
            for t in self.tickets_of_incident(ticket.incident_id)
            if t.id != ticket.id and t.state not in FINAL_STATES
        ]
        if others and ticket.state not in FINAL_STATES:
            raise NotUnique(f"incident {ticket.incident_id} has the open ticket {others[0].number}")
        made = replace(ticket, version=version + 1)
        if made.incident_id != old.incident_id:
            rest = [i for i in self.incident_tickets[old.incident_id] if i != made.id]
            self.incident_tickets[old.incident_id] = tuple(rest)
            known = self.incident_tickets.get(made.incident_id, ())
            self.incident_tickets[made.incident_id] = (*known, made.id)
        if made.merged_into != old.merged_into:
            if old.merged_into is not None:
                rest = [i for i in self.sub_tickets[old.merged_into] if i != made.id]
                self.sub_tickets[old.merged_into] = tuple(rest)
            if made.merged_into is not None:
                subs = {*self.sub_tickets.get(made.merged_into, ()), made.id}
                self.sub_tickets[made.merged_into] = tuple(sorted(subs))
        self.ticket_rows[made.id] = made
        self._add_step(replace(step, ticket_id=made.id, version=made.version))
        return made

    def _add_step(self, step: Step) -> None:
        self.step_rows[step.ticket_id] = (*self.step_rows.get(step.ticket_id, ()), step)
