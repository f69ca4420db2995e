"""Realms by name: a small integer in every key keeps drills and replays apart from the grid."""

from storage.database import Connection


def realm_id(connection: Connection, name: str) -> int:
    """The key of a realm, made at its first use."""
    for _ in range(2):
        row = connection.execute("SELECT id FROM realm WHERE name = %s", [name]).fetchone()
        if row is not None:
            return int(row[0])
        connection.execute("INSERT INTO realm (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])
    row = connection.execute("SELECT id FROM realm WHERE name = %s", [name]).fetchone()
    assert row is not None, f"realm {name} vanished"
    return int(row[0])
