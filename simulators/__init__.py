"""A town that behaves like a real one, with labelled faults, and devices that speak for it.

Receives a scenario (TOML) and hands on a dataset folder (`scenario.simulate`) or its replay over
real MQTT and Modbus (`replay.replay`). Knows nothing of detectors and alerts: the truth file is
for whoever scores them.
"""
