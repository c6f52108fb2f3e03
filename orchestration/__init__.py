"""Tandem: the Dagster code location and the plain functions that it drives."""
