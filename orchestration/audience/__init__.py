"""Audience packs: de-identified extracts, the ledger that pays for them, the gate they pass.

No Dagster in here, and nothing that asks a network. `release` is the way in.
"""
