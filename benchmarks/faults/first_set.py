"""The first set: the one that the rules were written beside."""

from __future__ import annotations

from benchmarks.faults.fault import Fault
from benchmarks.faults.first_landing import LANDING
from benchmarks.faults.first_models import WAREHOUSE

FAULTS: list[Fault] = [*LANDING, *WAREHOUSE]
