"""How good are the detectors? Simulated towns, a quiet fleet, and faults put into real data.

Seeds that judge lie in `judging_seeds.toml` and are read by `bench_quality` alone; whoever tunes
works with `tuning_seeds.toml`.
"""
