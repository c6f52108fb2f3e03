"""The second set: written from the contracts and the models alone, before the rules were read.

It was committed before its first run; what its author may not have read is named on its page.
"""

from benchmarks.faults import second_exports, second_landing, second_marts, second_models

FAULTS = [
    *second_landing.FAULTS,
    *second_models.FAULTS,
    *second_marts.FAULTS,
    *second_exports.FAULTS,
]
