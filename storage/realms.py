"""Realms by name: a small integer in every key keeps drills and replays apart from the grid."""

from storage.database import Connection, Database


def find_realm(connection: Connection, name: str) -> int | None:
    """The key of a realm, None if nothing was ever written under that name."""
    row = connection.execute("SELECT id FROM realm WHERE name = %s", [name]).fetchone()
    return None if row is None else int(row[0])


def realm_id(connection: Connection, name: str) -> int:
    """The key of a realm, made at its first use."""
    found = find_realm(connection, name)
    if found is None:
        connection.execute("INSERT INTO realm (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])
        found = find_realm(connection, name)
    assert found is not None, f"realm {name} vanished"
    return found


def realm_names(database: Database, prefix: str = "") -> list[str]:
    """The realms in which anything was ever written, by name."""
    query = "SELECT name FROM realm WHERE starts_with(name, %s) ORDER BY name"
    with database.connection() as connection:
        return [row[0] for row in connection.execute(query, [prefix]).fetchall()]
