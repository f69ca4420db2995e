"""The only room that speaks to PostgreSQL: migrations, historian, rollups, queries.

Receives journal records and what `alerts` decides; hands out series, tables and a stored
network. Knows nothing of wire formats and detectors.
"""
