"""Audience packs: de-identified extracts, the ledger that pays for them and the gate before release.

No Dagster in here, and nothing that asks a network. `release` is the way in.
"""
