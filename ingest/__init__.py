"""Ingest: meters and monitors in, durable journal records out.

Receives MQTT messages and Modbus registers; hands on `ReadingBatch`es, quarantined payloads and
ticks of event time in a journal. Knows nothing of PostgreSQL, detectors or alerts.
"""
