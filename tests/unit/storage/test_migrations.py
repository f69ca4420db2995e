"""The shipped migrations, without a database: two rooms that take one number must not meet."""

from storage.migrate import migrations


def test_every_shipped_migration_has_a_number_of_its_own_and_they_stand_in_order() -> None:
    """Two files of one number would stop every start, so this is found before one."""
    versions = [migration.version for migration in migrations()]

    assert sorted(set(versions)) == versions
    assert versions[0] == 1
