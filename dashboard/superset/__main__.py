"""Writes the bundle."""

from dashboard.superset.bundle import main

main()
