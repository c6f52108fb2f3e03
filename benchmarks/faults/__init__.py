"""Faults put into the warehouse on purpose, one at a time, and which gate sees each.

A set is a module `<name>_set` with `FAULTS`; sets are scored apart.
"""
