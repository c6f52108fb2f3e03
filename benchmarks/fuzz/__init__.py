"""Hostile input: `python -m benchmarks.fuzz` runs hypothesis over every reader and converter.

docs/hostile-input.md says what is judged, and what the last long run found.
"""
