"""The Dagster code location that workspace.yaml names."""

from orchestration.defs import build_defs

defs = build_defs()
